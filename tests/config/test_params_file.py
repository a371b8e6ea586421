from pathlib import Path

import pytest
import yaml

from dcgan.config.params_file import load_params, params_sha256
from dcgan.config.schema import flatten
from dcgan.system.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def content() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture
def load(tmp_path):
    def write_and_load(content):
        path = tmp_path / "params.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_params(path)

    return write_and_load


def refusal(load, content) -> str:
    with pytest.raises(UsageError) as caught:
        load(content)
    message = str(caught.value)
    assert "\n" not in message.strip()
    return message.partition("params.yaml: ")[2]


@pytest.mark.parametrize("path", ["params.yaml", "demo/params.yaml"])
def test_the_projects_own_files_are_valid(path):
    assert load_params(ROOT / path).train.batch_size == 64


def test_an_unknown_parameter_is_named_with_the_nearest_known_one(load, content):
    content["train"]["epoch"] = 3
    assert refusal(load, content) == "unknown parameter train.epoch; did you mean train.epochs?"


def test_an_unknown_section_is_named(load, content):
    content["trian"] = content.pop("train")
    assert refusal(load, content) == "unknown parameter trian; did you mean train?"


def test_missing_parameters_are_named_together(load, content):
    del content["train"]["epochs"], content["train"]["seed"]
    assert refusal(load, content) == "missing parameter train.seed, train.epochs"


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("train", "epochs", "ten", "train.epochs: expected a whole number, found 'ten' (text)"),
        ("train", "epochs", 2.5, "train.epochs: expected a whole number, found 2.5"),
        ("train", "epochs", True, "train.epochs: expected a whole number, found True"),
        ("train", "epochs", None, "train.epochs: expected a whole number, found nothing"),
        ("train", "beta1", "high", "train.beta1: expected a number, found 'high' (text)"),
        ("train", "beta1", float("nan"), "train.beta1: expected a number, found nan"),
        ("model", "conditional", "yes", "model.conditional: expected true or false, found 'yes' (text)"),
        ("train", "threads", "two", "train.threads: expected a whole number or null, found 'two' (text)"),
        ("train", "epochs", 0, "train.epochs: 0 is out of range; expected more than 0"),
        ("train", "batch_size", 1, "train.batch_size: 1 is out of range; expected 2 or more (BatchNorm)"),
        ("classifier", "batch_size", 1, "classifier.batch_size: 1 is out of range; expected 2 or more (BatchNorm)"),
        ("evaluate", "num_train_on_fake", 99, "evaluate.num_train_on_fake: 99 is out of range; expected 100 or more"),
        ("train", "beta2", 1.0, "train.beta2: 1.0 is out of range; expected in [0, 1)"),
        ("train", "seed", -1, "train.seed: -1 is out of range; expected in 0..2^63 - 1"),
        ("penalties", "r1", -0.1, "penalties.r1: -0.1 is out of range; expected 0 or more"),
        ("export", "opset", 11, "export.opset: 11 is out of range; expected in 18..23"),
        (
            "train",
            "device",
            "gpu",
            "train.device: expected one of auto, cpu, cuda, found 'gpu' (text); did you mean cpu?",
        ),
        (
            "data",
            "name",
            "minst",
            "data.name: expected one of mnist, fashion_mnist, kmnist, digits, found 'minst' (text); did you mean mnist?",  # noqa: E501
        ),
        ("data", "mirrors", "x", "data.mirrors: expected a list of texts or null, found 'x' (text)"),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(load, content, section, name, value, message):  # noqa: PLR0917
    content[section][name] = value
    assert refusal(load, content) == message


def test_a_section_must_be_a_mapping(load, content):
    content["model"] = 3
    assert refusal(load, content) == "model: expected a mapping of parameters, found 3"


@pytest.mark.parametrize("written", ["2e-4", "2.0e-4", "0.0002", "2E-4"])
def test_every_way_to_write_a_number_is_a_number(load, written):
    text = (
        (ROOT / "params.yaml")
        .read_text()
        .replace("generator_learning_rate: 4.0e-3", f"generator_learning_rate: {written}")
    )
    assert load(text).train.generator_learning_rate == 2e-4


def test_a_whole_number_will_do_for_a_number(load, content):
    content["gates"]["fcd_over_floor"] = 6
    assert load(content).gates.fcd_over_floor == 6.0


def test_optional_parameters_may_be_left_out_or_null(load, content):
    del content["train"]["max_steps"]
    content["data"]["mirrors"] = ["/mnt/data", "http://localhost/mnist"]
    params = load(content)
    assert params.train.max_steps is None
    assert params.data.mirrors == ("/mnt/data", "http://localhost/mnist")


@pytest.mark.parametrize("text", ["train: [", "a: b: c", "\tx: 1"])
def test_text_that_is_not_yaml_is_refused(load, text):
    assert refusal(load, text).startswith("not valid YAML")


def test_a_parameter_given_twice_is_refused(load):
    text = (ROOT / "params.yaml").read_text().replace("  batch_size: 64\n", "  batch_size: 64\n  batch_size: 3\n")
    assert "batch_size is given twice" in refusal(load, text)


def test_an_empty_file_is_refused(load):
    assert refusal(load, "") == "the file: expected a mapping of parameters, found nothing"


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match=rf"missing in {tmp_path}"):
        load_params(tmp_path / "params.yaml")


def test_flattened_parameters_have_dotted_paths(load, content):
    flat = flatten(load(content))
    assert flat["train.epochs"] == content["train"]["epochs"]
    assert flat["root"] == "."
    assert len(flat) == 1 + sum(len(section) for name, section in content.items() if name != "root")


def test_the_hash_follows_what_shapes_the_generator_only(load, content):
    before = params_sha256(load(content))
    content["evaluate"]["seed"] = 99
    assert params_sha256(load(content)) == before
    content["train"]["seed"] = 99
    assert params_sha256(load(content)) != before


def test_the_packaged_generator_was_trained_by_these_parameters():
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ROOT / "src/dcgan/inference/pretrained.onnx")
    metadata = {each.key: each.value for each in model.metadata_props}
    assert params_sha256(load_params(ROOT / "params.yaml")) == metadata["params_sha256"]


def test_an_optional_parameter_counts_only_where_it_is_not_its_default(load, content):
    before = params_sha256(load(content))
    del content["penalties"]["r2"]
    assert params_sha256(load(content)) == before
    content["penalties"]["r2"] = 0.1
    assert params_sha256(load(content)) != before
