"""SIGTERM, Ctrl-C and the like as a question that a loop can ask, instead of an exception anywhere."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from dcgan.system.errors import Interrupted

if TYPE_CHECKING:
    import psutil

STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGXCPU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""What ends a process that does not expect it: `kill`, Ctrl-C, a closed terminal, a limit of CPU time, and the warnings
that Slurm, LSF and Grid Engine send before they kill a job."""


class StopRequest:
    """Whether this process is to stop; calling it answers.

    A signal asks for it, and so does the end of the DVC that runs this process as a stage: a signal to `dvc repro`
    alone would leave an orphaned training behind, whose outputs the next `dvc repro` deletes.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._dvc = _dvc_above() if "DVC_STAGE" in os.environ else None

    def __call__(self) -> bool:
        """Whether to stop."""
        if self._dvc is not None and not _is_running(self._dvc):
            self.signal_number = self.signal_number or signal.SIGTERM
        return self.signal_number is not None

    def raise_if_made(self, message: str) -> None:
        """Raise Interrupted with the signal's exit code if there was one; SIGTERM's if DVC is gone."""
        if self.signal_number is not None:
            raise Interrupted(message, signal_number=self.signal_number)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within the block, STOP_SIGNALS are noted; a second one acts as it always does.

    SIGHUP stays ignored where it is: the process was started with nohup, to outlive its terminal.
    """
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        del previous[signal.SIGHUP]

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal_number = number
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_at_once() -> None:
    """Let Ctrl-C end the process where it is, which nothing may mind yet; `stand_by` ends this.

    Not by an exception: some packages take that for an error of their own while they are imported.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody chose otherwise, as nohup does
        signal.signal(signal.SIGINT, _leave)


def stand_by() -> None:
    """Let Ctrl-C be KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def importing() -> Iterator[None]:
    """Around imports that take time."""
    leave_at_once()
    try:
        yield
    finally:
        stand_by()


def is_dvc(command: Sequence[str]) -> bool:
    """Whether a process with these arguments runs DVC, as `dvc repro`, `python /bin/dvc repro` or `python -m dvc`."""
    program, *arguments = [Path(argument).name for argument in command] or [""]
    if program.startswith("python"):
        program = next((argument for argument in arguments if not argument.startswith("-")), "")
    return program == "dvc"


def _dvc_above() -> "psutil.Process | None":
    """The nearest process above this one that runs DVC; if none does, the parent, which may use DVC as a library.

    The shell between DVC and its stage will not do: it outlives DVC.
    """
    try:
        import psutil
    except ModuleNotFoundError:  # DVC is installed, but not beside this package
        return None
    parents = psutil.Process().parents()
    for process in parents:
        try:
            if is_dvc(process.cmdline()):
                return process
        except psutil.Error:  # it ended meanwhile, or is another user's
            continue
    return parents[0] if parents else None


def _is_running(process: "psutil.Process") -> bool:
    """Whether the process exists and is no zombie."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _leave(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(128 + number)
