"""Every shape that params.yaml allows learns from every data set: scikit-learn's digits, and images as MNIST's are."""

import itertools

import pytest
import torch

from dcgan.config.params_file import load_params
from dcgan.data.dataset import LabelledImages
from dcgan.data.files import read_arrays
from dcgan.data.files.digits import write_digits
from dcgan.gan.networks import ARCHITECTURES
from dcgan.gan.state import build_state
from dcgan.system.errors import UsageError
from small_gan import changed, take_steps
from support import CPU
from tiny_data import tiny_arrays
from tiny_workspace import write_params

REFUSED = [("acgan", False), ("infogan", True), ("began", True)]
"""Architectures that are not, or not un-, conditional."""
SHAPES = sorted(set(itertools.product(ARCHITECTURES, (True, False))) - set(REFUSED))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, LabelledImages]:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    arrays = {"digits": read_arrays("digits", folder)} | dict.fromkeys(("mnist", "fashion_mnist"), tiny_arrays())
    return {
        name: LabelledImages(torch.tensor(each["train_images"][:40]), torch.tensor(each["train_labels"][:40]).long())
        for name, each in arrays.items()
    }


def params_for(folder, *, data, shape, distribution="normal"):
    architecture, conditional = shape
    model = {"architecture": architecture, "conditional": conditional, "latent_distribution": distribution}
    loss = {"name": "boundary_equilibrium" if architecture == "began" else "non_saturating"}
    write_params(folder, data={"name": data}, model=model, loss=loss)
    return load_params(folder / "params.yaml")


@pytest.mark.parametrize("data", ["digits", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_allowed_shape_builds_and_steps(tmp_path, images, data, shape, distribution):
    params = params_for(tmp_path, data=data, shape=shape, distribution=distribution)
    config = changed(params.gan, {"train.batch_size": 16})
    state = build_state(config, device=CPU)
    before = [weight.clone() for weight in state.generator.parameters()]
    measured = take_steps(state, config, images[data])
    assert all(torch.isfinite(value) for value in measured.values())
    moved = zip(before, state.generator.parameters(), strict=True)
    assert any(not torch.equal(was, now) for was, now in moved)


@pytest.mark.parametrize("shape", REFUSED)
def test_every_other_shape_is_refused(tmp_path, shape):
    with pytest.raises(UsageError, match=r"model\.conditional"):
        params_for(tmp_path, data="mnist", shape=shape)
