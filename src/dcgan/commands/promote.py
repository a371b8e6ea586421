"""`dcgan promote`: a version of the registered model becomes champion by hand."""

from typing import Annotated

import typer

from dcgan.commands.registered_model import NameOption, ReasonOption, one_line_reason, registered_model
from dcgan.system.errors import UsageError
from dcgan.tracking.promotion import promote
from dcgan.tracking.store import open_store

LARGEST = 2**31 - 1
"""The number of a version, in every database of MLflow's."""


def promote_version(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, max=LARGEST, help="Its number.")],
    *,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Also if it failed gates; needs --reason, which is recorded.")
    ] = False,
    reason: ReasonOption = None,
    name: NameOption = None,
) -> None:
    """Make a version champion.

    Raises:
        UsageError: --force comes without --reason.
        BadDataError: there is no such model or version, its file is gone, or it failed gates.
        BusyError: somebody else moved the alias meanwhile.
        DcganError: MLflow is missing, cannot be reached or refuses something.
    """
    why = one_line_reason(reason)
    if is_forced and why is None:
        raise UsageError("--force: needs --reason TEXT, which is recorded with the version")
    chosen = registered_model(name)
    with open_store() as client:
        print(promote(client, chosen, str(version), is_forced=is_forced, reason=why))
