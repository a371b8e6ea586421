"""Inception-v3 features in TensorFlow's weights, for `fid` in the published protocol; torch-fidelity is the network.

Used only where a weights file is given: it is 91 MB, and a CPU takes half an hour for 20,000 images.
"""

import io
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan.core.metrics.frechet import feature_statistics, frechet_distance
from dcgan.errors import BadDataError, UnavailableError

CHUNK = 50
"""Images enlarged to 299x299 at once."""

_REMEDY = "give the weights that torch-fidelity publishes, or set evaluate.inception_weights: null"


def load_inception(path: Path, *, device: torch.device) -> nn.Module:
    """The Inception-v3 network, (images uint8 [B, 3, H, W]) → (features float32 [B, 2048],).

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
    # torch-fidelity would unpickle anything, so it is handed a copy of what was read as plain tensors.
    checked = io.BytesIO()
    torch.save(_plain_tensors(path), checked)
    checked.seek(0)
    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=checked)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than Inception-v3; {_REMEDY}") from error
    return network.to(device)


def compute_fid(inception: nn.Module, samples: Tensor, test: Tensor) -> float:
    """The Fréchet Inception distance between pixels uint8 [N, 28, 28] and [M, 28, 28].

    The published protocol (Heusel et al. 2017, arXiv:1706.08500): grey repeated to three channels in 0..255, enlarged
    as TensorFlow 1 does.

    Raises:
        ValueError: fewer than two images of either, or a feature that is not finite.
    """
    return frechet_distance(*(feature_statistics(_features(inception, pixels)) for pixels in (samples, test)))


@torch.no_grad()
def _features(inception: nn.Module, pixels: Tensor) -> Tensor:
    device = next(inception.parameters()).device
    chunks = (pixels[start : start + CHUNK].to(device) for start in range(0, len(pixels), CHUNK))
    return torch.cat([inception(chunk.unsqueeze(1).expand(-1, 3, -1, -1))[0].cpu() for chunk in chunks])


def _plain_tensors(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {_REMEDY}") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise BadDataError(f"{path}: not a file of plain tensors; {_REMEDY}") from error
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise BadDataError(f"{path}: not a file of named tensors; {_REMEDY}")
    return content
