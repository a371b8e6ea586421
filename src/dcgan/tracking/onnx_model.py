"""An ONNX model as MLflow keeps it: its bytes checked, with a signature and an example of its inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan.inference.checksum import has_valid_checksum
from dcgan.inference.generator import Generator
from dcgan.inference.model_file import read_model
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from onnx import ModelProto


def load_onnx(path: Path) -> "ModelProto":
    """The checked ONNX model in `path`, which MLflow, serialising it anew, keeps as the same bytes.

    Raises:
        BadDataError: the file is missing, its bytes are not those that the stage `export` wrote, or it is no valid
            ONNX model.
    """
    import onnx

    content = read_model(path)
    if not has_valid_checksum(content):
        raise BadDataError(f"{path}: has no checksum, so it is not what `export` wrote; {rerun('export')}")
    model = onnx.load_from_string(content)
    if model.SerializeToString() != content:
        raise BadDataError(f"{path}: MLflow would keep other bytes of it, without a valid checksum; {rerun('export')}")
    return model


def signature_and_example(path: Path) -> tuple["ModelSignature", dict[str, Any]]:
    """Names, types and shapes of inputs and outputs, the batch of any length, and inputs for two digits.

    Raises:
        BadDataError: the model does not keep the contract.
    """
    from mlflow.models import infer_signature

    generator = Generator.load(path, providers="cpu")
    latents, labels = generator.latents_for(2), generator.labels_for(2)
    inputs = {"latents": latents} | ({} if labels is None else {"labels": labels})
    return infer_signature(inputs, generator.draw_batch(latents, labels)._asdict()), inputs
