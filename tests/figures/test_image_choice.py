"""Which images the pictures of an evaluation show."""

from types import SimpleNamespace

import torch

from dcgan.classifier.network import Predictions
from dcgan.data.dataset import LabelledImages
from dcgan.evaluation.metrics.authenticity import training_neighbours
from dcgan.evaluation.samples import Samples
from dcgan.figures.evaluation import closest_pairs, ranked_by_class

RNG = torch.Generator().manual_seed(0)
PIXELS = torch.randint(1, 256, (60, 28, 28), generator=RNG, dtype=torch.uint8)
LOGITS = torch.randn(60, 10, generator=RNG)


def quality(logits: torch.Tensor, labels: torch.Tensor | None) -> SimpleNamespace:
    return SimpleNamespace(samples=Samples(pixels=PIXELS, labels=labels), predictions=Predictions(PIXELS, logits))


def test_a_row_goes_from_the_highest_probability_of_its_digit_to_the_lowest():
    labels = torch.arange(60) % 10
    rows = ranked_by_class(quality(LOGITS, labels), columns=4).reshape(10, 4, 28, 28)
    for digit in (0, 7):
        members = (labels == digit).nonzero().squeeze(1)
        ranked = members[LOGITS.softmax(dim=1)[members, digit].argsort(descending=True)]
        assert torch.equal(rows[digit, [0, -1]], PIXELS[ranked[[0, -1]]])


def test_a_digit_that_does_not_occur_has_a_black_row():
    twos = torch.nn.functional.one_hot(torch.full((60,), 2), 10).float()
    rows = ranked_by_class(quality(twos, None), columns=5).reshape(10, 5, 28, 28)
    assert [digit for digit in range(10) if rows[digit].any()] == [2]


def test_the_closest_pairs_of_each_digit_come_with_their_training_image():
    training, samples = PIXELS[:40], PIXELS[40:].clone()
    samples[3] = training[11]
    samples[5, :14] = training[2, :14]
    neighbours = training_neighbours(samples.flatten(1).float(), training.flatten(1).float())
    digits = torch.zeros(40, dtype=torch.int64)
    digits[2] = 7
    pairs = closest_pairs(samples, LabelledImages(training, digits), neighbours, per_digit=1)
    assert torch.equal(pairs, torch.stack([samples[[3, 5]], training[[11, 2]]], dim=1))
