import dataclasses
import math

import pytest
import torch

from dcgan.config.schema import StopRule
from dcgan.data.batches import Batches
from dcgan.gan import training
from dcgan.gan.state import COUNTS, build_state
from dcgan.gan.tracker import NullTracker, RecordingTracker
from dcgan.gan.training import is_due, set_learning_rates, total_steps, train
from dcgan.system.errors import DivergedError

CPU = torch.device("cpu")
# 100 striped images in batches of 16: 6 steps an epoch, 12 steps in all.
END = 12


def new_run(config, data):
    state = build_state(config, device=CPU)
    batches = Batches(data, batch_size=config.train.batch_size, seed=config.train.seed, device=CPU)
    return state, batches


def snapshot(state):
    return {name: tensor.clone() for name, tensor in state.tensors().items()}


def run(
    config,
    data,
    *,
    state=None,
    tracker=None,
    on_checkpoint=lambda state: None,
    judge=None,
    stop_requested=lambda: False,
):
    fresh, batches = new_run(config, data)
    state = state or fresh
    train(
        state,
        batches,
        config,
        tracker=tracker or NullTracker(),
        on_checkpoint=on_checkpoint,
        judge=judge,
        stop_requested=stop_requested,
    )
    return state


def test_reports_samples_and_checkpoints_come_when_due_and_at_both_ends(gan_config, striped_images):
    tracker, saved = RecordingTracker(), []
    run(gan_config, striped_images, tracker=tracker, on_checkpoint=lambda state: saved.append(state.step))
    assert list(tracker.metrics) == [2, 4, 6, 8, 10, 12]
    assert list(tracker.samples) == [0, 6, 12]
    assert saved == [4, 8, 12]


def test_a_report_averages_its_steps_and_names_every_quantity(gan_config, striped_images, monkeypatch):
    losses = []

    def recorded_step(*args, **kwargs):
        measured = training_step(*args, **kwargs)
        losses.append(measured["generator/loss"].item())
        return measured

    training_step = training.gan_step
    monkeypatch.setattr(training, "gan_step", recorded_step)
    tracker = RecordingTracker()
    run(gan_config, striped_images, tracker=tracker)
    assert tracker.metrics[4]["generator/loss"] == pytest.approx(sum(losses[2:4]) / 2)
    assert tracker.metrics[12].keys() == {
        "discriminator/loss",
        "discriminator/r1",
        "discriminator/real_logits",
        "discriminator/fake_logits",
        "discriminator/accuracy",
        "discriminator/learning_rate",
        "generator/loss",
        "generator/learning_rate",
        "train/images_per_second",
    }


def test_sample_grids_show_fixed_latents_as_the_averaged_generator_draws_them(gan_config, striped_images):
    one, other = RecordingTracker(), RecordingTracker()
    run(gan_config, striped_images, tracker=one)
    run(gan_config, striped_images, tracker=other)
    assert one.samples[0].shape == (302, 302)
    assert (one.samples[12] == other.samples[12]).all()
    assert (one.samples[0] != one.samples[12]).any()


@pytest.mark.parametrize("interrupted_at", [1, 4, 7, 12])
def test_a_run_resumed_at_any_step_ends_in_the_same_bytes(gan_config, striped_images, interrupted_at):
    straight = run(gan_config, striped_images)
    stopped = run(gan_config, striped_images, stop_requested=iter([False] * interrupted_at + [True]).__next__)
    assert stopped.step == interrupted_at
    restored, _ = new_run(gan_config, striped_images)
    restored.load(snapshot(stopped))
    resumed = run(gan_config, striped_images, state=restored)
    expected, found = straight.tensors(), resumed.tensors()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_a_restored_state_has_forgotten_nothing(gan_config, striped_images):
    """Whatever the counts are: those of a short run are mostly what an untrained state has."""
    trained = run(gan_config, striped_images)
    trained.best_fcd, trained.balance = 1.5, torch.tensor(0.25)
    for value, name in enumerate((*COUNTS, "steps_won"), start=2):
        setattr(trained, name, torch.tensor(value) if name == "steps_won" else type(getattr(trained, name))(value))
    restored, _ = new_run(gan_config, striped_images)
    restored.load(snapshot(trained))
    expected, found = trained.tensors(), restored.tensors()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_a_stop_is_obeyed_before_the_next_step_and_saved(gan_config, striped_images):
    saved = []
    run(
        gan_config,
        striped_images,
        on_checkpoint=lambda state: saved.append(state.step),
        stop_requested=iter([False, False, False, True]).__next__,
    )
    assert saved == [3]


