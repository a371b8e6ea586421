"""Model files that are not what they must be: refused in one line, before ONNX Runtime reads anything through them."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor
from onnx import TensorProto, helper, numpy_helper

from damage import flipped
from dcgan.inference import model_file
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError
from tiny_onnx import FOREIGN, LATENT_DIM, WEIGHT, build_model, write_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generator.onnx"


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", ""), "ONNX Runtime speaks through exceptions alone"


def refusal(path: Path) -> str:
    """Why a file is refused: one line that begins with its path."""
    with pytest.raises(BadDataError) as caught:
        Generator.load(path, providers="cpu")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# What is no file of ONNX


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "missing"),
        (Path.mkdir, "not a file"),
        (os.mkfifo, "not a file"),  # and does not wait for a writer
        (Path.touch, "empty"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40), "1,048,576 MB"),  # sparse
    ],
    ids=["missing", "folder", "pipe", "empty", "terabytes"],
)
def test_what_is_no_file_of_a_model(path: Path, make: Callable[[Path], object], told: str) -> None:
    make(path)
    assert refusal(path).startswith(told)


def test_a_path_through_a_file(path: Path) -> None:
    path.touch()
    assert "Not a directory" in refusal(path / "generator.onnx")


@pytest.mark.parametrize(
    "content",
    [
        b"a text that tells of an ONNX model but is none\n" * 20,
        b"<!DOCTYPE html>\n<html><body>404: not found</body></html>\n",
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00 a zip file",
        b"\x1f\x8b\x08\x00 a gzip file",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"\x80\x05\x95\x10\x00\x00\x00\x00\x00\x00\x00 a pickle",
        b"\xff" * 100,
        b"\x08",
        b"\x00\x00\x00\x00ORTM" + b"\x00" * 64,
        b"\x08\x0a\x00\x00ORTM",
        b"\x08\x0a",
    ],
)
def test_other_kinds_of_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "ONNX" in refusal(path)


def test_a_model_is_never_taken_for_the_runtimes_own_format(path: Path) -> None:
    model = build_model()
    model.producer_name = "ORTM"
    content = write_model(path, model).read_bytes()
    assert content[4:8] == b"ORTM", "by which ONNX Runtime knows its own format"
    assert Generator.load(path, providers="cpu").sample(3).shape == (3, 28, 28)


def test_a_file_from_elsewhere_cut_short_anywhere(path: Path) -> None:
    content = build_model(**FOREIGN).SerializeToString()
    for cut in (len(content) // 2, *range(1, len(content), 97), *range(len(content) - 600, len(content))):
        path.write_bytes(content[:cut])
        assert refusal(path)


# What a model may not hold


def with_external_weight(place: str, tensor: TensorProto) -> onnx.ModelProto:
    """A good model but for one tensor, near or deep in it, that lies in another file."""
    model = build_model()
    constant = helper.make_node("Constant", [], ["outside"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [], [])
    match place:
        case "initializer":
            model.graph.initializer[0].CopyFrom(tensor)
        case "branch":
            model.graph.node.append(helper.make_node("If", ["yes"], ["no"], then_branch=branch, else_branch=branch))
        case "training":
            model.training_info.add().algorithm.CopyFrom(branch)
    return model


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("place", ["initializer", "branch", "training"])
@pytest.mark.parametrize("told", ["location", "flag"])
def test_no_other_file_is_ever_read(path: Path, place: str, told: str) -> None:
    """All other places are those of the test of the layout below."""
    secret = path.with_name("secret.bin")
    secret.write_bytes(WEIGHT.tobytes())
    tensor = TensorProto(name="weight", dims=WEIGHT.shape, data_type=TensorProto.FLOAT)
    if told == "location":
        tensor.external_data.add(key="location", value=str(secret))
    else:
        tensor.data_location = TensorProto.EXTERNAL
    assert "external data" in refusal(write_model(path, with_external_weight(place, tensor)))


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.contrib", "my.own"])
def test_operators_outside_onnx(path: Path, domain: str) -> None:
    using, importing = build_model(), build_model()
    using.graph.node[2].domain = domain
    importing.opset_import.append(helper.make_opsetid(domain, 1))
    for model in (using, importing):
        assert f"'{domain}'" in refusal(write_model(path, model))


def test_every_place_that_onnx_has_for_a_tensor_or_an_operator_is_looked_at() -> None:
    """The layout that is checked equals the part of onnx.proto that leads to a tensor or to a domain."""
    goals = {"TensorProto", *model_file.DOMAIN_FIELD}

    def inner(message: Descriptor) -> dict[int, Descriptor]:
        return {field.number: field.message_type for field in message.fields if field.message_type is not None}

    def below(message: Descriptor) -> list[Descriptor]:
        found = [message]
        for each in found:
            found += [new for new in inner(each).values() if new not in found]
        return found

    def leading(message: Descriptor) -> dict[int, str]:
        return {number: to.name for number, to in inner(message).items() if goals & {each.name for each in below(to)}}

    expected = {message.name: leading(message) for message in below(onnx.ModelProto.DESCRIPTOR)}
    expected["TensorProto"] = {}  # holds no further tensor
    assert {name: fields for name, fields in expected.items() if fields or name in goals} == model_file.LAYOUT
    fields = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (fields["external_data"].number, fields["data_location"].number) == model_file.EXTERNAL_DATA_FIELDS
    for name, number in model_file.DOMAIN_FIELD.items():
        assert getattr(onnx, name).DESCRIPTOR.fields_by_name["domain"].number == number


@pytest.mark.usefixtures("never_run")
def test_the_number_of_parts_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAX_PARTS", 20)
    assert "more parts" in refusal(write_model(path))


@pytest.mark.parametrize("depth", [40, 20_000])
def test_deep_nesting_is_refused(path: Path, depth: int) -> None:
    """Graphs in attributes of nodes of graphs."""
    graph = b""
    for _ in range(depth):
        for field in (b"\x32", b"\x2a", b"\x0a"):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            graph = field + varint(len(graph)) + graph
    path.write_bytes(build_model(**FOREIGN).SerializeToString() + b"\x3a" + varint(len(graph)) + graph)
    assert refusal(path)


def varint(number: int) -> bytes:
    digits = []
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


# What breaks the contract


def with_a_pixel_of(value: float) -> np.ndarray:
    weight = WEIGHT.copy()
    weight[:, 5] = [value, -value, value, value]
    return weight


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"names": ("noise", "labels", "images", "pixels")}, ["inputs", "noise", "latents, labels"]),
        ({"names": ("latents", "labels", "x", "pixels")}, ["outputs", "x, pixels", "images, pixels"]),
        ({"conditional": False, "num_classes": "10"}, ["inputs", "latents, labels"]),
        ({"num_classes": "0"}, ["inputs", "latents, labels"]),
        ({"batch": 2}, ["latents", "[2, 4]", "[batch, 4]"]),
        ({"latents_type": TensorProto.DOUBLE}, ["latents", "tensor(double)", "float32"]),
        ({"latent_dim": "5"}, ["latents", "[batch, 4]", "[batch, 5]"]),
        ({"latent_dim": None}, ["latent_dim"]),
        ({"dataset_sha256": None}, ["dataset_sha256"]),
        ({"latent_dim": "-4"}, ["latent_dim", "'-4'", "1 to 65,536"]),
        ({"latent_dim": "65537"}, ["latent_dim", "'65537'"]),
        ({"num_classes": "999999999"}, ["num_classes", "0 to 1,000"]),
        ({"num_classes": "1e1"}, ["num_classes", "'1e1'"]),
        ({"latent_distribution": "cauchy"}, ["latent_distribution", "'cauchy'", "normal or uniform"]),
        ({"weight": with_a_pixel_of(np.nan)}, ["[-1, 1]"]),
        ({"weight": with_a_pixel_of(np.inf)}, ["[-1, 1]"]),
        ({"scale": 120}, ["0..255"]),
    ],
)
def test_a_broken_contract_is_named(path: Path, changes: dict, named: list[str]) -> None:
    message = refusal(write_model(path, build_model(**changes)))
    assert [each for each in named if each not in message] == []


def test_an_operator_that_does_not_exist_and_shapes_that_do_not_fit(path: Path) -> None:
    model = build_model()
    model.graph.node[1].op_type = "MatMull"
    assert "MatMull" in refusal(write_model(path, model))
    model = build_model()
    shape = next(each for each in model.graph.initializer if each.name == "image")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 1, 28, 29]), "image"))
    assert refusal(write_model(path, model))


def test_one_flipped_bit_in_a_model_from_elsewhere_is_refused_or_harmless(path: Path) -> None:
    """Without a checksum a flip in a weight cannot be seen; one in the structure is an error of ours, or nothing."""
    content = build_model(**FOREIGN).SerializeToString()
    begin = content.index(WEIGHT.tobytes())
    structure = [*range(begin), *range(begin + WEIGHT.nbytes, len(content))]
    num_refused = 0
    for position in random.Random(0).sample(structure, 300):
        path.write_bytes(flipped(content, 8 * position + position % 8))
        try:
            generator = Generator.load(path, providers="cpu")
        except BadDataError:
            num_refused += 1
        else:
            assert generator.latents_for(3).shape == (3, LATENT_DIM)
            assert generator.sample(3).shape == (3, 28, 28)
    assert num_refused > 100


def test_a_file_swapped_after_loading_changes_nothing(path: Path) -> None:
    generator = Generator.load(write_model(path), providers="cpu")
    before = generator.sample(3)
    path.write_bytes(b"swapped")
    np.testing.assert_array_equal(generator.sample(3), before)
