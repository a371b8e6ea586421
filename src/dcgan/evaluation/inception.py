"""`fid`: Fréchet distance on Inception-v3 features with TensorFlow's weights, by torch-fidelity's network.

Only where a weights file is given: it has 91 MB, and a CPU takes half an hour for 20,000 images.
"""

import hashlib
import io
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.system.errors import BadDataError, UnavailableError

CHUNK = 50
"""Images enlarged to 299x299 at once."""

_UNREADABLE = (
    RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error,
)  # fmt: skip
"""What torch.load raises for files that hold something else."""
_REMEDY = "give the weights that torch-fidelity publishes, or set evaluate.inception_weights: null"


@dataclass(frozen=True)
class Inception:
    """The Inception-v3 network, (images uint8 [B, 3, H, W]) → (features float32 [B, 2048],)."""

    network: nn.Module
    sha256: str
    """Of the weights file."""


def load_inception(path: Path, *, device: torch.device) -> Inception:
    """The network with the weights in `path`.

    Args:
        path: torch-fidelity's weights-inception-2015-12-05-6726825d.pth, or others of the same names and shapes.
        device: where it computes.

    Raises:
        BadDataError: the file is missing, holds more than plain tensors, or another network.
        UnavailableError: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "fid needs torch-fidelity: install it, or set evaluate.inception_weights: null"
        ) from error
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {_REMEDY}") from None
    # torch-fidelity unpickles its file without restrictions: it gets a copy of what was read as plain tensors.
    checked = io.BytesIO()
    torch.save(_plain_tensors(content, path), checked)
    checked.seek(0)
    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=checked)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than Inception-v3; {_REMEDY}") from error
    return Inception(network.to(device), hashlib.sha256(content).hexdigest())


def measure_fid(
    inception: Inception | None, samples: Tensor, *, test: Tensor, train: Tensor
) -> dict[str, float | str | None]:
    """Fréchet Inception distance to the test images: of samples, and of training images, which is the floor.

    Grey repeated to three channels in 0..255, enlarged as TensorFlow 1 does (Heusel et al. 2017, arXiv:1706.08500).
    The number of images biases the distance, so it compares only under equal numbers.

    Args:
        inception: None: nothing is measured.
        samples: pixels uint8 [N, 28, 28].
        test: pixels uint8 [M, 28, 28].
        train: pixels uint8 [N, 28, 28].

    Returns:
        `fid`, `fid_floor` and `inception_sha256`.

    Raises:
        BadDataError: a feature is not finite.
    """
    if inception is None:
        return {"fid": None, "fid_floor": None, "inception_sha256": None}
    reference, ours, floor = (
        feature_statistics(_features(inception.network, pixels)) for pixels in (test, samples, train)
    )
    return {
        "fid": frechet_distance(ours, reference),
        "fid_floor": frechet_distance(floor, reference),
        "inception_sha256": inception.sha256,
    }


@torch.no_grad()
def _features(network: nn.Module, pixels: Tensor) -> Tensor:
    device = next(network.parameters()).device
    colour = (chunk.to(device).unsqueeze(1).expand(-1, 3, -1, -1) for chunk in torch.split(pixels, CHUNK))
    features = torch.cat([network(chunk)[0].cpu() for chunk in colour])
    if not torch.isfinite(features).all():
        raise BadDataError(f"evaluate.inception_weights: the features are not finite; {_REMEDY}")
    return features


def _plain_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise BadDataError(f"{path}: not a file of plain tensors; {_REMEDY}") from error
    if not isinstance(tensors, dict) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise BadDataError(f"{path}: not a file of named tensors; {_REMEDY}")
    return tensors
