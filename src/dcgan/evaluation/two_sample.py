"""Classifier two-sample test: how well a fresh network learns to tell samples from real images it has not seen.

Half right means that it finds no difference (Lopez-Paz & Oquab 2017, arXiv:1610.06545).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan.classifier.network import classify_pixels
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig, EvaluateConfig
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation.samples import Sampler, Samples, generate_samples, shuffled
from dcgan.system.errors import BadDataError, DivergedError
from dcgan.system.progress import ProgressLines


@dataclass(frozen=True, kw_only=True)
class TwoSampleTest:
    """The result of one test."""

    accuracy: float
    """Share of the images of both kinds that are told right, each kind counting half; ½ is chance."""
    num_learnt: int
    """Images of each kind that the network learnt from."""
    auc: float
    """Probability that a generated image looks more generated than a real one does; ½ is chance."""
    real: Tensor
    """The real images that were tested, uint8 [N, 28, 28]."""
    fake: Tensor
    """The generated ones, uint8 [M, 28, 28]."""
    real_logits: NDArray[np.float64]
    """How generated each real image looks, [N]; more than 0 counts as generated."""
    fake_logits: NDArray[np.float64]
    """The same of the generated images, [M]."""

    def surest(self, count: int) -> tuple[Tensor, Tensor]:
        """The real images that look most real and the generated ones that look most generated, at most `count` each."""
        most_real = np.argsort(self.real_logits, kind="stable")[:count]
        most_generated = np.argsort(-self.fake_logits, kind="stable")[:count]
        return self.real[torch.from_numpy(most_real)], self.fake[torch.from_numpy(most_generated)]


def compare_samples(
    sampler: Sampler, samples: Samples, dataset: Dataset, config: EvaluateConfig, *, device: torch.device
) -> TwoSampleTest:
    """Test `samples` against the test images, after learning from others of the sampler and from training images."""
    real, _ = _halves(dataset.train.images, config, limit=config.num_two_sample)
    fake = generate_samples(sampler, count=len(real), seed=config.seed, purpose="two-sample").pixels
    return two_sample_test((real, fake), (dataset.test.images, samples.pixels), _learning(config), device=device)


def compare_real_images(dataset: Dataset, config: EvaluateConfig, *, device: torch.device) -> TwoSampleTest:
    """The floor: learn to tell two parts of the training set, and test that on two halves of the test set."""
    train = _halves(dataset.train.images, config, limit=config.num_two_sample)
    test = _halves(dataset.test.images, config, limit=len(dataset.test))
    return two_sample_test(train, test, _learning(config), device=device)


def two_sample_test(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], config: ClassifierConfig, *, device: torch.device
) -> TwoSampleTest:
    """Learn to tell real from generated images in `train`, and tell those in `test`.

    Args:
        train: real and generated pixels, uint8 [N, 28, 28] each.
        test: others of both.
        config: how the network, of the witness's architecture, learns.
        device: where it computes.

    Raises:
        DivergedError: its loss or a logit is not finite.
    """
    from sklearn.metrics import roc_auc_score

    kinds = torch.arange(2).repeat_interleave(torch.tensor([len(pixels) for pixels in train]))
    images = LabelledImages(torch.cat(train), kinds)
    try:
        on_step = ProgressLines("evaluate: the test's network").advance_to
        network = trained_classifier(images, config, device=device, name="witness", num_classes=2, on_step=on_step)
        real, fake = (_generated_logits(classify_pixels(network, pixels).logits) for pixels in test)
    except (DivergedError, BadDataError) as error:
        raise DivergedError("the two-sample test's network diverged; set evaluate.seed to another number") from error
    is_fake = np.repeat([False, True], [len(real), len(fake)])
    return TwoSampleTest(
        accuracy=float(((real <= 0).mean() + (fake > 0).mean()) / 2),
        num_learnt=len(train[0]),
        auc=float(roc_auc_score(is_fake, np.concatenate([real, fake]))),
        real=test[0],
        fake=test[1],
        real_logits=real,
        fake_logits=fake,
    )


def _halves(pixels: Tensor, config: EvaluateConfig, *, limit: int) -> tuple[Tensor, Tensor]:
    """Two sets of different images, in random order: half of all each, but no more than the limit."""
    order, middle = shuffled(len(pixels), seed=config.seed, purpose="two-sample"), len(pixels) // 2
    size = min(limit, middle)
    return pixels[order[:size]], pixels[order[middle : middle + size]]


def _learning(config: EvaluateConfig) -> ClassifierConfig:
    """How the network learns, whatever params.yaml says of the classifiers: else two results would not compare.

    Shifts would hide how precisely real images are centred.
    """
    epochs = config.two_sample_epochs
    return ClassifierConfig(seed=config.seed, epochs=epochs, batch_size=128, learning_rate=1e-3, max_shift=0)


def _generated_logits(logits: Tensor) -> NDArray[np.float64]:
    """The log odds of being generated, float64 [N], from the logits [N, 2] of real and generated."""
    difference: NDArray[np.float64] = (logits[:, 1] - logits[:, 0]).double().numpy()
    return difference
