"""What MLflow wants to know of an ONNX model: its signature and an example of its inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcgan.inference.checksum import has_valid_checksum
from dcgan.system.errors import BadDataError

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from onnx import ModelProto, ValueInfoProto

EXAMPLE_ROWS = 2


def load_onnx(path: Path) -> "ModelProto":
    """The checked ONNX model in `path`, which MLflow, serialising it anew, keeps as the same bytes.

    Raises:
        BadDataError: the file is missing, its bytes are not those that the stage `export` sealed, or it is no valid
            ONNX model.
    """
    import onnx

    if not path.is_file():
        raise BadDataError(f"{path}: missing; run the stage `export` first")
    content = path.read_bytes()
    try:
        sealed = has_valid_checksum(content)
    except ValueError as error:
        raise BadDataError(f"{path}: {error}; run `dvc repro --force export`") from error
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's errors have no common base
        reason = " ".join(str(error).split())[:200]
        raise BadDataError(f"{path}: no valid ONNX model ({reason}); run `dvc repro --force export`") from error
    if not sealed:
        raise BadDataError(f"{path}: has no seal, so it is not what `export` wrote; run `dvc repro --force export`")
    if model.SerializeToString() != content:
        raise BadDataError(f"{path}: MLflow would keep other bytes of it, unsealed; run `dvc repro --force export`")
    return model


def signature_of(model: "ModelProto") -> "ModelSignature":
    """Names, types and shapes of the graph's inputs and outputs; the batch may have any length."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(values: "list[ValueInfoProto]") -> Schema:
        return Schema([TensorSpec(_dtype(value), _shape(value), value.name) for value in values])

    return ModelSignature(schema(list(model.graph.input)), schema(list(model.graph.output)))


def input_example_of(model: "ModelProto") -> dict[str, np.ndarray[Any, Any]]:
    """Inputs for two digits: standard normal numbers for a float input, 0 and 1 for an integer one."""
    rng = np.random.Generator(np.random.Philox(0))
    example: dict[str, np.ndarray[Any, Any]] = {}
    for value in model.graph.input:
        shape = [EXAMPLE_ROWS if size < 0 else size for size in _shape(value)]
        is_float = np.issubdtype(_dtype(value), np.floating)
        content = rng.standard_normal(shape) if is_float else np.arange(np.prod(shape)).reshape(shape)
        example[value.name] = content.astype(_dtype(value))
    return example


def _dtype(value: "ValueInfoProto") -> np.dtype[Any]:
    import onnx

    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _shape(value: "ValueInfoProto") -> tuple[int, ...]:
    """The shape, with -1 for a length that is open."""
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else -1 for size in sizes)
