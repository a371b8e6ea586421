"""What a script does first: until its work begins, Ctrl-C ends it in one line, whatever it is importing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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


def _leave(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"error: interrupted\n")
    os._exit(128 + number)
