"""Standard output whose reader leaves, and broken connections, in real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

STAGE = """
import pathlib, socket, sys
from dcgan.system.exit import run_stage

def main(*, lines: int = 1, socket_breaks: bool = False) -> None:
    for _ in range(lines):
        print("a line of output")
    print("a warning", file=sys.stderr)
    if socket_breaks:
        ours, theirs = socket.socketpair()
        theirs.close()
        ours.sendall(b"request")
    pathlib.Path("done").touch()

run_stage(main)
"""


def run(folder: Path, options: str, redirection: str) -> tuple[int, str]:
    """The stage's exit code and what the whole pipeline wrote to standard error."""
    script = folder / "stage.py"
    script.write_text(STAGE)
    command = f"{sys.executable} {script} {options} {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("lines", [1, 100_000])  # more than a pipe holds
def test_work_whose_reader_leaves_is_done_and_succeeds(tmp_path, lines):
    assert run(tmp_path, f"--lines {lines}", "| head -0") == (0, "a warning\n")
    assert (tmp_path / "done").exists()
    assert run(tmp_path, f"--lines {lines}", "2>&1 | head -0") == (0, "")


def test_work_without_any_output_succeeds(tmp_path):
    assert run(tmp_path, "", ">&- 2>&-") == (0, "")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("redirection", ["", "| head -0"])
def test_a_broken_connection_is_an_error_with_its_line(tmp_path, redirection):
    code, errors = run(tmp_path, "--socket-breaks", redirection)
    assert code == 74
    assert errors.splitlines()[-1].startswith("error: ")
    assert "Broken pipe" in errors
    assert not (tmp_path / "done").exists()


def test_an_error_of_reading_names_the_file(tmp_path):
    script = tmp_path / "stage.py"
    script.write_text("from dcgan.system.exit import run_stage\ndef main(): open('missing.txt')\nrun_stage(main)")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 74
    assert done.stderr.startswith("error: missing.txt: ")
