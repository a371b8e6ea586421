"""The search space: what it holds is what training takes; all else is refused by name, before anything starts."""

import pytest
import yaml

from dcgan.config.params_file import changed
from dcgan.config.schema import Params
from dcgan.scale.space import Choice, Range, load_space, parse_space
from dcgan.system.errors import UsageError
from support import ROOT

RATE, R1, EPOCHS = "train.generator_learning_rate", "penalties.r1", "train.epochs"


def space_of(**space: object):
    return parse_space({"space": {name.replace("__", "."): value for name, value in space.items()}}, Params())


@pytest.mark.parametrize("params", ["params.yaml", "demo/params.yaml"])
def test_the_shipped_space_fits_the_shipped_parameters_and_holds_them(params):
    from dcgan.config.params_file import load_params

    loaded = load_params(ROOT / params)
    space = load_space(ROOT / "experiments/sweep.yaml", loaded)
    assert space.values_of(loaded)


def test_values_are_read_as_params_yaml_reads_them(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "base: {train.epochs: 3}\nspace:\n  penalties.r1: {low: 1e-2, high: 1, log: true}\n  loss.name: [hinge]\n"
    )
    space = load_space(path, Params())
    assert space.base == {EPOCHS: 3}
    assert space.domains == {R1: Range(low=0.01, high=1.0, log=True), "loss.name": Choice(options=("hinge",))}


def test_what_is_drawn_is_rounded_within_the_range():
    space = space_of(penalties__r1={"low": 0.12344, "high": 0.5}, model__latent_dim={"low": 2, "high": 9})
    assert space.rounded({R1: 0.234567, "model.latent_dim": 7}) == {R1: 0.2346, "model.latent_dim": 7}
    assert space.rounded({R1: 0.12344, "model.latent_dim": 2})[R1] == 0.12344, "0.1234 is below the range"


def test_a_range_of_whole_numbers_has_both_ends():
    from optuna.distributions import FloatDistribution, IntDistribution

    space = space_of(model__latent_dim={"low": 2, "high": 9, "log": True}, penalties__r1={"low": 0, "high": 1})
    assert space.distributions["model.latent_dim"] == IntDistribution(2, 9, log=True)
    assert space.distributions[R1] == FloatDistribution(0.0, 1.0)


def test_params_yaml_is_the_first_trial_if_the_space_holds_it():
    space = space_of(penalties__r1={"low": 0.01, "high": 0.1})
    assert space.values_of(Params()) == {R1: 0.05}
    assert space.values_of(changed(Params(), {R1: 0.5})) is None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"train.generator_learning_rat": [1]},
            f"unknown parameter train.generator_learning_rat; did you mean {RATE}?",
        ),
        ({"epochs": [1]}, "did you mean train.epochs?"),
        ({"evaluate.num_samples": [1000]}, "evaluate.num_samples: training does not read it"),
        ({"gates.precision_over_floor": [0.5]}, "training does not read it"),
        ({EPOCHS: {"low": 3, "high": 3}}, "the range from 3 to 3 is empty"),
        ({EPOCHS: {"low": 4, "high": 3}}, "the range from 4 to 3 is empty"),
        ({EPOCHS: []}, "the list of choices is empty"),
        ({R1: [0, 0]}, "stands twice"),
        ({EPOCHS: [1.5]}, "train.epochs: expected a whole number, found 1.5"),
        ({EPOCHS: {"low": 0, "high": 3}}, "train.epochs: 0 is out of range"),
        ({RATE: {"low": 0.1, "high": 1e31}}, f"{RATE}: 1e+31 is out of range"),
        ({R1: {"low": 0, "high": 1, "log": True}}, "low: 0.0 has no logarithm"),
        ({R1: {"low": 0, "high": 1, "log": "yes"}}, "log: expected true or false"),
        ({R1: {"low": 0, "hihg": 1}}, "unknown key hihg; did you mean high?"),
        ({R1: {"low": 0}}, "high is missing"),
        ({R1: 0.1}, "expected a list of choices or"),
        ({"loss.name": ["hing"]}, "did you mean hinge?"),
        ({"model.conditional": {"low": False, "high": True}}, "False is no number; write a list"),
        ({"train.stop_when": [{"metric": "train/quick_fcd", "below": 1}]}, "expected a list of plain values"),
        ({"train.seed": [1, 2]}, "`--seeds 3` repeats the best"),
        ({"train.threads": [1, 2]}, "does not change what is trained"),
        ({"loss.name": ["hinge", "wasserstein"], R1: [0, 1]}, "loss.name: wasserstein needs one of"),
        ({"model.architecture": ["dcgan", "infogan"]}, "model.conditional: infogan finds classes by itself"),
        ({"train.batch_size": [64, 2000]}, "train.batch_size: 2,000 is more than the 1,442 training images of digits"),
    ],
)
def test_what_a_stage_would_refuse_is_refused_by_name(tmp_path, space, message):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump({"space": space}))
    with pytest.raises(UsageError) as refused:
        load_space(path, changed(Params(), {"data.name": "digits", "evaluate.num_samples": 1000}))
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; name a search space with --space"),
        ("", "expected `space:`"),
        ("space: {}", "expected `space:`"),
        ("spaces: {penalties.r1: [1]}", "expected `space:`"),
        ("space: {penalties.r1: [1]}\nbases: {}", "unknown section bases; did you mean base?"),
        ("space: {penalties.r1: [1]}\nbase: {train.epoch: 3}", "did you mean train.epochs?"),
        ("space: {penalties.r1: [1]}\nbase: {penalties.r1: 3}", "penalties.r1: stands in both"),
        ("space: {penalties.r1: [1]}\nbase: {train.epochs: 0}", "train.epochs: 0 is out of range"),
        ("space: {penalties.r1: [1], penalties.r1: [2]}", "not valid YAML"),
        ("space: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_search_space_is_told(tmp_path, text, message):
    path = tmp_path / "space.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=str(path)) as refused:
        load_space(path, Params())
    assert message in str(refused.value)
