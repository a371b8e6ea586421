"""Inference requests of the Open Inference Protocol, version 2: tensors in and out, as JSON or as bytes behind it."""

import json
from collections.abc import Mapping, Sequence
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
from dcgan.service.v2 import DATATYPES, NAME

OUTPUTS = ("images", "pixels")
NOT_OFFERED = ("shared_memory_region", "classification")
"""Parameters of a tensor that ask for what this server has not; an answer without it would mislead."""

Parameters = Annotated[
    dict[str, Any] | None, Field(description="Of Triton's extensions, those for binary tensors; others are ignored.")
]


class InputTensor(Message):
    """`data` flat or nested, in row-major order; or its bytes, which `parameters.binary_data_size` counts."""

    name: Annotated[str, Field(description="latents, or labels.")]
    shape: Annotated[list[int], Field(max_length=8, description="Of latents [N, latent_dim], of labels [N].")]
    datatype: Annotated[str, Field(description="FP32 for latents, INT64 for labels.")]
    parameters: Parameters = None
    data: Annotated[list[Any] | None, Field(description="The numbers; null where bytes follow the JSON.")] = None


class WantedOutput(Message):
    """An output to answer with, as bytes if `parameters.binary_data` is true."""

    name: Annotated[str, Field(description="images, or pixels.")]
    parameters: Parameters = None


class InferRequest(Message):
    """Latents and, if the model is conditional, labels; `parameters.binary_data_output` asks for bytes in return."""

    id: Annotated[Annotated[str, Field(max_length=100)] | None, Field(description="Comes back in the answer.")] = None
    model_name: Annotated[str | None, Field(description="Ignored: the address names the model.")] = None
    model_version: Annotated[str | None, Field(description="Ignored, as `model_name`.")] = None
    parameters: Parameters = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=2, description="Each input once.")]
    outputs: Annotated[
        Annotated[list[WantedOutput], Field(max_length=2)] | None, Field(description="null: all outputs, as JSON.")
    ] = None


