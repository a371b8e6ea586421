"""Which registered model a command is about, and the reason that people give for what they do with it."""

from typing import Annotated

import typer

from dcgan.config.workspace import PARAMS
from dcgan.system.errors import UsageError

MAX_REASON = 500

NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help=f"The registered model. [default: that of {PARAMS} in this folder]"),
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for those who read later.")]


def registered_model(name: str | None) -> str:
    """The name that was given, else tracking.registered_model of the workspace.

    Raises:
        UsageError: there is no workspace here, or the name is empty.
    """
    if name is None:
        from dcgan.config.params_file import load_params

        if not PARAMS.exists():
            raise UsageError(f"{PARAMS}: missing here; run this in a workspace, or name the registered model by --name")
        return load_params(PARAMS, needs_files=False).tracking.registered_model
    if not name.strip():
        raise UsageError("--name: is empty; expected the name of a registered model")
    return name


def one_line_reason(reason: str | None) -> str | None:
    """The reason on one line; None if none was given.

    Raises:
        UsageError: it is empty or too long.
    """
    if reason is None:
        return None
    line = " ".join(reason.split())
    if not 0 < len(line) <= MAX_REASON:
        raise UsageError(f"--reason: has {len(line)} characters; expected 1 to {MAX_REASON}")
    return line
