"""Raw files that are not what they must be: each is named, with what was expected and what was found."""

import gzip
import hashlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from damage import flipped
from dcgan.data.files import read_arrays
from dcgan.data.files.idx import read_idx, write_idx
from dcgan.system.advice import repair
from dcgan.system.errors import BadDataError
from tiny_data import NAMES, tiny_arrays, write_files
from tiny_mirror import write_mirror
from tiny_workspace import run_stage, write_params

SHAPE = (5, 28, 28)
PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)


def packed(*numbers: int, magic: bytes = b"\0\0\x08\x03", body: bytes = PIXELS.tobytes()) -> bytes:
    """A gzip-packed IDX file with these dimensions in its header."""
    return gzip.compress(magic + struct.pack(f">{len(numbers)}I", *numbers) + body)


WHOLE = packed(*SHAPE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train-images-idx3-ubyte.gz"


def message_for(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadDataError) as caught:
        read_idx(path, shape=SHAPE)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert message.endswith(f"; {repair('download')}")
    assert "\n" not in message
    return message


def test_a_good_file_is_read_and_written_the_same_each_time(path):
    path.write_bytes(WHOLE)
    np.testing.assert_array_equal(read_idx(path, shape=SHAPE), PIXELS)
    written = set()
    for _ in range(2):
        write_idx(path, PIXELS)
        written.add(path.read_bytes())
        np.testing.assert_array_equal(read_idx(path, shape=SHAPE), PIXELS)
    (content,) = written
    assert content[4:8] == bytes(4)  # no time


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (packed(*SHAPE, magic=b"\0\0\x08\x01"), "IDX magic 0x00000803", "0x00000801"),
        (gzip.compress(b""), "IDX magic 0x00000803", "0x"),
        (b"", "IDX magic 0x00000803", "0x"),
        (packed(5, 28, 27), "shape 5 x 28 x 28", "5 x 28 x 27"),
        (packed(600, 28, 28), "shape 5 x 28 x 28", "600 x 28 x 28"),
        (packed(2**32 - 1, 28, 28), "shape 5 x 28 x 28", "4,294,967,295 x 28 x 28"),
        (packed(5, body=b"\0\0"), "shape 5 x 28 x 28", "5"),
        (packed(*SHAPE, body=PIXELS.tobytes()[:-1]), "3,936 bytes once unpacked", "3,935"),
        (packed(*SHAPE, body=PIXELS.tobytes() + b"\0"), "3,936 bytes once unpacked", "more"),
        *(
            (content, "a whole gzip file", f"{len(content):,} bytes")
            for content in (b"<html>", WHOLE[:1], WHOLE[:-1], WHOLE[:-8])
        ),
    ],
    ids=range(13),
)
def test_what_is_wrong_stands_beside_what_was_expected(path, content, expected, found):
    assert f"expected {expected}, found {found}" in message_for(path, content)


def test_no_flipped_bit_changes_a_pixel(path):
    rng = np.random.default_rng(1)
    refused = 0
    for position in [*range(20), *rng.integers(20, len(WHOLE), 100)]:
        path.write_bytes(flipped(WHOLE, 8 * position + rng.integers(8)))
        try:
            pixels = read_idx(path, shape=SHAPE)
        except BadDataError:
            refused += 1
            continue
        np.testing.assert_array_equal(pixels, PIXELS)  # gzip has a few bits that nothing depends on, as a time
    assert refused > 100


def test_a_bomb_is_not_unpacked(path):
    bomb = gzip.compress(gzip.decompress(WHOLE) + bytes(200 * 2**20), compresslevel=1)
    tracemalloc.start()
    message = message_for(path, bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "expected 3,936 bytes once unpacked, found more" in message
    assert peak < 2 * 2**20


def test_a_missing_file_names_the_stage_that_makes_it(path):
    with pytest.raises(BadDataError, match=f"{path}: .*`dvc repro download`"):
        read_idx(path, shape=SHAPE)


def test_a_pinned_file_is_told_by_hash_and_size_before_it_is_opened(tmp_path, monkeypatch):
    path = write_mirror(tmp_path, monkeypatch) / NAMES["test_images"]
    before = path.read_bytes()
    path.write_bytes(before[:-1])
    with pytest.raises(BadDataError) as caught:
        read_arrays("mnist", tmp_path)
    expected, found = (
        f"{hashlib.sha256(content).hexdigest()} ({len(content):,} bytes)" for content in (before, before[:-1])
    )
    assert str(caught.value).startswith(f"{path}: expected sha256 {expected}, ")
    assert found in str(caught.value)


def test_the_stage_ends_with_65_and_one_line(tmp_path):
    write_params(tmp_path, data={"name": "mnist"})
    write_files(tmp_path / "data/raw", tiny_arrays())
    done = run_stage("validate", tmp_path)
    assert done.returncode == 65
    assert done.stderr.startswith("error: data/raw/train-images-idx3-ubyte.gz: expected sha256 440fcabf")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data/dataset.safetensors").exists()
