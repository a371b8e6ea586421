import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from damage import flip_bit
from dcgan.checkpoints.file import checkpoints_in, step_of
from dcgan.checkpoints.folder import CheckpointFolder, threads_of_unfinished
from dcgan.gan.state import GanState, build_state
from dcgan.system.errors import BadDataError, StorageError
from dcgan.system.tensors_file import save_arrays
from small_gan import CONFIG, CPU, differences


@pytest.fixture
def state():
    return build_state(CONFIG, device=CPU)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", {"stage": "train"})


def save_at(folder, state, *steps):
    for step in steps:
        state.step = step
        folder.save(state)


def steps_in(folder):
    return sorted(map(step_of, checkpoints_in(folder.path)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def test_the_newest_checkpoint_is_restored_and_older_ones_are_pruned(folder, state):
    save_at(folder, state, 10, 20)
    with torch.no_grad():
        next(state.generator.parameters()).fill_(0.5)
    state.monitor.best_fcd, state.monitor.checks_held = 1.1 + 2.2, 3
    save_at(folder, state, 30)
    fresh = folder.restore(build_state(CONFIG, device=CPU))
    assert fresh.step == 30
    assert differences(fresh, state) == []
    assert sorted(contents(folder)) == ["fingerprint.json", "step-00000020.safetensors", "step-00000030.safetensors"]


def test_the_best_checkpoint_outlives_newer_ones_and_is_chosen_if_asked(folder, state, capsys):
    with torch.no_grad():
        weight = next(state.generator_ema.parameters())
        weight.fill_(0.5)
        state.monitor.best_step = 10
        save_at(folder, state, 10)
        weight.fill_(0.9)
        save_at(folder, state, 20, 30, 40)
    assert steps_in(folder) == [10, 30, 40]
    folder.choose(state, "last")
    assert (weight == 0.9).all()
    folder.choose(state, "best")
    assert (weight == 0.5).all()
    assert "best of the run, after step 10" in capsys.readouterr().out


def test_where_nothing_was_evaluated_the_last_is_chosen(folder, state):
    save_at(folder, state, 10)
    folder.choose(state, "best")
    assert state.step == 10


@pytest.mark.parametrize("damage", [lambda path: flip_bit(path, -1), Path.unlink])
def test_a_best_that_is_damaged_or_gone_is_told_and_nothing_is_chosen_in_its_place(folder, state, damage):
    state.monitor.best_step = 10
    save_at(folder, state, 10, 20)
    damage(folder.path / "step-00000010.safetensors")
    with pytest.raises(BadDataError, match=rf"{folder.path}.*10.*delete .* to train again"):
        folder.choose(state, "best")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip_bit(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(b""),
        lambda path: save_arrays(path, {}, {"name": "no checkpoint"}),
    ],
    ids=["a flipped bit", "cut", "emptied", "another file"],
)
def test_a_damaged_checkpoint_is_named_and_renamed_and_the_one_before_is_used(folder, state, damage, capsys):
    save_at(folder, state, 10, 20)
    newest = folder.path / "step-00000020.safetensors"
    damage(newest)
    found = newest.read_bytes()
    state.step = 0
    assert folder.restore(state).step == 10
    (warning,) = capsys.readouterr().err.splitlines()
    assert str(newest) in warning
    assert contents(folder)["step-00000020.safetensors.damaged"] == found
    save_at(folder, state, 12, 14)
    assert steps_in(folder) == [12, 14], "it does not push out those that are saved after it"


def test_if_all_are_damaged_nothing_is_changed_and_the_way_out_is_named(folder, state):
    save_at(folder, state, 10, 20)
    for path in checkpoints_in(folder.path):
        flip_bit(path, -1)
    before = contents(folder)
    with pytest.raises(BadDataError, match=rf"step-00000020.*step-00000010.*delete {folder.path}"):
        folder.restore(state)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ((GanState, "load"), torch.OutOfMemoryError("CUDA out of memory")),
        ((GanState, "load"), RuntimeError("no device")),
        ((Path, "read_bytes"), OSError(errno.EIO, "Input/output error")),
    ],
)
def test_a_passing_error_rises_and_no_checkpoint_is_touched(folder, state, monkeypatch, where, error):
    save_at(folder, state, 10, 20)
    before = contents(folder)
    genuine, left = getattr(*where), [1]

    def fail_once(self, *args):
        if left[0]:
            left[0] -= 1
            raise error
        return genuine(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(*where, fail_once)
        with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
            folder.restore(build_state(CONFIG, device=CPU))
    assert contents(folder) == before
    assert folder.restore(state).step == 20


def test_what_a_killed_removal_left_is_no_training_to_go_on_with(folder, state, monkeypatch):
    save_at(folder, state, 10)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: (path / "fingerprint.json").unlink())
        folder.remove()
    assert folder.restore(build_state(CONFIG, device=CPU)).step == 0
    assert list(folder.path.parent.iterdir()) == []


def test_a_finished_run_leaves_nothing(folder, state):
    save_at(folder, state, 10)
    folder.remove()
    assert list(folder.path.parent.iterdir()) == []


def test_an_unfinished_training_with_another_fingerprint_is_named_and_left_alone(state, tmp_path, capsys):
    fingerprint = {"stage": "train", "train.seed": "0", "threads": "2", "code": "a" * 64}
    save_at(CheckpointFolder(tmp_path, fingerprint), state, 10)
    save_at(CheckpointFolder(tmp_path, fingerprint | {"stage": "train_classifier"}), state, 10)
    changed = CheckpointFolder(tmp_path, fingerprint | {"train.seed": "1", "code": "b" * 64})
    assert changed.restore(build_state(CONFIG, device=CPU)).step == 0
    (note,) = capsys.readouterr().err.splitlines()
    unfinished = CheckpointFolder(tmp_path, fingerprint)
    assert str(unfinished.path) in note
    assert "train.seed (0, now 1), code (aaaaaaaa, now bbbbbbbb)" in note
    assert unfinished.restore(state).step == 10


def test_what_was_saved_after_a_rollback_is_newer_whatever_its_step(folder, state):
    save_at(folder, state, 10, 20)
    state.rollbacks = 1
    save_at(folder, state, 10)
    fresh = folder.restore(build_state(CONFIG, device=CPU))
    assert (fresh.step, fresh.rollbacks) == (10, 1)
    names = [path.name for path in checkpoints_in(folder.path)]
    assert names == ["step-00000010-rollback-1.safetensors", "step-00000020.safetensors"]


def test_an_unfinished_training_tells_how_many_threads_it_goes_on_with(state, tmp_path):
    assert threads_of_unfinished(tmp_path, stage="train") is None
    for number, (stage, threads) in enumerate([("train", "2"), ("train", "1"), ("train_classifier", "4")]):
        folder = CheckpointFolder(tmp_path, {"stage": stage, "threads": threads})
        save_at(folder, state, 10)
        os.utime(folder.path / "fingerprint.json", (number, number))
    assert threads_of_unfinished(tmp_path, stage="train") == 1
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/fingerprint.json").write_text('{"stage": "train"}')
    assert threads_of_unfinished(tmp_path, stage="train") == 1
    assert threads_of_unfinished(tmp_path, stage="train_classifier") == 4