def read_inputs(
    request: InferRequest, tensors: bytes, contract: Contract, *, most: int
) -> tuple[Latents, Labels | None]:
    """The latents float32 [N, latent_dim] and labels int64 [N] of a request; `tensors` came behind its JSON.

    Raises:
        RequestError: 400 or 422, naming the input and what is wrong with it.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    if sorted(given) != sorted(contract.inputs) or len(given) != len(request.inputs):
        names = ", ".join(tensor.name[:40] for tensor in request.inputs)
        raise RequestError(400, f"inputs: found {names}; expected {', '.join(contract.inputs)}, each once")
    parts = _parts(request.inputs, tensors)
    count = given["latents"].shape[0] if given["latents"].shape else 0
    if count < 1:
        raise RequestError(422, f"latents: shape {given['latents'].shape} has no rows; expected 1 or more")
    require_at_most(count, most, "latents")
    latents = _array(given["latents"], parts, np.float32, [count, contract.latent_dim])
    if not contract.conditional:
        return latents, None
    if given["labels"].shape == [count, 1]:  # as Triton has them, where a batch is never all of a shape
        given["labels"].shape = [count]
    labels = _array(given["labels"], parts, np.int64, [count])
    if labels.min() < 0 or labels.max() >= contract.num_classes:
        raise RequestError(422, f"labels: some are out of range; expected 0 to {contract.num_classes - 1}")
    return latents, labels


def wanted_outputs(request: InferRequest) -> dict[str, bool]:
    """The names of the outputs to answer with, all where none is named, and whether each is wanted as bytes."""
    outputs = request.outputs or [WantedOutput(name=name) for name in OUTPUTS]
    for output in outputs:
        if output.name not in OUTPUTS:
            raise RequestError(400, f"outputs: {output.name[:40]} is unknown; choose from {', '.join(OUTPUTS)}")
        _require_offered(output)
    every = _is_true(request.parameters, "binary_data_output", otherwise=False)
    return {output.name: _is_true(output.parameters, "binary_data", otherwise=every) for output in outputs}


def infer_response(
    request: InferRequest, drawn: Drawn, wanted: Mapping[str, bool], *, version: str
) -> tuple[bytes, int]:
    """What `POST /v2/models/{name}/infer` answers, and how much of it is JSON; data is flat.

    Raises:
        RequestError: 422, latents near the end of float32 overflowed in the model; JSON has no numbers for that.
    """
    assert drawn.images is not None
    if not np.isfinite(drawn.images).all():
        raise RequestError(422, "latents: values this large draw no numbers; send smaller ones")
    outputs, tensors = [], []
    for name, is_binary in wanted.items():
        array: NDArray[Any] = getattr(drawn, name)
        output: dict[str, Any] = {"name": name, "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
        if is_binary:
            tensors.append(array.astype(_little_endian(array.dtype), copy=False).tobytes())
            outputs.append(output | {"parameters": {"binary_data_size": array.nbytes}})
        else:
            outputs.append(output | {"data": array.ravel().tolist()})
    identity = {} if request.id is None else {"id": request.id}
    answer = {"model_name": NAME, "model_version": version, **identity, "outputs": outputs}
    content = json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([content, *tensors]), len(content)


def _parts(inputs: Sequence[InputTensor], tensors: bytes) -> dict[str, bytes]:
    """The bytes of each input that came as such, by name, in the order of the inputs."""
    parts, start = {}, 0
    for tensor in inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or size < 0:
            raise RequestError(400, f"{tensor.name}: binary_data_size is no number of bytes")
        parts[tensor.name] = tensors[start : start + size]
        start += size
    if start != len(tensors):
        found = f"{len(tensors)} bytes follow the JSON, whose binary_data_size add up to {start}"
        raise RequestError(400, f"inputs: {found}; check Inference-Header-Content-Length")
    return parts


def _array(tensor: InputTensor, parts: Mapping[str, bytes], dtype: type[np.generic], shape: list[int]) -> NDArray[Any]:
    expected = DATATYPES[np.dtype(dtype).name]
    if tensor.datatype != expected:
        raise RequestError(400, f"{tensor.name}: datatype {tensor.datatype[:20]} is wrong; expected {expected}")
    if tensor.shape != shape:
        raise RequestError(422, f"{tensor.name}: shape {tensor.shape} is wrong; expected {shape}")
    _require_offered(tensor)
    if (tensor.name in parts) == (tensor.data is not None):
        raise RequestError(400, f"{tensor.name}: send either data or binary_data_size with its bytes")
    flat = _from_json(tensor, dtype, shape) if tensor.data is not None else _from_bytes(tensor, parts, dtype, shape)
    if not np.isfinite(flat).all():
        raise RequestError(422, f"{tensor.name}: a value in data is not finite in {expected}")
    return flat.reshape(shape)


def _from_bytes(
    tensor: InputTensor, parts: Mapping[str, bytes], dtype: type[np.generic], shape: list[int]
) -> NDArray[Any]:
    stored, needed = parts[tensor.name], int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(stored) != needed:
        raise RequestError(
            422, f"{tensor.name}: {len(stored)} bytes; shape {shape} in {tensor.datatype} needs {needed}"
        )
    return np.frombuffer(stored, _little_endian(np.dtype(dtype))).astype(dtype)


def _from_json(tensor: InputTensor, dtype: type[np.generic], shape: list[int]) -> NDArray[Any]:
    flat = _flattened(tensor.data or [], tensor.name)
    if len(flat) != int(np.prod(shape)):
        raise RequestError(422, f"{tensor.name}: {len(flat)} values in data; shape {shape} needs {np.prod(shape)}")
    wanted = (int, float) if tensor.datatype == "FP32" else (int,)
    if not all(type(value) in wanted for value in flat):
        kind = "number" if tensor.datatype == "FP32" else "whole number"
        raise RequestError(422, f"{tensor.name}: a value in data is no {kind}")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype=dtype)
    except OverflowError:
        raise RequestError(422, f"{tensor.name}: a value in data is too large for {tensor.datatype}") from None


def _flattened(data: list[Any], name: str) -> list[Any]:
    """Values flat or nested once, as clients of the protocol send them."""
    if data and all(isinstance(row, list) for row in data):
        data = [value for row in data for value in row]
    if any(isinstance(value, list | dict) for value in data):
        raise RequestError(422, f"{name}: data is neither flat nor rows of numbers")
    return data


def _require_offered(tensor: InputTensor | WantedOutput) -> None:
    for name in NOT_OFFERED:
        if (tensor.parameters or {}).get(name):
            raise RequestError(400, f"{tensor.name}: {name} is not offered; send and take data or binary tensors")


def _is_true(parameters: Mapping[str, Any] | None, name: str, *, otherwise: bool) -> bool:
    given = (parameters or {}).get(name)
    if given is None:
        return otherwise
    if not isinstance(given, bool):
        raise RequestError(400, f"{name}: expected true or false")
    return given


def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")
