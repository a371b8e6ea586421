"""Plain statistics of pixels: grey levels, the size of digits and their place, with no classifier between."""

import torch
from torch import Tensor

from dcgan.config.schema import IMAGE_SIZE

INK = 16
"""The least value of a pixel that counts as ink where a digit's size and place are measured: haze cannot count.

Of MNIST's test images 99.97 % have a longer side of 20 pixels under any limit from 1 to 16, and 98.8 % under 128.
"""
BOX = 20
"""MNIST's digits were scaled to fit a box of this side, so this is the longer side of nearly all of them."""


def pixel_statistics(pixels: Tensor) -> dict[str, float]:
    """Statistics by name of pixels uint8 [N, 28, 28].

    Shares of all pixels, in [0, 1]: `zeros` (value 0), `haze` (1 to 4), `near_saturated` (252 to 254; MNIST's ink peaks
    at 253) and `saturated` (255). `ink` is the mean value, in [0, 1].

    The others are over the images that have ink (`INK`), and NaN if none has. `longest_side` is the mean of the longer
    side of its bounding box, in pixels; `longest_side_20` the share of images where that is 20; `center_row` and
    `center_column` the mean of its centre of mass, from 0 to 27; `center_spread` the root mean square distance of the
    centres from their mean, along an axis.
    """
    counts = torch.bincount(pixels.flatten(), minlength=256)
    shares = counts.double() / pixels.numel()
    is_ink = pixels >= INK
    is_drawn = is_ink.flatten(1).any(dim=1)
    longest_side = torch.maximum(_extent(is_ink.any(dim=2)), _extent(is_ink.any(dim=1)))[is_drawn]
    ink = pixels.where(is_ink, 0)[is_drawn]
    centers = torch.stack([_mean_position(ink.sum(dim=dim, dtype=torch.float32)) for dim in (2, 1)])
    statistics = {
        "zeros": shares[0],
        "haze": shares[1:5].sum(),
        "near_saturated": shares[252:255].sum(),
        "saturated": shares[255],
        "ink": shares @ torch.arange(256).double() / 255,
        "longest_side": longest_side.double().mean(),
        "longest_side_20": (longest_side == BOX).double().mean(),
        "center_row": centers[0].mean(),
        "center_column": centers[1].mean(),
        "center_spread": (centers - centers.mean(dim=1, keepdim=True)).square().mean().sqrt(),
    }
    return {name: float(value) for name, value in statistics.items()}


def _extent(occupied: Tensor) -> Tensor:
    """From the first place that is occupied to the last, both counted: int64 [N] of bool [N, 28]."""
    first, behind_last = (places.byte().argmax(dim=1) for places in (occupied, occupied.flip(1)))
    return IMAGE_SIZE - first - behind_last


def _mean_position(mass: Tensor) -> Tensor:
    """The centre, float64 [N], of a mass [N, 28] along a line."""
    return mass.double() @ torch.arange(IMAGE_SIZE).double() / mass.double().sum(dim=1)
