import pytest

from damage import flip_bit
from dcgan.checkpoints.weights import load_weights, restored, save_weights
from dcgan.gan.state import build_state
from dcgan.system.errors import BadDataError
from dcgan.system.tensors_file import load_arrays
from small_gan import CONFIG, CPU, bytes_of, changed


@pytest.fixture
def state():
    return build_state(CONFIG, device=CPU)


def test_weights_come_back_bit_for_bit_and_metadata_with_them(tmp_path, state):
    save_weights(tmp_path, metadata={"collapse": "1 of 10 digits"}, generator=state.generator)
    other = build_state(changed(CONFIG, {"train.seed": 1}), device=CPU).generator
    found = restored(other, tmp_path / "generator.safetensors", device=CPU)
    assert found is other
    assert not found.training
    assert bytes_of(found) == bytes_of(state.generator)
    assert load_arrays(tmp_path / "generator.safetensors", made_by="train").metadata == {"collapse": "1 of 10 digits"}


def test_equal_weights_give_equal_files(tmp_path, state):
    save_weights(tmp_path, one=state.generator, other=state.generator)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "other.safetensors").read_bytes()


def test_bad_weights_are_refused_with_the_command_that_repairs_them(tmp_path, state):
    path = tmp_path / "generator.safetensors"
    with pytest.raises(BadDataError, match=r"generator\.safetensors: missing; run `dvc repro train`"):
        load_weights(path, state.generator, made_by="train")
    save_weights(tmp_path, generator=state.discriminator)
    with pytest.raises(BadDataError, match=r"generator\.safetensors: holds another network .* run `dvc repro`$"):
        load_weights(path, state.generator, made_by="train")
    flip_bit(path, -1)
    with pytest.raises(
        BadDataError, match=r"generator\.safetensors: damaged.* `dvc repro --force --single-item train`"
    ):
        load_weights(path, state.generator, made_by="train")
