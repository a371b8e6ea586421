"""Model files that are not what they must be: refused in one line, before ONNX Runtime reads anything through them."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.descriptor import Descriptor
from onnx import TensorProto, helper, numpy_helper

from dcgan.inference import model_file
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError
from tiny_onnx import FOREIGN, LATENT_DIM, WEIGHT, build_model, write_model

SECRET = "secret.bin"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generator.onnx"


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as ONNX Runtime is given a model."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime saw the model"))


def message_for(path: Path) -> str:
    with pytest.raises(BadDataError) as caught:
        Generator.load(path, providers="cpu")
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_missing_file(path: Path) -> None:
    assert message_for(path) == "missing; run `dvc repro export` or choose another model"


def test_what_is_no_file(path: Path) -> None:
    path.mkdir()
    assert message_for(path).startswith("not a file; ")
    path.rmdir()
    os.mkfifo(path)
    assert message_for(path).startswith("not a file; ")  # and does not wait for a writer


def test_a_path_through_a_file(path: Path) -> None:
    path.write_text("a file, not a folder")
    assert message_for(path / "generator.onnx").startswith("cannot be read (Not a directory); ")


def test_an_empty_file(path: Path) -> None:
    path.touch()
    assert message_for(path).startswith("empty; ")


@pytest.mark.usefixtures("never_run")
def test_a_file_of_terabytes_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: it takes no room
    assert message_for(path) == "1,048,576 MB is more than the 512 MB that a generator may have"


@pytest.mark.usefixtures("never_run")
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
    ],
)
def test_other_kinds_of_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "not an ONNX file" in message_for(path)


@pytest.mark.parametrize("content", [b"\x00\x00\x00\x00ORTM" + b"\x00" * 64, b"\x08\x0a\x00\x00ORTM", b"\x08\x0a"])
def test_what_only_looks_like_a_model(path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(content)
    assert message_for(path)
    assert capfd.readouterr() == ("", "")


def test_a_model_is_never_taken_for_the_runtimes_own_format(path: Path) -> None:
    model = build_model()
    model.producer_name = "ORTM"
    content = write_model(path, model).read_bytes()
    assert content[4:8] == b"ORTM", "by which ONNX Runtime knows its own format"
    assert Generator.load(path, providers="cpu").sample(3).shape == (3, 28, 28)


def test_a_file_from_elsewhere_cut_short_anywhere(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = build_model(**FOREIGN).SerializeToString()
    path.write_bytes(content[: len(content) // 2])
    assert message_for(path).startswith("truncated, or not an ONNX file; ")
    for cut in (*range(1, len(content), 97), *range(len(content) - 600, len(content))):
        path.write_bytes(content[:cut])
        assert message_for(path)
    assert capfd.readouterr() == ("", "")


def external(location: object) -> TensorProto:
    """A weight whose bytes lie in the file `location`."""
    tensor = TensorProto(name="weight", dims=WEIGHT.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(location))
    return tensor


def with_external_weight(place: str, location: object) -> onnx.ModelProto:
    """A good model but for one tensor, somewhere in it, that lies in another file."""
    model, tensor = build_model(), external(location)
    constant = helper.make_node("Constant", [], ["outside"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [], [])
    if place == "initializer":
        model.graph.initializer[0].CopyFrom(tensor)
    elif place == "constant":
        model.graph.node.append(constant)
    elif place == "branch":
        model.graph.node.append(helper.make_node("If", ["yes"], ["no"], then_branch=branch, else_branch=branch))
    elif place == "list":
        model.graph.node.append(helper.make_node("Identity", ["a"], ["b"], many=[tensor, tensor]))
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "function":
        model.functions.add(name="f").node.append(constant)
    elif place == "training":
        model.training_info.add().algorithm.CopyFrom(branch)
    return model


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("place", ["initializer", "constant", "branch", "list", "sparse", "function", "training"])
@pytest.mark.parametrize("kind", ["beside", "above", "absolute", "hard link", "symbolic link"])
def test_no_other_file_is_ever_read(path: Path, place: str, kind: str) -> None:
    secret = path.with_name(SECRET)
    secret.write_bytes(WEIGHT.tobytes())
    linked = path.with_name("weights.bin")
    if kind == "hard link":
        linked.hardlink_to(secret)
    elif kind == "symbolic link":
        linked.symlink_to(secret)
    places = {"beside": SECRET, "above": f"../{path.parent.name}/{SECRET}", "absolute": secret}
    write_model(path, with_external_weight(place, places.get(kind, linked.name)))
    assert message_for(path).startswith("keeps weights in another file (external data), which is never read; ")


@pytest.mark.usefixtures("never_run")
def test_a_location_without_the_flag_and_the_flag_without_a_location_are_refused(path: Path) -> None:
    model = build_model()
    model.graph.initializer[0].external_data.add(key="location", value=SECRET)
    assert "external data" in message_for(write_model(path, model))
    model = build_model()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert "external data" in message_for(write_model(path, model))


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.contrib", "my.own"])
def test_operators_outside_onnx(path: Path, domain: str) -> None:
    model = build_model()
    model.graph.node[2].domain = domain
    assert message_for(write_model(path, model)).startswith(f"uses operators outside ONNX's own: domain '{domain}'; ")
    model = build_model()
    model.opset_import.append(helper.make_opsetid(domain, 1))
    assert f"domain '{domain}'" in message_for(write_model(path, model))


def test_every_place_that_onnx_has_for_a_tensor_or_an_operator_is_looked_at() -> None:
    """The layout that is checked equals the part of onnx.proto that leads to a tensor or to a domain."""
    goals = {"TensorProto", *model_file.DOMAIN_FIELD}
    expected = {
        message.name: {
            field.number: field.message_type.name for field in inner_fields(message) if leads_to(field, goals)
        }
        for message in messages_below(onnx.ModelProto.DESCRIPTOR)
        if message.name in goals or leads_to_any(message, goals)
    }
    expected["TensorProto"] = {}  # holds no further tensor
    assert expected == model_file.LAYOUT
    fields = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (fields["external_data"].number, fields["data_location"].number) == model_file.EXTERNAL_DATA_FIELDS
    for name, number in model_file.DOMAIN_FIELD.items():
        assert getattr(onnx, name).DESCRIPTOR.fields_by_name["domain"].number == number


def inner_fields(message: Descriptor) -> Iterator:
    return (field for field in message.fields if field.message_type is not None)


def messages_below(message: Descriptor, met: tuple[Descriptor, ...] = ()) -> list[Descriptor]:
    found = [message]
    for each in found:
        found += [field.message_type for field in inner_fields(each) if field.message_type not in found]
    return found


def leads_to(field: object, goals: set[str]) -> bool:
    return any(message.name in goals for message in messages_below(field.message_type))


def leads_to_any(message: Descriptor, goals: set[str]) -> bool:
    return any(leads_to(field, goals) for field in inner_fields(message))


@pytest.mark.usefixtures("never_run")
def test_nesting_and_numbers_of_parts_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = onnx.GraphProto()
    for _ in range(20):
        outer = onnx.GraphProto()
        outer.node.append(helper.make_node("Loop", [], [], body=graph))
        graph = outer
    model = build_model()
    model.graph.node.extend(graph.node)
    assert message_for(write_model(path, model)).startswith("nested deeper than any generator; ")
    monkeypatch.setattr(model_file, "MAX_PARTS", 20)
    assert message_for(write_model(path)).startswith("has more parts than any generator; ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("noise", "labels", "images", "pixels")}, "its inputs are noise, labels; expected latents, labels"),
        ({"names": ("latents", "labels", "x", "pixels")}, "its outputs are x, pixels; expected images, pixels"),
        ({"conditional": False, "num_classes": "10"}, "its inputs are latents; expected latents, labels"),
        ({"num_classes": "0"}, "its inputs are latents, labels; expected latents"),
        ({"batch": 2}, "input latents is float32 [2, 4]; expected float32 [batch, 4]"),
        (
            {"latents_type": TensorProto.DOUBLE},
            "input latents is tensor(double) [batch, 4]; expected float32 [batch, 4]",
        ),
        ({"latent_dim": "5"}, "input latents is float32 [batch, 4]; expected float32 [batch, 5]"),
        ({"latent_dim": None}, "its metadata lacks latent_dim, so it is no whole generator of this project"),
        ({"fcd": None}, "its metadata lacks fcd, so it is no whole generator of this project"),
        ({"latent_dim": "-4"}, "its metadata latent_dim is '-4'; expected a whole number from 1 to 65,536"),
        ({"latent_dim": "65537"}, "its metadata latent_dim is '65537'; expected a whole number from 1 to 65,536"),
        (
            {"num_classes": "999999999"},
            "its metadata num_classes is '999999999'; expected a whole number from 0 to 1,000",
        ),
        ({"num_classes": "1e1"}, "its metadata num_classes is '1e1'; expected a whole number from 0 to 1,000"),
        ({"latent_distribution": "cauchy"}, "its metadata latent_distribution is 'cauchy'; expected normal or uniform"),
    ],
)
def test_a_broken_contract_is_named(path: Path, changes: dict, message: str) -> None:
    found = message_for(write_model(path, build_model(**changes)))
    assert found == f"{message}; choose a model that the stage `export` wrote"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(path: Path, value: float) -> None:
    weight = WEIGHT.copy()
    weight[:, 5] = [value, -value, value, value]
    assert message_for(write_model(path, build_model(weight=weight))).startswith("draws values outside [-1, 1]; ")


def test_pixels_that_are_not_the_images(path: Path) -> None:
    found = message_for(write_model(path, build_model(scale=120)))
    assert found == "its pixels are not its images scaled to 0..255"


def test_an_operator_that_does_not_exist(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = build_model()
    model.graph.node[1].op_type = "MatMull"
    assert "MatMull" in message_for(write_model(path, model))
    assert capfd.readouterr() == ("", "")


def test_shapes_that_do_not_fit(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = build_model()
    shape = next(each for each in model.graph.initializer if each.name == "image")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 1, 28, 29]), "image"))
    assert message_for(write_model(path, model))
    assert capfd.readouterr() == ("", "")


def test_one_flipped_bit_in_a_model_from_elsewhere_is_refused_or_harmless(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a seal a flip in a weight cannot be seen; one in the structure must be an error of ours, or nothing."""
    content = build_model(**FOREIGN).SerializeToString()
    begin = content.index(WEIGHT.tobytes())
    structure = [*range(begin), *range(begin + WEIGHT.nbytes, len(content))]
    messages = []
    for position in random.Random(0).sample(structure, 300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            generator = Generator.load(path, providers="cpu")
        except BadDataError as error:
            messages.append(str(error))
        else:
            assert generator.latents_for(3).shape == (3, LATENT_DIM)
            assert generator.sample(3).shape == (3, 28, 28)
    assert len(messages) > 100
    assert not any("\n" in message for message in messages)
    assert capfd.readouterr() == ("", "")


def test_a_file_swapped_after_loading_changes_nothing(path: Path) -> None:
    generator = Generator.load(write_model(path), providers="cpu")
    before = generator.sample(3)
    path.write_bytes(b"swapped")
    np.testing.assert_array_equal(generator.sample(3), before)
