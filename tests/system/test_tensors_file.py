import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from absent import hiding
from damage import Evil, flip_bit, flipped
from dcgan.system.errors import BadDataError, CannotCreateError, StorageError
from dcgan.system.files import sha256_of
from dcgan.system.tensors_file import load_arrays, read_arrays, save_arrays

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.array(7, np.int64),
    "pixels": np.arange(5, dtype=np.uint8),
    "none": np.empty(0),
    "flag": np.array([True, False]),
}
METADATA = {"collapse": "1 of 10 digits", "another": "é"}


KINDS = {
    "plain": ({}, "9a2ff87f7e50af248c7743f384c6c26e089970c55589ade4953eba442dc872af"),
    "with metadata": (METADATA, "b2056be5d0b66c1a971151a8f0f9d2373beffcfe81541f231104ff6856939406"),
}
"""Metadata, and the SHA-256 of the whole file."""


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request) -> tuple[dict[str, str], str]:
    return request.param


@pytest.fixture
def path(tmp_path, kind) -> Path:
    save_arrays(tmp_path / "models/file.safetensors", ARRAYS, kind[0])
    return tmp_path / "models/file.safetensors"


def test_arrays_and_metadata_come_back_and_can_be_written_to(path, kind):
    arrays, metadata = load_arrays(path, made_by="train")
    assert metadata == kind[0]
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].flags.writeable


def test_equal_content_gives_equal_bytes_and_these_stay_what_they_are(path, kind):
    """A model is named by the SHA-256 of its file."""
    metadata, expected = kind
    for order in (sorted(ARRAYS), sorted(ARRAYS, reverse=True)) * 4:
        save_arrays(path, {name: ARRAYS[name] for name in order}, dict(sorted(metadata.items())))
        assert sha256_of(path) == expected


def test_no_flipped_bit_no_cut_and_no_foreign_file_goes_unseen_and_a_pickle_does_not_run(path, tmp_path):
    whole = path.read_bytes()
    flips = (flipped(whole, 8 * position + position % 8) for position in range(len(whole)))
    cuts = (whole[:length] for length in (0, 7, 8, 60, -1))
    for content in (*flips, *cuts, pickle.dumps(Evil(tmp_path / "marker")), safetensors.numpy.save(ARRAYS)):
        path.write_bytes(content)
        with pytest.raises(BadDataError, match=r"file\.safetensors"):
            read_arrays(path)
    assert not (tmp_path / "marker").exists()


def test_errors_name_the_file_and_the_stage_that_makes_it(path):
    flip_bit(path, -1)
    with pytest.raises(
        BadDataError, match=r"file\.safetensors: .*`dcgan doctor --repair`.*`dvc repro --force --single-item train`"
    ):
        load_arrays(path, made_by="train")
    path.unlink()
    with pytest.raises(BadDataError, match=r"file\.safetensors: missing; run `dvc repro train`"):
        load_arrays(path, made_by="train")


def test_what_cannot_be_read_now_is_not_called_damaged(path, monkeypatch):
    def fail(_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageError, match=r"file\.safetensors: .*Input/output error"):
        load_arrays(path, made_by="train")


def test_an_output_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(CannotCreateError, match=r"data/file\.safetensors"):
        save_arrays(tmp_path / "data/file.safetensors", ARRAYS)


def test_files_are_verified_where_pytorch_is_not(path):
    code = f"import pathlib, dcgan.system.tensors_file as file; file.read_arrays(pathlib.Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", f"{hiding(['torch'])}\n{code}"], check=True)
