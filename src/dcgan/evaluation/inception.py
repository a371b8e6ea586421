"""`fid`: Fréchet distance on Inception-v3 features with TensorFlow's weights, by torch-fidelity's network.

Only where a weights file is given: it has 91 MB, and a CPU takes half an hour for 20,000 images.
"""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.system.errors import BadDataError, UnavailableError

CHUNK = 50
"""Images enlarged to 299x299 at once."""
_REMEDY = "give the weights that torch-fidelity publishes, or set evaluate.inception_weights: null"


class Inception(NamedTuple):
    """The network, (images uint8 [B, 3, H, W]) → (features float32 [B, 2048],), and the SHA-256 of its weights file."""

    network: nn.Module
    sha256: str


def load_inception(path: Path, *, device: torch.device) -> Inception:
    """Inception-v3 with the weights in `path`, as torch-fidelity's weights-inception-2015-12-05-6726825d.pth has them.

    Raises:
        BadDataError: the file is missing, holds more than plain tensors, or another network.
        UnavailableError: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise UnavailableError(f"fid needs torch-fidelity: install it, or {_REMEDY}") from error
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {_REMEDY}") from None
    # torch-fidelity reads its file without restrictions: it gets a copy of what was read as plain tensors.
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
    """`fid` of samples, `fid_floor` of training images, both against the test images, and `inception_sha256`.

    Pixels uint8 [N, 28, 28], [N, 28, 28] and [M, 28, 28]: grey repeated to three channels, enlarged as TensorFlow 1
    does (Heusel et al. 2017, arXiv:1706.08500). The number of images biases the distance, so it compares only under
    equal numbers. All None without the network.

    Raises:
        BadDataError: a feature is not finite.
    """
    if inception is None:
        return {"fid": None, "fid_floor": None, "inception_sha256": None}
    reference, ours, floor = (feature_statistics(_features(inception.network, each)) for each in (test, samples, train))
    distances = {"fid": frechet_distance(ours, reference), "fid_floor": frechet_distance(floor, reference)}
    return {**distances, "inception_sha256": inception.sha256}


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
    except Exception as error:  # for a file that holds something else, torch.load raises almost anything
        raise BadDataError(f"{path}: not a file of plain tensors; {_REMEDY}") from error
    if not isinstance(tensors, dict) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise BadDataError(f"{path}: not a file of named tensors; {_REMEDY}")
    return tensors
