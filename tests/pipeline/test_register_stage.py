"""The stage `register` on a tiny model, against a real MLflow store."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from damage import flip_bit
from dcgan.config.params_file import load_params
from dcgan.config.schema import flatten
from dcgan.inference.checksum import BLANK, KEY, add_checksum
from dcgan.system.errors import BadDataError, UnavailableError
from dcgan.system.files import sha256_of, write_json
from dcgan.tracking.mlflow import load_run_reference, open_run, save_run_reference, store
from tracking_store import MLFLOW_WARNINGS, use_new_store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

ROOT = Path(__file__).parents[2]
MODEL, RUN, REPORT = Path("models/generator.onnx"), Path("models/run.json"), Path("reports/registration.json")
NAME = "dcgan-generator"
HISTORY_ROW = {"step": 100, "generator/loss": 0.5}
GOOD = {
    "fcd": 0.12,
    "fcd_floor": 0.04,
    "precision": 0.75,
    "precision_floor": 0.8,
    "recall": 0.85,
    "recall_floor": 0.9,
    "num_samples": 10_000,
    "label_accuracy": 0.99,
    "class_shares": [0.1] * 10,
    "dataset_sha256": "d" * 64,
    "classifier_sha256": "c" * 64,
}


def write_model(scale: float) -> None:
    """A generator as the contract wants it: images = tanh(latents · weight + label), one weight for every pixel."""
    constants = {
        "weight": np.full((16, 784), scale, np.float32),
        "half": np.float32(127.5),
        "column": np.array([-1, 1]),
        "image": np.array([-1, 1, 28, 28]),
        "picture": np.array([-1, 28, 28]),
    }
    nodes = [
        helper.make_node("MatMul", ["latents", "weight"], ["drawn"]),
        helper.make_node("Cast", ["labels"], ["digit"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["digit", "column"], ["shift"]),
        helper.make_node("Add", ["drawn", "shift"], ["shifted"]),
        helper.make_node("Tanh", ["shifted"], ["flat"]),
        helper.make_node("Reshape", ["flat", "image"], ["images"]),
        helper.make_node("Mul", ["flat", "half"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["bytes", "picture"], ["pixels"]),
    ]
    inputs = [
        helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", 16]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch"]),
    ]
    outputs = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 28, 28]),
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 28, 28]),
    ]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "generator", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {KEY: BLANK, "params_sha256": "e" * 64})
    onnx.checker.check_model(model)
    MODEL.parent.mkdir(exist_ok=True)
    MODEL.write_bytes(add_checksum(model.SerializeToString(deterministic=True)))


def train_model(scale: float, **figures: object) -> None:
    """Leave what the stages before `register` leave."""
    write_model(scale)
    params = load_params(Path("params.yaml"))
    reference = Path(f"checkpoints/{scale}.json")
    with open_run(
        reference=reference,
        tracking=params.tracking,
        params=flatten(params),
        tags={},
        name="trial",
        description="A trial.",
    ) as run:
        run.sync_history([HISTORY_ROW])
        run.log_metrics({"evaluation/fcd": 0.12})
    save_run_reference(RUN, run)
    Path("reports").mkdir(exist_ok=True)
    Path("reports/history.jsonl").write_text(json.dumps(HISTORY_ROW))
    write_json(Path("reports/evaluation.json"), GOOD | figures)
    write_json(Path("reports/export.json"), {"max_difference": 1e-7, "latency": [1, 2]})


@pytest.fixture(scope="module")
def register() -> Callable[[], None]:
    return runpy.run_path(str(ROOT / "pipeline" / "register.py"))["main"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an empty store."""
    use_new_store(tmp_path, monkeypatch)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def client():
    return store.connect(store.tracking_uri())


def report() -> dict:
    return json.loads(REPORT.read_text())


def holders() -> dict[str, str]:
    """The version that each alias points to."""
    return {alias: str(version) for alias, version in client().get_registered_model(NAME).aliases.items()}


def versions() -> list[str]:
    return sorted(str(version.version) for version in client().search_model_versions(f"name = '{NAME}'"))


def tags_of(version: str) -> dict[str, str]:
    return client().get_model_version(NAME, version).tags


