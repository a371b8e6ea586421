import csv
import math
from types import SimpleNamespace

import torch

from dcgan.classifier.network import Predictions
from dcgan.data.dataset import LabelledImages
from dcgan.evaluation.metrics.authenticity import training_neighbours
from dcgan.evaluation.metrics.pixels import pixel_statistics
from dcgan.evaluation.samples import Samples
from dcgan.figures.evaluation import closest_pairs, ranked_by_class
from dcgan.figures.pixels import STATISTICS, save_pixel_statistics, stands_out
from dcgan.figures.training import save_training

RNG = torch.Generator().manual_seed(0)
PIXELS = torch.randint(1, 256, (60, 28, 28), generator=RNG, dtype=torch.uint8)
LOGITS = torch.randn(60, 10, generator=RNG)

LOSSES = {"discriminator/loss": 1.25, "generator/loss": 0.5}
LOGIT_MEANS = {"discriminator/real_logits": 2.0, "discriminator/fake_logits": -2.0}
HISTORY = [
    {"step": 0, "train/quick_fcd": math.nan},
    {"step": 10, **LOSSES, **LOGIT_MEANS, "discriminator/r1": 0.1},
    {"step": 12, "train/quick_fcd": 3.5, "train/quick_fcd_floor": 0.5, "train/label_error": 0.25},
    {"step": 20, **LOSSES, **LOGIT_MEANS},
]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_losses_and_quick_fcd_go_into_a_table_each_and_one_picture(tmp_path):
    save_training(tmp_path, HISTORY)
    numbers = {name: str(value) for name, value in (LOSSES | LOGIT_MEANS).items()}
    assert rows(tmp_path / "training.csv") == [{"step": "10", **numbers}, {"step": "20", **numbers}]
    assert [tuple(row.values()) for row in rows(tmp_path / "quick_fcd.csv")] == [("0", "nan", ""), ("12", "3.5", "0.5")]
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_history_without_rows_gives_tables_without_rows(tmp_path):
    save_training(tmp_path, [])
    assert rows(tmp_path / "training.csv") == rows(tmp_path / "quick_fcd.csv") == []


def quality(logits: torch.Tensor, labels: torch.Tensor | None) -> SimpleNamespace:
    return SimpleNamespace(samples=Samples(pixels=PIXELS, labels=labels), predictions=Predictions(PIXELS, logits))


def test_a_row_goes_from_the_highest_probability_of_its_digit_to_the_lowest():
    labels = torch.arange(60) % 10
    grid = ranked_by_class(quality(LOGITS, labels), columns=4).reshape(10, 4, 28, 28)
    for digit in (0, 7):
        members = (labels == digit).nonzero().squeeze(1)
        ranked = members[LOGITS.softmax(dim=1)[members, digit].argsort(descending=True)]
        assert torch.equal(grid[digit, [0, -1]], PIXELS[ranked[[0, -1]]])


def test_a_digit_that_does_not_occur_has_a_black_row():
    twos = torch.nn.functional.one_hot(torch.full((60,), 2), 10).float()
    grid = ranked_by_class(quality(twos, None), columns=5).reshape(10, 5, 28, 28)
    assert [digit for digit in range(10) if grid[digit].any()] == [2]


def test_the_closest_pairs_of_each_digit_come_with_their_training_image():
    training, samples = PIXELS[:40], PIXELS[40:].clone()
    samples[3] = training[11]
    samples[5, :14] = training[2, :14]
    neighbours = training_neighbours(samples.flatten(1).float(), training.flatten(1).float())
    digits = torch.zeros(40, dtype=torch.int64)
    digits[2] = 7
    pairs = closest_pairs(samples, LabelledImages(training, digits), neighbours, per_digit=1)
    assert torch.equal(pairs, torch.stack([samples[[3, 5]], training[[11, 2]]], dim=1))


def test_every_pixel_statistic_has_a_row_and_those_that_stand_out_look_different(tmp_path):
    real = pixel_statistics(PIXELS) | {"haze": 0.01}
    assert list(real) == list(STATISTICS)
    pictures = []
    for haze, stands in ((0.010299, False), (0.010301, True), (None, True)):  # the first two are both 1.03 %
        save_pixel_statistics(tmp_path, {"samples": real | {"haze": haze}, "test": real, "train": real})
        found = rows(tmp_path / "pixels.csv")
        assert [row["statistic"] for row in found if row["stands_out"] == "1"] == ["haze"] * stands
        row = {"samples": str(haze or ""), "test": "0.01", "train": "0.01"}
        assert row.items() <= found[list(STATISTICS).index("haze")].items()
        pictures.append((tmp_path / "pixels.png").read_bytes())
    assert len(set(pictures)) == 3


def test_samples_stand_out_beyond_three_times_the_distance_of_training_images_or_three_hundredths():
    assert [stands_out(20 + step, 20, 19.9) for step in (-0.31, -0.29, 0.29, 0.31)] == [True, False, False, True]
    assert [stands_out(20 + step, 20, 20) for step in (-0.031, 0.029, 0.031)] == [True, False, True]
    assert [stands_out(0.8 + step, 0.8, 0.8, scale=100) for step in (0.00029, 0.00031)] == [False, True]
    assert [stands_out(0.8 + step, 0.8, 0.79, scale=100) for step in (0.029, 0.031)] == [False, True]
    assert stands_out(None, 20, 20)
    assert not stands_out(None, None, None)
