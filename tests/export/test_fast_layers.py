"""The layers that the exported file has in place of the generator's own give the same images."""

import dataclasses
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from dcgan.config.schema import ModelConfig
from dcgan.export.fast_layers import FourConvolutions, use_fast_layers
from dcgan.export.onnx_export import compute_parity, export_generator
from dcgan.gan.networks import build_generator
from dcgan.inference.generator import Generator

ORIGIN = {"dataset": "mnist", "dataset_sha256": "d" * 64, "params_sha256": "e" * 64, "generator_sha256": "f" * 64}


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (3, 5)])
def test_four_convolutions_are_the_transposed_one(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1).double()
    maps = torch.randn(2, 6, *size, dtype=torch.float64)
    torch.testing.assert_close(FourConvolutions(layer)(maps), functional.relu(layer(maps)), rtol=1e-12, atol=1e-12)


def test_only_what_doubles_its_maps_and_is_normalised_is_replaced() -> None:
    def block(*layers: nn.Module) -> list[nn.Module]:
        return [*layers, nn.BatchNorm2d(2), nn.ReLU()]

    others = [
        *block(nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)),
        *block(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, groups=2)),
        *block(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, output_padding=1)),
        nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1),
        nn.Tanh(),
    ]
    network = nn.Sequential(*others[:3], *block(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)), *others[3:]).eval()
    use_fast_layers(network)
    assert [type(each) for each in network[3:6]] == [FourConvolutions, nn.Identity, nn.Identity]
    assert [*network[:3], *network[6:]] == others


@pytest.mark.parametrize("architecture", ["dcgan", "dcgan_all_conv", "dcgan_maxpool", "acgan", "infogan"])
def test_every_architecture_with_such_a_layer_gets_them(model_config: ModelConfig, architecture: str, tmp_path) -> None:
    is_conditional = architecture != "infogan"
    config = dataclasses.replace(model_config, architecture=architecture, conditional=is_conditional)  # type: ignore[arg-type]
    generator = build_generator(config).eval()
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    content = export_generator(generator, config, opset=20, origin=ORIGIN)
    graph = onnx.load_from_string(content).graph
    weights = {each.name: list(each.dims) for each in graph.initializer}
    doubling = [weights[node.input[1]] for node in graph.node if node.op_type == "ConvTranspose"]
    assert [shape for shape in doubling if shape[1] > 1 and shape[2:] == [4, 4]] == []
    assert sum(node.op_type == "Conv" and weights[node.input[1]][2:] == [2, 2] for node in graph.node) == 4
    latents, labels = torch.randn(1024, config.latent_dim), torch.arange(1024) % 10 if is_conditional else None
    assert compute_parity(content, generator, latents=latents, labels=labels) < 1e-5
    path = tmp_path / "generator.onnx"
    path.write_bytes(content)
    assert_rows_are_independent(Generator.load(path, providers="cpu"))


def assert_rows_are_independent(generator: Generator) -> None:
    """A digit has the same bits alone and in a batch of any size."""
    latents, labels = generator.latents_for(64), generator.labels_for(64)
    whole = generator.draw_batch(latents, labels)
    for start, end in pairwise((0, 1, 9, 17, 48, 64)):
        part = generator.draw_batch(latents[start:end], None if labels is None else labels[start:end])
        np.testing.assert_array_equal(part.images, whole.images[start:end])
        np.testing.assert_array_equal(part.pixels, whole.pixels[start:end])
