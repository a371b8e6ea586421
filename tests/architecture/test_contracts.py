import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

STAGES = sorted((ROOT / "pipeline").glob("*.py"))


def test_arrows_run_one_way():
    """The import-linter contracts of pyproject.toml."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(("path", "longest"), [*((path, 60) for path in STAGES), (ROOT / "dvc.yaml", 150)])
def test_what_tells_the_pipeline_is_short(path, longest):
    assert len(path.read_text().splitlines()) <= longest


SCIENCE = ["config", "data", "classifier", "gan", "evaluation", "export", "system", "checkpoints", "figures"]
TOOLS = {"mlflow", "dvc", "great_expectations", "pydantic", "pandas", "requests", "urllib3", "psutil"}
"""A bare GPU node has none of them; filelock is not among them, because PyTorch needs it."""
TRAINING = {"filelock", "torch", "scipy", "sklearn", "yaml", "tqdm"}
"""What production does not install; the locks, which need filelock, are for those who train."""


@pytest.mark.parametrize(
    ("room", "absent"),
    [*((room, TOOLS) for room in SCIENCE), *((room, TRAINING) for room in ("inference", "service", "system"))],
)
def test_heavy_and_optional_tools_are_imported_only_where_they_are_used(room, absent):
    paths = list((ROOT / "src/dcgan" / room).rglob("*.py"))
    if absent is TRAINING:
        paths = [path for path in paths if path.name != "locks.py"]
    assert paths
    assert [f"{path.name}: {name}" for path in paths for name in imported_at_once(path) & absent] == []


def imported_at_once(path: Path) -> set[str]:
    """The packages that a file imports on its top level: a function's imports are lazy."""
    body = ast.parse(path.read_text()).body
    names = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_nothing_loads_pickles():
    sources = [*(ROOT / "src").rglob("*.py"), *STAGES]
    lines = [(path.name, line) for path in sources for line in path.read_text().splitlines()]
    pickles = r"^(?!import pickle$).*pickle(?!\.UnpicklingError)"
    unsafe = re.compile(rf"joblib|yaml\.unsafe_load|torch\.load\((?!.*weights_only=True)|{pickles}")
    assert [f"{name}: {line}" for name, line in lines if unsafe.search(line)] == []


FORBIDDEN = {
    # A lock without addresses installs from whichever registry its user has; with one, only from that one.
    "py" + "pi.org": "a package registry",
    "python" + "hosted": "a package registry",
    "registry." + "npmjs": "a package registry",
    # A path of the machine on which something was written works on no other: commands and messages stay relative.
    "/ro" + "ot/": "a machine's folder",
    "/wo" + "rk/": "a machine's folder",
}


def test_no_file_names_a_package_registry_or_a_machine():
    tracked = _repository_files()
    assert ROOT / "requirements/dev.txt" in tracked
    contents = {path: path.read_bytes() for path in tracked}
    found = [(path, what) for path in contents for word, what in FORBIDDEN.items() if word.encode() in contents[path]]
    assert found == []


def _repository_files() -> list[Path]:
    """Tracked files, or in an unpacked archive those of the folders that hold text."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        names = done.stdout.decode().split("\0")
        return [path for name in names if name and (path := ROOT / name).is_file()]
    folders = ["src", "pipeline", "tests", "requirements", "docs", "demo", "benchmarks"]
    text = {".py", ".md", ".yaml", ".txt", ".toml", ".sh", ""}
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in text]