def test_what_was_recorded_before_an_interruption_is_not_recorded_again(gan_config, striped_images):
    state = run(gan_config, striped_images, stop_requested=iter([False] * 6 + [True]).__next__)
    tracker, saved = RecordingTracker(), []
    run(gan_config, striped_images, state=state, tracker=tracker, on_checkpoint=lambda s: saved.append(s.step))
    assert list(tracker.samples) == [12]
    assert list(tracker.metrics) == [8, 10, 12]
    assert saved == [8, 12]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measurement_that_is_not_finite_stops_the_run_before_the_next_checkpoint(
    gan_config, striped_images, monkeypatch, value
):
    def poisoned_step(state, *args, **kwargs):
        measured = training_step(state, *args, **kwargs)
        return measured | {"generator/loss": torch.tensor(value)} if state.step == 6 else measured

    training_step = training.gan_step
    monkeypatch.setattr(training, "gan_step", poisoned_step)
    saved = []
    with pytest.raises(DivergedError, match=rf"generator/loss is {value} at step 6"):
        run(gan_config, striped_images, on_checkpoint=lambda state: saved.append(state.step))
    assert saved == [4]


def test_a_weight_that_is_not_finite_is_never_saved(gan_config, striped_images, monkeypatch):
    state, _ = new_run(gan_config, striped_images)
    saved = []
    real_step = training.gan_step

    def poison_last(state, *args, **kwargs):
        measured = real_step(state, *args, **kwargs)
        if state.step == END:
            next(state.generator.parameters()).data[0] = math.nan
        return measured

    monkeypatch.setattr(training, "gan_step", poison_last)
    with pytest.raises(DivergedError, match=r"generator/stem.0.weight .* 12"):
        run(gan_config, striped_images, state=state, on_checkpoint=lambda state: saved.append(state.step))
    assert saved == [4, 8]


def test_both_rates_fall_linearly_to_zero_over_the_second_half(gan_config, striped_images):
    state, _ = new_run(gan_config, striped_images)
    rates = []
    for step in (0, 50, 75, 99, 100):
        state.step = step
        set_learning_rates(state, gan_config.train, end=100)
        rates.append([o.param_groups[0]["lr"] for o in (state.generator_optimizer, state.discriminator_optimizer)])
    assert rates == [pytest.approx([1e-3 * f, 5e-4 * f]) for f in (1, 1, 0.5, 0.02, 0)]


def judging(*values):
    """A judge that finds these fcd, one a judgement."""
    found = iter(values)
    return lambda _generator: {"train/quick_fcd": next(found), "train/label_error": 0.5}


def with_train(config, **changes):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def test_samples_are_judged_once_an_epoch_and_at_both_ends_or_as_often_as_asked(gan_config, striped_images):
    for evaluate_every, steps in ((None, [0, 6, 12]), (5, [0, 5, 10, 12])):
        tracker = RecordingTracker()
        config = with_train(gan_config, evaluate_every=evaluate_every)
        run(config, striped_images, tracker=tracker, judge=judging(*range(9, 0, -1)))
        assert [step for step, row in tracker.metrics.items() if "train/quick_fcd" in row] == steps


def test_the_best_state_is_saved_beside_those_that_are_due(gan_config, striped_images):
    """Judged at 0, 3, 6, 9 and 12; best at 3, then again at 9."""
    saved = []
    config = with_train(gan_config, evaluate_every=3)
    state = run(
        config,
        striped_images,
        judge=judging(9.0, 5.0, 6.0, 4.0, 7.0),
        on_checkpoint=lambda state: saved.append((state.step, state.best_step)),
    )
    assert saved == [(3, 3), (4, 3), (8, 3), (9, 9), (12, 9)]
    assert (state.best_step, state.best_fcd) == (9, 4.0)


