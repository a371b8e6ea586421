"""The stage `register` on a tiny model, against a real MLflow store."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from damage import flip_bit
from dcgan.config import workspace
from dcgan.system.errors import BadDataError, BusyError, UnavailableError
from dcgan.system.files import sha256_of
from dcgan.system.locks import exclusive
from tiny_onnx import SHIFT, WEIGHT
from tiny_workspace import ROOT, write_dataset, write_params
from tracking_store import MLFLOW_WARNINGS, client, runs_in, use_new_store, write_exported_model

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

NAME = "tiny-generator"
Stage = Callable[[], None]


@pytest.fixture(scope="module")
def register() -> Stage:
    return runpy.run_path(str(ROOT / "pipeline/register.py"))["main"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an empty store."""
    use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    return tmp_path


def report() -> dict:
    return json.loads(workspace.REGISTRATION.read_text())


def holders() -> dict[str, str]:
    """The version that each alias points to."""
    return {alias: str(version) for alias, version in client().get_registered_model(NAME).aliases.items()}


def versions() -> list[str]:
    return sorted(str(version.version) for version in client().search_model_versions(f"name = '{NAME}'"))


def decision(version: str) -> str:
    return client().get_model_version(NAME, version).tags["decision"]


def test_the_first_good_model_becomes_champion_with_all_that_people_ask_of_it(register, capsys):
    write_exported_model()
    register()
    weights = sha256_of(workspace.GENERATOR)
    assert report() == {
        "model": NAME,
        "generator_sha256": weights,
        "gates": [
            {"name": "fcd_over_floor", "value": pytest.approx(3.0), "bound": 6.0, "passed": True},
            {"name": "precision_over_floor", "value": pytest.approx(0.9375), "bound": 0.8, "passed": True},
            {"name": "recall_over_floor", "value": pytest.approx(0.9444444), "bound": 0.8, "passed": True},
            {"name": "label_accuracy", "value": 0.99, "bound": 0.98, "passed": True},
            {"name": "min_class_share", "value": 0.1, "bound": 0.07, "passed": True},
        ],
    }
    (run,), version = runs_in(), client().get_model_version_by_alias(NAME, "champion")
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{NAME} version 1 is champion: the first")
    assert version.run_id == run.info.run_id
    assert version.tags == {
        "generator_sha256": weights,
        "onnx_sha256": sha256_of(workspace.ONNX_GENERATOR),
        "fcd": "0.12",
        "fcd_floor": "0.04",
        "fcd_spread": "0.01",
        "num_samples": "10000",
        "dataset_sha256": "d" * 64,
        "classifier_sha256": "c" * 64,
        "gates": "passed",
        "failed_gates": "none",
        "decision": "champion: the first model that passes every gate",
    }
    assert "| label_accuracy | 0.99 | 0.98 | yes |" in version.description
    assert f"run `{run.info.run_id}`" in version.description
    assert "- opset: `20`" in version.description


