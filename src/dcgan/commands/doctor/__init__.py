"""`dcgan doctor`: what is damaged in a workspace, and the command that repairs it.

Light: neither PyTorch nor DVC nor MLflow is imported, so it also runs where one of them is what is broken.
"""

from pathlib import Path
from typing import Annotated

import typer

from dcgan.commands.doctor import dvc_files
from dcgan.commands.doctor.finding import Finding
from dcgan.commands.doctor.locks import examine_dvc_lock, examine_rwlock, running
from dcgan.commands.doctor.outs import examine_outs
from dcgan.commands.doctor.unfinished import examine_checkpoints, examine_leftovers, with_dataset
from dcgan.system.errors import BadDataError, BusyError, UsageError


def run_doctor(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete or write anew what is damaged; say what is left to run.")
    ] = False,
) -> None:
    """Print a line for each finding in the current folder; with `repair`, first repair what can be without loss.

    Raises:
        BadDataError: something is damaged, and still is.
        BusyError: a repair was asked for while a training or DVC is running.
        UsageError: this is no workspace.
    """
    if not Path("dvc.yaml").is_file():
        raise UsageError("no dvc.yaml here; run `dcgan doctor` in the folder in which you run `dvc repro`")
    dvc = dvc_files.dvc_folder(Path())
    at_work = running(dvc)
    if repair and at_work:
        raise BusyError(f"{at_work[0]} is running; wait until it ends, or stop it; nothing was changed")
    for process in at_work:
        print(f"note: {process} is running: what it has not finished may look changed or missing")
    findings = examine(dvc, is_busy=bool(at_work))
    remaining = _repaired(findings) if repair else findings
    for finding in remaining:
        print(finding)
    if damaged := sum(finding.damage for finding in remaining):
        raise BadDataError(
            f"{damaged} found damaged; above is what to run{'' if repair else ', or dcgan doctor --repair'}"
        )
    if not findings:
        print("no findings: what dvc.lock lists, DVC's copies of it, checkpoints and locks are whole")


def examine(dvc: Path | None, *, is_busy: bool = False) -> list[Finding]:
    """Everything found in the current folder, whose folder .dvc is `dvc`.

    Args:
        dvc: None where DVC was never set up.
        is_busy: whether checkpoints may be in the middle of being written.
    """
    broken_lock = list(examine_dvc_lock())
    findings = with_dataset(broken_lock or list(examine_outs(dvc)))
    findings += [] if is_busy else examine_checkpoints()
    # The lock of files comes first: with a broken one, no command of DVC's that a later line names would work.
    return [*(examine_rwlock(dvc) if dvc else []), *findings, *examine_leftovers()]


def _repaired(findings: list[Finding]) -> list[Finding]:
    """Repair what can be, say so and what is left to run; returns the other findings."""
    repairs = [(finding.path, finding.repair) for finding in findings if finding.repair]
    for path, repair in repairs:
        repair.act()
        print(f"repaired: {path}: {repair.did}")
    for command in sorted({repair.left for _, repair in repairs if repair.left}):
        print(f"left to run: `{command}`")
    return [finding for finding in findings if not finding.repair]