def test_training_stops_when_the_rule_held_often_enough_in_a_row(gan_config, striped_images):
    rule = StopRule(metric="train/quick_fcd", below=5.0, checks=2)
    saved = []
    config = with_train(gan_config, evaluate_every=2, stop_when=rule)
    state = run(
        config,
        striped_images,
        judge=judging(9.0, 4.0, 6.0, 4.0, 3.0),
        on_checkpoint=lambda state: saved.append(state.step),
    )
    assert state.step == 8
    assert saved[-1] == 8


def test_a_run_interrupted_between_two_checks_stops_where_the_straight_one_does(gan_config, striped_images):
    rule = StopRule(metric="train/label_error", below=0.6, checks=3)
    config = with_train(gan_config, evaluate_every=2, stop_when=rule)
    straight = run(config, striped_images, judge=judging(*[1.0] * 9))
    stopped = run(config, striped_images, judge=judging(*[1.0] * 9), stop_requested=iter([False] * 3 + [True]).__next__)
    resumed = run(config, striped_images, state=stopped, judge=judging(*[1.0] * 9))
    assert straight.step == resumed.step == 4
    assert snapshot(straight).keys() == snapshot(resumed).keys()
    assert all(torch.equal(tensor, snapshot(resumed)[name]) for name, tensor in snapshot(straight).items())


def test_a_judgement_that_is_not_finite_ends_the_run(gan_config, striped_images):
    with pytest.raises(DivergedError, match=r"train/quick_fcd is nan at step 6"):
        run(gan_config, striped_images, judge=judging(9.0, math.nan))


def test_judging_changes_no_weight(gan_config, striped_images):
    judged, alone = run(gan_config, striped_images, judge=judging(*range(9))), run(gan_config, striped_images)
    mine = {name: tensor for name, tensor in snapshot(judged).items() if "best" not in name}
    assert all(torch.equal(tensor, snapshot(alone)[name]) for name, tensor in mine.items())


def test_the_generator_learns_at_every_so_many_th_step(gan_config, striped_images):
    tracker = RecordingTracker()
    run(with_train(gan_config, discriminator_steps=3, report_every=1), striped_images, tracker=tracker)
    assert [step for step, row in tracker.metrics.items() if "generator/loss" in row] == [3, 6, 9, 12]
    assert all("discriminator/loss" in row for row in tracker.metrics.values())


def test_dropout_is_a_function_of_the_step(gan_config, striped_images):
    model = dataclasses.replace(gan_config.model, discriminator_dropout=0.3)
    config = dataclasses.replace(gan_config, model=model)
    straight = run(config, striped_images)
    stopped = run(config, striped_images, stop_requested=iter([False] * 5 + [True]).__next__)
    torch.rand(11)
    resumed = snapshot(run(config, striped_images, state=stopped))
    assert [name for name, tensor in snapshot(straight).items() if not torch.equal(tensor, resumed[name])] == []


def test_the_optimiser_is_the_one_asked_for(gan_config, striped_images):
    """Weight decay of AdamW pulls the weights towards 0; Adam has none."""
    lengths = {}
    for optimizer, decay in (("adam", 0.0), ("adamw", 0.0), ("adamw", 10.0)):
        state = run(with_train(gan_config, optimizer=optimizer, weight_decay=decay), striped_images)
        lengths[optimizer, decay] = sum(weight.detach().norm().item() for weight in state.generator.parameters())
    assert lengths["adam", 0.0] == pytest.approx(lengths["adamw", 0.0], rel=1e-6)
    assert lengths["adamw", 10.0] < 0.99 * lengths["adamw", 0.0]