def test_the_first_good_model_becomes_champion_with_all_that_people_ask_of_it(workspace, register, capsys):
    train_model(0.1)
    register()
    assert report() == {
        "model": NAME,
        "version": "1",
        "alias": "champion",
        "promoted": True,
        "reason": "the first model that holds every gate",
        "gates": [
            {"name": "fcd_over_floor", "value": pytest.approx(3.0), "bound": 6.0, "holds": True},
            {"name": "precision_over_floor", "value": pytest.approx(0.9375), "bound": 0.8, "holds": True},
            {"name": "recall_over_floor", "value": pytest.approx(0.9444444), "bound": 0.8, "holds": True},
            {"name": "label_accuracy", "value": 0.99, "bound": 0.98, "holds": True},
            {"name": "min_class_share", "value": 0.1, "bound": 0.07, "holds": True},
        ],
    }
    assert holders() == {"champion": "1"}
    version = client().get_model_version_by_alias(NAME, "champion")
    run_id = load_run_reference(RUN).run_id
    assert version.run_id == run_id
    assert version.tags == {
        "fcd": "0.12",
        "fcd_floor": "0.04",
        "num_samples": "10000",
        "onnx_sha256": sha256_of(MODEL),
        "dataset_sha256": "d" * 64,
        "classifier_sha256": "c" * 64,
        "gates": "held",
        "failed_gates": "none",
        "verdict": "champion: the first model that holds every gate",
    }
    assert "| label_accuracy | 0.99 | 0.98 | yes |" in version.description
    assert f"run `{run_id}`" in version.description
    assert "- max_difference: `1e-07`" in version.description
    assert capsys.readouterr().out.startswith("dcgan-generator version 1 is champion: the first")


