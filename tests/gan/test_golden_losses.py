"""A change of the numbers that training makes must be meant: `python tests/golden_losses.py --write` records anew."""

import dataclasses
import json

import pytest

from golden_losses import GOLDEN, NUM_STEPS, losses, recipe, shapes

RECORDED = json.loads(GOLDEN.read_text())


def test_the_recorded_recipe_is_that_of_params_yaml():
    assert shapes(recipe()) == RECORDED["recipe"]


def test_ten_steps_lose_what_was_recorded():
    found = losses(recipe())
    assert len(found["discriminator/loss"]) == len(found["generator/loss"]) == NUM_STEPS
    for key, values in found.items():
        assert values == pytest.approx(RECORDED["losses"][key], rel=1e-4), key


@pytest.mark.parametrize("change", [{"beta1": 0.45}, {"generator_learning_rate": 3.8e-3}, {"seed": 1}])
def test_a_small_change_of_the_recipe_is_seen(change):
    config = recipe()
    changed = dataclasses.replace(config, train=dataclasses.replace(config.train, **change))
    assert losses(changed)["generator/loss"] != pytest.approx(RECORDED["losses"]["generator/loss"], rel=1e-4)
