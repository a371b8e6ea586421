"""Ctrl-C in the seconds in which a stage or a command still imports what it needs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT

DCGAN = [sys.executable, "-m", "dcgan"]
STARTS = {
    "train": ([sys.executable, ROOT / "pipeline/train.py"], "libtorch_cpu"),
    "validate": ([sys.executable, ROOT / "pipeline/validate.py"], "_multiarray_umath"),
    "dcgan generate": ([*DCGAN, "generate", "--out", "digits.png"], "_multiarray_umath"),
    "dcgan evaluate": ([*DCGAN, "evaluate"], "libtorch_cpu"),
}


@pytest.fixture(autouse=True)
def _in_the_foreground() -> Iterator[None]:
    """What was started in the background ignores the signal, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_while_it_loads(command: list, library: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process that gets SIGINT as soon as it has a library in memory, long before its work begins."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    maps, end = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 60
    while library not in maps.read_text():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize("name", STARTS)
def test_an_interrupt_during_imports_is_one_line_and_130(tmp_path, name):
    command, library = STARTS[name]
    done = interrupted_while_it_loads(command, library, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_who_chose_to_ignore_interrupts_is_not_overruled(tmp_path):
    """As a shell does for a script in the background."""
    script = """
import os, signal
from dcgan.system.signals import leave_at_once, stand_by
signal.signal(signal.SIGINT, signal.SIG_IGN)
leave_at_once()
os.kill(os.getpid(), signal.SIGINT)
stand_by()
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "True\n"


def test_the_package_run_as_a_module_is_called_dcgan():
    done = subprocess.run([*DCGAN, "genrate"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (64, "error: No such command 'genrate'. (see `dcgan --help`)\n")
