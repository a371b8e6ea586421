import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from dcgan.system.errors import Interrupted
from dcgan.system.signals import is_dvc, stop_on_signals


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


COMMANDS = {
    True: [
        "dvc repro",
        "/opt/venv/bin/dvc exp run",
        "/opt/venv/bin/python3.11 /opt/venv/bin/dvc repro",
        "python -m dvc repro",
        "python -Wignore -m dvc repro",
    ],
    False: [
        "tmux new -s dvc",
        "tmux -L dvc",
        "bash -c dvc",
        "python /home/me/dvc-tutorial/pipeline/train.py",
        "python /home/me/dvc/train.py",
        "vim dvc.yaml",
        "python",
        "",
    ],
}
"""Whether they run DVC, or only have it somewhere in their line."""


@pytest.mark.parametrize(("command", "runs_dvc"), [(each, runs) for runs in COMMANDS for each in COMMANDS[runs]])
def test_a_command_that_runs_dvc_is_known(command, runs_dvc):
    assert is_dvc(command.split()) == runs_dvc


WATCH = """
import sys, time
from dcgan.system.signals import stop_on_signals
with stop_on_signals() as stop:
    print("watching", flush=True)
    for _ in range(600):
        if stop():
            print(stop.signal_number, flush=True)
            break
        time.sleep(0.05)
"""
PASS_ON = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"


def test_a_stage_stops_when_dvc_ends_and_not_when_something_else_named_so_does(tmp_path):
    """Stage below a shell, below DVC, below a program that only has dvc among its arguments."""
    (tmp_path / "dvc").write_text(PASS_ON)
    stage, pass_on = [sys.executable, "-c", WATCH], [sys.executable, "-c", PASS_ON]
    command = [*pass_on, sys.executable, tmp_path / "dvc", *pass_on, *stage, "-s", "dvc"]
    environment = os.environ | {"DVC_STAGE": "train"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as above:
        assert above.stdout.readline() == "watching\n"
        (running_dvc,) = [each for each in psutil.Process(above.pid).children() if is_dvc(each.cmdline())]
        stage_process = running_dvc.children(recursive=True)[-1]
        above.kill()
        time.sleep(0.5)
        assert stage_process.is_running()
        running_dvc.kill()
        assert above.stdout.readline() == "15\n"
