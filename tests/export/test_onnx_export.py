"""The exported file keeps the contract, draws what PyTorch draws, and depends on nothing but the weights."""

import copy
import dataclasses
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import onnx
import pytest
import torch
from google.protobuf.message import Message
from onnx import TensorProto
from onnx.helper import make_tensor_value_info
from torch import nn

from dcgan.checkpoints.weights import save_weights
from dcgan.config.schema import ModelConfig
from dcgan.data.batches import sample_latents
from dcgan.export import onnx_export
from dcgan.export.onnx_export import compute_parity, export_generator, prove_parity
from dcgan.gan.networks import build_generator
from dcgan.inference.checksum import BLANK, KEY, add_checksum
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError
from support import ROOT

ORIGIN = {"dataset": "mnist", "dataset_sha256": "d" * 64, "params_sha256": "e" * 64, "generator_sha256": "f" * 64}


INPUTS = {
    "latents": torch.randn(1024, 16, generator=torch.Generator().manual_seed(1)),
    "labels": torch.arange(1024) % 10,
}


def trained(config: ModelConfig) -> nn.Module:
    """A generator whose every weight and running statistic differs from every other."""
    rng = torch.Generator().manual_seed(0)
    generator = build_generator(config)
    for tensor in generator.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=rng).mul_(0.5).add_(0.1))
    for layer in generator.modules():
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            layer.weight.data.copy_(torch.randn(layer.weight.shape, generator=rng).mul_(0.3))
    return generator


@torch.no_grad()
def rounding_of(generator: nn.Module, config: ModelConfig) -> float:
    """How far PyTorch's float32 images are from exact ones: two programs as exact differ by twice as much at most."""
    generator = copy.deepcopy(generator).eval()
    latents, labels = sample_latents(1024, config, rng=torch.Generator().manual_seed(0)), torch.arange(1024) % 10
    images = generator(latents, labels)
    return float((images - generator.double()(latents.double(), labels)).abs().max())


@pytest.fixture(scope="module")
def generator(model_config: ModelConfig) -> nn.Module:
    return trained(model_config)


@pytest.fixture(scope="module")
def content(generator: nn.Module, model_config: ModelConfig) -> bytes:
    return export_generator(generator, model_config, opset=20, origin=ORIGIN)


LATENTS = make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", 16])
LABELS = make_tensor_value_info("labels", TensorProto.INT64, ["batch"])
IMAGES = make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 28, 28])
PIXELS = make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 28, 28])


def test_a_conditional_generator_takes_latents_and_labels(content: bytes) -> None:
    model = onnx.load_from_string(content)
    assert (list(model.graph.input), list(model.graph.output)) == ([LATENTS, LABELS], [IMAGES, PIXELS])
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 20)]


def test_an_unconditional_generator_takes_latents_alone(model_config: ModelConfig) -> None:
    config = dataclasses.replace(model_config, conditional=False)
    generator = trained(config)
    content = export_generator(generator, config, opset=20, origin=ORIGIN)
    graph = onnx.load_from_string(content).graph
    assert (list(graph.input), list(graph.output)) == ([LATENTS], [IMAGES, PIXELS])
    assert 0 <= compute_parity(content, generator, **INPUTS | {"labels": None}) < 1e-5


def test_the_file_says_its_contract_and_its_origin_and_nothing_else(content: bytes) -> None:
    model = onnx.load_from_string(content)
    said = [(each.key, each.value) for each in model.metadata_props]
    checksum = dict(said)[KEY]
    contract = {"latent_dim": "16", "latent_distribution": "normal", "num_classes": "10"}
    assert said == sorted({**ORIGIN, **contract, KEY: checksum}.items())
    assert checksum == hashlib.sha256(content.replace(checksum.encode(), BLANK.encode())).hexdigest()
    for message in messages_in(model):
        assert not getattr(message, "doc_string", "")
        assert message is model or not getattr(message, "metadata_props", ())
    weightless = copy.deepcopy(model)
    for tensor in weightless.graph.initializer:
        tensor.ClearField("raw_data")
    text = weightless.SerializeToString()
    assert not [word for word in (b"/", b".py", b"File ", b"dcgan", b"Drawing") if word in text]


