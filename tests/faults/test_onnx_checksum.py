"""A sealed generator.onnx with a flipped bit or a lost end: refused in one line wherever it is used."""

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
from dcgan.tracking.mlflow.onnx_model import load_onnx
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
    """Where the seal's entry lies."""
    end = DIGITS.search(content).end()
    return range(end - ENTRY_BYTES, end)


def with_flip(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def refusal(load, path: Path) -> str:
    with pytest.raises(BadDataError) as caught:
        load(path)
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert message.startswith(f"{path}: ")
    assert message.isprintable(), "one line, without control characters"
    assert "`dvc repro --force export`" in message
    return message


def test_the_seal_is_the_files_hash_with_zeros_in_its_place(path: Path) -> None:
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
    content = path.read_bytes()
    entry = entry_of(content)
    bits = {*random.Random(0).sample(range(8 * len(content)), 300), *range(8 * entry.start, 8 * entry.stop)}
    for bit in sorted(bits):
        path.write_bytes(with_flip(content, bit))
        assert "damaged" in refusal(load, path), bit


@LOADERS
@pytest.mark.usefixtures("never_run")
def test_every_flipped_bit_of_what_follows_the_weights_is_refused(path: Path, load) -> None:
    """The names of the entries among it, which tell whose file it is."""
    content = path.read_bytes()
    metadata = range(8 * entry_of(content).stop, 8 * len(content))
    for bit in metadata[:: 1 if load is read_model else 7]:
        path.write_bytes(with_flip(content, bit))
        assert "damaged: expected SHA-256" in refusal(load, path), bit


@pytest.mark.usefixtures("never_run")
def test_a_flipped_weight_names_both_hashes_and_the_repair(path: Path) -> None:
    content = path.read_bytes()
    flip_bit(path, content.index(WEIGHT.tobytes()) + 1000)
    sealed = DIGITS.search(content)[1]
    actual = hashlib.sha256(path.read_bytes().replace(sealed, BLANK.encode())).hexdigest()
    expected = f"{path}: damaged: expected SHA-256 {sealed.decode()} of its content, found {actual}; run "
    assert refusal(Generator.load, path) == f"{expected}`dvc repro --force export` or choose another model"
    assert refusal(load_onnx, path) == f"{expected}`dvc repro --force export`"


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
    with pytest.raises(BadDataError, match="its metadata lacks latent_dim, so it is no whole generator"):
        Generator.load(path)
    assert "has no seal, so it is not what `export` wrote" in refusal(load_onnx, path)


@LOADERS
@pytest.mark.usefixtures("never_run")
def test_what_a_disk_does_to_whole_blocks_is_refused(path: Path, load) -> None:
    content = path.read_bytes()
    for start in (0, 512, 4096, len(content) // 512 * 512 - 512):
        path.write_bytes(content[:start] + bytes(512) + content[start + 512 :])
        refusal(load, path)
    for more in (b"\x00", b"\x00" * 4096, content, b"\x72\x06\x0a\x01k\x12\x01v"):
        path.write_bytes(content + more)
        refusal(load, path)


@LOADERS
@pytest.mark.parametrize("changes", [{KEY: None}, {KEY: "e" * 63}, {KEY: "E" * 64}, {KEY: "\x1b[31m\n" * 8}])
def test_an_exported_file_without_a_whole_seal_is_refused(tmp_path: Path, load, changes) -> None:
    assert "damaged" in refusal(load, write_model(tmp_path / "generator.onnx", build_model(**changes)))


@pytest.mark.usefixtures("never_run")
def test_a_file_of_two_seals_is_refused(path: Path) -> None:
    model = onnx.load(path)
    model.metadata_props.add(key=KEY, value=BLANK)
    path.write_bytes(model.SerializeToString())
    assert "expected one entry content_sha256, found 2" in refusal(read_model, path)


def test_a_generator_from_elsewhere_needs_no_seal(tmp_path: Path) -> None:
    foreign = write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN))
    generator = Generator.load(foreign, providers="cpu")
    assert not generator.info.sealed
    assert generator.sample(3).shape == (3, 28, 28)
    assert "has no seal" in refusal(load_onnx, foreign), "but this pipeline registers only what it exported"


def test_only_a_model_that_misses_its_seal_when_it_is_lost_is_sealed() -> None:
    with pytest.raises(AssertionError, match="one blank content_sha256"):
        add_checksum(build_model(**{KEY: None}).SerializeToString())
    with pytest.raises(AssertionError, match="without params_sha256"):
        add_checksum(build_model(params_sha256=None).SerializeToString())


def test_a_file_that_mlflow_would_encode_otherwise_is_not_registered(tmp_path: Path) -> None:
    """Its fields in another order than protobuf's own are the same model, but other bytes."""
    path, model = tmp_path / "generator.onnx", build_model()
    producer = onnx.ModelProto(producer_name="elsewhere").SerializeToString()
    path.write_bytes(add_checksum(model.SerializeToString() + producer))
    assert Generator.load(path, providers="cpu").info.sealed
    assert "MLflow would keep other bytes" in refusal(load_onnx, path)


def test_a_file_that_changed_since_it_was_loaded_is_not_written_for_triton(path: Path, tmp_path: Path) -> None:
    generator = Generator.load(path, providers="cpu")
    write_model(path, build_model(dataset="other"))
    with pytest.raises(BadDataError, match=r"changed since it was loaded: expected SHA-256 \w{64}, found \w{64}; "):
        write_repository(tmp_path / "models", generator)
    flip_bit(path, 1000)
    assert "damaged" in refusal(lambda _: write_repository(tmp_path / "models", generator), path)
    assert not (tmp_path / "models").exists()
