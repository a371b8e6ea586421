import dataclasses
import pickle

import pytest
import safetensors.torch
import torch

from damage import Evil, flip_bit
from dcgan.checkpoints.weights import load_remarks, load_weights, save_weights
from dcgan.gan.state import build_state
from dcgan.system.errors import BadDataError

CPU = torch.device("cpu")


@pytest.fixture
def state(gan_config):
    return build_state(gan_config, device=CPU)


def test_weights_come_back_bit_for_bit(tmp_path, state, gan_config):
    path = tmp_path / "generator.safetensors"
    save_weights(tmp_path, generator=state.generator)
    reseeded = dataclasses.replace(gan_config, train=dataclasses.replace(gan_config.train, seed=1))
    other = build_state(reseeded, device=CPU).generator
    load_weights(path, other, made_by="train")
    assert all(torch.equal(found, state.generator.state_dict()[name]) for name, found in other.state_dict().items())


def test_equal_weights_give_equal_files(tmp_path, state):
    save_weights(tmp_path, one=state.generator, other=state.generator)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "other.safetensors").read_bytes()


def test_remarks_come_with_the_weights_and_cannot_be_changed(tmp_path, state):
    remarks = {"collapse": "1 of 10 digits drawn", "another": "remark"}
    contents = set()
    for _ in range(8):
        save_weights(tmp_path, remarks=remarks, generator=state.generator)
        contents.add((tmp_path / "generator.safetensors").read_bytes())
    assert len(contents) == 1, "equal weights and remarks give equal files"
    path = tmp_path / "generator.safetensors"
    load_weights(path, state.generator, made_by="train")
    assert load_remarks(path) == remarks
    path.write_bytes(contents.pop().replace(b"1 of 10", b"9 of 10"))
    with pytest.raises(BadDataError, match="damaged: sha256"):
        load_weights(path, state.generator, made_by="train")


def test_no_flipped_bit_in_weights_goes_unseen(tmp_path, state):
    path = tmp_path / "generator.safetensors"
    save_weights(tmp_path, generator=state.generator)
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
    with pytest.raises(BadDataError, match=r"not a safetensors file .* run `dcgan doctor --repair`, then `dvc repro`"):
        load_weights(path, state.generator, made_by="train")
    assert not (tmp_path / "marker").exists()
    save_weights(tmp_path, generator=state.discriminator)
    with pytest.raises(BadDataError, match=r"another network than params.* run `dvc repro`$"):
        load_weights(path, state.generator, made_by="train")
    (tmp_path / "plain").write_bytes(safetensors.torch.save({"weight": torch.ones(3)}))
    with pytest.raises(BadDataError, match=r"damaged: sha256 of its tensors is .* expected None"):
        load_weights(tmp_path / "plain", state.generator, made_by="train")