def messages_in(message: Message) -> Iterator[Message]:
    """A protobuf message and every message inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "__len__") else [value]:
                yield from messages_in(each)


def test_a_program_that_loads_and_saves_the_file_keeps_its_bytes(content: bytes) -> None:
    """MLflow does; other bytes would not have their checksum."""
    assert onnx.load_from_string(content).SerializeToString() == content


def test_exporting_leaves_the_generator_alone_and_the_console_empty(
    generator: nn.Module, model_config: ModelConfig, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    training = copy.deepcopy(generator).to(memory_format=torch.channels_last).train()
    assert not training.upsample[0].weight.is_contiguous()
    again = export_generator(training, model_config, opset=20, origin=ORIGIN)
    assert again == content, "the order of weights in memory shows in the file"
    assert not training.upsample[0].weight.is_contiguous()
    assert all(module.training for module in training.modules())
    for name, tensor in training.state_dict().items():
        assert torch.equal(tensor, generator.state_dict()[name]), name
    assert capfd.readouterr() == ("", "")


def test_another_checkout_writes_the_same_bytes(generator: nn.Module, content: bytes, tmp_path: Path) -> None:
    """Another process, another copy of the code, another current folder, another order of hashes."""
    shutil.copytree(ROOT / "src", tmp_path / "elsewhere" / "src", ignore=shutil.ignore_patterns("__pycache__"))
    save_weights(tmp_path, weights=generator)
    script = tmp_path / "elsewhere" / "export.py"
    script.write_text(f"""
import hashlib
from pathlib import Path
import dcgan
from dcgan.data.batches import sample_latents
from dcgan.export.onnx_export import export_generator
from dcgan.checkpoints.weights import load_weights
from dcgan.gan.networks import build_generator
from small_gan import CONFIG
assert Path(dcgan.__file__).is_relative_to({str(tmp_path)!r}), dcgan.__file__
generator = build_generator(CONFIG.model)
load_weights(Path("weights.safetensors"), generator, made_by="train")
content = export_generator(generator, CONFIG.model, opset=20, origin={ORIGIN})
print(hashlib.sha256(content).hexdigest(), end="")
""")
    code = f"{tmp_path / 'elsewhere/src'}:{ROOT / 'tests'}"
    environment = {"PYTHONPATH": code, "PYTHONHASHSEED": "7", "PATH": "/usr/bin"}
    command = [sys.executable, script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", hashlib.sha256(content).hexdigest())


def test_parity_compares_every_latent_in_batches_of_1_7_and_64_as_production_draws_them(
    content: bytes, generator: nn.Module, model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = create_autospec(Generator.draw_batch, side_effect=Generator.draw_batch)
    monkeypatch.setattr(Generator, "draw_batch", watched)
    report = prove_parity(content, generator, model_config)
    batches = [len(call.args[1]) for call in watched.call_args_list]
    assert batches == [1] * 1024 + [7] * 146 + [2] + [64] * 16
    assert 0 <= report["parity"].pop("max_difference") < 2 * rounding_of(generator, model_config)
    assert report == {
        "onnx_sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "parity": {"latents": 1024}
    }  # fmt: skip


def test_a_model_of_other_weights_fails_parity(content: bytes, generator: nn.Module) -> None:
    other = copy.deepcopy(generator)
    other.upsample[-2].bias.data += 3e-3
    with pytest.raises(BadDataError, match=r"differs from PyTorch by 0\.00\d+ in batches of 1"):
        compute_parity(content, other, **INPUTS)


def test_a_file_that_production_refuses_fails_parity(content: bytes, generator: nn.Module) -> None:
    """For its pixels, or for its checksum."""
    model = onnx.load_from_string(content)
    scale = next(each for each in model.graph.initializer if each.raw_data == np.float32(127.5).tobytes())
    scale.raw_data = np.float32(126).tobytes()
    next(each for each in model.metadata_props if each.key == KEY).value = BLANK
    with pytest.raises(BadDataError, match=r"pixels are not its images scaled to 0\.\.255"):
        compute_parity(add_checksum(model.SerializeToString()), generator, **INPUTS)
    with pytest.raises(BadDataError, match="damaged"):
        compute_parity(model.SerializeToString(), generator, **INPUTS)


def test_a_generator_of_no_numbers_is_not_exported(generator: nn.Module, model_config: ModelConfig) -> None:
    broken = copy.deepcopy(generator)
    broken.stem[2].running_var[3] = float("nan")
    with pytest.raises(BadDataError, match=r"stem\.2\.running_var is not finite"):
        export_generator(broken, model_config, opset=20, origin=ORIGIN)


def test_an_invalid_model_is_not_written(generator, model_config, monkeypatch: pytest.MonkeyPatch) -> None:
    strip = onnx_export._strip

    def damage(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.node[0].op_type = "NoSuchOperator"
        return strip(model)

    monkeypatch.setattr(onnx_export, "_strip", damage)
    with pytest.raises(BadDataError, match="NoSuchOperator"):
        export_generator(generator, model_config, opset=20, origin=ORIGIN)


def test_a_generator_of_26_classes_says_so_and_draws_each(model_config: ModelConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(model_config, num_classes=26)
    generator = trained(config)
    content = export_generator(generator, config, opset=20, origin=ORIGIN)
    assert prove_parity(content, generator, config)["parity"]["max_difference"] < 1e-4
    (tmp_path / "generator.onnx").write_bytes(content)
    loaded = Generator.load(tmp_path / "generator.onnx", providers="cpu")
    assert loaded.info.contract.num_classes == 26
    assert loaded.sample(30, digits=25).shape == (30, 28, 28)
