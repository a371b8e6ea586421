"""The generator as one ONNX file that production runs without PyTorch, and the proof that both draw the same."""

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcgan.config.schema import ModelConfig
from dcgan.data.batches import sample_latents, to_pixels
from dcgan.export.fast_layers import use_fast_layers
from dcgan.gan.sampling import sample_images
from dcgan.inference.checksum import BLANK, KEY, add_checksum
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError

PARITY_LIMIT = 1e-4
"""Most that an image may differ from PyTorch's, in [-1, 1]."""

PARITY_LATENTS = 1024
PARITY_BATCHES = (1, 7, 64)


def export_generator(generator: nn.Module, model: ModelConfig, *, opset: int, origin: Mapping[str, str]) -> bytes:
    """The generator as the bytes of one ONNX file with a checksum; equal weights and origin give equal bytes.

    Inputs are `latents` float32 [batch, latent_dim] and, if conditional, `labels` int64 [batch]; outputs `images`
    float32 [batch, 1, 28, 28] in [-1, 1] and `pixels` uint8 [batch, 28, 28]. The generator itself is left as it is.
    The metadata get `origin`: `dataset`, `dataset_sha256`, `params_sha256` and `generator_sha256`.

    Raises:
        BadDataError: a weight is not finite, or the exported model is not valid.
    """
    for name, tensor in generator.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise BadDataError(f"the generator's {name} is not finite; train again")
    faster = _on_cpu(generator)
    use_fast_layers(faster)
    exported = _strip(_trace(faster, model, opset=opset))
    described = {
        "latent_dim": str(model.latent_dim),
        "latent_distribution": model.latent_distribution,
        "num_classes": str(model.num_classes if model.conditional else 0),
        KEY: BLANK,
    }
    for key, value in sorted({**origin, **described}.items()):
        exported.metadata_props.add(key=key, value=value)
    _check(exported)
    return add_checksum(exported.SerializeToString(deterministic=True))


def prove_parity(content: bytes, generator: nn.Module, model: ModelConfig) -> dict[str, Any]:
    """Prove that an exported model draws what its generator draws; a report for people and programs.

    Returns:
        onnx_sha256, bytes and parity {latents, max_difference}.

    Raises:
        BadDataError: as `compute_parity`.
    """
    latents = sample_latents(PARITY_LATENTS, model, rng=torch.Generator().manual_seed(0))
    labels = torch.arange(PARITY_LATENTS) % model.num_classes if model.conditional else None
    difference = compute_parity(content, generator, latents=latents, labels=labels)
    return {
        "onnx_sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parity": {"latents": PARITY_LATENTS, "max_difference": difference},
    }


def compute_parity(content: bytes, generator: nn.Module, *, latents: Tensor, labels: Tensor | None) -> float:
    """Largest difference between the images of an ONNX file, drawn as production draws them, and PyTorch's.

    All latents [N, latent_dim] with their labels [N], if there are, are drawn in batches of 1, of 7 and of 64.

    Raises:
        BadDataError: production refuses the file, an image differs by more than 1e-4 in [-1, 1], or the pixels are not
            the images scaled to 0..255.
    """
    expected = sample_images(_on_cpu(generator), latents, labels).numpy()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        path.write_bytes(content)
        production = Generator.load(path, providers="cpu")
    largest = 0.0
    for batch in PARITY_BATCHES:
        images, pixels = _draw(production, latents, labels, batch=batch)
        difference = float(np.abs(images - expected).max())
        if not difference <= PARITY_LIMIT:  # false for NaN too
            raise BadDataError(
                f"the ONNX model differs from PyTorch by {difference:.2g} in batches of {batch}, but at most "
                f"{PARITY_LIMIT:g} is allowed; try another export.opset"
            )
        if np.abs(pixels - np.clip((images[:, 0] + 1) * 127.5, 0, 255)).max() > 0.51:
            raise BadDataError(f"the ONNX model's pixels are not its images scaled to 0..255 in batches of {batch}")
        largest = max(largest, difference)
    return largest


def _draw(production: Generator, latents: Tensor, labels: Tensor | None, *, batch: int) -> tuple[Any, Any]:
    """Images and pixels of all rows, drawn `batch` at a time."""
    rows = [slice(start, start + batch) for start in range(0, len(latents), batch)]
    drawn = [
        production.draw_batch(latents[each].numpy(), None if labels is None else labels[each].numpy()) for each in rows
    ]
    images, pixels = zip(*drawn, strict=True)
    return np.concatenate(images), np.concatenate(pixels)


class _Drawing(nn.Module):
    """A generator that gives its pixels beside its images."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images [B, 1, 28, 28] in [-1, 1] and pixels uint8 [B, 28, 28]."""
        # ONNX Runtime's tanh ends one rounding error beyond 1; the contract promises [-1, 1].
        images = self.generator(latents, labels).clamp(-1, 1)
        return images, to_pixels(images)


def _on_cpu(generator: nn.Module) -> nn.Module:
    """A copy for exporting and comparing: float32 on the CPU, in evaluation mode, in plain memory order."""
    copied = copy.deepcopy(generator).to("cpu", torch.float32)
    return copied.to(memory_format=torch.contiguous_format).eval()


def _trace(generator: nn.Module, model: ModelConfig, *, opset: int) -> Any:
    """The exporter's ONNX model (onnx.ModelProto), with the first dimension of everything free."""
    # A batch of 2, because the exporter takes a 1 for a fixed size.
    conditional = model.conditional
    latents, labels = torch.zeros(2, model.latent_dim), torch.zeros(2, dtype=torch.int64)
    # Only the first axis is named: both are one, and naming it twice makes the exporter warn.
    latents_axes, labels_axes = {0: "batch"}, {0: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        _Drawing(generator).eval(),
        (latents, labels) if conditional else (latents,),
        input_names=["latents", "labels"] if conditional else ["latents"],
        output_names=["images", "pixels"],
        dynamic_shapes=(latents_axes, labels_axes) if conditional else (latents_axes,),
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _strip(model: Any) -> Any:
    """Take out what tells where and how the model was exported: source paths, stack traces, shapes on the way.

    The format's version becomes the lowest that the opset needs: a runtime that knows the opset need know no newer one.
    """
    from onnx.helper import find_min_ir_version_for

    model.ir_version = find_min_ir_version_for(list(model.opset_import))
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graph = model.graph
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for attribute in (each for node in graph.node for each in node.attribute):
        attribute.ClearField("doc_string")
    return model


def _check(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadDataError(f"the exported model is not valid ONNX: {' '.join(str(error).split())}") from error
