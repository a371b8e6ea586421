import os
import stat
import time

import pytest

from dcgan.system.errors import CannotCreateError
from dcgan.system.files import LEFTOVER_AGE_S, require_writable, write_atomically, write_bytes


def test_a_file_has_the_rights_that_the_umask_gives(tmp_path):
    write_bytes(tmp_path / "deep/file", b"content")
    (tmp_path / "plain").touch()
    assert (tmp_path / "deep/file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) & 0o400


def test_a_write_that_fails_leaves_the_file_and_nothing_else(tmp_path):
    def write(file):
        file.write(b"half")
        raise RuntimeError

    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError):
        write_atomically(path, write)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("age", "stays"), [(0, True), (LEFTOVER_AGE_S - 60, True), (LEFTOVER_AGE_S + 60, False)])
def test_only_old_temporary_files_are_removed_because_a_young_one_may_be_somebodys(tmp_path, age, stays):
    """Whoever's: the pid of a process in another container says nothing here."""
    leftover = tmp_path / ".file.99999999.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time() - age,) * 2)
    write_bytes(tmp_path / "file", b"whole")
    assert leftover.exists() == stays


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file"

    def write(file):
        write_bytes(path, b"the other's")
        file.write(b"ours")

    write_atomically(path, write)
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_reading_is_not_reported_as_one_of_the_output(tmp_path):
    def write(file):
        (tmp_path / "missing").read_bytes()

    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "out/file", write)
    assert caught.value.filename == str(tmp_path / "missing")


def test_an_output_below_a_file_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()
    for attempt in (lambda: write_bytes(tmp_path / "file/out", b""), lambda: require_writable(tmp_path / "file/out")):
        with pytest.raises(CannotCreateError, match="file/"):
            attempt()
