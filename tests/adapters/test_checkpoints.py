import dataclasses
import hashlib
import os
import pickle

import pytest
import safetensors.torch
import torch

from dcgan.adapters.checkpoints import CheckpointFolder, load_weights, run_fingerprint, save_weights
from dcgan.core.state import build_state, tensors_of
from dcgan.errors import BadDataError

CPU = torch.device("cpu")


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def state(gan_config):
    return build_state(gan_config.model, gan_config.train, device=CPU)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints")


def save_at(folder, state, *steps):
    for step in steps:
        state.step = step
        folder.save(state)


def flip_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_the_newest_checkpoint_is_restored_and_older_ones_are_pruned(folder, state, gan_config):
    save_at(folder, state, 10, 20)
    with torch.no_grad():
        next(state.generator.parameters()).fill_(0.5)
    save_at(folder, state, 30)
    fresh = build_state(gan_config.model, gan_config.train, device=CPU)
    folder.restore(fresh)
    assert fresh.step == 30
    assert all(torch.equal(found, tensors_of(state)[name]) for name, found in tensors_of(fresh).items())
    assert sorted(path.name for path in folder.path.glob("*.safetensors")) == [
        "step-00000020.safetensors",
        "step-00000030.safetensors",
    ]
    assert len(list(folder.path.iterdir())) == 4


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


def test_weights_come_back_bit_for_bit(tmp_path, state, gan_config):
    path = tmp_path / "generator.safetensors"
    save_weights(path, state.generator)
    other = build_state(gan_config.model, dataclasses.replace(gan_config.train, seed=1), device=CPU).generator
    load_weights(path, other, made_by="train")
    assert all(torch.equal(found, state.generator.state_dict()[name]) for name, found in other.state_dict().items())


def test_equal_weights_give_equal_files(tmp_path, state):
    save_weights(tmp_path / "a", state.generator)
    save_weights(tmp_path / "b", state.generator)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_flipped_bit_in_weights_goes_unseen(tmp_path, state):
    path = tmp_path / "generator.safetensors"
    save_weights(path, state.generator)
    whole = path.read_bytes()
    rng = torch.Generator().manual_seed(0)
    header = torch.randint(8, 600, (20,), generator=rng).tolist()
    for position in header + torch.randint(len(whole), (60,), generator=rng).tolist():
        path.write_bytes(whole)
        flip_bit(path, position)
        with pytest.raises(BadDataError, match=r"generator\.safetensors"):
            load_weights(path, state.generator, made_by="train")


def test_bad_weights_are_refused_with_the_command_that_repairs_them(tmp_path, state):
    path = tmp_path / "generator.safetensors"
    with pytest.raises(BadDataError, match="missing; run `dvc repro train`"):
        load_weights(path, state.generator, made_by="train")
    path.write_bytes(pickle.dumps(Evil(tmp_path / "marker")))
    with pytest.raises(BadDataError, match=r"not a safetensors file .* run `dvc repro --force train`"):
        load_weights(path, state.generator, made_by="train")
    assert not (tmp_path / "marker").exists()
    save_weights(path, state.discriminator)
    with pytest.raises(BadDataError, match="another network than params"):
        load_weights(path, state.generator, made_by="train")
    (tmp_path / "plain").write_bytes(safetensors.torch.save({"weight": torch.ones(3)}))
    with pytest.raises(BadDataError, match=r"damaged: sha256 of its tensors is .* expected None"):
        load_weights(tmp_path / "plain", state.generator, made_by="train")


def test_the_fingerprint_follows_parameters_data_and_threads(gan_config, monkeypatch):
    fingerprint = run_fingerprint(gan_config, dataset_sha256="a")
    assert fingerprint == run_fingerprint(gan_config, dataset_sha256="a")
    reseeded = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, seed=1))
    others = {run_fingerprint(reseeded, dataset_sha256="a"), run_fingerprint(gan_config, dataset_sha256="b")}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    others.add(run_fingerprint(gan_config, dataset_sha256="a"))
    assert len(others | {fingerprint}) == 4
