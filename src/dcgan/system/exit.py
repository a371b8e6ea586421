"""How every command of this project starts and ends: one line and an agreed exit code for whatever goes wrong."""

import os
import sys
import traceback
from collections.abc import Callable

import typer

from dcgan.system.errors import DcganError, StorageError
from dcgan.system.redaction import redacted

USAGE = 64


def new_app(description: str | None = None) -> typer.Typer:
    """A Typer application with plain help and no shell-completion options, which keeps `--help` fast."""
    return typer.Typer(
        help=description,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def run_stage(stage: Callable[..., None]) -> None:
    """Run one pipeline stage, whose keyword parameters are its options, and end the process."""
    app = new_app()
    app.command(help=stage.__doc__)(stage)
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a Typer application and end the process with its exit code.

    A user's mistake prints one line; a defect of ours keeps its traceback. Neither shows a password.
    """
    try:
        exit_code = app(standalone_mode=False)
    except DcganError as error:
        _end(str(error), error.exit_code)
    except typer.Abort:
        _end("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output went away; point stdout elsewhere so that the exit does not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _end(str(error), StorageError.exit_code)
    except Exception as error:
        # Typer's usage errors have no public common base: they are known by this method.
        if not hasattr(error, "format_message"):
            sys.stderr.write(redacted(traceback.format_exc()))
            sys.exit(1)
        command = getattr(getattr(error, "ctx", None), "command_path", None)
        hint = f" (see `{command} --help`)" if command else ""
        _end(f"{error.format_message()}{hint}", USAGE)
    sys.exit(exit_code if isinstance(exit_code, int) else 0)


def _end(message: str, exit_code: int) -> None:
    print(f"error: {redacted(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(exit_code)
