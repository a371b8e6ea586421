"""Runs are named by what tells them apart."""

from pathlib import Path

import pytest

from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import Params
from dcgan.tracking.naming import LENGTH, run_name
from support import ROOT


@pytest.fixture(autouse=True)
def _no_experiment(monkeypatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "mnist dcgan"),
        ({"model.architecture": "mlp"}, "mnist mlp"),
        ({"model.architecture": "mlp", "loss.name": "hinge"}, "mnist mlp hinge"),
        ({"loss.name": "hinge", "penalties.r1": 0.1, "train.seed": 1}, "mnist hinge r1=0.1 seed=1"),
        ({"model.conditional": False}, "mnist conditional=false"),
        ({"train.threads": 1, "train.report_every": 7, "evaluate.num_samples": 500}, "mnist dcgan"),
        ({"train.keep": "best"}, "mnist keep=best"),
        ({"data.classes": (8, 3), "model.num_classes": 2, "train.seed": 1}, "mnist classes=8,3 seed=1 num_classes=2"),
    ],
)
def test_a_name_has_the_parameters_that_make_another_model(changes, name):
    assert run_name(changed(Params(), changes), repository=ROOT) == name


def test_the_demo_and_what_is_changed_in_it_are_compared_with_its_own_file(tmp_path):
    demo = load_params(ROOT / "demo/params.yaml")
    assert run_name(demo, repository=ROOT) == "digits dcgan"
    assert run_name(changed(demo, {"loss.name": "hinge"}), repository=ROOT) == "digits hinge"
    assert "epochs=40" in run_name(demo, repository=tmp_path), "without the repository, with the defaults"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/params.yaml").write_text("train: {epoch: 1}")
    assert run_name(Params(), repository=tmp_path) == "mnist dcgan", "an edited file stops no training"


def test_a_long_name_says_how_much_it_leaves_out():
    keys = ("latent_dim", "generator_channels", "discriminator_channels")
    changes = {f"model.{key}": 7 for key in keys} | {"train.seed": 1, "train.epochs": 2}
    name = run_name(changed(Params(), changes), repository=ROOT)
    assert name == "mnist seed=1 epochs=2 latent_dim=7 generator_channels=7 +1"
    assert len(name) <= LENGTH + len(" +1")


def test_an_experiment_of_dvc_comes_first(monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "coral-rice")
    assert run_name(Params(), repository=Path("nowhere")) == "coral-rice: mnist dcgan"
