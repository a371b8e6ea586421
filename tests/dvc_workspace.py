"""A workspace with DVC's files in it: written by hand, which takes no time, or by DVC itself."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from damage import flip_bit

ROOT = Path(__file__).parents[1]
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


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def object_of(folder: Path, out: str) -> Path:
    """The file of an out's object in the cache of `folder`, by the bytes that the out has now."""
    return _object_path(folder, _oid_of(folder / out)[0])


def record(folder: Path, stages: Mapping[str, Sequence[str]]) -> Path:
    """Write what DVC would have written after stages that leave these files and folders, which are there.

    Each stage copies its outs from the folder good/, where they are kept, and notes that it ran.
    """
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (folder / "remake.py").write_text(REMAKE)
    script = {"path": "remake.py", "hash": "md5", "md5": md5(REMAKE.encode()), "size": len(REMAKE)}
    definitions, locked = {}, {}
    for stage, outs in stages.items():
        command = {"cmd": shlex.join(["python", "remake.py", *outs])}
        definitions[stage] = command | {"deps": ["remake.py"], "outs": list(outs)}
        locked[stage] = command | {"deps": [script], "outs": [_keep(folder, out) for out in outs]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": definitions}, sort_keys=False))
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": locked}, sort_keys=False))
    return folder


def damage_object(path: Path, *, position: int = -1) -> None:
    """Flip a bit of an object, which stays as read-only as DVC made it."""
    path.chmod(0o644)
    flip_bit(path, position)
    path.chmod(0o444)


def in_shell(folder: Path, command: str) -> Ended:
    """Type a command in `folder`."""
    options = {"cwd": folder, "env": shell_environment(), "capture_output": True, "text": True}
    done = subprocess.run(command, shell=True, check=False, **options)
    return Ended(done.returncode, done.stdout, done.stderr)


def shell_environment() -> dict[str, str]:
    """One in which `dvc` and `dcgan` are found, and this source."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return inherited | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}


def commands_in(output: str) -> list[str]:
    """The commands that `dcgan doctor` printed."""
    return [line.rpartition("run `")[2].rstrip("`") for line in output.splitlines() if "run `" in line]


Doctor = Callable[..., Ended]


def _keep(folder: Path, out: str) -> dict[str, object]:
    """Keep an out in the cache and in good/; returns its entry of dvc.lock."""
    oid, content = _oid_of(folder / out)
    files = [path for path in sorted((folder / out).rglob("*")) if path.is_file()] or [folder / out]
    objects = {md5(path.read_bytes()): path.read_bytes() for path in files} | {oid: content}
    for name, each in objects.items():
        path = _object_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each)
        path.chmod(0o444)
    for path in files:
        good = folder / "good" / path.relative_to(folder)
        good.parent.mkdir(parents=True, exist_ok=True)
        good.write_bytes(path.read_bytes())
    return {"path": out, "hash": "md5", "md5": oid, "size": sum(path.stat().st_size for path in files)}


def _oid_of(path: Path) -> tuple[str, bytes]:
    """The name of an out's object, and its bytes."""
    if not path.is_dir():
        return md5(path.read_bytes()), path.read_bytes()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = {str(file.relative_to(path)): md5(file.read_bytes()) for file in files}
    content = json.dumps([{"md5": names[name], "relpath": name} for name in sorted(names)]).encode()
    return f"{md5(content)}.dir", content


def _object_path(folder: Path, oid: str) -> Path:
    return folder / ".dvc/cache/files/md5" / oid[:2] / oid[2:]
