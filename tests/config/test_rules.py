import itertools

import pytest
import torch

from dcgan.config.params_file import changed
from dcgan.config.rules import refuse_misfits
from dcgan.config.schema import GanConfig, Params
from dcgan.export.onnx_export import export_generator, prove_parity
from dcgan.gan.losses import LOSSES
from dcgan.gan.networks import ARCHITECTURES
from dcgan.gan.state import build_state
from dcgan.inference.generator import Generator
from dcgan.system.errors import UsageError
from small_gan import take_steps
from support import CPU
from tiny_onnx import METADATA

BEGAN = {"model.architecture": "began", "loss.name": "boundary_equilibrium", "model.conditional": False}
REFUSED = {("acgan", False), ("infogan", True), ("began", True)}
"""Architectures that are not, or not un-, conditional."""
SHAPES = list(itertools.product(ARCHITECTURES, [True, False], ["normal", "uniform"]))
UNCONDITIONAL = {"model.conditional": False}
CLIPPED = {"penalties.weight_clipping": 0.1}
MISFITS = [
    ("model.conditional", UNCONDITIONAL | {"model.architecture": "acgan"}),
    ("model.conditional", {"model.architecture": "infogan"}),
    ("model.conditional", BEGAN | {"model.conditional": True}),
    ("model.latent_dim", UNCONDITIONAL | {"model.architecture": "infogan", "model.latent_dim": 12}),
    ("model.discriminator_dropout", BEGAN | {"model.discriminator_dropout": 0.1}),
    ("loss.name", BEGAN | {"loss.name": "hinge"}),
    ("loss.name", {"loss.name": "boundary_equilibrium"}),
    ("loss.name", {"loss.name": "wasserstein", "penalties.r1": 0.0}),
    ("penalties.weight_clipping", CLIPPED | UNCONDITIONAL),
    ("penalties.weight_clipping", CLIPPED | {"loss.name": "wasserstein"}),
    ("penalties.gradient_penalty", {"penalties.gradient_penalty": 10.0}),
    ("penalties.spectral_norm", {"penalties.spectral_norm": True}),
    ("train.stop_when.metric", UNCONDITIONAL | {"train.stop_when": {"metric": "train/label_error", "below": 0.1}}),
    ("train.weight_decay", {"train.weight_decay": 0.1}),
    ("train.batch_size", {"data.name": "digits", "evaluate.num_samples": 1442, "train.batch_size": 1443}),
    ("evaluate.num_samples", {"data.name": "digits"}),
    ("evaluate.num_samples", {"evaluate.num_samples": 60_001}),
    ("model.num_classes", {"model.num_classes": 3}),
    ("model.num_classes", {"data.classes": [3, 5, 8]}),
    ("data.classes", {"data.classes": [3, 10], "model.num_classes": 2}),
    ("model.conditional", {"data.classes": [3], "model.num_classes": 1}),
]


@pytest.mark.parametrize(("path", "changes"), MISFITS)
def test_what_does_not_go_together_is_refused_by_the_parameter_to_change(path, changes):
    with pytest.raises(UsageError, match=f"^{path}: ") as caught:
        changed(Params(), changes)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"loss.name": "wasserstein"},
        {"loss.name": "wasserstein"} | CLIPPED | UNCONDITIONAL,
        {"penalties.gradient_penalty": 10.0, "model.discriminator_normalization": "layer"},
        {"penalties.gradient_penalty": 10.0, "model.architecture": "mlp"},
        {"penalties.spectral_norm": True, "model.discriminator_normalization": "none"},
        {"train.weight_decay": 0.1, "train.optimizer": "adamw"},
    ],
)
def test_what_goes_together_is_let_through_and_steps(gan_config, striped_images, changes):
    assert_it_steps(changed(gan_config, changes), striped_images)


def allowed(config: GanConfig) -> bool:
    try:
        refuse_misfits(config)
    except ValueError:
        return False
    return True


def assert_it_steps(config: GanConfig, data) -> None:
    refuse_misfits(config)
    state = build_state(config, device=CPU)
    before = [weight.clone() for weight in state.generator.parameters()]
    measured = take_steps(state, config, data, count=2)
    assert all(torch.isfinite(value) for value in measured.values())
    assert any(not torch.equal(*pair) for pair in zip(before, state.generator.parameters(), strict=True))


def with_shape(config: GanConfig, shape: tuple[str, bool, str], loss: str) -> GanConfig:
    names = ("model.architecture", "model.conditional", "model.latent_distribution", "loss.name")
    return changed(config, dict(zip(names, (*shape, loss), strict=True)))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_allowed_shape_steps_under_every_loss(gan_config, striped_images, shape):
    steppable = [each for name in LOSSES if allowed(each := with_shape(gan_config, shape, name))]
    assert len(steppable) == (shape[:2] not in REFUSED) * (1 if shape[0] == "began" else len(LOSSES) - 1)
    for config in steppable:
        assert_it_steps(config, striped_images)


@pytest.mark.parametrize(
    "shape",
    [shape for shape in SHAPES if shape[:2] not in REFUSED and (shape[2] == "normal" or shape[0] == "dcgan")],
)
def test_every_allowed_generator_exports_with_the_same_contract(gan_config, shape, tmp_path):
    architecture, conditional, distribution = shape
    loss = "boundary_equilibrium" if architecture == "began" else "non_saturating"
    config = with_shape(gan_config, shape, loss)
    generator = build_state(config, device=CPU).generator_ema
    content = export_generator(generator, config.model, opset=20, origin=METADATA)
    assert prove_parity(content, generator, config.model)["parity"]["max_difference"] < 1e-4
    (tmp_path / "generator.onnx").write_bytes(content)
    loaded = Generator.load(tmp_path / "generator.onnx", providers="cpu")
    assert loaded.info.contract.latent_distribution == distribution
    assert loaded.info.contract.num_classes == (10 if conditional else 0)
    assert loaded.sample(3, seed=1).shape == (3, 28, 28)
