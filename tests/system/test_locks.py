import os
import subprocess
import sys

import pytest

from dcgan.system.errors import BusyError, CannotCreateError
from dcgan.system.locks import exclusive, holder_of

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
        for _ in range(2):  # who fails does not take the pid away
            with pytest.raises(BusyError, match=f"{lock}: locked by pid {holder.pid}") as caught, exclusive(lock):
                pass
            assert holder_of(lock) == str(holder.pid)
        assert caught.value.exit_code == 75
        holder.kill()  # no chance to clean up: the kernel does
    assert holder_of(lock) is None
    with exclusive(lock):
        assert lock.read_text() == str(os.getpid())


def test_the_lock_is_free_again_after_the_block(tmp_path):
    assert holder_of(tmp_path / "deep/lock") is None
    for _ in range(2):
        with pytest.raises(RuntimeError), exclusive(tmp_path / "deep/lock"):
            raise RuntimeError
    assert holder_of(tmp_path / "deep/lock") is None


def test_a_lock_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match="file/lock"), exclusive(tmp_path / "file/lock"):
        pass
