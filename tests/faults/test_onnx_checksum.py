"""A generator.onnx whose checksum does not hold: refused in one line wherever it is used."""

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from damage import flip_bit, flipped
from dcgan.inference.checksum import BLANK, KEY, add_checksum, has_valid_checksum
from dcgan.inference.generator import Generator
from dcgan.inference.model_file import read_model
from dcgan.inference.triton import write_repository
from dcgan.system.errors import BadDataError
from dcgan.tracking.onnx_model import load_onnx
from tiny_onnx import FOREIGN, WEIGHT, build_model, write_model

DIGITS = re.compile(rb"content_sha256\x12@([0-9a-f]{64})")
ENTRY_BYTES = 84  # tag, length, tag, length, 14 of the key, tag, length, 64 digits


@pytest.fixture(params=[read_model, load_onnx])
def load(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return request.param


@pytest.fixture
def content(model: Path) -> bytes:
    """What is in the file of the model, before it is damaged."""
    return model.read_bytes()


@pytest.fixture
def entry(content: bytes) -> range:
    """Where the checksum's entry lies."""
    end = DIGITS.search(content).end()
    return range(end - ENTRY_BYTES, end)


def refusal(load, path: Path, content: bytes | None = None) -> str:
    """What is said of the file, with this content."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable(), "one line, without control characters"
    assert "; choose another model" in message or "`dvc repro --force --single-item export`" in message
    return message


def test_the_checksum_is_the_files_hash_with_zeros_in_its_place(model: Path, content: bytes, entry: range) -> None:
    digits = DIGITS.search(content)[1]
    assert digits.decode() == hashlib.sha256(content.replace(digits, BLANK.encode())).hexdigest()
    assert {each.key: each.value for each in onnx.load(model).metadata_props}[KEY] == digits.decode()
    assert has_valid_checksum(content)
    assert content[entry.start : entry.stop - 64] == b"\x72\x52\x0a\x0econtent_sha256\x12\x40"


@pytest.mark.usefixtures("never_run")
def test_every_flipped_bit_is_refused(model: Path, content: bytes, entry: range, load) -> None:
    """Anywhere; every one of the entry itself and of what follows the weights, which tells whose file it is."""
    anywhere = random.Random(0).sample(range(8 * len(content)), 300)
    after = range(8 * entry.stop, 8 * len(content))[:: 1 if load is read_model else 7]
    for bit in sorted({*anywhere, *range(8 * entry.start, 8 * entry.stop), *after}):
        assert "damaged" in refusal(load, model, flipped(content, bit)), bit


@pytest.mark.usefixtures("never_run")
def test_a_flipped_weight_names_both_hashes(model: Path, content: bytes) -> None:
    damaged = flipped(content, 8 * (content.index(WEIGHT.tobytes()) + 1000))
    expected = DIGITS.search(content)[1]
    actual = hashlib.sha256(damaged.replace(expected, BLANK.encode())).hexdigest()
    for load in (Generator.load, load_onnx):
        message = refusal(load, model, damaged)
        assert expected.decode() in message
        assert actual in message


def test_a_file_cut_short_anywhere_is_refused(model: Path, content: bytes, entry: range, load) -> None:
    cuts = {*random.Random(0).sample(range(1, len(content)), 50), *entry, entry.stop, len(content) - 1}
    for cut in cuts - {entry.start}:
        refusal(load, model, content[:cut])


def test_a_file_cut_before_its_metadata_is_no_generator_from_elsewhere(model: Path, content, entry) -> None:
    refusal(load_onnx, model, content[: entry.start])
    with pytest.raises(BadDataError, match="metadata lacks latent_dim"):
        Generator.load(model)


@pytest.mark.usefixtures("never_run")
def test_what_a_disk_does_to_whole_blocks_is_refused(model: Path, content: bytes, load) -> None:
    for start in (0, 512, 4096, len(content) // 512 * 512 - 512):
        refusal(load, model, content[:start] + bytes(512) + content[start + 512 :])
    for more in (b"\x00", b"\x00" * 4096, content, b"\x72\x06\x0a\x01k\x12\x01v"):
        refusal(load, model, content + more)


@pytest.mark.parametrize("checksum", [None, "e" * 63, "E" * 64, "\x1b[31m\n" * 8])
def test_an_exported_file_without_a_whole_checksum_is_refused(tmp_path: Path, load, checksum) -> None:
    assert "damaged" in refusal(load, write_model(tmp_path / "generator.onnx", build_model(**{KEY: checksum})))


@pytest.mark.usefixtures("never_run")
def test_a_file_of_two_checksums_is_refused(model: Path) -> None:
    twice = onnx.load(model)
    twice.metadata_props.add(key=KEY, value=BLANK)
    assert "found 2" in refusal(read_model, model, twice.SerializeToString())


def test_a_generator_from_elsewhere_needs_no_checksum(tmp_path: Path) -> None:
    foreign = write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN))
    generator = Generator.load(foreign, providers="cpu")
    assert not generator.info.has_checksum
    assert generator.sample(3).shape == (3, 28, 28)
    refusal(load_onnx, foreign)  # but this pipeline registers only what it exported


@pytest.mark.parametrize("lacking", [KEY, "params_sha256"])
def test_only_a_model_that_misses_its_checksum_when_it_is_lost_gets_one(lacking: str) -> None:
    with pytest.raises(AssertionError, match=lacking):
        add_checksum(build_model(**{lacking: None}).SerializeToString())


def test_a_file_that_mlflow_would_encode_otherwise_is_not_registered(model: Path) -> None:
    """Its fields in another order than protobuf's own are the same model, but other bytes."""
    producer = onnx.ModelProto(producer_name="elsewhere").SerializeToString()
    model.write_bytes(add_checksum(build_model().SerializeToString() + producer))
    assert Generator.load(model, providers="cpu").info.has_checksum
    assert "MLflow" in refusal(load_onnx, model)


def test_a_file_that_changed_since_it_was_loaded_is_not_written_for_triton(model: Path, tmp_path: Path) -> None:
    generator = Generator.load(model, providers="cpu")
    write_model(model, build_model(dataset="other"))
    with pytest.raises(BadDataError, match=f"{model}: changed since it was loaded"):
        write_repository(tmp_path / "models", generator)
    flip_bit(model, 1000)
    assert "damaged" in refusal(lambda _: write_repository(tmp_path / "models", generator), model)
    assert not (tmp_path / "models").exists()
