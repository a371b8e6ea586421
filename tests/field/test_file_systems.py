"""File systems that lack something, as network shares do: folders that cannot be fsynced, no flock, no rename."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dcgan.system.errors import BusyError, StorageError
from dcgan.system.files import read_json, write_bytes, write_json
from dcgan.system.locks import exclusive, holder_of
from dcgan.tracking import store

LACKING = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF]


def failing(number: int, genuine, *, only_folders: bool = False):
    """A function of a file descriptor that fails with this error, for folders alone or for all."""

    def call(descriptor: int, *arguments: object) -> object:
        if only_folders and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return genuine(descriptor, *arguments)
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("only_folders", [True, False])
@pytest.mark.parametrize("number", LACKING)
def test_a_file_is_written_where_nothing_can_be_fsynced(tmp_path, monkeypatch, number, only_folders):
    monkeypatch.setattr(os, "fsync", failing(number, os.fsync, only_folders=only_folders))
    write_json(tmp_path / "reports/run.json", {"step": 1})
    assert read_json(tmp_path / "reports/run.json", made_by="train") == {"step": 1}
    assert [path.name for path in tmp_path.rglob("*")] == ["reports", "run.json"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_to_fsync_is_an_error(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", failing(number, os.fsync))
    with pytest.raises(StorageError, match="file: "):
        write_bytes(tmp_path / "file", b"content")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_be_written_but_not_read_is_written(tmp_path, monkeypatch):
    """Root reads every folder, so the refusal is made up."""
    genuine = os.open

    def refuse_folders(path, flags, *arguments, **options):
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return genuine(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse_folders)
    write_bytes(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP])
def test_where_files_cannot_be_renamed_the_line_names_file_and_way_out(tmp_path, monkeypatch, number):
    def refuse(self, target):
        raise OSError(number, os.strerror(number), str(self), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=r"file: its file system cannot do this .*; work on a local disk") as caught:
        write_bytes(tmp_path / "file", b"content")
    assert caught.value.exit_code == 74
    assert not list(tmp_path.iterdir())


# Locks

WITHOUT_FLOCK = """
import fcntl
def refuse(*_):
    raise OSError(38, "Function not implemented")
fcntl.flock = refuse
"""
HOLD = """
import sys, time
from pathlib import Path
from dcgan.system.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def no_flock(monkeypatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS, fcntl.flock))


def test_without_flock_one_process_at_a_time_holds_a_lock_and_a_killed_one_loses_it(tmp_path, no_flock):
    lock, script = tmp_path / "lock", WITHOUT_FLOCK + HOLD
    lock.write_text("99999999")  # as a training left it where there was flock
    assert holder_of(lock) is None
    for end in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(
            [sys.executable, "-c", script, lock], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as holder:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(BusyError, match=f"{lock}: locked by pid {holder.pid}; .* delete {lock}.held"):
                exclusive(lock).__enter__()
            assert holder_of(lock) == str(holder.pid)
            holder.send_signal(end)
            holder.wait()
        with exclusive(lock):
            assert lock.read_text() == str(os.getpid())
    assert holder_of(lock) is None
    assert list(tmp_path.iterdir()) == [lock]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_whatever_a_file_system_without_locks_says_the_marker_stands_for_the_lock(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", failing(number, fcntl.flock))
    with exclusive(tmp_path / "lock"), pytest.raises(BusyError, match=f"locked by pid {os.getpid()}"):
        exclusive(tmp_path / "lock").__enter__()
    with exclusive(tmp_path / "lock"):
        pass


def test_without_flock_mlflows_store_is_created(tmp_path, monkeypatch, no_flock):
    monkeypatch.setattr(store, "_create_tables", lambda database, **_: database.write_text("tables"))
    store.create_store(tmp_path / "deep/mlflow.db")
    assert (tmp_path / "deep/mlflow.db").read_text() == "tables"


def test_a_lock_that_fails_otherwise_names_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO, fcntl.flock))
    with pytest.raises(StorageError, match=f"{tmp_path}/lock: .*Input/output error.*; check the disk"):
        exclusive(tmp_path / "lock").__enter__()
