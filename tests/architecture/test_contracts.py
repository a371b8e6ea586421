import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("package", ["core", "adapters"])
def test_heavy_and_optional_tools_are_imported_only_where_they_are_used(package):
    optional = {"mlflow", "dvc", "great_expectations", "pydantic", "pandas", "pooch", "requests", "filelock"}
    found = []
    for path in (ROOT / "src/dcgan" / package).rglob("*.py"):
        for node in ast.parse(path.read_text()).body:  # the top level only: a function's imports are lazy
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] in optional]
    assert found == []


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


def test_no_file_names_a_package_registry_or_a_machine():
    """Lock files without addresses install from whichever registry the user has."""
    forbidden = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "/ro" + "ot/", "/wo" + "rk/"]
    tracked = _repository_files()
    assert ROOT / "requirements/dev.txt" in tracked
    found = [f"{path}: {word}" for path in tracked for word in forbidden if word.encode() in path.read_bytes()]
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
