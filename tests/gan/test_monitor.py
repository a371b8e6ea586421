import json
import math

import pytest
import torch

from dcgan.config.schema import StopRule
from dcgan.gan import monitor as module
from dcgan.gan.monitor import Monitor
from dcgan.system.errors import DivergedError


def evaluate(monitor: Monitor, *values: float, rule: StopRule | None = None, key: str = "train/quick_fcd") -> Monitor:
    """Note evaluations after 1, 2, … steps that found `values`."""
    for step, value in enumerate(values, start=1):
        monitor.note_evaluation({"train/quick_fcd": 1.0, "train/label_error": 0.5, key: value}, step=step, rule=rule)
    return monitor


def win(monitor: Monitor, *accuracies: float) -> Monitor:
    for accuracy in accuracies:
        monitor.note_step({"discriminator/accuracy": torch.tensor(accuracy)})
    return monitor


def test_the_best_evaluation_is_the_first_with_the_least_fcd():
    monitor = evaluate(Monitor(), 9.0, 5.0, 6.0, 5.0)
    assert (monitor.best_fcd, monitor.best_step) == (5.0, 2)


@pytest.mark.parametrize(
    ("values", "stops"), [((4.0,), False), ((4.0, 3.0), True), ((4.0, 6.0, 4.0), False), ((5.0, 5.0), False)]
)
def test_training_may_stop_when_the_rule_held_often_enough_in_a_row(values, stops):
    rule = StopRule(metric="train/label_error", below=5.0, checks=2)
    assert evaluate(Monitor(), *values, rule=rule, key="train/label_error").wants_to_stop(rule) is stops
    assert not evaluate(Monitor(), *values, key="train/label_error").wants_to_stop(None)


def test_an_evaluation_that_is_not_finite_is_named_with_its_step():
    with pytest.raises(DivergedError, match=r"train/label_error is nan at step 2"):
        evaluate(Monitor(), 0.1, math.nan, key="train/label_error")


@pytest.mark.parametrize(("step", "digits", "is_collapsed"), [(5, 1, False), (6, 4, True), (6, 5, False)])
def test_few_digits_after_the_first_epoch_are_a_collapse(step, digits, is_collapsed):
    monitor = evaluate(Monitor(), digits, key="train/mode_coverage")
    collapse = monitor.collapse(step=step, steps_per_epoch=6)
    assert (collapse is not None) is is_collapsed
    assert collapse is None or f"{digits} of 10 digits" in collapse


def test_a_discriminator_that_is_always_right_for_an_epoch_is_a_collapse(monkeypatch):
    monkeypatch.setattr(module, "MIN_SATURATED_STEPS", 1)
    monitor = win(Monitor(), 1.0, 1.0, 0.9, 1.0, 1.0)
    assert monitor.collapse(step=5, steps_per_epoch=3) is None
    assert "3 steps" in win(monitor, 1.0).collapse(step=6, steps_per_epoch=3)


def test_where_an_epoch_is_short_winning_one_is_no_collapse():
    """The discriminator always wins at first."""
    assert win(Monitor(), *[1.0] * 199).collapse(step=199, steps_per_epoch=6) is None
    assert win(Monitor(), *[1.0] * 200).collapse(step=200, steps_per_epoch=6) is not None


def test_a_collapse_is_told_once_and_again_after_a_recovery():
    monitor, told = Monitor(), []
    for digits in (4, 3, 10, 4):
        evaluate(monitor, digits, key="train/mode_coverage")
        told.append(monitor.new_collapse(step=9, steps_per_epoch=6) is not None)
    assert told == [True, False, False, True]


def test_nothing_is_forgotten_in_a_checkpoint():
    monitor = win(evaluate(Monitor(), 3.3, 1.1 + 2.2), 1.0, 1.0)
    monitor.mode_coverage, monitor.checks_held, monitor.is_collapsed = 3, 7, True
    restored = Monitor(**json.loads(json.dumps(monitor.to_json())))
    assert vars(restored) == vars(monitor) | {"saturation": 2}
    assert win(restored, 1.0).to_json() == win(monitor, 1.0).to_json()


@pytest.mark.parametrize(("digits", "is_collapsed"), [(12, True), (13, False)])
def test_of_any_number_of_classes_half_have_to_show(digits, is_collapsed):
    monitor = evaluate(Monitor(num_classes=26), digits, key="train/mode_coverage")
    collapse = monitor.collapse(step=6, steps_per_epoch=6)
    assert (collapse is not None) is is_collapsed
    assert collapse is None or "12 of 26 digits" in collapse
