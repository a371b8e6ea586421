import os
import signal

import pytest

from dcgan.system.errors import Interrupted
from dcgan.system.signals import stop_on_signals


@pytest.fixture(autouse=True)
def foreground():
    """Ctrl-C as a terminal's process has it; one that a shell starts in the background ignores it from birth."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_becomes_a_request_with_its_exit_code(number, exit_code):
    with stop_on_signals() as stop_requested:
        assert not stop_requested()
        stop_requested.raise_if_made("not stopped")
        os.kill(os.getpid(), number)
        assert stop_requested()
        with pytest.raises(Interrupted, match="stopped at step 3") as caught:
            stop_requested.raise_if_made("stopped at step 3")
    assert caught.value.exit_code == exit_code


def test_a_second_signal_acts_as_it_always_does_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
