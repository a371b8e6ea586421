"""A training that diverges goes back to its newest checkpoint, with half the rates, and says so."""

import math

import pytest
import torch

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.gan import graph
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.state import build_state
from dcgan.system.errors import DivergedError
from small_gan import CONFIG, CPU, RecordingTracker, batches_of, changed, differences

# 12 steps in all, a checkpoint at 4, 8 and 12.


class Killed(BaseException):
    """The process is gone."""


class Folder(CheckpointFolder):
    """Remembers the steps that were saved, and kills after so many saves."""

    def __init__(self, parent, *, kill_after=None):
        super().__init__(parent, {"stage": "train"})
        self.steps, self.kill_after = [], kill_after

    def save(self, state):
        super().save(state)
        self.steps.append(state.step)
        if len(self.steps) == self.kill_after:
            raise Killed


@pytest.fixture
def tracker():
    return RecordingTracker()


@pytest.fixture
def poison(monkeypatch):
    """Let the weights be no numbers after `step` steps, in the first `times` attempts."""

    def poison(*, step, times):
        genuine = graph.gan_step

        def poisoned(state, *args, **kwargs):
            measured = genuine(state, *args, **kwargs)
            if state.step == step - 1 and state.rollbacks < times:
                next(state.generator.parameters()).data[0] = math.nan
            return measured

        monkeypatch.setattr(graph, "gan_step", poisoned)

    return poison


def run(data, folder, tracker, config=CONFIG):
    state = folder.restore(build_state(config, device=CPU))
    return train_with_rollbacks(state, batches_of(config, data), config, checkpoints=folder, tracker=tracker)


def test_a_divergence_is_undone_from_the_newest_checkpoint_with_half_the_rates(
    striped_images, tmp_path, tracker, poison
):
    poison(step=6, times=1)
    folder = Folder(tmp_path)
    state = run(striped_images, folder, tracker)
    assert (state.step, state.rollbacks) == (12, 1)
    assert all(torch.isfinite(weight).all() for weight in state.generator.parameters())
    assert folder.steps == [4, 4, 8, 12]
    rates = {step: row["generator/learning_rate"] for step, row in tracker.metrics.items()}
    assert rates[2] == pytest.approx(1e-3)
    assert rates[6] == pytest.approx(0.5e-3)
    assert tracker.metrics[4]["train/rollbacks"] == 1
    assert tracker.metrics[4]["train/diverged_at"] == 8, "it was seen when the report was due"
    assert [step for step, row in tracker.metrics.items() if row.get("train/rollbacks")] == [4, 6, 8, 10, 12]
    assert "went back from step 8 to 4" in tracker.events["rollback-1"]
    assert "is nan at step 7" in tracker.events["rollback-1"]


def test_without_a_checkpoint_it_starts_again_from_nothing(striped_images, tmp_path, tracker, poison):
    poison(step=1, times=1)
    folder = Folder(tmp_path)
    state = run(striped_images, folder, tracker)
    assert (state.step, state.rollbacks) == (12, 1)
    assert folder.steps == [0, 4, 8, 12]
    assert list(tracker.samples) == [0, 6, 12]


@pytest.mark.parametrize("max_rollbacks", [0, 2])
def test_once_too_often_ends_it_and_the_last_good_checkpoint_stays(
    striped_images, tmp_path, tracker, poison, max_rollbacks
):
    poison(step=6, times=99)
    folder = Folder(tmp_path)
    with pytest.raises(DivergedError, match=rf"is nan at step 7; lower .* \(after {max_rollbacks} rollbacks"):
        run(striped_images, folder, tracker, changed(CONFIG, {"train.max_rollbacks": max_rollbacks}))
    assert set(tracker.events) == {f"rollback-{number + 1}" for number in range(max_rollbacks)}
    state = folder.restore(build_state(CONFIG, device=CPU))
    assert (state.step, state.rollbacks) == (4, max_rollbacks)
    assert all(torch.isfinite(each).all() for each in state.tensors().values())


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
def test_a_run_killed_before_or_after_a_rollback_ends_in_the_same_bytes(
    striped_images, tmp_path, tracker, poison, saves
):
    """A divergence that comes of the training itself comes again; so does everything else."""
    poison(step=6, times=1)
    straight = run(striped_images, Folder(tmp_path / "straight"), tracker)
    with pytest.raises(Killed):
        run(striped_images, Folder(tmp_path / "killed", kill_after=saves), tracker)
    assert differences(straight, run(striped_images, Folder(tmp_path / "killed"), tracker)) == []
