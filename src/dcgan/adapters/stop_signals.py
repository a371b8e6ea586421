"""SIGTERM and Ctrl-C as a question that a loop can ask, instead of an exception anywhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dcgan.errors import Interrupted


class StopRequest:
    """Whether a signal has asked this process to stop; calling it answers."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal_number is not None

    def raise_if_made(self, message: str) -> None:
        """Raise Interrupted with the signal's exit code if there was one."""
        if self.signal_number is not None:
            raise Interrupted(message, signal_number=self.signal_number)


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
