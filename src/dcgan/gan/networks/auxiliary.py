"""What acgan and infogan read off the images: how unlikely their auxiliary makes what the generator was asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from dcgan.config.schema import NUM_CLASSES, NUM_CODES


@dataclass(frozen=True)
class AuxiliaryTask:
    """A reading task that both players work on together, beside their game."""

    num_auxiliary: int
    """Numbers in an auxiliary output."""
    loss: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    """(auxiliary [B, num_auxiliary], latents [B, latent_dim], labels [B]) → scalar; what is not needed may be None."""
    uses_real_images: bool
    """Whether real images are read as well; they have labels, but nobody knows their latents."""


def label_loss(auxiliary: Tensor, latents: Tensor | None, labels: Tensor | None) -> Tensor:
    """-E[log p(label | image)], the auxiliary classifier's (Odena et al. 2017, arXiv:1610.09585)."""
    del latents
    assert labels is not None, "acgan is conditional"
    return functional.cross_entropy(auxiliary, labels)


def code_loss(auxiliary: Tensor, latents: Tensor | None, labels: Tensor | None) -> Tensor:
    """-E[log q(codes | image)] up to a constant: a bound on mutual information (Chen et al. 2016, arXiv:1606.03657).

    The codes are latents: which of the first ten is largest is the category, the next two are the continuous codes,
    whose q is a normal distribution of variance 1 around the auxiliary.
    """
    del labels
    assert latents is not None, "the latents of real images are not known"
    category, codes = latents[:, :NUM_CLASSES].argmax(dim=1), latents[:, NUM_CLASSES:NUM_CODES]
    squares = (auxiliary[:, NUM_CLASSES:] - codes).square().sum(dim=1)
    return functional.cross_entropy(auxiliary[:, :NUM_CLASSES], category) + 0.5 * squares.mean()


LABELS = AuxiliaryTask(NUM_CLASSES, label_loss, uses_real_images=True)
CODES = AuxiliaryTask(NUM_CODES, code_loss, uses_real_images=False)
