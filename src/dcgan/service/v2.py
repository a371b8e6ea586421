"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dcgan.inference.contract import Contract
from dcgan.inference.generator import Drawn, Labels
from dcgan.inference.latents import Latents
from dcgan.service.errors import RequestError
from dcgan.service.images import require_at_most
from dcgan.service.message import Message

NAME, VERSION = "generator", "1"
"""Of the only model."""
DATATYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
OUTPUTS = ("images", "pixels")

Parameters = Annotated[dict[str, Any] | None, Field(description="Taken and ignored, so nothing in it is checked.")]


class InputTensor(Message):
    """`data` flat or nested, in row-major order."""

    name: str
    shape: Annotated[list[int], Field(max_length=8)]
    datatype: str
    parameters: Parameters = None
    data: list[Any]


class WantedOutput(Message):
    """An output to answer with."""

    name: str
    parameters: Parameters = None


class InferRequest(Message):
    """Latents and, if the model is conditional, labels."""

    id: Annotated[str, Field(max_length=100)] | None = None
    parameters: Parameters = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=2)]
    outputs: Annotated[list[WantedOutput], Field(max_length=2)] | None = None


def model_metadata(contract: Contract) -> dict[str, Any]:
    """What `GET /v2/models/{name}` answers."""
    return {
        "name": NAME,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [_tensor_metadata(each, kind) for each, kind in contract.inputs.items()],
        "outputs": [_tensor_metadata(each, kind) for each, kind in contract.outputs.items()],
    }


def read_inputs(request: InferRequest, contract: Contract, *, most: int) -> tuple[Latents, Labels | None]:
    """The latents float32 [N, latent_dim] and labels int64 [N] of a request.

    Raises:
        RequestError: 400 or 422, naming the input and what is wrong with it.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    if sorted(given) != sorted(contract.inputs) or len(given) != len(request.inputs):
        names = ", ".join(tensor.name[:40] for tensor in request.inputs)
        raise RequestError(400, f"inputs: found {names}; expected {', '.join(contract.inputs)}, each once")
    count = given["latents"].shape[0] if given["latents"].shape else 0
    if count < 1:
        raise RequestError(422, f"latents: shape {given['latents'].shape} has no rows; expected 1 or more")
    require_at_most(count, most, "latents")
    latents = _array(given["latents"], np.float32, [count, contract.latent_dim])
    if not contract.conditional:
        return latents, None
    labels = _array(given["labels"], np.int64, [count])
    if labels.min() < 0 or labels.max() >= contract.num_classes:
        raise RequestError(422, f"labels: some are out of range; expected 0 to {contract.num_classes - 1}")
    return latents, labels


def wanted_outputs(request: InferRequest) -> Sequence[str]:
    """The names of the outputs to answer with, all where none is named."""
    names = [output.name for output in request.outputs or ()] or OUTPUTS
    for name in names:
        if name not in OUTPUTS:
            raise RequestError(400, f"outputs: {name[:40]} is unknown; choose from {', '.join(OUTPUTS)}")
    return names


def infer_response(request: InferRequest, drawn: Drawn, names: Sequence[str]) -> bytes:
    """What `POST /v2/models/{name}/infer` answers; data is flat.

    Raises:
        RequestError: 422, latents near the end of float32 overflowed in the model; JSON has no numbers for that.
    """
    assert drawn.images is not None
    if not np.isfinite(drawn.images).all():
        raise RequestError(422, "latents: values this large draw no numbers; send smaller ones")
    outputs = [
        {
            "name": name,
            "datatype": DATATYPES[getattr(drawn, name).dtype.name],
            "shape": list(getattr(drawn, name).shape),
            "data": getattr(drawn, name).ravel().tolist(),
        }
        for name in names
    ]
    identity = {} if request.id is None else {"id": request.id}
    answer = {"model_name": NAME, "model_version": VERSION, **identity, "outputs": outputs}
    return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()


def _tensor_metadata(name: str, kind: str) -> dict[str, Any]:
    """From `float32 [batch, 100]`."""
    datatype, _, sizes = kind.partition(" ")
    shape = [-1 if size == "batch" else int(size) for size in sizes.strip("[]").split(", ")]
    return {"name": name, "datatype": DATATYPES[datatype], "shape": shape}


def _array(tensor: InputTensor, dtype: type[np.generic], shape: list[int]) -> NDArray[Any]:
    expected = DATATYPES[np.dtype(dtype).name]
    if tensor.datatype != expected:
        raise RequestError(400, f"{tensor.name}: datatype {tensor.datatype[:20]} is wrong; expected {expected}")
    if tensor.shape != shape:
        raise RequestError(422, f"{tensor.name}: shape {tensor.shape} is wrong; expected {shape}")
    flat = _flattened(tensor.data, tensor.name)
    if len(flat) != int(np.prod(shape)):
        raise RequestError(422, f"{tensor.name}: {len(flat)} values in data; shape {shape} needs {np.prod(shape)}")
    wanted = (int, float) if expected == "FP32" else (int,)
    if not all(type(value) in wanted for value in flat):
        kind = "number" if expected == "FP32" else "whole number"
        raise RequestError(422, f"{tensor.name}: a value in data is no {kind}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=dtype).reshape(shape)
    except OverflowError:
        raise RequestError(422, f"{tensor.name}: a value in data is too large for {expected}") from None
    if not np.isfinite(array).all():
        raise RequestError(422, f"{tensor.name}: a value in data is not finite in {expected}")
    return array


def _flattened(data: list[Any], name: str) -> list[Any]:
    """Values flat or nested once, as clients of the protocol send them."""
    if data and all(isinstance(row, list) for row in data):
        data = [value for row in data for value in row]
    if any(isinstance(value, list | dict) for value in data):
        raise RequestError(422, f"{name}: data is neither flat nor rows of numbers")
    return data
