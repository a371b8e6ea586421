"""How every command of this project starts and ends: one line and an agreed exit code for whatever goes wrong."""

import errno
import io
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.main import get_command

from dcgan.system.errors import DcganError, StorageError, UsageError
from dcgan.system.memory import describe_out_of_memory, is_out_of_memory
from dcgan.system.progress import heartbeat
from dcgan.system.redaction import redacted
from dcgan.system.signals import stand_by


def new_app() -> typer.Typer:
    """A Typer application with plain help and no shell-completion options, which keeps `--help` fast."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)


def run_stage(stage: Callable[..., None], *, sizes: Sequence[str] = ()) -> None:
    """Run one pipeline stage or script, whose parameters are its arguments and options, and end the process.

    Its results are files: it succeeds also where what it prints cannot be written, as into a log on a full disk. Where
    it is silent for long, a line says that it goes on.

    Args:
        stage: the function.
        sizes: the parameters that decide how much memory it takes.
    """
    app = new_app()
    app.command(help=stage.__doc__)(heartbeat(Path(sys.argv[0]).stem)(stage))
    run_app(app, must_print=False, sizes=sizes)


def run_app(app: typer.Typer, *, must_print: bool = True, sizes: Sequence[str] = ()) -> None:
    """Run a Typer application and end the process with its exit code.

    A user's mistake prints one line; a defect of ours keeps its traceback. Neither shows a password. The output may be
    closed, its reader may leave, it may have no way to write a name, and its disk may be full: the work goes on to its
    end. In the last case the exit code is that of a StorageError if it `must_print`.
    """
    stand_by()
    _open_standard_streams()
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    command = get_command(app)
    try:
        # Not by calling the application, which takes every broken pipe for that of its output, and says nothing.
        with command.make_context(Path(sys.argv[0]).name, sys.argv[1:]) as context:
            command.invoke(context)
        if must_print:
            _refuse_lost(sys.stdout)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except DcganError as error:
        _end(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", 130)
    except Exception as error:
        if is_out_of_memory(error):
            _end(describe_out_of_memory(error, sizes=sizes), UsageError.exit_code)
        if isinstance(error, OSError):
            _end(_told(error), StorageError.exit_code)
        # Typer's usage errors have no public common base: they are known by this method.
        if not hasattr(error, "format_message"):
            sys.stderr.write(redacted(traceback.format_exc()))
            sys.exit(1)
        used = getattr(error, "ctx", None)
        hint = f" (see `{used.command_path} --help`)" if used else ""
        _end(f"{error.format_message()}{hint}", UsageError.exit_code)
    sys.exit(0)


def _open_standard_streams() -> None:
    """Put the null device in the place of every standard stream that was closed, as cron jobs and `2>&-` do it.

    Left closed, it would be None to Python, and its number would go to the next file that is opened.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 until the process ends


class _PatientFile(io.FileIO):
    """A file descriptor that drops what cannot be written to it."""

    lost: OSError | None = None
    """Why something was, unless its reader has left, as `head` and a closed terminal do."""

    def write(self, content: Any, /) -> int:
        try:
            while (written := super().write(content)) is None:  # a full pipe that does not block, as Node.js makes them
                select.select([], [self], [])
            return written
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.EIO}:
                self.lost = error
            return len(content)


def _patient(stream: TextIO) -> TextIO:
    """A standard stream that drops what cannot be written; what a test put in its place stays as it is.

    A character that its encoding lacks, in the name of a file or a model, is written as Python's escape.
    """
    if stream not in {sys.__stdout__, sys.__stderr__}:
        return stream
    file = io.BufferedWriter(_PatientFile(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(file, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)


def _told(error: OSError) -> str:
    """What the operating system refused, and what to do."""
    if error.filename:
        return f"{error.filename}: {error.strerror}; check the file and its permissions"
    try:
        Path.cwd()
    except FileNotFoundError:
        return "the current folder was deleted or replaced; change to another, or leave it and come back"
    return str(error)


def _refuse_lost(stream: TextIO) -> None:
    """Raise StorageError if something that was printed could not be written."""
    file = getattr(getattr(stream, "buffer", None), "raw", None)
    if isinstance(file, _PatientFile):
        stream.flush()
        if file.lost:
            raise StorageError(f"standard output: cannot be written ({file.lost.strerror}); the work itself is done")


def _end(message: str, exit_code: int) -> None:
    print(f"error: {redacted(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(exit_code)
