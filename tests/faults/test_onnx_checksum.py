"""A generator.onnx whose checksum does not hold: refused in one line wherever it is used."""

import hashlib
import random
import re
from pathlib import Path

import onnx
import onnxruntime
import pytest

from damage import flip_bit
from dcgan.inference.checksum import BLANK, KEY, add_checksum, has_valid_checksum
from dcgan.inference.generator import Generator
from dcgan.inference.model_file import read_model
from dcgan.inference.triton import write_repository
from dcgan.system.errors import BadDataError
from dcgan.tracking.onnx_model import load_onnx
from tiny_onnx import FOREIGN, WEIGHT, build_model, write_model

DIGITS = re.compile(rb"content_sha256\x12@([0-9a-f]{64})")
ENTRY_BYTES = 84  # tag, length, tag, length, 14 of the key, tag, length, 64 digits
LOADERS = pytest.mark.parametrize("load", [read_model, load_onnx])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as ONNX Runtime is given a model."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime saw the model"))


def entry_of(content: bytes) -> range:
    """Where the checksum's entry lies."""
    end = DIGITS.search(content).end()
    return range(end - ENTRY_BYTES, end)


def refusal(load, path: Path) -> str:
    with pytest.raises(BadDataError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable(), "one line, without control characters"
    assert "`dvc repro --force export`" in message
    return message


def test_the_checksum_is_the_files_hash_with_zeros_in_its_place(path: Path) -> None:
    content = path.read_bytes()
    digits = DIGITS.search(content)[1]
    assert digits.decode() == hashlib.sha256(content.replace(digits, BLANK.encode())).hexdigest()
    assert {each.key: each.value for each in onnx.load(path).metadata_props}[KEY] == digits.decode()
    assert has_valid_checksum(content)
    entry = entry_of(content)
    assert content[entry.start : entry.stop - 64] == b"\x72\x52\x0a\x0econtent_sha256\x12\x40"


@LOADERS
@pytest.mark.usefixtures("never_run")
def test_every_flipped_bit_is_refused(path: Path, load) -> None:
    """Anywhere; every one of the entry itself and of what follows the weights, which tells whose file it is."""
    content = path.read_bytes()
    entry, anywhere = entry_of(content), random.Random(0).sample(range(8 * len(content)), 300)
    after = range(8 * entry.stop, 8 * len(content))[:: 1 if load is read_model else 7]
    for bit in sorted({*anywhere, *range(8 * entry.start, 8 * entry.stop), *after}):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert "damaged" in refusal(load, path), bit


@pytest.mark.usefixtures("never_run")
def test_a_flipped_weight_names_both_hashes(path: Path) -> None:
    content = path.read_bytes()
    flip_bit(path, content.index(WEIGHT.tobytes()) + 1000)
    expected = DIGITS.search(content)[1]
    actual = hashlib.sha256(path.read_bytes().replace(expected, BLANK.encode())).hexdigest()
    for load in (Generator.load, load_onnx):
        message = refusal(load, path)
        assert expected.decode() in message
        assert actual in message


@LOADERS
def test_a_file_cut_short_anywhere_is_refused(path: Path, load) -> None:
    content = path.read_bytes()
    entry = entry_of(content)
    for cut in {*random.Random(0).sample(range(1, len(content)), 50), *entry, entry.stop, len(content) - 1}:
        path.write_bytes(content[:cut])
        if load is read_model and cut == entry.start:
            continue  # a whole model without metadata: the next test
        refusal(load, path)


def test_a_file_cut_before_its_metadata_is_no_generator_from_elsewhere(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: entry_of(content).start])
    with pytest.raises(BadDataError, match="metadata lacks latent_dim"):
        Generator.load(path)
    refusal(load_onnx, path)


@LOADERS
@pytest.mark.usefixtures("never_run")
def test_what_a_disk_does_to_whole_blocks_is_refused(path: Path, load) -> None:
    content = path.read_bytes()
    zeroed = [
        content[:start] + bytes(512) + content[start + 512 :]
        for start in (0, 512, 4096, len(content) // 512 * 512 - 512)
    ]
    longer = [content + more for more in (b"\x00", b"\x00" * 4096, content, b"\x72\x06\x0a\x01k\x12\x01v")]
    for damaged in zeroed + longer:
        path.write_bytes(damaged)
        refusal(load, path)


@LOADERS
@pytest.mark.parametrize("changes", [{KEY: None}, {KEY: "e" * 63}, {KEY: "E" * 64}, {KEY: "\x1b[31m\n" * 8}])
def test_an_exported_file_without_a_whole_checksum_is_refused(tmp_path: Path, load, changes) -> None:
    assert "damaged" in refusal(load, write_model(tmp_path / "generator.onnx", build_model(**changes)))


@pytest.mark.usefixtures("never_run")
def test_a_file_of_two_checksums_is_refused(path: Path) -> None:
    model = onnx.load(path)
    model.metadata_props.add(key=KEY, value=BLANK)
    path.write_bytes(model.SerializeToString())
    assert "found 2" in refusal(read_model, path)


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


def test_a_file_that_mlflow_would_encode_otherwise_is_not_registered(tmp_path: Path) -> None:
    """Its fields in another order than protobuf's own are the same model, but other bytes."""
    path, model = tmp_path / "generator.onnx", build_model()
    producer = onnx.ModelProto(producer_name="elsewhere").SerializeToString()
    path.write_bytes(add_checksum(model.SerializeToString() + producer))
    assert Generator.load(path, providers="cpu").info.has_checksum
    assert "MLflow" in refusal(load_onnx, path)


def test_a_file_that_changed_since_it_was_loaded_is_not_written_for_triton(path: Path, tmp_path: Path) -> None:
    generator = Generator.load(path, providers="cpu")
    write_model(path, build_model(dataset="other"))
    with pytest.raises(BadDataError, match=f"{path}: changed since it was loaded"):
        write_repository(tmp_path / "models", generator)
    flip_bit(path, 1000)
    assert "damaged" in refusal(lambda _: write_repository(tmp_path / "models", generator), path)
    assert not (tmp_path / "models").exists()
