import dataclasses
import hashlib
import os
import pickle
import shutil

import pytest
import torch

from damage import Evil, flip_bit
from dcgan.checkpoints.folder import CheckpointFolder, recipe_of
from dcgan.gan.state import build_state
from dcgan.system.errors import BadDataError

CPU = torch.device("cpu")


@pytest.fixture
def state(gan_config):
    return build_state(gan_config, device=CPU)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", {"stage": "train"})


def save_at(folder, state, *steps):
    for step in steps:
        state.step = step
        folder.save(state)


def test_the_newest_checkpoint_is_restored_and_older_ones_are_pruned(folder, state, gan_config):
    save_at(folder, state, 10, 20)
    with torch.no_grad():
        next(state.generator.parameters()).fill_(0.5)
    save_at(folder, state, 30)
    fresh = build_state(gan_config, device=CPU)
    folder.restore(fresh)
    assert fresh.step == 30
    assert all(torch.equal(found, state.tensors()[name]) for name, found in fresh.tensors().items())
    assert sorted(path.name for path in folder.path.glob("*.safetensors")) == [
        "step-00000020.safetensors",
        "step-00000030.safetensors",
    ]
    assert len(list(folder.path.iterdir())) == 5, "two checkpoints, their hashes, the recipe"


def test_the_best_checkpoint_outlives_newer_ones_and_is_chosen_if_asked(folder, state, capsys):
    with torch.no_grad():
        weight = next(state.generator_ema.parameters())
        weight.fill_(0.5)
        state.best_step = 10
        save_at(folder, state, 10)
        weight.fill_(0.9)
        save_at(folder, state, 20, 30, 40)
    steps = sorted(int(path.stem.removeprefix("step-")) for path in folder.path.glob("*.safetensors"))
    assert steps == [10, 30, 40]
    folder.choose(state, "last")
    assert (weight == 0.9).all()
    folder.choose(state, "best")
    assert (weight == 0.5).all()
    assert "kept, the best of the run, after step 10" in capsys.readouterr().out


def test_where_nothing_was_judged_the_last_is_chosen(folder, state):
    save_at(folder, state, 10)
    folder.choose(state, "best")
    assert state.step == 10


def test_a_damaged_best_is_told_and_nothing_is_chosen_in_its_place(folder, state):
    state.best_step = 10
    save_at(folder, state, 10, 20)
    damage_by_flip(folder.path / "step-00000010.safetensors")
    with pytest.raises(BadDataError, match=r"step-00000010\.safetensors: sha256 expected .* delete .* to train afresh"):
        folder.choose(state, "best")


def test_no_checkpoint_leaves_the_state_as_it_is(folder, state):
    folder.restore(state)
    assert state.step == 0


def damage_by_flip(path):
    flip_bit(path, path.stat().st_size // 2)


def damage_by_truncation(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_by_losing_its_hash(path):
    path.with_suffix(".sha256").unlink()


DAMAGES = [damage_by_flip, damage_by_truncation, damage_by_emptying, damage_by_losing_its_hash]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(folder, state, damage, capsys):
    save_at(folder, state, 10, 20)
    damage(folder.path / "step-00000020.safetensors")
    state.step = 0
    folder.restore(state)
    (warning,) = capsys.readouterr().err.splitlines()
    assert "step-00000020.safetensors: " in warning
    assert "sha256" in warning
    assert state.step == 10


def test_if_all_are_damaged_nothing_is_overwritten_and_the_way_out_is_named(folder, state):
    save_at(folder, state, 10, 20)
    for path in folder.path.glob("*.safetensors"):
        damage_by_flip(path)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(BadDataError, match=rf"every checkpoint is damaged: .*delete {folder.path}"):
        folder.restore(state)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_damaged_checkpoints_do_not_push_out_those_that_are_saved_after_them(folder, state):
    save_at(folder, state, 10, 20)
    damage_by_flip(folder.path / "step-00000020.safetensors")
    folder.restore(state)
    save_at(folder, state, 12, 14)
    steps = sorted(int(path.stem.removeprefix("step-")) for path in folder.path.glob("*.safetensors"))
    assert steps == [12, 14]


def test_what_a_killed_removal_left_is_no_training_to_go_on_with(folder, state, monkeypatch):
    save_at(folder, state, 10)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: (path / "recipe.json").unlink())
        folder.remove()
    state.step = 0
    assert folder.restore(state).step == 0
    assert list(folder.path.parent.iterdir()) == []


def test_a_pickle_dressed_up_as_a_checkpoint_is_refused_and_does_not_run(folder, state, tmp_path):
    save_at(folder, state, 10)
    path = folder.path / "step-00000010.safetensors"
    content = pickle.dumps(Evil(tmp_path / "marker"))
    path.write_bytes(content)
    path.with_suffix(".sha256").write_text(hashlib.sha256(content).hexdigest())
    with pytest.raises(BadDataError, match="every checkpoint is damaged"):
        folder.restore(state)
    assert not (tmp_path / "marker").exists()


def test_a_finished_run_leaves_nothing(folder, state):
    save_at(folder, state, 10)
    folder.remove()
    assert not folder.path.exists()


def test_a_recipe_follows_parameters_inputs_and_threads(gan_config, tmp_path, monkeypatch):
    data, classifier = tmp_path / "data", tmp_path / "classifier"
    data.write_text("a")
    classifier.write_text("b")

    def path_for(config, inputs):
        return CheckpointFolder(tmp_path, recipe_of("train", config, inputs, device=CPU)).path

    path = path_for(gan_config, [data, classifier])
    assert path == path_for(gan_config, [data, classifier])
    reseeded = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, seed=1))
    others = {path_for(reseeded, [data, classifier]), path_for(gan_config, [data])}
    classifier.write_text("c")
    others.add(path_for(gan_config, [data, classifier]))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    others.add(path_for(gan_config, [data, classifier]))
    assert len(others | {path}) == 5


def test_an_unfinished_training_by_another_recipe_is_named_and_left_alone(state, tmp_path, capsys):
    recipe = {"stage": "train", "train.seed": "0", "threads": "2", "code": "a" * 64}
    save_at(CheckpointFolder(tmp_path, recipe), state, 10)
    save_at(CheckpointFolder(tmp_path, recipe | {"stage": "train_classifier"}), state, 10)
    state.step = 0
    changed = CheckpointFolder(tmp_path, recipe | {"train.seed": "1", "code": "b" * 64})
    assert changed.restore(state).step == 0
    (note,) = capsys.readouterr().err.splitlines()
    unfinished = CheckpointFolder(tmp_path, recipe).path
    assert f"{unfinished} holds an unfinished training that differs in train.seed (0, now 1), code (aaaaaaaa" in note
    assert CheckpointFolder(tmp_path, recipe).restore(state).step == 10


def test_what_was_saved_after_a_rollback_is_newer_whatever_its_step(folder, state):
    save_at(folder, state, 10, 20)
    state.rollbacks = 1
    save_at(folder, state, 10)
    state.rollbacks = 0
    assert folder.restore(state).step == 10
    assert state.rollbacks == 1
    names = sorted(path.name for path in folder.path.glob("*.safetensors"))
    assert names == ["step-00000010-rollback-1.safetensors", "step-00000020.safetensors"]


def test_what_a_killed_save_left_behind_is_removed(folder, state):
    save_at(folder, state, 10)
    leftover = folder.path / ".step-00000020.safetensors.0123abcd.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))  # a young one may be another process's
    folder.restore(state)
    assert not leftover.exists()