def test_the_run_holds_the_very_file_with_signature_and_example(workspace, register):
    train_model(0.1)
    register()
    run = client().get_run(load_run_reference(RUN).run_id)
    assert run.info.status == "FINISHED"
    (output,) = run.outputs.model_outputs
    logged = client().get_logged_model(output.model_id)
    assert (logged.name, logged.experiment_id, logged.source_run_id) == (
        "generator",
        run.info.experiment_id,
        run.info.run_id,
    )
    assert {metric.key: metric.value for metric in logged.metrics} == {"generator/loss": 0.5, "evaluation/fcd": 0.12}
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": "1"}]
    folder = Path(logged.artifact_location)
    assert folder.is_relative_to(workspace / "mlruns" / "dcgan-mnist")
    assert (folder / "model.onnx").read_bytes() == MODEL.read_bytes()
    requirements = (folder / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "onnxruntime-gpu" not in requirements
    assert len(client().get_metric_history(run.info.run_id, "generator/loss")) == 1


def test_the_champion_can_be_loaded_and_draws(workspace, register):
    train_model(0.1)
    register()
    import mlflow

    champion = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert champion.metadata.signature.inputs.to_dict() == [
        {"name": "latents", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": (-1, 16)}},
        {"name": "labels", "type": "tensor", "tensor-spec": {"dtype": "int64", "shape": (-1,)}},
    ]
    latents = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    labels = np.array([0, 1, 2])
    drawn = champion.predict({"latents": latents, "labels": labels})
    expected = np.tanh(0.1 * latents.sum(axis=1) + labels)
    assert drawn["images"].shape == (3, 1, 28, 28)
    np.testing.assert_allclose(drawn["images"][:, 0, 5, 5], expected, rtol=1e-5)
    assert (drawn["pixels"].shape, drawn["pixels"].dtype) == ((3, 28, 28), np.uint8)


def test_registering_again_creates_nothing(workspace, register):
    train_model(0.1)
    register()
    register()
    assert versions() == ["1"]
    assert report()["version"] == "1"
    assert (report()["alias"], report()["promoted"]) == ("champion", False)
    assert len(client().get_run(load_run_reference(RUN).run_id).outputs.model_outputs) == 1


def test_the_same_bytes_from_another_run_are_the_same_version(workspace, register):
    train_model(0.1)
    register()
    first = load_run_reference(RUN).run_id
    Path("checkpoints/0.1.json").unlink()
    train_model(0.1)
    register()
    second = load_run_reference(RUN).run_id
    assert second != first
    assert versions() == ["1"]
    assert len(client().get_run(second).outputs.model_outputs) == 1


def test_a_model_that_fails_a_gate_is_challenger_and_says_which(workspace, register):
    train_model(0.1)
    register()
    train_model(0.2, fcd=0.01, label_accuracy=0.5, class_shares=[0.0, 0.2, *[0.1] * 8])
    register()
    assert holders() == {"champion": "1", "challenger": "2"}
    tags = tags_of("2")
    assert (tags["gates"], tags["failed_gates"]) == ("failed", "label_accuracy, min_class_share")
    assert report()["promoted"] is False
    assert report()["reason"] == "fails a gate: label_accuracy is 0.5, bound 0.98, min_class_share is 0, bound 0.07"
    assert "| label_accuracy | 0.5 | 0.98 | **no** |" in client().get_model_version(NAME, "2").description


def test_without_a_champion_a_failing_model_leaves_the_place_empty(workspace, register):
    train_model(0.1, fcd=99.0)
    register()
    assert holders() == {"challenger": "1"}


def test_a_better_model_takes_over_and_a_worse_one_does_not(workspace, register):
    train_model(0.1)
    register()
    train_model(0.2, fcd=0.11)
    register()
    assert holders() == {"champion": "2"}
    assert report()["reason"] == "lower fcd 0.11 against 0.12 of the champion, version 1"
    train_model(0.3, fcd=0.115)
    register()
    assert holders() == {"champion": "2", "challenger": "3"}
    assert tags_of("3")["verdict"] == "challenger: no lower fcd 0.115 against 0.11 of the champion, version 2"


@pytest.mark.parametrize("changes", [{"dataset_sha256": "e" * 64}, {"classifier_sha256": "e" * 64}])
def test_a_distance_by_another_yardstick_promotes_nobody(workspace, register, changes):
    train_model(0.1)
    register()
    train_model(0.2, fcd=0.01, **changes)
    register()
    assert holders() == {"champion": "1", "challenger": "2"}
    assert "set the alias champion on it by hand" in tags_of("2")["verdict"]


def test_a_challenger_that_becomes_champion_is_challenger_no_more(workspace, register):
    params = Path("params.yaml")
    lenient = params.read_text()
    train_model(0.1)
    params.write_text(lenient.replace("fcd_over_floor: 6", "fcd_over_floor: 2"))
    register()
    assert holders() == {"challenger": "1"}
    params.write_text(lenient)
    register()
    assert holders() == {"champion": "1"}
    assert tags_of("1")["failed_gates"] == "none"


def test_an_unconditional_model_is_not_asked_for_digits(workspace, register):
    train_model(0.1, label_accuracy=None)
    register()
    names = ["fcd_over_floor", "precision_over_floor", "recall_over_floor", "min_class_share"]
    assert [gate["name"] for gate in report()["gates"]] == names
    assert holders() == {"champion": "1"}


def test_a_model_restored_from_the_cache_is_registered_with_a_run_that_says_so(workspace, register):
    train_model(0.1)
    write_json(RUN, {"run_id": "f" * 32, "experiment": "dcgan-mnist"})
    register()
    run = client().get_run(client().get_model_version_by_alias(NAME, "champion").run_id)
    assert run.data.tags["restored_from"] == "f" * 32
    assert run.info.status == "FINISHED"


def test_without_mlflow_the_stage_stops_with_one_line(workspace, register, monkeypatch):
    train_model(0.1)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UnavailableError, match=r"MLflow cannot be imported .*: install the extra `train`") as raised:
        register()
    assert raised.value.exit_code == 69
    assert not REPORT.exists()


def test_a_damaged_model_is_not_registered(workspace, register):
    train_model(0.1)
    flip_bit(MODEL, MODEL.read_bytes().index(np.full(784, 0.1, np.float32).tobytes()))
    with pytest.raises(
        BadDataError, match=r"damaged: expected SHA-256 .* found .*; run `dvc repro --force export`$"
    ) as raised:
        register()
    assert raised.value.exit_code == 65
    assert not REPORT.exists()
    assert client().search_registered_models() == []


def test_a_failure_half_way_stops_the_stage_and_the_next_attempt_completes_it(workspace, register, monkeypatch):
    train_model(0.1)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("the server died")

    import mlflow

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "create_model_version", fail)
        with pytest.raises(UnavailableError, match=r"MLflow at sqlite:.*\(ConnectionResetError: the server died\)"):
            register()
    assert not REPORT.exists()
    register()
    assert holders() == {"champion": "1"}
    assert len(client().get_run(load_run_reference(RUN).run_id).outputs.model_outputs) == 1


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (MODEL, b"", r"generator\.onnx: no valid ONNX model \(.*\); run `dvc repro --force export`"),
        (MODEL, b"garbage" * 100, r"generator\.onnx: no valid ONNX model"),
        (MODEL, None, r"generator\.onnx: missing; run the stage `export` first"),
        (RUN, None, r"run\.json: missing; run the stage `train` first"),
        (Path("reports/evaluation.json"), None, r"evaluation\.json: missing; run the stage `evaluate` first"),
        (Path("reports/evaluation.json"), b"{}", r"evaluation\.json: fcd is missing"),
        (Path("reports/export.json"), b"[", r"export\.json: not valid JSON"),
    ],
)
def test_a_missing_or_damaged_file_is_named_and_nothing_registered(workspace, register, path, content, message):
    train_model(0.1)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=message):
        register()
    assert versions() == []
    assert not REPORT.exists()
