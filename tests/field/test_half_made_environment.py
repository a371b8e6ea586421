"""`make setup` beside a `.venv` that an earlier one left half made, and with a Python that makes none."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ROOT

PYTHON = """#!/bin/sh
# Stands for Python: environments that it makes hold a pip that works, unless it is broken.
case "$*" in
  "-m venv"*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo made >> made.txt
    test ! -e {broken} || {{ echo "ensurepip is not available"; exit 1; }}
    touch "$3/bin/pip" ;;
  "-m pip --version") test -e "$(dirname "$0")/pip" ;;
  "-m pip install"*) printf '#!/bin/sh\\n' > .venv/bin/uv && chmod +x .venv/bin/uv ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what `make setup` reads, and a Python."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".git").mkdir()
    write_program(tmp_path / "python", PYTHON.format(broken=tmp_path / "broken"))
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make_setup(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "setup", f"PYTHON={checkout}/python"]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def outdate(checkout: Path) -> None:
    """Make the requirements newer than the environment."""
    for ready in (checkout / ".venv").glob(".ready*"):
        os.utime(ready, (0, 0))


def dangling_python(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to("/nowhere/python")


HALF_MADE = {
    "none": lambda _folder: None,
    "an empty folder": Path.mkdir,
    "a Python without pip": lambda folder: write_program(folder / "bin/python", "#!/bin/sh\ntest $2 != pip\n"),
    "a Python that was removed": dangling_python,
    "a Python that is too old": lambda folder: write_program(folder / "bin/python", "#!/bin/sh\ntest $1 != -c\n"),
    "a file": lambda folder: folder.write_text(""),
}


@pytest.mark.parametrize("leave", HALF_MADE.values(), ids=HALF_MADE)
def test_what_was_left_half_made_is_made_again(checkout, leave):
    leave(checkout / ".venv")
    done = make_setup(checkout)
    assert done.returncode == 0, done.stderr
    assert (checkout / "made.txt").read_text() == "made\n"
    assert list((checkout / ".venv").glob(".ready*"))


@pytest.mark.parametrize("has_uv", [True, False])
def test_what_is_whole_is_kept_and_a_uv_that_does_not_run_is_installed_again(checkout, has_uv):
    assert make_setup(checkout).returncode == 0
    outdate(checkout)
    if not has_uv:
        write_program(checkout / ".venv/bin/uv", "")
        (checkout / ".venv/bin/uv").chmod(0o644)
    assert make_setup(checkout).returncode == 0
    assert (checkout / "made.txt").read_text() == "made\n"
    assert os.access(checkout / ".venv/bin/uv", os.X_OK)


def test_an_environment_whose_python_no_longer_runs_is_made_again(checkout):
    assert make_setup(checkout).returncode == 0
    outdate(checkout)
    (checkout / ".venv/bin/python").unlink()
    assert make_setup(checkout).returncode == 0
    assert (checkout / "made.txt").read_text() == "made\n" * 2


def test_a_python_that_makes_no_environments_is_told_with_the_package_and_leaves_nothing(checkout):
    (checkout / "broken").touch()
    for _ in range(2):
        done = make_setup(checkout)
        assert done.returncode == 2
        assert "error: .venv: " in done.stderr
        assert "apt install python3-venv" in done.stderr
        assert not (checkout / ".venv").exists()
    (checkout / "broken").unlink()
    assert make_setup(checkout).returncode == 0
