"""What the Open Inference Protocol, version 2, tells of the server and its model, and Triton's extensions to that.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from collections.abc import Mapping
from typing import Any

from dcgan import __version__
from dcgan.inference.model_info import ModelInfo
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics

NAME = "generator"
"""Of the only model."""
FIRST_VERSION = "1"
"""Of a model that comes from a file."""
ANY_VERSION = ""
"""What a request asks for that names none."""
PLATFORM = "onnxruntime_onnx"
DATATYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
EXTENSIONS = ["binary_tensor_data", "model_configuration", "statistics"]


def server_metadata() -> dict[str, Any]:
    """What `GET /v2` answers."""
    return {"name": "dcgan-mnist", "version": __version__, "extensions": EXTENSIONS}


def version_of(info: ModelInfo) -> str:
    """The only version that is served: its number in the registry, if it comes from one."""
    return info.version or FIRST_VERSION


def model_metadata(info: ModelInfo) -> dict[str, Any]:
    """What `GET /v2/models/{name}` answers."""
    contract = info.contract
    return {
        "name": NAME,
        "versions": [version_of(info)],
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(each, kind) for each, kind in contract.inputs.items()],
        "outputs": [_tensor_metadata(each, kind) for each, kind in contract.outputs.items()],
    }


def model_config(info: ModelInfo, limits: Limits) -> dict[str, Any]:
    """What `GET /v2/models/{name}/config` answers: Triton's `ModelConfig`, whose dimensions leave out the batch.

    Its parameters are what the file says about itself, as where it comes from.
    """
    contract, described = info.contract, {"arithmetic": info.arithmetic, "sha256": info.sha256, **info.metadata}
    return {
        "name": NAME,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": limits.max_images,
        "input": [_tensor_config(each, kind) for each, kind in contract.inputs.items()],
        "output": [_tensor_config(each, kind) for each, kind in contract.outputs.items()],
        "dynamic_batching": {
            "preferred_batch_size": [limits.max_batch],
            "max_queue_delay_microseconds": round(1e6 * limits.max_wait_seconds),
        },
        "parameters": {name: {"string_value": value} for name, value in described.items()},
    }


def repository_index(info: ModelInfo) -> list[dict[str, str]]:
    """What `POST /v2/repository/index` answers."""
    return [{"name": NAME, "version": version_of(info), "state": "READY", "reason": ""}]


def model_statistics(info: ModelInfo, metrics: Metrics) -> dict[str, Any]:
    """What `GET /v2/models/{name}/stats` answers: all that was drawn since the start, whichever protocol asked for it.

    What is not measured, as Triton's copies of inputs and outputs, has been measured 0 times.
    """
    names = {
        "success": ("dcgan_draw_seconds", {"outcome": "done"}),
        "fail": ("dcgan_draw_seconds", {"outcome": "failed"}),
        "queue": ("dcgan_queue_seconds", {}),
        "compute_infer": ("dcgan_batch_seconds", {}),
    }
    values = metrics.values()

    def value(name: str, labels: Mapping[str, str] | None = None) -> float:
        return values.get((name, frozenset((labels or {}).items())), 0)

    def duration(name: str, labels: Mapping[str, str]) -> dict[str, int]:
        return {"count": int(value(f"{name}_count", labels)), "ns": round(1e9 * value(f"{name}_sum", labels))}

    durations = {key: duration(name, labels) for key, (name, labels) in names.items()}
    unmeasured = {key: {"count": 0, "ns": 0} for key in ("compute_input", "compute_output", "cache_hit", "cache_miss")}
    stats = {
        "name": NAME,
        "version": version_of(info),
        "last_inference": round(1000 * value("dcgan_last_batch_timestamp_seconds")),
        "inference_count": int(value("dcgan_batch_images_sum")),
        "execution_count": int(value("dcgan_batch_images_count")),
        "inference_stats": durations | unmeasured,
        "batch_stats": [],
    }
    return {"model_stats": [stats]}


def _tensor_metadata(name: str, kind: str) -> dict[str, Any]:
    """From `float32 [batch, 100]`."""
    datatype, _, sizes = kind.partition(" ")
    shape = [-1 if size == "batch" else int(size) for size in sizes.strip("[]").split(", ")]
    return {"name": name, "datatype": DATATYPES[datatype], "shape": shape}


def _tensor_config(name: str, kind: str) -> dict[str, Any]:
    metadata = _tensor_metadata(name, kind)
    config = {"name": name, "data_type": f"TYPE_{metadata['datatype']}"}
    # One label a row is [batch] to the model; Triton wants at least one dimension besides the batch.
    return config | ({"dims": dims} if (dims := metadata["shape"][1:]) else {"dims": [1], "reshape": {"shape": []}})
