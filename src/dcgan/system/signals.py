"""SIGTERM and Ctrl-C as a question that a loop can ask, instead of an exception anywhere."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dcgan.system.errors import Interrupted


class StopRequest:
    """Whether this process is to stop; calling it answers.

    A signal asks for it, and so does the end of the DVC that runs this process as a stage: a signal to `dvc repro`
    alone would leave a training behind that nobody waits for, and whose outputs the next `dvc repro` deletes.
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


def _dvc_above() -> int:
    """The process that runs DVC; where none above this one looks like it, the parent: a program that uses DVC."""
    pid = os.getpid()
    while (pid := _parent_of(pid)) > 1:
        if b"dvc" in Path(f"/proc/{pid}/cmdline").read_bytes():  # not the shell in between, which outlives it
            return pid
    return os.getppid()


def _parent_of(pid: int) -> int:
    """The parent's number; 0 where the system does not tell, or there is none."""
    fields = _status_of(pid)
    return int(fields[1]) if fields else 0


def _is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie; where the system does not tell, whether it is still the parent."""
    fields = _status_of(pid)
    return fields[0] != "Z" if fields else not Path("/proc/self").exists() and os.getppid() == pid


def _status_of(pid: int) -> list[str]:
    """What Linux tells of a process: its state, its parent and more; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within the block, SIGTERM and SIGINT are noted; a second one acts as it always does."""
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

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
