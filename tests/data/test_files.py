from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from dcgan.data import files as mnist_files
from dcgan.data.files import ARRAYS, download_files, files_of, read_arrays
from dcgan.system.errors import BadDataError, UnavailableError, UsageError
from tiny_data import NAMES, files_with_hashes, tiny_arrays, write_files

FIRST, *_, LAST = NAMES.values()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four small files that stand for MNIST's, which is all that torchvision could add."""
    folder = tmp_path / "mirror"
    write_files(folder, tiny_arrays())
    files = files_with_hashes(folder, tiny_arrays())
    monkeypatch.setattr(mnist_files.files, "files_of", lambda name: files)
    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_already_right_are_not_fetched_again(mirror, raw, capsys):
    write_files(raw, tiny_arrays())
    before = {path: path.stat().st_mtime_ns for path in raw.iterdir()}
    download_files("mnist", raw, mirrors=[])
    assert {path: path.stat().st_mtime_ns for path in raw.iterdir()} == before
    assert capsys.readouterr().out.splitlines() == [f"{raw / name}: already there" for name in NAMES.values()]


def test_a_damaged_file_in_place_is_replaced(mirror, raw):
    write_files(raw, tiny_arrays())
    (raw / LAST).write_bytes(b"damaged")
    download_files("mnist", raw, mirrors=[str(mirror)])
    assert contents(raw) == contents(mirror)


def test_the_temporary_file_of_another_process_that_still_writes_stays(mirror, raw):
    """Whatever number stands in its name: that of a process in another container says nothing here."""
    raw.mkdir(parents=True)
    living = raw / f".{FIRST}.99999999.tmp"
    living.write_bytes(b"half")
    download_files("mnist", raw, mirrors=[str(mirror)])
    assert living.read_bytes() == b"half"


def test_a_mirror_of_the_environment_that_is_no_folder_is_refused_before_any_other(mirror, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_MIRROR", str(tmp_path / "missing"))
    with pytest.raises(UsageError, match=f"MNIST_MIRROR: {tmp_path / 'missing'}: "):
        download_files("mnist", raw, mirrors=[str(mirror)])
    assert not raw.exists()


def test_the_mirror_of_the_environment_comes_first_and_torchvision_is_not_asked(mirror, raw, monkeypatch, capsys):
    monkeypatch.setattr(mnist_files.sources, "torchvision_class", Mock(side_effect=AssertionError("asked")))
    monkeypatch.setenv("MNIST_MIRROR", str(mirror))
    download_files("mnist", raw, mirrors=None)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.endswith(f"from {mirror}") for line in lines)
    assert len(lines) == 4


def test_a_source_that_failed_is_tried_last_for_the_other_files(mirror, raw, tmp_path, capsys):
    missing = tmp_path / "missing"
    download_files("mnist", raw, mirrors=[str(missing), str(mirror)])
    lines = capsys.readouterr().out.splitlines()
    assert contents(raw) == contents(mirror)
    assert lines[0] == f"{missing / FIRST}: No such file or directory"
    assert sum(str(missing) in line for line in lines) == 1
    assert len(lines) == 5


def test_a_source_with_some_of_the_files_is_gone_back_to(mirror, raw, tmp_path):
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / LAST).write_bytes((mirror / LAST).read_bytes())
    (mirror / LAST).unlink()
    download_files("mnist", raw, mirrors=[str(partial), str(mirror)])
    assert sorted(contents(raw)) == sorted(NAMES.values())


def test_without_any_source_the_message_says_what_to_set(mirror, raw):
    with pytest.raises(UnavailableError, match=r"neither MNIST_MIRROR nor data.mirrors names one; set MNIST_MIRROR"):
        download_files("mnist", raw, mirrors=())
    assert not raw.exists()


def test_arrays_come_back_as_they_were_written(mirror):
    arrays, expected = read_arrays("mnist", mirror), tiny_arrays()
    assert tuple(arrays) == ARRAYS
    for key in ARRAYS:
        np.testing.assert_array_equal(arrays[key], expected[key], strict=True)


def test_a_label_beyond_nine_is_named_with_its_place(tmp_path, monkeypatch):
    arrays = tiny_arrays()
    arrays["test_labels"][[5, 8]] = (10, 255)
    write_files(tmp_path, arrays)
    files = files_with_hashes(tmp_path, arrays)
    monkeypatch.setattr(mnist_files.files, "files_of", lambda name: files)
    with pytest.raises(BadDataError, match=r"t10k-labels.*expected labels 0\.\.9, found 2 others, first 10 at index 5"):
        read_arrays("mnist", tmp_path)


def test_mnist_is_pinned_by_sha256_and_size():
    images, labels, *_ = files_of("mnist")
    assert (images.name, images.num_bytes) == ("train-images-idx3-ubyte.gz", 9_912_422)
    assert labels.checksum == "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"


def test_the_siblings_are_pinned_by_torchvision_and_come_in_the_same_order():
    names_and_shapes = [(file.name, file.shape) for file in files_of("mnist")]
    for name in ("fashion_mnist", "kmnist"):
        files = files_of(name)
        assert [(file.name, file.shape) for file in files] == names_and_shapes
        assert len({file.checksum for file in files}) == 4
        assert all(file.checksum.startswith("md5:") for file in files)


def test_the_embedded_digits_are_not_pinned_and_have_their_own_shapes():
    found = [(file.shape[0], file.checksum) for file in files_of("digits")]
    assert found == [(1442, None)] * 2 + [(355, None)] * 2
