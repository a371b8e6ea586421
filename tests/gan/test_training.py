import math
from collections.abc import Callable, Iterable

import pytest
import torch

from dcgan.config.schema import StopRule
from dcgan.gan import graph, training, window
from dcgan.gan.inputs import learning_rates
from dcgan.gan.state import build_state
from dcgan.gan.step import set_learning_rates
from dcgan.gan.training import is_due, total_steps
from dcgan.system.errors import DivergedError
from small_gan import CONFIG, CPU, END, RecordingTracker, changed, copied, differences, run, take_steps


@pytest.fixture
def saved() -> list[int]:
    """The steps at which `saving(saved)` was handed the state."""
    return []


def saving(steps: list) -> Callable:
    return lambda state: steps.append(state.step)


def finding(values: Iterable[float], key: str = "train/quick_fcd") -> Callable:
    """An evaluation that finds these, one a time."""
    found = iter(values)
    return lambda _generator: {"train/quick_fcd": 1.0, "train/label_error": 0.5, key: float(next(found))}


def change_step(monkeypatch, change: Callable) -> None:
    """Let `change(state, measured)` come at the end of every step; its measurements are used."""
    genuine = graph.gan_step
    monkeypatch.setattr(
        graph, "gan_step", lambda state, *args, **kwargs: change(state, genuine(state, *args, **kwargs))
    )


def test_reports_samples_and_checkpoints_come_when_due_and_at_both_ends(striped_images, saved):
    tracker = RecordingTracker()
    run(CONFIG, striped_images, tracker=tracker, on_checkpoint=saving(saved))
    assert list(tracker.metrics) == list(tracker.timings) == [2, 4, 6, 8, 10, 12]
    assert list(tracker.samples) == [0, 6, 12]
    assert saved == [4, 8, 12]


def test_a_report_averages_its_steps_and_names_every_quantity(striped_images, monkeypatch):
    losses, tracker = [], RecordingTracker()
    change_step(monkeypatch, lambda _, measured: losses.append(measured["generator/loss"].item()) or measured)
    run(CONFIG, striped_images, tracker=tracker)
    assert tracker.metrics[4]["generator/loss"] == pytest.approx(sum(losses[2:4]) / 2)
    of_discriminator = ("loss", "r1", "real_logits", "fake_logits", "accuracy", "learning_rate")
    of_generator = {"generator/loss", "generator/learning_rate"}
    assert tracker.metrics[12].keys() == {f"discriminator/{name}" for name in of_discriminator} | of_generator
    assert tracker.timings[12].keys() == {"train/images_per_second"}


