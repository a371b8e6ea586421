"""`dcgan doctor`: what is damaged in a workspace, and the command that repairs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dcgan.commands.doctor.cache import examine_cache, examine_outs, restore_cache
from dcgan.commands.doctor.finding import Finding
from dcgan.commands.doctor.locks import examine_dvc_lock, examine_main_lock, examine_rwlock, running
from dcgan.commands.doctor.unfinished import examine_checkpoints, examine_dataset
from dcgan.system.errors import BadDataError, BusyError, UsageError
from dcgan.system.progress import heartbeat


@heartbeat("doctor")
def run_doctor(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete or write anew what is damaged; say what is left to run.")
    ] = False,
) -> None:
    """Print a line for each finding in the current folder; with --repair, first repair what can be without loss.

    Raises:
        BadDataError: something is damaged, and still is.
        BusyError: a repair was asked for while a training or DVC is running.
        UsageError: this is no workspace.
    """
    repo = _open_repo()
    at_work = running(repo)
    if repair and at_work:
        raise BusyError(f"{at_work[0]} is running; wait until it ends, or stop it; nothing was changed")
    for process in at_work:
        print(f"note: {process} is running: what it has not finished may look changed or missing")
    findings = _examine(repo, is_busy=bool(at_work))
    if repair:
        _repair(findings)
        findings = _examine(_open_repo(), is_busy=False)
    for finding in findings:
        print(finding)
    if damaged := sum(finding.is_damage for finding in findings):
        raise BadDataError(f"damaged files: {damaged}; run the commands above")
    if not findings:
        print("nothing is damaged: what dvc.lock lists, DVC's cache, checkpoints and locks are as they should be")


def _open_repo() -> Any:
    """DVC's Repo of the current folder; without git, for in some commits dvc.lock may be broken."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    if not Path("dvc.yaml").is_file():
        raise UsageError("no dvc.yaml here; run `dcgan doctor` in the folder in which you run `dvc repro`")
    try:
        return Repo(config={"core": {"no_scm": True}})
    except NotDvcRepoError as error:
        command = "dvc init" if Path(".git").exists() else "dvc init --no-scm"
        raise UsageError(f"{Path.cwd()}: no DVC repository; run `{command}`") from error
    except DvcException as error:
        raise UsageError(f"{error}; correct it, then run `dcgan doctor` again") from error


def _examine(repo: Any, *, is_busy: bool) -> list[Finding]:
    """Everything found in the current folder; where somebody `is_busy`, checkpoints may be half written."""
    outs = list(examine_dvc_lock(repo)) or list(examine_cache(repo)) or list(examine_outs(repo))
    return [
        *examine_main_lock(repo),
        *examine_rwlock(repo),  # with a broken one, no command of DVC's that a later line names would work
        *outs,
        *(finding for finding in examine_dataset() if finding.path not in {out.path for out in outs}),
        *(() if is_busy else examine_checkpoints()),
    ]


def _repair(findings: Sequence[Finding]) -> None:
    """Delete what is damaged, put into the cache what it lacks, and say so."""
    for path in (path for finding in findings for path in finding.delete):
        path.unlink(missing_ok=True)
        print(f"repaired: {path}: deleted")
    for out in restore_cache(_open_repo()):
        print(f"repaired: {out}: stored in DVC's cache")