def test_the_number_of_steps_is_that_of_the_epochs_unless_capped(gan_config):
    assert total_steps(gan_config.train, steps_per_epoch=6) == END
    assert total_steps(dataclasses.replace(gan_config.train, max_steps=5), steps_per_epoch=6) == 5
    assert total_steps(dataclasses.replace(gan_config.train, max_steps=50), steps_per_epoch=6) == END


def test_what_is_due_is_due_every_so_many_steps_and_at_the_end():
    assert [step for step in range(8) if is_due(step, 3, is_last=step == 7)] == [0, 3, 6, 7]


def test_one_batch_is_learnt_by_heart(gan_config, striped_images):
    """A discriminator that cannot tell 16 images from an untrained generator's noise has a broken gradient."""
    config = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, generator_learning_rate=1e-9))
    state, batches = new_run(config, striped_images)
    real, labels = batches.batch(0)
    rng = torch.Generator().manual_seed(0)
    for _ in range(60):
        measured = training.gan_step(state, real.detach(), labels, rng=rng, config=config)
    assert measured["discriminator/loss"] < 0.1
    assert measured["discriminator/real_logits"] > 2 > -2 > measured["discriminator/fake_logits"]


def drawing(*digits):
    """A judge that finds so many digits, one a judgement."""
    found = iter(digits)
    return lambda _generator: {"train/quick_fcd": 1.0, "train/mode_coverage": float(next(found))}


def test_a_generator_that_draws_few_digits_is_warned_of_after_the_first_epoch(gan_config, striped_images):
    """Judged at 0, 3, 6, 9 and 12; an epoch has six steps."""
    tracker = RecordingTracker()
    state = run(with_train(gan_config, evaluate_every=3), striped_images, tracker=tracker, judge=drawing(1, 1, 5, 4, 4))
    assert tracker.events["collapse"].startswith("at step 9: 4 of 10 digits drawn")
    assert "4 of 10" in state.remarks["collapse"]


def test_a_generator_that_recovers_is_not_held_to_its_past(gan_config, striped_images):
    tracker = RecordingTracker()
    state = run(with_train(gan_config, evaluate_every=3), striped_images, tracker=tracker, judge=drawing(1, 1, 4, 4, 5))
    assert "at step 6" in tracker.events["collapse"]
    assert state.remarks == {}


@pytest.mark.parametrize("lost_at", [None, 6])
def test_a_discriminator_that_wins_every_step_of_an_epoch_is_warned_of(
    gan_config, striped_images, monkeypatch, lost_at
):
    def won(state, *args, **kwargs):
        measured = training_step(state, *args, **kwargs)
        return measured | {"discriminator/accuracy": torch.tensor(0.9 if state.step == lost_at else 1.0)}

    training_step = training.gan_step
    monkeypatch.setattr(training, "gan_step", won)
    monkeypatch.setattr(training, "FEWEST_STEPS_WON", 1)
    tracker = RecordingTracker()
    state = run(gan_config, striped_images, tracker=tracker)
    if lost_at is None:
        assert "12 steps in a row won by the discriminator" in state.remarks["collapse"]
        assert tracker.events["collapse"].startswith("at step 6: ")
    else:
        assert state.steps_won == 6, "since the report that was not perfect"
        assert tracker.events["collapse"].startswith("at step 12: ")


def test_where_an_epoch_is_short_winning_one_is_no_collapse(gan_config, striped_images, monkeypatch):
    """As the test above, but for the bound on the number of steps: the game always begins with the discriminator."""

    def won(*args, **kwargs):
        return training_step(*args, **kwargs) | {"discriminator/accuracy": torch.tensor(1.0)}

    training_step = training.gan_step
    monkeypatch.setattr(training, "gan_step", won)
    state = run(gan_config, striped_images)
    assert state.steps_won == 12
    assert state.remarks == {}


def test_every_rollback_halves_the_rates(gan_config, striped_images):
    state, _ = new_run(gan_config, striped_images)
    state.rollbacks = 2
    set_learning_rates(state, gan_config.train, end=100)
    assert training.rates_of(state) == {
        "generator/learning_rate": 1e-3 / 4,
        "discriminator/learning_rate": 5e-4 / 4,
        "train/rollbacks": 2,
    }
