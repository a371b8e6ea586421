"""A workspace in which DVC has run some stages, each of which copies its outs from a folder where they are kept."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from damage import flipped
from support import ROOT

CONFIG = "[core]\n    analytics = false\n    no_scm = true\n"
REMAKE = """
import pathlib, shutil, sys
for name in sys.argv[1:]:
    source, target = pathlib.Path("good", name), pathlib.Path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copyfile(source, target)
    print("made", name, file=open("runs.txt", "a"))
"""


class Ended(NamedTuple):
    """How a command ended."""

    exit_code: int
    out: str
    err: str


def record(folder: Path, stages: Mapping[str, Sequence[str]], *, contents: Mapping[str, str] | None = None) -> Path:
    """Let DVC run stages that leave these files and folders, which are there or in `contents`."""
    for name, content in (contents or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for out in chain.from_iterable(stages.values()):
        good = folder / "good" / out
        good.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / out, good) if (folder / out).is_dir() else shutil.copyfile(folder / out, good)
    (folder / "remake.py").write_text(REMAKE)
    definitions = {
        stage: {"cmd": shlex.join(["python", "remake.py", *outs]), "deps": ["remake.py"], "outs": list(outs)}
        for stage, outs in stages.items()
    }
    write_pipeline(folder, definitions)
    type_in(folder, "dvc repro --quiet")
    (folder / "runs.txt").unlink()
    return folder


def write_pipeline(folder: Path, stages: Mapping[str, object]) -> None:
    """Write dvc.yaml, and DVC's configuration."""
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text(CONFIG)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def object_of(folder: Path, out: str) -> Path:
    """The file in the cache of `folder` of an out, or of a file in one, by what dvc.lock and good/ say."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    oids = {each["path"]: each["md5"] for stage in stages.values() for each in stage["outs"]}
    oid = oids.get(out) or hashlib.md5((folder / "good" / out).read_bytes()).hexdigest()
    return folder / ".dvc/cache/files/md5" / oid[:2] / oid[2:]


def write_object(path: Path, content: bytes) -> None:
    """Change an object, which stays as read-only as DVC made it."""
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def damage_object(path: Path) -> None:
    """Flip the last bit of an object."""
    write_object(path, flipped(path.read_bytes(), -8))


def in_shell(folder: Path, command: str) -> Ended:
    """Type a command in `folder`."""
    options = {"cwd": folder, "env": shell_environment(), "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, **options)
    return Ended(done.returncode, done.stdout, done.stderr)


def type_in(folder: Path, command: str) -> None:
    """Type a command that is to succeed."""
    ended = in_shell(folder, command)
    assert ended.exit_code == 0, (command, ended)


def shell_environment() -> dict[str, str]:
    """One in which `dvc` and `dcgan` are found, and this source."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return inherited | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}


def commands_in(output: str) -> list[str]:
    """The commands that `dcgan doctor` printed."""
    return [line.rpartition("run `")[2].rstrip("`") for line in output.splitlines() if "run `" in line]


def enter_copy(finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy a workspace to `folder`, to damage it there, and make that the current folder."""
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder
