import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

STAGES = sorted((ROOT / "pipeline").glob("*.py"))


def test_arrows_run_one_way():
    """The import-linter contracts of pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("script", STAGES, ids=lambda path: path.stem)
def test_a_stage_script_is_short(script):
    assert len(script.read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    "room", ["config", "data", "classifier", "gan", "evaluation", "export", "system", "checkpoints", "figures"]
)
def test_heavy_and_optional_tools_are_imported_only_where_they_are_used(room):
    """A bare GPU node has none of them; filelock is not among them, because PyTorch needs it."""
    optional = {"mlflow", "dvc", "great_expectations", "pydantic", "pandas", "requests", "urllib3", "psutil"}
    paths = list((ROOT / "src/dcgan" / room).rglob("*.py"))
    assert paths
    assert [f"{path.name}: {name}" for path in paths for name in imported_at_once(path) & optional] == []


def test_what_production_installs_does_without_the_extra_train():
    """The locks, which need filelock, are for those who train."""
    absent = {"filelock", "torch", "scipy", "sklearn", "yaml", "tqdm"}
    paths = [path for room in ("inference", "service") for path in (ROOT / "src/dcgan" / room).rglob("*.py")]
    paths += [path for path in (ROOT / "src/dcgan/system").glob("*.py") if path.name != "locks.py"]
    assert [f"{path.name}: {name}" for path in paths for name in imported_at_once(path) & absent] == []


def imported_at_once(path: Path) -> set[str]:
    """The packages that a file imports on its top level: a function's imports are lazy."""
    body = ast.parse(path.read_text()).body
    names = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_nothing_loads_pickles():
    sources = [*(ROOT / "src").rglob("*.py"), *STAGES]
    unsafe = ("pickle", "joblib", "yaml.unsafe_load")
    lines = [(path.name, line) for path in sources for line in path.read_text().splitlines()]
    naming_the_error = ("import pickle", "pickle.UnpicklingError")
    found = [
        f"{name}: {line}"
        for name, line in lines
        for word in unsafe
        if word in line and not (line == naming_the_error[0] or naming_the_error[1] in line)
    ]
    found += [f"{name}: {line}" for name, line in lines if "torch.load(" in line and "weights_only=True" not in line]
    assert found == []


def test_the_packages_version_is_the_changelogs_newest():
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{version}]" in changelog


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
    found = [
        f"{path}: {what}"
        for path, content in contents.items()
        for word, what in FORBIDDEN.items()
        if word.encode() in content
    ]
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
