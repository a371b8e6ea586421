"""A change of the numbers that training makes must be meant: `python tests/golden_losses.py --write` records anew."""

import json

import pytest

from golden_losses import DEFAULT, GOLDEN, NUM_STEPS, losses
from small_gan import changed

RECORDED = json.loads(GOLDEN.read_text())


def test_ten_steps_lose_what_was_recorded():
    found = losses(DEFAULT)
    assert len(found["discriminator/loss"]) == len(found["generator/loss"]) == NUM_STEPS
    for key, values in found.items():
        assert values == pytest.approx(RECORDED[key], rel=1e-4), key


def test_a_small_change_of_the_configuration_is_seen():
    config = changed(DEFAULT, {"train.generator_learning_rate": 3.8e-3})
    assert losses(config)["generator/loss"] != pytest.approx(RECORDED["generator/loss"], rel=1e-4)
