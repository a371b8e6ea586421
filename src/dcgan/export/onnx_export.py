"""The generator as one ONNX file that production runs without PyTorch, and the proof that both draw the same."""

import copy
import dataclasses
import hashlib
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcgan.config.schema import NUM_CLASSES, ModelConfig
from dcgan.data.batches import sample_latents, to_pixels
from dcgan.gan.sampling import sample_images
from dcgan.inference.checksum import BLANK, KEY, add_checksum
from dcgan.system.errors import BadDataError

PARITY_LIMIT = 1e-4
"""Most that an image may differ from PyTorch's, in [-1, 1]."""

PARITY_LATENTS = 1024
PARITY_BATCHES = (1, 7, 64)
LATENCY_BATCHES = (1, 8, 64)
LATENCY_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """How fast ONNX Runtime draws one batch on the CPU."""

    batch: int
    median_ms: float
    images_per_second: float
    threads: int


def export_generator(
    generator: nn.Module, *, conditional: bool, latent_dim: int, opset: int, metadata: Mapping[str, str]
) -> bytes:
    """The generator as the bytes of one sealed ONNX file; equal weights and metadata give equal bytes everywhere.

    Inputs are `latents` float32 [batch, latent_dim] and, if conditional, `labels` int64 [batch]; outputs `images`
    float32 [batch, 1, 28, 28] in [-1, 1] and `pixels` uint8 [batch, 28, 28]. The generator itself is left as it is.
    The file says of itself what `metadata` holds, `params_sha256` among it, and its own checksum.

    Raises:
        BadDataError: a weight is not finite, or the exported model is not valid.
    """
    _require_finite(generator)
    model = _strip(_trace(_on_cpu(generator), conditional=conditional, latent_dim=latent_dim, opset=opset))
    _describe(model, metadata)
    _check(model)
    return add_checksum(model.SerializeToString(deterministic=True))


def examine(content: bytes, generator: nn.Module, model: ModelConfig) -> dict[str, Any]:
    """Prove that an ONNX model draws what its generator draws, and measure it; a report for people and programs.

    Returns:
        onnx_sha256, bytes, parity {latents, max_difference} and latency, a row for each batch size.

    Raises:
        BadDataError: as `compute_parity`.
    """
    latents = sample_latents(PARITY_LATENTS, model, rng=torch.Generator().manual_seed(0))
    labels = torch.arange(PARITY_LATENTS) % NUM_CLASSES if model.conditional else None
    difference = compute_parity(content, generator, latents=latents, labels=labels)
    return {
        "onnx_sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parity": {"latents": PARITY_LATENTS, "max_difference": difference},
        "latency": [dataclasses.asdict(row) for row in measure_latency(content, latents=latents, labels=labels)],
    }


def compute_parity(content: bytes, generator: nn.Module, *, latents: Tensor, labels: Tensor | None) -> float:
    """Largest difference between the images of an ONNX model and of the generator it came from.

    Args:
        content: the ONNX file's bytes.
        generator: the generator, called in evaluation mode on the CPU.
        latents: float32 [N, latent_dim]; all N are drawn in batches of 1, of 7 and of 64.
        labels: int64 [N], or None for an unconditional generator.

    Raises:
        BadDataError: an image differs by more than 1e-4 in [-1, 1], or the pixels are not the images scaled to 0..255.
    """
    expected = sample_images(_on_cpu(generator), latents, labels).numpy()
    session = _open_session(content, threads=1)
    largest = 0.0
    for batch in PARITY_BATCHES:
        images, pixels = _draw(session, _feed(latents, labels), batch=batch)
        difference = float(np.abs(images - expected).max())
        if not difference <= PARITY_LIMIT:  # false for NaN too
            raise BadDataError(
                f"the ONNX model differs from PyTorch by {difference:.2g} in batches of {batch}; at most "
                f"{PARITY_LIMIT:g} is let through; try another export.opset"
            )
        if np.abs(pixels - np.clip((images[:, 0] + 1) * 127.5, 0, 255)).max() > 0.51:
            raise BadDataError(f"the ONNX model's pixels are not its images scaled to 0..255 in batches of {batch}")
        largest = max(largest, difference)
    return largest


def measure_latency(content: bytes, *, latents: Tensor, labels: Tensor | None, threads: int = 1) -> list[Latency]:
    """Median time of batches of 1, 8 and 64 on the CPU, half a second of drawing each.

    Args:
        content: the ONNX file's bytes.
        latents: float32 [N, latent_dim] with N of 64 or more.
        labels: int64 [N], or None for an unconditional generator.
        threads: threads within one operation; ONNX Runtime's transposed convolution uses one, whatever this says.
    """
    session = _open_session(content, threads=threads)
    rows = []
    for batch in LATENCY_BATCHES:
        feed = {name: value[:batch] for name, value in _feed(latents, labels).items()}
        seconds = statistics.median(_timings(session, feed))
        rows.append(
            Latency(
                batch=batch,
                median_ms=round(1000 * seconds, 3),
                images_per_second=round(batch / seconds, 1),
                threads=threads,
            )
        )
    return rows


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


def _require_finite(generator: nn.Module) -> None:
    for name, tensor in generator.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise BadDataError(f"the generator's {name} is not finite; train again")


def _trace(generator: nn.Module, *, conditional: bool, latent_dim: int, opset: int) -> Any:
    """The exporter's ONNX model (onnx.ModelProto), with the first dimension of everything free."""
    # A batch of 2, because the exporter takes a 1 for a fixed size.
    latents, labels = torch.zeros(2, latent_dim), torch.zeros(2, dtype=torch.int64)
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
    """Take out what tells where and how the model was exported: source paths, stack traces, shapes on the way."""
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


def _describe(model: Any, metadata: Mapping[str, str]) -> None:
    """Let the model say what it is, in the order of the keys, with a blank where its seal will be."""
    for key, value in sorted({**metadata, KEY: BLANK}.items()):
        model.metadata_props.add(key=key, value=value)


def _check(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadDataError(f"the exported model is not valid ONNX: {' '.join(str(error).split())}") from error


def _open_session(content: bytes, *, threads: int) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports to its maker otherwise
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _feed(latents: Tensor, labels: Tensor | None) -> dict[str, NDArray[Any]]:
    return {"latents": latents.numpy()} | ({} if labels is None else {"labels": labels.numpy()})


def _draw(
    session: Any, feed: Mapping[str, NDArray[Any]], *, batch: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images and pixels of all rows, drawn `batch` at a time."""
    starts = range(0, len(feed["latents"]), batch)
    chunks = ({name: value[start : start + batch] for name, value in feed.items()} for start in starts)
    images, pixels = zip(*(session.run(["images", "pixels"], chunk) for chunk in chunks), strict=True)
    return np.concatenate(images), np.concatenate(pixels)


def _timings(session: Any, feed: Mapping[str, NDArray[Any]]) -> Sequence[float]:
    """Seconds of each call during half a second, after one that nobody counts."""

    def calls() -> Iterator[float]:
        session.run(["pixels"], feed)
        end = time.perf_counter() + LATENCY_SECONDS
        while (start := time.perf_counter()) < end:
            session.run(["pixels"], feed)
            yield time.perf_counter() - start

    return list(calls())
