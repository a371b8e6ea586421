"""An exported generator with convolutions in 8-bit integers: faster on a CPU, its pixels not quite the same."""

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dcgan.inference.checksum import BLANK, COMPANION, KEY, add_checksum
from dcgan.inference.generator import Generator
from dcgan.inference.model_info import ARITHMETIC
from dcgan.system.errors import BadDataError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION_SEED, CALIBRATION_BATCHES, BATCH = 1, 20, 100
"""Which digits show how large the values on the way get."""
COMPARISON_SEED, COMPARISON_COUNT = 2, 2000
PERCENTILE = 99.99
"""Share of a tensor's values, in percent, that eight bits reach; the few beyond are cut off."""
VISIBLE = 2
"""Steps of 255 by which a pixel may be off unseen."""


class Int8Model(NamedTuple):
    """A quantised generator."""

    content: bytes
    """Of its ONNX file, with a checksum."""
    share_off: float
    """Share of the pixels of 2,000 digits that are more than two steps of 255 from the original's."""


def quantize_generator(path: Path) -> Int8Model:
    """The generator of an exported file with int8 convolutions, calibrated on its own digits (static QDQ form).

    Weights are quantised by output channel, symmetrically; activations to uint8, which ONNX Runtime's kernels for
    x86 take. Equal files give equal bytes.

    Raises:
        BadDataError: the file is no generator that production loads, or was not made by the stage export.
        UsageError: it is quantised already, or has no convolution.
    """
    original = Generator.load(path, providers="cpu")
    if original.info.arithmetic == "int8":
        raise UsageError(f"{path}: its convolutions are in int8 already; give the file that it was made from")
    if COMPANION not in original.info.metadata:
        raise BadDataError(f"{path}: not from the stage export of this project, so nothing says where it comes from")
    with TemporaryDirectory() as folder:
        model = _quantize(path, original, Path(folder))
        quantized_path = Path(folder) / "int8.onnx"
        content = _with_metadata(model, original.info.metadata)
        quantized_path.write_bytes(content)
        quantized = Generator.load(quantized_path, providers="cpu")
    drawn = [each.sample(COMPARISON_COUNT, seed=COMPARISON_SEED).astype(np.int16) for each in (original, quantized)]
    return Int8Model(content, float((np.abs(drawn[1] - drawn[0]) > VISIBLE).mean()))


def _quantize(path: Path, generator: Generator, folder: Path) -> "ModelProto":
    """Quantise the convolutions; activations by percentiles, since the largest of a ReLU's values are rare."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not any(node.op_type == "Conv" for node in onnx.load(path).graph.node):
        raise UsageError(f"{path}: has no convolution to quantise, so it would not get faster")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        quant_pre_process(path, folder / "prepared.onnx", skip_symbolic_shape=True)
        quantize_static(
            folder / "prepared.onnx",
            folder / "quantized.onnx",
            _Digits(generator),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
    return onnx.load(folder / "quantized.onnx")


def _with_metadata(model: "ModelProto", metadata: Mapping[str, str]) -> bytes:
    """The model's bytes with the original's metadata, its arithmetic and a checksum of its own."""
    standard = [each for each in model.opset_import if each.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    del model.metadata_props[:]
    for key, value in sorted({**metadata, ARITHMETIC: "int8", KEY: BLANK}.items()):
        model.metadata_props.add(key=key, value=value)
    return add_checksum(model.SerializeToString(deterministic=True))


class _Digits:
    """The batches that a model is calibrated on, as ONNX Runtime asks for them: one at a time, None at the end."""

    def __init__(self, generator: Generator) -> None:
        count = CALIBRATION_BATCHES * BATCH
        latents, labels = generator.latents_for(count, seed=CALIBRATION_SEED), generator.labels_for(count)
        rows = [slice(start, start + BATCH) for start in range(0, count, BATCH)]
        self._batches = iter(
            {"latents": latents[each]} | ({} if labels is None else {"labels": labels[each]}) for each in rows
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch."""
        return next(self._batches, None)
