"""A training that starts from given weights: `train.init_from`."""

from pathlib import Path

import pytest
import torch

from dcgan.checkpoints.weights import save_weights
from dcgan.config.params_file import load_params
from dcgan.config.schema import GanConfig, TrainConfig
from dcgan.config.workspace import TRAINING_INPUTS, training_inputs
from dcgan.gan.state import GanState, build_state
from dcgan.gan.warm_start import build_start
from dcgan.system.errors import BadDataError, UsageError
from small_gan import CONFIG, END, bytes_of, changed, copied, differences, run
from support import CPU
from tiny_workspace import write_params


@pytest.fixture(scope="module")
def trained(striped_images) -> GanState:
    return run(CONFIG, striped_images)


@pytest.fixture
def config(trained, tmp_path) -> GanConfig:
    save_weights(tmp_path / "start", generator=trained.generator_ema, discriminator=trained.discriminator)
    return changed(CONFIG, {"train.init_from": str(tmp_path / "start"), "train.seed": 7})


def test_all_three_networks_start_from_the_files_and_the_optimisers_anew(config, trained):
    state = build_start(config, device=CPU)
    assert bytes_of(state.generator) == bytes_of(state.generator_ema) == bytes_of(trained.generator_ema)
    assert bytes_of(state.discriminator) == bytes_of(trained.discriminator)
    assert (state.step, state.generator_optimizer.state_dict()["state"]) == (0, {})
    assert all(weight.requires_grad for weight in state.generator.parameters())
    assert not state.generator_ema.training


def test_without_it_the_start_is_random(config):
    cold = changed(config, {"train.init_from": None})
    assert differences(build_start(cold, device=CPU), build_state(cold, device=CPU)) == []


def test_an_interrupted_training_ends_as_an_uninterrupted_one(config, striped_images):
    whole = run(config, striped_images, state=build_start(config, device=CPU))
    part = run(config, striped_images, state=build_start(config, device=CPU), stop_at=END // 2)
    rest = run(config, striped_images, state=copied(part, config))
    assert differences(whole, rest) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"model.generator_channels": 16},
            "generator.safetensors: stem.0.weight is [784, 26], and [1568, 26] by params",
        ),
        ({"model.num_classes": 4}, "generator.safetensors: stem.0.weight is [784, 26], and [784, 20] by params.yaml"),
        ({"model.discriminator_channels": 16}, "discriminator.safetensors: maps.0.weight is [8, 1, 4, 4], and [16, 1,"),
        ({"model.generator_refinements": 2}, "upsample.6.weight is [8, 1, 4, 4], and [8, 8, 3, 3] by params.yaml"),
        ({"model.generator_refinements": 0}, "generator.safetensors: upsample.3.weight is [8, 8, 3, 3], and [8, 1, 4"),
        ({"penalties.spectral_norm": True, "model.discriminator_normalization": "none"}, "discriminator.safetensors: "),
    ],
)
def test_weights_of_another_shape_are_refused_by_the_name_of_a_tensor(config, changes, told):
    with pytest.raises(BadDataError) as refused:
        build_start(changed(config, changes), device=CPU)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_digests_of_the_weights_tell_trainings_apart(config):
    files = training_inputs(config.train)[len(TRAINING_INPUTS) :]
    assert [path.name for path in files] == ["generator.safetensors", "discriminator.safetensors"]
    assert training_inputs(TrainConfig()) == TRAINING_INPUTS


def test_damaged_weights_are_refused(config):
    path = Path(config.train.init_from) / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadDataError, match=r"generator\.safetensors: damaged"):
        build_start(config, device=CPU)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("nowhere", "train.init_from: nowhere: holds no generator.safetensors"),
        ("half", "train.init_from: half: holds no discriminator.safetensors"),
        ("models", "train.init_from: models: is where the training writes; copy the folder, and name that"),
        ("./models/", "is where the training writes"),
    ],
)
def test_a_folder_that_cannot_be_started_from_is_refused_by_the_first_stage(tmp_path, start, told):
    save_weights(tmp_path / "half", generator=torch.nn.Linear(1, 1))
    write_params(tmp_path, train={"init_from": start})
    with pytest.raises(UsageError, match=told.replace(".", r"\.")):
        load_params(tmp_path / "params.yaml")
