"""The pages on additions as a reader follows them: their changes are applied to a copy, their commands are run."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dcgan.data.files.idx import write_idx
from dcgan.inference.generator import Generator
from support import ROOT
from tiny_data import NAMES, tiny_arrays
from tiny_workspace import new_workspace, stage_environment, write_params

HOW_TO = ROOT / "docs/how-to"
PAGES = {path.stem: path.read_text() for path in sorted(HOW_TO.glob("add-*.md"))}
TRAIN_FROM_PYTHON = (HOW_TO / "train-from-python.md").read_text()
STAGES = """
import runpy, sys
_, copy, *stages = sys.argv
sys.path.insert(0, f"{copy}/pipeline")
for stage in stages:
    sys.argv = [stage]
    try:
        runpy.run_path(f"{copy}/pipeline/{stage}.py", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""
"""Runs stages one after the other in one process, which imports PyTorch once."""
COPIED = ("src", "pipeline", "tests", "experiments", "demo", "params.yaml", "dvc.yaml", "pyproject.toml")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's sources, and nothing that was built."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "run")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, tmp_path / "copy")
    return tmp_path / "copy"


def follow(page: str, copy: Path) -> None:
    """Make the changes of a page: new files, and differences, each of which fits one place."""
    for block in blocks(page, "python"):
        name, _, content = block.partition("\n")
        path = copy / name.removeprefix("# ")
        assert not path.exists(), name
        path.write_text(content)
    for block in blocks(page, "diff"):
        name, _, changes = block.partition("\n")
        path = copy / name.removeprefix("+++ ")
        text = path.read_text()
        for hunk in changes.split("@@\n"):
            before, after = (side(hunk, marks) for marks in (" -", " +"))
            assert f"\n{text}".count(f"\n{before}") == 1, f"{name} does not have this once:\n{before}"
            text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
        path.write_text(text)


def side(hunk: str, marks: str) -> str:
    """The lines of a difference that begin with one of the marks, without it."""
    return "".join(f"{line[1:]}\n" for line in hunk.splitlines() if (line or " ")[0] in marks)


def commands() -> list[list[str]]:
    lines = [line for page in PAGES.values() for block in blocks(page, "bash") for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def parameters() -> dict[str, dict[str, str]]:
    """Those that the pages' commands change, by section of params.yaml."""
    sections: dict[str, dict[str, str]] = {}
    for path, value in (word.split("=") for command in commands() for word in command if re.match(r"\w+\.\w+=", word)):
        part, _, name = path.partition(".")
        sections.setdefault(part, {})[name] = value
    return sections


def pytest_arguments() -> list[list[str]]:
    """Those of the pages' calls of pytest, put together to one call with -k and one without."""
    calls = [command[1:] for command in commands() if command[0] == "pytest"]
    chosen = [call for call in calls if "-k" in call]
    words = " or ".join(call[-1] for call in chosen)
    files = [name for call in chosen for name in call[: call.index("-k")]]
    return [[*files, "-k", words], [name for call in calls if "-k" not in call for name in call]]


def run(command: Sequence[object], *, sources: Path, folder: Path, **variables: str) -> str:
    """Run Python with the package in `sources`."""
    environment = stage_environment(folder) | {"PYTHONPATH": str(sources / "src"), "OMP_NUM_THREADS": "1"} | variables
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1200)
def test_the_changes_of_the_pages_pass_the_tests_that_they_name_and_train(copy, tmp_path):
    assert PAGES.keys() == {"add-a-data-set", "add-a-loss", "add-a-metric", "add-a-stage", "add-an-architecture"}
    for page in PAGES.values():
        follow(page, copy)
    run(["-m", "ruff", "format", "src", "pipeline"], sources=copy, folder=copy)
    run(["-m", "ruff", "check", "src", "pipeline"], sources=copy, folder=copy)
    for arguments in pytest_arguments():
        run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], sources=copy, folder=copy)

    workspace = tmp_path / "workspace"
    workspace.mkdir()
    changes = parameters()
    assert changes == {"loss": {"name": "relativistic_average"}, "model": {"architecture": "dcgan_resized"}}
    small = {"generator_channels": 4, "discriminator_channels": 4}
    train = {"max_steps": 10, "threads": 1}
    write_params(workspace, data={"name": "bars"}, train=train, loss=changes["loss"], model=changes["model"] | small)
    for key, array in tiny_arrays(per_class=20).items():
        write_idx(tmp_path / "bars" / NAMES[key], array)
    stages = ["download", "validate", "train_classifier", "train_witness", "train", "export", "evaluate", "poster"]
    run(["-c", STAGES, copy, *stages], sources=copy, folder=workspace, MNIST_MIRROR=str(tmp_path / "bars"))

    *_, last = (workspace / "reports/training/history.jsonl").read_text().splitlines()
    assert json.loads(last)["step"] == 10
    report = json.loads((workspace / "reports/evaluation.json").read_text())
    assert report["dataset"] == "bars"
    assert report["border_floor"] == 0 <= report["border"] <= 1
    assert (workspace / "reports/poster.png").is_file()


def test_training_from_python(tmp_path):
    scripts = "\n".join(blocks(TRAIN_FROM_PYTHON, "python"))
    told = run(["-c", scripts], sources=ROOT, folder=new_workspace(tmp_path))
    assert (tmp_path / "samples.png").is_file()
    assert "discriminator/loss" in told
    assert "max_difference" in told
    assert Generator.load(tmp_path / "models/generator.onnx").info.metadata["dataset"] == "digits"


def test_a_change_that_fits_nowhere_is_seen(copy):
    (copy / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(AssertionError, match=r"dvc\.yaml does not have this once"):
        follow(PAGES["add-a-stage"], copy)
