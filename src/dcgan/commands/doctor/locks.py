"""dvc.lock, DVC's lock of files, and who is at work."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from dcgan.commands.doctor.cache import LOCK, OID
from dcgan.commands.doctor.finding import Finding, removing
from dcgan.config import workspace
from dcgan.system.errors import BadDataError
from dcgan.system.locks import holder_of
from dcgan.system.signals import is_dvc

FROM_INDEX = f"git checkout {LOCK}"


def running(repo: Any) -> list[str]:
    """The training and the commands of DVC that are at work in this folder."""
    temporary = Path(repo.tmp_dir)
    found = {holder_of(workspace.LOCK): "training", _holder_of_dvcs(temporary / "lock", repo): "DVC"}
    with contextlib.suppress(BadDataError):  # of which `examine_rwlock` tells
        found |= {str(pid): "DVC" for pid, is_at_work in _holders(temporary / "rwlock") if is_at_work}
    return [f"{name}, pid {pid}," for pid, name in found.items() if pid]


def _holder_of_dvcs(lock: Path, repo: Any) -> str | None:
    """The pid of the DVC at work; with `core.hardlink_lock`, a second link is there as long as it works, but no pid."""
    if repo.config["core"].get("hardlink_lock"):
        return "unknown" if lock.is_file() and lock.stat().st_nlink > 1 else None
    return holder_of(lock)


def examine_main_lock(repo: Any) -> Iterator[Finding]:
    """Whether the file of a lock by flock is in the way of `core.hardlink_lock`, which then waits for ever."""
    path = Path(os.path.relpath(repo.tmp_dir)) / "lock"
    if repo.config["core"].get("hardlink_lock") and path.is_file() and path.stat().st_nlink == 1:
        problem = "left from before core.hardlink_lock was set; DVC now takes it for a lock that somebody holds"
        yield Finding(path=path, problem=problem, command=removing(path), delete=(path,))


def examine_dvc_lock(repo: Any) -> Iterator[Finding]:
    """Whether dvc.lock can be read; else, how to get it back.

    Without it, `dvc repro` takes every stage that it has seen with the same inputs from its cache of runs.

    Raises:
        BadDataError: another file of DVC's cannot be read.
    """
    from dvc.exceptions import DvcException

    in_git = _git_command()
    problem = "missing" if in_git == FROM_INDEX and not LOCK.is_file() else ""
    try:
        cut = [out for out in repo.index.outs if out.hash_info and not OID.fullmatch(out.hash_info.value)]
        problem = f"truncated: md5 {cut[0].hash_info.value}" if cut else problem
    except DvcException as error:
        problem = " ".join(str(error).split())
        if LOCK.name not in problem:
            raise BadDataError(f"{problem}; correct it, then run `dcgan doctor` again") from error
    if problem and in_git:
        yield Finding(path=LOCK, problem=problem, command=in_git)
    elif problem:
        yield Finding(path=LOCK, problem=problem, command=removing(LOCK, then="dvc repro"), delete=(LOCK,))


def _git_command() -> str | None:
    """What brings a readable dvc.lock back from git: from the index, or from the newest commit; None if nothing does.

    A merge conflict takes it out of the index; and either may hold what is broken.
    """
    if not shutil.which("git"):
        return None
    for revision, command in {"": FROM_INDEX, "HEAD": f"git checkout HEAD {LOCK}"}.items():
        shown = subprocess.run(["git", "show", f"{revision}:./{LOCK}"], capture_output=True, check=False)  # noqa: S603,S607
        if shown.returncode == 0 and _is_readable(shown.stdout):
            return command
    return None


def _is_readable(content: bytes) -> bool:
    """Whether DVC can read this as dvc.lock."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        lock = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(content))
    except (yaml.YAMLError, UnicodeDecodeError, Invalid, TypeError):
        return False
    outs = [out for stage in lock.get("stages", {}).values() for out in stage.get("outs", ())]
    return all(OID.fullmatch(out["md5"]) for out in outs if "md5" in out)


def examine_rwlock(repo: Any) -> Iterator[Finding]:
    """Whether DVC's lock of files would stop it: it must be whole, and name no living process that is not DVC."""
    path = Path(os.path.relpath(repo.tmp_dir)) / "rwlock"
    try:
        others = [pid for pid, is_at_work in _holders(path) if not is_at_work]
        problem = f"left by a killed DVC: its pid {others[0]} belongs to another program now" if others else ""
    except BadDataError as error:
        problem = str(error)
    if problem:
        yield Finding(path=path, problem=problem, command=removing(path), delete=(path,))


def _holders(rwlock: Path) -> Iterator[tuple[int, bool]]:
    """The living processes that DVC's lock of files names; False for one that was given a killed one's number.

    Raises:
        BadDataError: it is not what DVC writes, and DVC refuses to run; the message gives the reason alone.
    """
    import psutil
    from dvc.rwlock import SCHEMA, Invalid

    try:
        content = SCHEMA(json.loads(rwlock.read_bytes()))
    except FileNotFoundError:
        return
    except (ValueError, Invalid) as error:
        raise BadDataError(f"truncated or not what DVC writes ({error})") from error
    for info in [*content["write"].values(), *chain.from_iterable(content["read"].values())]:
        try:
            command = psutil.Process(info["pid"]).cmdline()
        except psutil.NoSuchProcess:  # DVC passes over it
            continue
        except psutil.AccessDenied:
            command = ["dvc"]
        yield info["pid"], is_dvc(command) or " ".join(command).endswith(info["cmd"])
