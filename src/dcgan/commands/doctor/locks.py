"""dvc.lock, DVC's lock of files, and who is at work."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dcgan.commands.doctor import dvc_files
from dcgan.commands.doctor.finding import Finding, deleting, deletion
from dcgan.system.errors import BadDataError
from dcgan.system.files import is_alive
from dcgan.system.locks import holder_of

LOCK, CHECKPOINTS = Path("dvc.lock"), Path(".checkpoints")


def running(dvc: Path | None) -> list[str]:
    """The training and the commands of DVC that are at work in this folder."""
    found = {}
    if pid := holder_of(CHECKPOINTS / "lock"):
        found[pid] = "training"
    if dvc:
        if pid := holder_of(dvc / "tmp/lock"):
            found[pid] = "DVC"
        with contextlib.suppress(BadDataError):  # of which `examine_rwlock` tells
            found |= {str(pid): "DVC" for pid in dvc_files.read_rwlock(dvc / "tmp/rwlock") if _is_dvc(pid)}
    return [f"{name}, pid {pid}," for pid, name in found.items()]


def examine_dvc_lock() -> Iterator[Finding]:
    """Whether dvc.lock is whole; else, how to get it back.

    Without it, `dvc repro` takes every stage that it has seen with the same inputs from its cache of runs.
    """
    is_tracked = _is_tracked(LOCK)
    command = f"git checkout {LOCK} && dvc repro" if is_tracked else f"{deleting(LOCK)} && dvc repro"
    if not LOCK.is_file():
        yield Finding(path=LOCK, problem="missing", command=command, damage=is_tracked)
        return
    try:
        dvc_files.read_outs(LOCK)
    except BadDataError as error:
        yield Finding(path=LOCK, problem=str(error), command=command)


def examine_rwlock(dvc: Path) -> Iterator[Finding]:
    """Whether DVC's lock of files would stop it: it must be whole, and name no process that is not DVC."""
    path = dvc / "tmp/rwlock"
    try:
        pids = dvc_files.read_rwlock(path)
    except BadDataError as error:
        yield Finding(path=path, problem=str(error), command=deleting(path), repair=deletion(path))
        return
    gone = [pid for pid in pids if not is_alive(pid)]
    others = [pid for pid in pids if is_alive(pid) and not _is_dvc(pid)]
    if gone or others:
        whose = f"pid {others[0]}, which is another program's now" if others else f"pid {gone[0]}, which is gone"
        problem = f"left by a killed DVC: says that {whose}, is at work"
        yield Finding(path=path, problem=problem, command=deleting(path), damage=bool(others), repair=deletion(path))


def _is_dvc(pid: int) -> bool:
    """Whether a process is DVC's, as far as can be told: numbers of killed processes are given out again."""
    try:
        return b"dvc" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return is_alive(pid)
    except OSError:
        return True


def _is_tracked(path: Path) -> bool:
    """Whether git can bring a file back."""
    git = ["git", "ls-files", "--error-unmatch", str(path)]
    try:
        return subprocess.run(git, capture_output=True, check=False).returncode == 0  # noqa: S603 the arguments are ours
    except OSError:
        return False