def test_images_per_second_counts_the_devices_time_for_steps_and_nothing_else(striped_images, monkeypatch):
    """A device that takes 10 s a step, and a clock that goes on only when somebody waits for it or does other work."""
    clock, queued, tracker = [0.0], [0], RecordingTracker()

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    def wait(_device: torch.device) -> None:
        pass_time(10.0 * queued[0])
        queued[0] = 0

    def queue(_state, measured: dict) -> dict:
        queued[0] += 1
        return measured

    def work(*_: object, **__: object) -> dict[str, float]:
        wait(CPU)
        pass_time(1000.0)
        return {"train/quick_fcd": 1.0}

    change_step(monkeypatch, queue)
    monkeypatch.setattr(window.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(window, "synchronize", wait)
    config = changed(CONFIG, {"train.report_every": 4, "train.sample_every": 3, "train.evaluate_every": 5})
    tracker.log_samples = work
    run(config, striped_images, tracker=tracker, on_checkpoint=work, evaluate=work)
    assert {step: row["train/images_per_second"] for step, row in tracker.timings.items()} == {4: 1.6, 8: 1.6, 12: 1.6}


def test_sample_grids_show_fixed_latents_as_the_averaged_generator_draws_them(striped_images):
    one, other = RecordingTracker(), RecordingTracker()
    for tracker in (one, other):
        run(CONFIG, striped_images, tracker=tracker)
    assert one.samples[0].shape == (302, 302)
    assert (one.samples[12] == other.samples[12]).all()
    assert (one.samples[0] != one.samples[12]).any()


@pytest.mark.parametrize("interrupted_at", [1, 4, 7, 12])
@pytest.mark.parametrize(
    "changes",
    [
        {"train.precision": "fp32"},
        {"train.precision": "bf16"},
        {"model.discriminator_dropout": 0.3},  # drawn from PyTorch's global randomness
    ],
    ids=lambda changes: str(*changes.values()),
)
def test_a_run_resumed_at_any_step_ends_in_the_same_bytes(striped_images, changes, interrupted_at):
    config = changed(CONFIG, changes)
    straight = run(config, striped_images)
    stopped = run(config, striped_images, stop_at=interrupted_at)
    assert stopped.step == interrupted_at
    torch.rand(11)
    assert differences(straight, run(config, striped_images, state=copied(stopped, config))) == []


def test_what_was_recorded_before_an_interruption_is_not_recorded_again(striped_images, saved):
    state = run(CONFIG, striped_images, stop_at=6, on_checkpoint=saving(saved))
    assert saved == [4, 6], "the stop is saved"
    tracker = RecordingTracker()
    run(CONFIG, striped_images, state=state, tracker=tracker, on_checkpoint=saving(saved))
    assert list(tracker.samples) == [12]
    assert list(tracker.metrics) == [8, 10, 12]
    assert saved == [4, 6, 8, 12]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("report_every", [2, 50])
def test_a_measurement_that_is_not_finite_ends_the_run_before_the_next_checkpoint(
    striped_images, saved, monkeypatch, value, report_every
):
    bad = {"generator/loss": torch.tensor(value)}
    change_step(monkeypatch, lambda state, measured: measured | bad if state.step == 5 else measured)
    config = changed(CONFIG, {"train.report_every": report_every})
    with pytest.raises(DivergedError, match=rf"generator/loss is {value} at step 6"):
        run(config, striped_images, on_checkpoint=saving(saved))
    assert saved == [4]


def test_a_weight_that_is_not_finite_is_never_saved(striped_images, saved, monkeypatch):
    def poison(state, measured):
        if state.step == END - 1:
            next(state.generator.parameters()).data[0] = math.nan
        return measured

    change_step(monkeypatch, poison)
    with pytest.raises(DivergedError, match=r"generator/stem.0.weight .* 12"):
        run(CONFIG, striped_images, on_checkpoint=saving(saved))
    assert saved == [4, 8]


@pytest.mark.parametrize("rollbacks", [0, 2])
def test_both_rates_fall_linearly_to_zero_over_the_second_half_and_a_rollback_halves_them(rollbacks):
    rates = [learning_rates(CONFIG.train, step, end=100, rollbacks=rollbacks) for step in (0, 50, 75, 99, 100)]
    assert rates == [pytest.approx((1e-3 * f / 2**rollbacks, 5e-4 * f / 2**rollbacks)) for f in (1, 1, 0.5, 0.02, 0)]
    state = build_state(CONFIG, device=CPU)
    state.rollbacks = rollbacks
    set_learning_rates(state, torch.tensor(rates[2]))
    shown = training.rates_of(state)
    assert shown.get("train/rollbacks", 0) == rollbacks
    assert [shown[f"{player}/learning_rate"] for player in ("generator", "discriminator")] == pytest.approx(rates[2])


@pytest.mark.parametrize(("evaluate_every", "steps"), [(None, [0, 6, 12]), (5, [0, 5, 10, 12])])
def test_samples_are_evaluated_once_an_epoch_and_at_both_ends_or_as_often_as_asked(
    striped_images, evaluate_every, steps
):
    tracker, config = RecordingTracker(), changed(CONFIG, {"train.evaluate_every": evaluate_every})
    run(config, striped_images, tracker=tracker, evaluate=finding(range(9, 0, -1)))
    assert [step for step, row in tracker.metrics.items() if "train/quick_fcd" in row] == steps


def test_the_best_state_is_saved_beside_those_that_are_due_and_evaluating_changes_no_weight(striped_images):
    """Evaluated at 0, 3, 6, 9 and 12; best at 3, then again at 9."""
    saved = []
    state = run(
        changed(CONFIG, {"train.evaluate_every": 3}),
        striped_images,
        evaluate=finding([9, 5, 6, 4, 7]),
        on_checkpoint=lambda state: saved.append((state.step, state.monitor.best_step)),
    )
    assert saved == [(3, 3), (4, 3), (8, 3), (9, 9), (12, 9)]
    assert set(differences(state, run(CONFIG, striped_images))) == {"best_fcd", "best_step"}


def test_a_run_interrupted_between_two_checks_stops_where_the_straight_one_does(striped_images, saved):
    rule = StopRule(metric="train/label_error", below=0.6, checks=3)
    config, evaluate = changed(CONFIG, {"train.evaluate_every": 2, "train.stop_when": rule}), finding([1.0] * 99)
    straight = run(config, striped_images, evaluate=evaluate, on_checkpoint=saving(saved))
    assert straight.step == saved[-1] == 4
    stopped = run(config, striped_images, evaluate=evaluate, stop_at=3)
    resumed = run(config, striped_images, state=copied(stopped, config), evaluate=evaluate)
    assert differences(straight, resumed) == []


def test_the_generator_learns_at_every_so_many_th_step(striped_images):
    tracker, config = RecordingTracker(), changed(CONFIG, {"train.discriminator_steps": 3, "train.report_every": 1})
    run(config, striped_images, tracker=tracker)
    assert [step for step, row in tracker.metrics.items() if "generator/loss" in row] == [3, 6, 9, 12]
    assert all("discriminator/loss" in row for row in tracker.metrics.values())


def test_the_optimiser_is_the_one_asked_for(striped_images):
    """Weight decay of AdamW pulls the weights towards 0; Adam has none."""
    lengths = {}
    for optimizer, decay in (("adam", 0.0), ("adamw", 0.0), ("adamw", 10.0)):
        config = changed(CONFIG, {"train.optimizer": optimizer, "train.weight_decay": decay})
        weights = run(config, striped_images).generator.parameters()
        lengths[optimizer, decay] = sum(weight.detach().norm().item() for weight in weights)
    assert lengths["adam", 0.0] == pytest.approx(lengths["adamw", 0.0], rel=1e-6)
    assert lengths["adamw", 10.0] < 0.99 * lengths["adamw", 0.0]


@pytest.mark.parametrize(("max_steps", "expected"), [(None, END), (5, 5), (50, END)])
def test_the_number_of_steps_is_that_of_the_epochs_unless_capped(max_steps, expected):
    assert total_steps(changed(CONFIG, {"train.max_steps": max_steps}).train, steps_per_epoch=6) == expected


def test_what_is_due_is_due_every_so_many_steps_and_at_the_end():
    assert [step for step in range(8) if is_due(step, 3, is_last=step == 7)] == [0, 3, 6, 7]


def test_one_batch_is_learnt_by_heart(striped_images, monkeypatch):
    """A discriminator that cannot tell 16 images from an untrained generator's noise has a broken gradient."""
    config = changed(CONFIG, {"train.generator_learning_rate": 1e-9, "train.epochs": 1000})
    batch = training.Batches.batch
    monkeypatch.setattr(training.Batches, "batch", lambda batches, _step: batch(batches, 0))
    measured = take_steps(build_state(config, device=CPU), config, striped_images, 60)
    assert measured["discriminator/loss"] < 0.1
    assert measured["discriminator/real_logits"] > 2 > -2 > measured["discriminator/fake_logits"]


@pytest.mark.parametrize(("digits", "event"), [([1, 1, 10, 4, 4], "at step 10: "), ([1, 1, 10, 5, 5], None)])
def test_a_collapse_is_told_with_the_next_report(striped_images, digits, event):
    """Evaluated at 0, 3, 6, 9 and 12; an epoch has six steps."""
    tracker, config = RecordingTracker(), changed(CONFIG, {"train.evaluate_every": 3})
    run(config, striped_images, tracker=tracker, evaluate=finding(digits, "train/mode_coverage"))
    assert tracker.events.get("collapse", "")[:12] == (event or "")


def test_the_discriminators_saturation_is_counted(striped_images, monkeypatch):
    accuracy = {"discriminator/accuracy": torch.tensor(1.0)}
    lost = {"discriminator/accuracy": torch.tensor(0.9)}
    change_step(monkeypatch, lambda state, measured: measured | (lost if state.step == 4 else accuracy))
    assert int(run(CONFIG, striped_images).monitor.saturation) == 7
