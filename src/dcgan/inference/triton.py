"""A model repository for NVIDIA Triton: `NAME/config.pbtxt` and `NAME/VERSION/model.onnx`.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

import hashlib
from pathlib import Path

from dcgan.inference.contract import Contract
from dcgan.inference.generator import CHUNK, Generator
from dcgan.inference.model_file import read_model
from dcgan.system.errors import BadDataError, UsageError
from dcgan.system.files import write_bytes

NAME = "dcgan-generator"
MAX_BATCH = 1024

_CONFIG = """\
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {max_batch}
input [
{inputs}
]
output [
  {{ name: "images" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }},
  {{ name: "pixels" data_type: TYPE_UINT8 dims: [ 28, 28 ] }}
]
dynamic_batching {{
  preferred_batch_size: [ {chunk} ]
  max_queue_delay_microseconds: 2000
}}
version_policy {{ latest {{ num_versions: 2 }} }}
"""


def write_repository(folder: Path, generator: Generator) -> Path:
    """Add a generator to the repository in `folder` as its next version, and return the path of its model.

    Raises:
        UsageError: the repository has a model of that name with other inputs, so it is no version of it.
        BadDataError: the file has changed since it was loaded.
        CannotCreateError, StorageError: the folder cannot be written.
    """
    config, home = config_of(generator.info.contract), folder / NAME
    config_path = home / "config.pbtxt"
    if config_path.exists() and config_path.read_text() != config:
        raise UsageError(f"{config_path}: describes another model; choose an empty folder")
    versions = [int(each.name) for each in home.glob("*") if each.name.isdecimal()]
    path = home / str(max(versions, default=0) + 1) / "model.onnx"
    content = read_model(generator.info.path)
    if (found := hashlib.sha256(content).hexdigest()) != generator.info.sha256:
        raise BadDataError(
            f"{generator.info.path}: changed since it was loaded: expected SHA-256 {generator.info.sha256}, found "
            f"{found}; run the command again"
        )
    write_bytes(path, content)
    write_bytes(config_path, config.encode())
    return path


def config_of(contract: Contract) -> str:
    """The configuration of a generator, in protobuf's text format."""
    inputs = [f'  {{ name: "latents" data_type: TYPE_FP32 dims: [ {contract.latent_dim} ] }}']
    if contract.conditional:
        # One label a row is [batch] to the model; Triton wants at least one dimension besides the batch.
        inputs.append('  { name: "labels" data_type: TYPE_INT64 dims: [ 1 ] reshape: { shape: [ ] } }')
    return _CONFIG.format(name=NAME, max_batch=MAX_BATCH, inputs=",\n".join(inputs), chunk=CHUNK)
