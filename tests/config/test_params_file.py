import dataclasses

import pytest
import yaml

from dcgan.config.params_file import changed, load_params, params_sha256
from dcgan.config.schema import Params, StopRule, flatten
from dcgan.system.errors import UsageError
from support import ROOT


@pytest.fixture
def load(tmp_path):
    def write_and_load(content):
        path = tmp_path / "params.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_params(path)

    return write_and_load


def refusal(load, content) -> str:
    """What is said after the file's name, in one line."""
    with pytest.raises(UsageError) as caught:
        load(content)
    assert caught.value.exit_code == 64
    assert "params.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value).partition("params.yaml: ")[2]


def test_the_projects_own_file_is_valid():
    """It is the user's to edit, so nothing more is known of it."""
    load_params(ROOT / "params.yaml")


def test_what_a_file_leaves_out_has_its_default(load):
    assert load("train: {epochs: 3}\ngates:\n") == changed(Params(), {"train.epochs": 3})
    assert load({}) == Params()


@pytest.mark.parametrize(
    ("content", "told", "nearest"),
    [
        ({"train": {"epoch": 3}}, "unknown parameter train.epoch;", "train.epochs"),
        ({"trian": {"epochs": 3}}, "unknown parameter trian;", "train"),
        (
            {"train": {"stop_when": {"metrics": "train/quick_fcd"}}},
            "unknown parameter train.stop_when.metrics;",
            "train.stop_when.metric",
        ),
        ({"model": {"image_size": 32}}, "unknown parameter model.image_size;", None),
        ({"backbone": {}}, "unknown parameter backbone;", None),
        ({1: {}}, "unknown parameter 1;", None),
        ({"train": {"device": "gpu"}}, "train.device: expected one of ", "cpu"),
        ({"data": {"name": "minst"}}, "data.name: expected one of ", "mnist"),
        ({"model": {"architecture": "stylegan"}}, "model.architecture: expected one of ", None),
        ({"loss": {"name": "perceptual"}}, "loss.name: expected one of ", None),
        ("train: [", "not valid YAML", None),
        ("a: b: c", "not valid YAML", None),
        ("\tx: 1", "not valid YAML", None),
        ("", "the file: expected a mapping", None),
        ("# nothing\n", "the file: expected a mapping", None),
        ("- train\n", "the file: expected a mapping", None),
    ],
)
def test_what_is_not_known_is_named_with_the_nearest_that_is(load, content, told, nearest):
    message = refusal(load, content)
    assert message.startswith(told)
    assert message.partition("did you mean ")[2] == (f"{nearest}?" if nearest else "")


def test_a_missing_parameter_is_named(load):
    message = refusal(load, {"train": {"stop_when": {"checks": 2}}})
    assert {"train.stop_when.metric", "train.stop_when.below"} < set(message.replace(",", "").split())


def test_a_parameter_given_twice_is_refused(load):
    assert "batch_size is given twice" in refusal(load, "train:\n  batch_size: 64\n  batch_size: 3\n")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("train.epochs", value) for value in ("ten", 2.5, True, None, 0)),
        *(("train.beta1", value) for value in ("high", float("nan"))),
        ("train.beta2", 1.0),
        *(("train.threads", value) for value in ("two", 0)),
        *(("train.seed", value) for value in (-1, 2**63)),
        ("train.batch_size", 1),
        ("train.stop_when", 3),
        ("classifier.batch_size", 1),
        ("evaluate.num_train_on_fake", 99),
        ("penalties.r1", -0.1),
        ("export.opset", 11),
        ("gates.min_class_share", 0.11),
        ("model", 3),
        ("model.conditional", "yes"),
        ("model.latent_dim", 65_537),
        *(("data.mirrors", value) for value in ("x", [3])),
        *(("data.classes", value) for value in (3, ["3"], [1.5])),
        *(("model.num_classes", value) for value in (0, 101, "ten")),
        ("tracking.registered_model", "team/generator"),
        ("tracking.experiment", " "),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(load, path, value):
    section, _, name = path.partition(".")
    message = refusal(load, {section: {name: value} if name else value})
    assert message.startswith(f"{path}: ")
    assert ("null" if value is None else repr(value)) in message


@pytest.mark.parametrize("written", ["2e-4", "2.0e-4", "0.0002", "2E-4"])
def test_every_way_to_write_a_number_is_a_number(load, written):
    assert load(f"train: {{generator_learning_rate: {written}}}").train.generator_learning_rate == 2e-4


@pytest.mark.parametrize(
    ("written", "read"), [("on", "on"), ("off", "off"), ("'off'", "off"), ("false", "off"), ("auto", "auto")]
)
def test_a_switch_is_read_as_it_was_written(load, written, read):
    assert load(f"train: {{cuda_graph: {written}}}").train.cuda_graph == read


