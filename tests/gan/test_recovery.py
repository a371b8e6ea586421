"""A training that diverges goes back to its newest checkpoint, with half the rates, and says so."""

import dataclasses
import math

import pytest
import torch

from dcgan.data.batches import Batches
from dcgan.gan import training
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.state import build_state
from dcgan.gan.tracker import RecordingTracker
from dcgan.system.errors import DivergedError

CPU = torch.device("cpu")
# 100 striped images in batches of 16: 12 steps in all, a checkpoint at 4, 8 and 12.


class MemoryCheckpoints:
    """Keeps every saved state's tensors."""

    def __init__(self):
        self.saved = []

    def save(self, state):
        self.saved.append({name: tensor.clone() for name, tensor in state.tensors().items()})

    def restore(self, state):
        if self.saved:
            state.load(self.saved[-1])
        return state


def poison(monkeypatch, *, step, times):
    """Let the weights be no numbers after `step` steps, so many times."""
    genuine, left = training.gan_step, [times]

    def poisoned(state, *args, **kwargs):
        measured = genuine(state, *args, **kwargs)
        if state.step == step and left[0]:
            left[0] -= 1
            next(state.generator.parameters()).data[0] = math.nan
        return measured

    monkeypatch.setattr(training, "gan_step", poisoned)


def run(config, data, checkpoints, tracker):
    state = checkpoints.restore(build_state(config, device=CPU))
    batches = Batches(data, batch_size=config.train.batch_size, seed=config.train.seed, device=CPU)
    return train_with_rollbacks(state, batches, config, checkpoints=checkpoints, tracker=tracker)


@pytest.fixture
def checkpoints():
    return MemoryCheckpoints()


@pytest.fixture
def tracker():
    return RecordingTracker()


def test_a_divergence_is_undone_from_the_newest_checkpoint_with_half_the_rates(
    gan_config, striped_images, checkpoints, tracker, monkeypatch
):
    poison(monkeypatch, step=6, times=1)
    state = run(gan_config, striped_images, checkpoints, tracker)
    assert (state.step, state.rollbacks) == (12, 1)
    assert all(torch.isfinite(weight).all() for weight in state.generator.parameters())
    assert [int(saved["step"]) for saved in checkpoints.saved] == [4, 4, 8, 12]
    rates = {step: row["generator/learning_rate"] for step, row in tracker.metrics.items()}
    assert rates[2] == pytest.approx(1e-3)
    assert rates[6] == pytest.approx(0.5e-3)
    assert tracker.metrics[4]["train/rollbacks"] == 1
    assert tracker.metrics[4]["train/diverged_at"] == 8, "it was seen when the report was due"
    assert [step for step, row in tracker.metrics.items() if row.get("train/rollbacks")] == [4, 6, 8, 10, 12]
    assert "went back from step 8 to 4" in tracker.events["rollback-1"]
    assert "is nan at step 7" in tracker.events["rollback-1"]


def test_without_a_checkpoint_it_starts_again_from_nothing(
    gan_config, striped_images, checkpoints, tracker, monkeypatch
):
    poison(monkeypatch, step=1, times=1)
    state = run(gan_config, striped_images, checkpoints, tracker)
    assert (state.step, state.rollbacks) == (12, 1)
    assert [int(saved["step"]) for saved in checkpoints.saved] == [0, 4, 8, 12]
    assert list(tracker.samples) == [0, 6, 12]


def test_once_too_often_ends_it_and_the_last_good_checkpoint_stays(
    gan_config, striped_images, checkpoints, tracker, monkeypatch
):
    poison(monkeypatch, step=6, times=99)
    with pytest.raises(DivergedError, match=r"diverged: .* is nan at step 7; lower .* \(after 2 rollbacks") as raised:
        run(gan_config, striped_images, checkpoints, tracker)
    assert raised.value.exit_code == 70
    assert set(tracker.events) == {"rollback-1", "rollback-2"}
    assert all(torch.isfinite(each).all() for name, each in checkpoints.saved[-1].items() if name != "best_fcd")
    never = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, max_rollbacks=0))
    with pytest.raises(DivergedError, match=r"after 0 rollbacks"):
        run(never, striped_images, MemoryCheckpoints(), tracker)


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_a_run_killed_after_a_rollback_ends_in_the_same_bytes(gan_config, striped_images, monkeypatch, kept):
    """A divergence that comes of the training itself comes again; so does everything else."""
    checkpoints = MemoryCheckpoints()
    poison(monkeypatch, step=6, times=1)
    straight = run(gan_config, striped_images, checkpoints, RecordingTracker()).tensors()
    killed = MemoryCheckpoints()
    killed.saved = checkpoints.saved[:kept]
    poison(monkeypatch, step=6, times=1 if kept == 1 else 0)
    resumed = run(gan_config, striped_images, killed, RecordingTracker()).tensors()
    assert [name for name, tensor in straight.items() if not torch.equal(tensor, resumed[name])] == []
