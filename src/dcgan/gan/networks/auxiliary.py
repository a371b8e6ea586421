"""Auxiliary losses: what acgan (the label) and infogan (some latents) predict from the images besides real or fake."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from dcgan.config.schema import NUM_CATEGORIES, NUM_CODES, ModelConfig
from dcgan.gan.networks.base import DiscriminatorOutput


@dataclass(frozen=True)
class AuxiliaryTask:
    """A reading task that both players minimise the loss of, beside the adversarial one."""

    num_auxiliary: Callable[[ModelConfig], int]
    """Numbers in an auxiliary output."""
    loss: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    """(auxiliary [B, num_auxiliary], latents [B, latent_dim], labels [B]) → scalar; what is not needed may be None."""
    uses_real_images: bool
    """Whether real images are read as well; they have labels, but no latents."""

    def generator_loss(self, fake: DiscriminatorOutput, latents: Tensor, fake_labels: Tensor | None) -> Tensor:
        """The loss on fakes drawn from `latents` [B, latent_dim] and `fake_labels` [B]."""
        assert fake.auxiliary is not None
        return self.loss(fake.auxiliary, latents, fake_labels)

    def discriminator_loss(
        self,
        real: DiscriminatorOutput,
        fake: DiscriminatorOutput,
        labels: Tensor | None,
        latents: Tensor,
        fake_labels: Tensor | None,
    ) -> Tensor:
        """The loss on fakes, and on real images with `labels` [B] where these are read as well."""
        of_fakes = self.generator_loss(fake, latents, fake_labels)
        if not self.uses_real_images:
            return of_fakes
        assert real.auxiliary is not None
        return of_fakes + self.loss(real.auxiliary, None, labels)


def label_loss(auxiliary: Tensor, _latents: Tensor | None, labels: Tensor | None) -> Tensor:
    """-E[log p(label | image)], the auxiliary classifier's (Odena et al. 2017, arXiv:1610.09585)."""
    assert labels is not None, "acgan is conditional"
    return functional.cross_entropy(auxiliary, labels)


def code_loss(auxiliary: Tensor, latents: Tensor | None, _labels: Tensor | None) -> Tensor:
    """-E[log q(codes | image)] up to a constant: a bound on mutual information (Chen et al. 2016, arXiv:1606.03657).

    The codes are latents: which of the first ten is largest is the category, the next two are the continuous codes,
    whose q is a normal distribution of variance 1 around the auxiliary.
    """
    assert latents is not None, "the latents of real images are not known"
    category, codes = latents[:, :NUM_CATEGORIES].argmax(dim=1), latents[:, NUM_CATEGORIES:NUM_CODES]
    squares = (auxiliary[:, NUM_CATEGORIES:] - codes).square().sum(dim=1)
    return functional.cross_entropy(auxiliary[:, :NUM_CATEGORIES], category) + 0.5 * squares.mean()


LABELS = AuxiliaryTask(lambda model: model.num_classes, label_loss, uses_real_images=True)
CODES = AuxiliaryTask(lambda _model: NUM_CODES, code_loss, uses_real_images=False)
