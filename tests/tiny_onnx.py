"""A generator.onnx small enough to compute by hand: images = tanh(latents · WEIGHT + SHIFT[label])."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_graph

from dcgan.inference.checksum import BLANK, KEY, add_checksum

LATENT_DIM = 4
WEIGHT = np.random.default_rng(0).normal(size=(LATENT_DIM, 784)).astype(np.float32)
SHIFT = np.linspace(-1, 1, 10, dtype=np.float32).reshape(10, 1)
METADATA = {
    "latent_dim": str(LATENT_DIM),
    "latent_distribution": "normal",
    "num_classes": "10",
    "dataset": "mnist",
    "dataset_sha256": "d" * 64,
    "params_sha256": "e" * 64,
    "generator_sha256": "f" * 64,
}
FOREIGN: dict[str, str | None] = {KEY: None, "params_sha256": None, "generator_sha256": None}
"""Changes to the metadata that make a generator one exported elsewhere."""


def build_model(
    *,
    conditional: bool = True,
    weight: np.ndarray = WEIGHT,
    scale: float = 127.5,
    batch: str | int = "batch",
    latents_type: int = TensorProto.FLOAT,
    names: Sequence[str] = ("latents", "labels", "images", "pixels"),
    **metadata: str | None,
) -> onnx.ModelProto:
    """The model, ready for its checksum, or one that breaks the contract; a metadata key of None is left out."""
    latents, labels, images, pixels = names
    kind = "double" if latents_type == TensorProto.DOUBLE else "float"
    label_input = f", int64[{batch}] {labels}" if conditional else ""
    moved = f"moved = Gather(shift, {labels}) ink = Add(drawn, moved)" if conditional else "ink = Identity(drawn)"
    graph = parse_graph(f"""
        generator ({kind}[{batch}, {len(weight)}] {latents}{label_input})
            => (float[{batch}, 1, 28, 28] {images}, uint8[{batch}, 28, 28] {pixels}) {{
            input = Cast <to: int = {TensorProto.FLOAT}> ({latents})
            drawn = MatMul(input, weight)
            {moved}
            flat = Tanh(ink)
            {images} = Reshape(flat, image)
            scaled = Mul(flat, scale)
            grey = Add(scaled, half)
            whole = Round(grey)
            bytes = Cast <to: int = {TensorProto.UINT8}> (whole)
            {pixels} = Reshape(bytes, picture)
        }}""")
    constants = {
        "weight": weight,
        **({"shift": SHIFT} if conditional else {}),
        "scale": np.float32(scale),
        "half": np.float32(127.5),
        "image": np.array([-1, 1, 28, 28]),
        "picture": np.array([-1, 28, 28]),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    promised = METADATA if conditional else METADATA | {"num_classes": "0"}
    said = {KEY: BLANK, **promised, **metadata}
    helper.set_model_props(model, {key: value for key, value in said.items() if value is not None})
    return model


def write_model(path: Path, model: onnx.ModelProto | None = None) -> Path:
    """Write the model, by default a good one, with its checksum if it has a blank for it, and return `path`."""
    content = (model or build_model()).SerializeToString(deterministic=True)
    path.write_bytes(add_checksum(content) if BLANK.encode() in content else content)
    return path


def expected_pixels(latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """What the model draws, by NumPy in double precision, as float64 [N, 28, 28] in 0..255, not rounded."""
    ink = latents.astype(np.float64) @ WEIGHT + (0 if labels is None else SHIFT[labels])
    return ((np.tanh(ink) + 1) * 127.5).reshape(-1, 28, 28)
