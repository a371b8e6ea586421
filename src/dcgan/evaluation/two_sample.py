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


@dataclass(frozen=True, kw_only=True)
class TwoSampleTest:
    """The result of one test."""

    accuracy: float
    """Share of the images of both kinds that are told right, each kind counting half; ½ is chance."""
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


def measure_two_sample(
    sampler: Sampler,
    samples: Samples,
    dataset: Dataset,
    config: EvaluateConfig,
    *,
    device: torch.device,
) -> tuple[dict[str, float | int], TwoSampleTest]:
    """Test `samples` against the test images, after learning from others of the sampler and from training images.

    The floor is the same test on real images alone: the network learns two halves of the training set apart, and is
    tested on two halves of the test set.

    Returns:
        The metrics by their names in reports/evaluation.json, and the test that they sum up.
    """
    train, test = dataset.train.images, dataset.test.images
    half = len(train) // 2
    num_images = min(config.num_two_sample, half)
    order = shuffled(len(train), seed=config.seed, purpose="two-sample")
    real, other_real = train[order[:num_images]], train[order[half : half + num_images]]
    fake = generate_samples(sampler, count=num_images, seed=config.seed, purpose="two-sample").pixels
    held_out, middle = shuffled(len(test), seed=config.seed, purpose="two-sample"), len(test) // 2

    # Shifts would hide how precisely real images are centred.
    learning = ClassifierConfig(seed=config.seed, epochs=config.two_sample_epochs, max_shift=0)

    def test_apart(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> TwoSampleTest:
        return two_sample_test(train, test, learning, device=device)

    found = test_apart((real, fake), (test, samples.pixels))
    floor = test_apart((real, other_real), (test[held_out[:middle]], test[held_out[middle:]]))
    report = {
        "two_sample_accuracy": found.accuracy,
        "two_sample_accuracy_floor": floor.accuracy,
        "two_sample_auc": found.auc,
        "two_sample_auc_floor": floor.auc,
        "num_two_sample": num_images,
    }
    return report, found


def two_sample_test(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], config: ClassifierConfig, *, device: torch.device
) -> TwoSampleTest:
    """Learn to tell real from generated images in `train`, and tell those in `test`.

    Args:
        train: real and generated pixels, uint8 [N, 28, 28] each.
        test: others of both.
        config: how the network, of the witness's architecture, learns.
        device: where it computes.
    """
    from sklearn.metrics import roc_auc_score

    kinds = torch.arange(2).repeat_interleave(torch.tensor([len(pixels) for pixels in train]))
    images = LabelledImages(torch.cat(train), kinds)
    network = trained_classifier(images, config, device=device, name="witness", num_classes=2)
    real, fake = (_generated_logits(classify_pixels(network, pixels).logits) for pixels in test)
    is_fake = np.repeat([False, True], [len(real), len(fake)])
    return TwoSampleTest(
        accuracy=float(((real <= 0).mean() + (fake > 0).mean()) / 2),
        auc=float(roc_auc_score(is_fake, np.concatenate([real, fake]))),
        real=test[0],
        fake=test[1],
        real_logits=real,
        fake_logits=fake,
    )


def _generated_logits(logits: Tensor) -> NDArray[np.float64]:
    """log P(generated) - log P(real), from the logits [N, 2] of real and generated."""
    difference: NDArray[np.float64] = (logits[:, 1] - logits[:, 0]).double().numpy()
    return difference
