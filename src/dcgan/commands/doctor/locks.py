"""dvc.lock, DVC's lock of files, and who is at work."""

import contextlib
import json
import os
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


def running(repo: Any) -> list[str]:
    """The training and the commands of DVC that are at work in this folder."""
    temporary = Path(repo.tmp_dir)
    found = {holder_of(workspace.LOCK): "training", holder_of(temporary / "lock"): "DVC"}
    with contextlib.suppress(BadDataError):  # of which `examine_rwlock` tells
        found |= {str(pid): "DVC" for pid, is_at_work in _holders(temporary / "rwlock") if is_at_work}
    return [f"{name}, pid {pid}," for pid, name in found.items() if pid]


def examine_dvc_lock(repo: Any) -> Iterator[Finding]:
    """Whether dvc.lock can be read; else, how to get it back.

    Without it, `dvc repro` takes every stage that it has seen with the same inputs from its cache of runs.

    Raises:
        BadDataError: another file of DVC's cannot be read.
    """
    from dvc.exceptions import DvcException

    is_tracked = not repo.config["core"].get("no_scm") and repo.scm.is_tracked(str(LOCK.resolve()))
    problem = "missing" if is_tracked and not LOCK.is_file() else ""
    try:
        cut = [out for out in repo.index.outs if out.hash_info and not OID.fullmatch(out.hash_info.value)]
        problem = f"truncated: md5 {cut[0].hash_info.value}" if cut else problem
    except DvcException as error:
        problem = " ".join(str(error).split())
        if LOCK.name not in problem:
            raise BadDataError(f"{problem}; correct it, or get it back with `git checkout`") from error
    if problem and is_tracked:
        yield Finding(path=LOCK, problem=problem, command=f"git checkout {LOCK}")
    elif problem:
        yield Finding(path=LOCK, problem=problem, command=removing(LOCK, then="dvc repro"), delete=(LOCK,))


def examine_rwlock(repo: Any) -> Iterator[Finding]:
    """Whether DVC's lock of files would stop it: it must be whole, and name no living process that is not DVC."""
    path = Path(os.path.relpath(repo.tmp_dir)) / "rwlock"
    try:
        others = [pid for pid, is_at_work in _holders(path) if not is_at_work]
        problem = f"left by a killed DVC: pid {others[0]}, which it names, is another program's now" if others else ""
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