def test_a_whole_number_will_do_for_a_number(load):
    written = load({"train": {"ema_halflife_kimg": 30}})
    assert isinstance(written.train.ema_halflife_kimg, float)
    assert params_sha256(written) == params_sha256(Params())


def test_optional_parameters_may_be_null(load):
    assert load({"train": {"stop_when": None}}).train.stop_when is None
    rule = {"metric": "train/quick_fcd", "below": 2}
    assert load({"train": {"stop_when": rule}}).train.stop_when == StopRule(metric="train/quick_fcd", below=2.0)
    assert load({"data": {"mirrors": ["/mnt/data"]}}).data.mirrors == ("/mnt/data",)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match=rf"missing in {tmp_path}") as caught:
        load_params(tmp_path / "params.yaml")
    assert caught.value.exit_code == 64


def test_changes_are_checked_as_a_file_is():
    params = changed(Params(), {"train.epochs": 2, "data.mirrors": ["/mnt"], "train.stop_when": None})
    assert flatten(params) == flatten(Params()) | {"train.epochs": 2, "data.mirrors": ("/mnt",)}
    assert changed(params.gan, {"train.epochs": 9}) == Params().gan
    for changes, name in (
        ({"train.epoch": 2}, "train.epoch;"),
        ({"train.epochs": 0}, "train.epochs:"),
        ({"model.architecture": "acgan", "model.conditional": False}, "model.conditional:"),
    ):
        with pytest.raises(UsageError, match=name):
            changed(Params(), changes)


def test_flattened_parameters_have_dotted_paths():
    rule = {"metric": "train/quick_fcd", "below": 2, "checks": 3}
    flat = flatten(changed(Params(), {"train.stop_when": rule}))
    assert flat["train.epochs"] == 9
    assert {name: flat[f"train.stop_when.{name}"] for name in rule} == rule
    assert "train.stop_when" not in flat


def test_the_hash_follows_what_shapes_the_generator_only():
    default = params_sha256(Params())
    same = {
        "evaluate.seed": 99,
        "gates.fcd_over_floor": 2,
        "train.threads": 3,
        "train.cuda_graph": "off",
        "train.keep": "best",
    }
    assert params_sha256(changed(Params(), same)) == default
    for change in ({"train.seed": 99}, {"data.name": "kmnist"}, {"penalties.r2": 0.1}):
        assert params_sha256(changed(Params(), change)) != default


def test_the_packaged_generator_was_trained_by_the_defaults():
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ROOT / "src/dcgan/inference/pretrained.onnx")
    metadata = {each.key: each.value for each in model.metadata_props}
    assert params_sha256(Params()) == metadata["params_sha256"]


def test_a_parameter_that_came_later_counts_where_it_is_not_what_older_models_had():
    fewer = dataclasses.replace(Params(), model=dataclasses.replace(Params().model, num_classes=3))
    assert params_sha256(fewer) != params_sha256(Params())


@pytest.mark.parametrize("classes", [[], [3, 3], [0, 256], [-1, 2], list(range(101))])
def test_a_subset_names_different_labels_each_of_a_byte(load, classes):
    assert refusal(load, {"data": {"classes": classes}}).startswith("data.classes: ")


@pytest.mark.parametrize(
    ("content", "num_classes"),
    [
        ({}, 10),
        ({"data": {"classes": [3, 5, 8]}}, 3),
        ({"data": {"classes": [3, 5, 8]}, "model": {"latent_dim": 16}}, 3),
        ({"data": {"classes": [3, 5, 8]}, "model": {"num_classes": 3}}, 3),
        ({"data": {"name": "images", "path": "."}, "model": {"num_classes": 26}}, 26),
        ({"data": {"name": "images", "path": ".", "classes": [1, 2]}}, 2),
    ],
)
def test_the_number_of_classes_follows_the_data(load, content, num_classes):
    assert load(content).model.num_classes == num_classes


def test_of_images_of_ones_own_the_number_of_classes_has_to_be_stated(load):
    message = refusal(load, {"data": {"name": "images"}})
    assert message == "missing parameter model.num_classes: how many classes the images have, which only you know"


def test_the_order_of_chosen_classes_does_not_count(load):
    one, other, all_ten = (load({"data": {"classes": classes}}) for classes in ([3, 5], [5, 3], [3, 6]))
    assert params_sha256(one) == params_sha256(other) != params_sha256(all_ten)


@pytest.mark.parametrize("section", ["model", "data"])
@pytest.mark.parametrize("name", ["image_size", "resolution"])
def test_another_size_is_said_to_be_impossible(load, section, name):
    told = f"unknown parameter {section}.{name}; images are 28x28 and no other size can be set; scale the files instead"
    assert refusal(load, {section: {name: 32}}) == told
