"""Inception-v3 features in TensorFlow's weights, for `fid` in the published protocol; torch-fidelity is the network.

Used only where a weights file is given: it is 91 MB, and a CPU takes half an hour for 20,000 images.
"""

import io
import pickle
import struct
from pathlib import Path

import torch
from torch import Tensor, nn

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.data.dataset import Dataset
from dcgan.evaluation.quality import Quality
from dcgan.system.errors import BadDataError, UnavailableError

CHUNK = 50
"""Images enlarged to 299x299 at once."""

_UNREADABLE = (
    RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    struct.error,
)  # fmt: skip
"""What torch.load raises for files that hold something else."""
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
    # torch-fidelity would run what is in the file, so it is handed a copy of what was read as plain tensors.
    checked = io.BytesIO()
    torch.save(_plain_tensors(path), checked)
    checked.seek(0)
    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=checked)
    except RuntimeError as error:
        raise BadDataError(f"{path}: holds another network than Inception-v3; {_REMEDY}") from error
    return network.to(device)


def compute_fid(inception: nn.Module, samples: Tensor, *, test: Tensor, train: Tensor) -> tuple[float, float]:
    """Fréchet Inception distances to the test images: of the samples, and of training images, the floor.

    Grey repeated to three channels in 0..255, enlarged as TensorFlow 1 does (Heusel et al. 2017, arXiv:1706.08500).
    The distance is biased by the number of images, so it compares only with figures on as many.

    Args:
        inception: as `load_inception` returns it.
        samples: pixels uint8 [N, 28, 28].
        test: pixels uint8 [M, 28, 28].
        train: pixels uint8 [N, 28, 28].

    Raises:
        BadDataError: a feature is not finite.
    """
    reference, ours, floor = (feature_statistics(_features(inception, pixels)) for pixels in (test, samples, train))
    return frechet_distance(ours, reference), frechet_distance(floor, reference)


def measure_fid(inception: nn.Module | None, quality: Quality, dataset: Dataset) -> tuple[float, float] | None:
    """`compute_fid` of a generator's samples and of the training images beside them; None without the network."""
    if inception is None:
        return None
    return compute_fid(inception, quality.samples.pixels, test=dataset.test.images, train=quality.floor_pixels)


@torch.no_grad()
def _features(inception: nn.Module, pixels: Tensor) -> Tensor:
    device = next(inception.parameters()).device
    chunks = (pixels[start : start + CHUNK].to(device) for start in range(0, len(pixels), CHUNK))
    features = torch.cat([inception(chunk.unsqueeze(1).expand(-1, 3, -1, -1))[0].cpu() for chunk in chunks])
    if not torch.isfinite(features).all():
        raise BadDataError(f"evaluate.inception_weights: the features are not finite; {_REMEDY}")
    return features


def _plain_tensors(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {_REMEDY}") from None
    except _UNREADABLE as error:
        raise BadDataError(f"{path}: not a file of plain tensors; {_REMEDY}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in content.items()
    ):
        raise BadDataError(f"{path}: not a file of named tensors; {_REMEDY}")
    return content