def test_the_run_holds_all_points_and_the_very_file_which_can_be_loaded_and_draws(folder, register):
    write_exported_model()
    register()
    (run,) = runs_in()
    (output,) = run.outputs.model_outputs
    logged = client().get_logged_model(output.model_id)
    assert (logged.experiment_id, logged.source_run_id) == (run.info.experiment_id, run.info.run_id)
    assert {metric.key: metric.value for metric in logged.metrics}.items() >= {"generator/loss": 3.0}.items()
    assert json.loads(logged.tags["mlflow.modelVersions"])[0]["name"] == NAME
    (kept,) = (folder / "mlruns/tiny").rglob("model.onnx")
    assert kept.read_bytes() == workspace.ONNX_GENERATOR.read_bytes()
    requirements = (kept.parent / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "onnxruntime-gpu" not in requirements
    assert run.data.metrics["evaluation/fcd"] == 0.12
    assert run.info.status == "FINISHED"
    import mlflow

    champion = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert champion.metadata.signature.inputs.to_dict() == [
        {"name": "latents", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": (-1, 4)}},
        {"name": "labels", "type": "tensor", "tensor-spec": {"dtype": "int64", "shape": (-1,)}},
    ]
    latents, labels = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32), np.array([0, 1, 2])
    drawn = champion.predict({"latents": latents, "labels": labels})
    expected = np.tanh(latents @ WEIGHT + SHIFT[labels]).reshape(3, 1, 28, 28)
    np.testing.assert_allclose(drawn["images"], expected, rtol=1e-4, atol=1e-6)
    assert (drawn["pixels"].shape, drawn["pixels"].dtype) == ((3, 28, 28), np.uint8)


def test_going_back_to_an_older_model_gives_the_registrys_truth_and_the_same_report(folder, register, capsys):
    write_exported_model(b"first")
    register()
    first = workspace.REGISTRATION.read_bytes()
    for kept in (workspace.MODELS, workspace.REPORTS):
        shutil.copytree(kept, folder / "first" / kept)
    write_exported_model(b"better", fcd=0.1)
    register()
    assert holders() == {"champion": "2"}
    shutil.copytree(folder / "first", folder, dirs_exist_ok=True)  # as DVC restores it
    workspace.REGISTRATION.unlink()
    register()
    assert versions() == ["1", "2"]
    assert holders() == {"champion": "2", "challenger": "1"}
    assert f"{NAME} version 1 is challenger" in capsys.readouterr().out
    assert workspace.REGISTRATION.read_bytes() == first


def test_registering_again_creates_nothing(register, capsys):
    write_exported_model()
    register()
    register()
    assert versions() == ["1"]
    assert "version 1 is champion: is the champion already" in capsys.readouterr().out
    assert len(runs_in()[0].outputs.model_outputs) == 1


def test_a_model_that_fails_a_gate_is_challenger_and_says_which(register):
    write_exported_model(fcd=99.0)
    register()
    assert holders() == {"challenger": "1"}, "and the place of the champion stays empty"
    write_exported_model()
    register()
    assert holders() == {"champion": "1"}, "it is challenger no more"
    write_exported_model(b"other", fcd=0.01, label_accuracy=0.5, class_shares=[0.0, 0.2, *[0.1] * 8])
    register()
    assert holders() == {"champion": "1", "challenger": "2"}
    assert client().get_model_version(NAME, "2").tags["failed_gates"] == "label_accuracy, min_class_share"
    assert "| label_accuracy | 0.5 | 0.98 | **no** |" in client().get_model_version(NAME, "2").description


@pytest.mark.parametrize(
    ("figures", "alias"),
    [
        ({"fcd": 0.1}, "champion"),
        ({"fcd": 0.115}, "challenger"),  # within the spread
        ({"fcd": 0.1, "fcd_spread": 0.03}, "challenger"),
        ({"fcd": 0.01, "num_seeds": 1, "fcd_spread": None}, "challenger"),
        ({"fcd": 0.01, "dataset_sha256": "e" * 64}, "challenger"),
        ({"fcd": 0.13}, "challenger"),
    ],
)
def test_only_a_clearly_better_model_takes_over(register, figures, alias):
    write_exported_model(b"first")
    register()
    write_exported_model(b"second", **figures)
    register()
    assert holders() == ({"champion": "2"} if alias == "champion" else {"champion": "1", "challenger": "2"})
    assert decision("2").startswith(f"{alias}: ")


def test_without_mlflow_or_its_server_the_stage_stops_with_69(register, monkeypatch):
    write_exported_model()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9")
        with pytest.raises(UnavailableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 failed") as raised:
            register()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UnavailableError, match=r"MLflow cannot be imported .*: install the extra `train`"):
        register()
    assert raised.value.exit_code == 69
    assert not workspace.REGISTRATION.exists()


def test_while_another_sends_from_this_workspace_it_is_75(register):
    write_exported_model()
    with exclusive(workspace.CHECKPOINTS / "lock"), pytest.raises(BusyError):
        register()
    assert runs_in() == []


@pytest.mark.parametrize("call", ["create_model_version", "set_model_version_tag", "set_registered_model_alias"])
def test_a_failure_half_way_stops_the_stage_and_the_next_attempt_completes_it(register, monkeypatch, call):
    write_exported_model()

    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("the server died")

    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{call.replace('create', '_create')}", fail)
        with pytest.raises(UnavailableError, match="the server died"):
            register()
    assert not workspace.REGISTRATION.exists()
    register()
    assert versions() == ["1"]
    assert holders() == {"champion": "1"}
    assert decision("1") == "champion: the first model that passes every gate"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (workspace.ONNX_GENERATOR, b""),
        (workspace.ONNX_GENERATOR, b"garbage" * 100),
        (workspace.ONNX_GENERATOR, None),
        (workspace.GENERATOR, None),
        (workspace.GENERATOR, b"other weights"),
        (workspace.EVALUATION, None),
        (workspace.EVALUATION, b"{}"),
        (workspace.EXPORT, b"["),
    ],
)
def test_a_missing_or_damaged_file_is_named_and_nothing_registered(register, path, content):
    write_exported_model()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=str(path)) as raised:
        register()
    assert raised.value.exit_code == 65
    assert versions() == []
    assert not workspace.REGISTRATION.exists()


def test_a_damaged_model_is_not_registered(register):
    write_exported_model()
    flip_bit(workspace.ONNX_GENERATOR, workspace.ONNX_GENERATOR.read_bytes().index(WEIGHT.tobytes()) + 1000)
    with pytest.raises(BadDataError, match=r"generator\.onnx: damaged: expected SHA-256 .* found "):
        register()
    assert versions() == []
