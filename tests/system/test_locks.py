import os
import subprocess
import sys

import pytest

from dcgan.system.errors import BusyError
from dcgan.system.locks import exclusive

HOLD = """
import sys, time
from pathlib import Path
from dcgan.system.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_told_the_pid_of_the_first(tmp_path):
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match=f"locked by pid {holder.pid}"), exclusive(lock):
            pass
        holder.kill()  # no chance to clean up: the kernel does
    with exclusive(lock):
        assert lock.read_text() == str(os.getpid())


def test_the_lock_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path / "deep" / "lock"):
            pass
