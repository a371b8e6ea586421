"""The stage `register` on a tiny model, against a real MLflow store, and what can be loaded and served from there."""

import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tracking_store as tracked
from damage import flip_bit
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError, BusyError, UnavailableError
from dcgan.system.files import sha256_of
from dcgan.system.locks import exclusive
from tiny_onnx import SHIFT, WEIGHT
from tiny_workspace import ROOT, write_dataset, write_params
from tracking_server import wait_for_answer

pytestmark = [pytest.mark.filterwarnings(warning) for warning in tracked.MLFLOW_WARNINGS]

NAME = "tiny-generator"
CHAMPION = f"models:/{NAME}@champion"


@pytest.fixture(scope="module")
def register() -> Callable[[], None]:
    return runpy.run_path(str(ROOT / "pipeline/register.py"))["main"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an empty store and what the stages before `register` leave."""
    tracked.use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    tracked.write_exported_model()
    return tmp_path


def holders() -> dict[str, str]:
    """The version that each alias points to."""
    return {alias: str(version) for alias, version in tracked.client().get_registered_model(NAME).aliases.items()}


def versions() -> dict[str, object]:
    return {str(each.version): each for each in tracked.client().search_model_versions(f"name = '{NAME}'")}


def test_the_first_good_model_becomes_champion_with_all_that_people_ask_of_it(register, capsys):
    register()
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{NAME} version 1 is champion: the first")
    report, weights = json.loads(workspace.REGISTRATION.read_text()), sha256_of(workspace.GENERATOR)
    assert report.keys() == {"model", "generator_sha256", "gates"}
    assert (report["model"], report["generator_sha256"]) == (NAME, weights)
    assert report["gates"][3] == {"name": "label_accuracy", "value": 0.99, "bound": 0.98, "passed": True}
    (run,), version = tracked.runs_in(), tracked.client().get_model_version_by_alias(NAME, "champion")
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
    for line in ("| label_accuracy | 0.99 | 0.98 | yes |", f"run `{run.info.run_id}`", "- opset: `20`"):
        assert line in version.description


def test_the_run_holds_all_points_and_the_very_file_which_can_be_loaded_and_draws(folder, register):
    register()
    (run,) = tracked.runs_in()
    assert run.data.metrics["evaluation/fcd"] == 0.12
    assert run.info.status == "FINISHED"
    (output,) = run.outputs.model_outputs
    logged = tracked.client().get_logged_model(output.model_id)
    assert (logged.experiment_id, logged.source_run_id) == (run.info.experiment_id, run.info.run_id)
    assert {metric.key: metric.value for metric in logged.metrics}["generator/loss"] == 3.0
    assert json.loads(logged.tags["mlflow.modelVersions"])[0]["name"] == NAME
    (kept,) = (folder / "mlruns/tiny").rglob("model.onnx")
    assert kept.read_bytes() == workspace.ONNX_GENERATOR.read_bytes()
    requirements = (kept.parent / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "onnxruntime-gpu" not in requirements
    import mlflow

    champion = mlflow.pyfunc.load_model(CHAMPION)
    inputs = {each["name"]: each["tensor-spec"] for each in champion.metadata.signature.inputs.to_dict()}
    float32, int64 = {"dtype": "float32", "shape": (-1, 4)}, {"dtype": "int64", "shape": (-1,)}
    assert inputs == {"latents": float32, "labels": int64}
    latents, labels = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32), np.array([0, 1, 2])
    drawn = champion.predict({"latents": latents, "labels": labels})
    expected = np.tanh(latents @ WEIGHT + SHIFT[labels]).reshape(3, 1, 28, 28)
    np.testing.assert_allclose(drawn["images"], expected, rtol=1e-4, atol=1e-6)
    assert (drawn["pixels"].shape, drawn["pixels"].dtype) == ((3, 28, 28), np.uint8)


def test_going_back_to_an_older_model_gives_the_registrys_truth_and_the_same_report(folder, register, capsys):
    for _ in range(2):
        register()
    assert "version 1 is champion: is the champion already" in capsys.readouterr().out
    first = workspace.REGISTRATION.read_bytes()
    for kept in (workspace.MODELS, workspace.REPORTS):
        shutil.copytree(kept, folder / "first" / kept)
    tracked.write_exported_model(b"better", fcd=0.1)
    register()
    assert holders() == {"champion": "2"}
    shutil.copytree(folder / "first", folder, dirs_exist_ok=True)  # as DVC restores it
    workspace.REGISTRATION.unlink()
    register()
    assert versions().keys() == {"1", "2"}
    assert holders() == {"champion": "2", "challenger": "1"}
    assert f"{NAME} version 1 is challenger" in capsys.readouterr().out
    assert workspace.REGISTRATION.read_bytes() == first
    assert [len(run.outputs.model_outputs) for run in tracked.runs_in()] == [1, 1]


def test_a_model_that_fails_a_gate_is_challenger_and_says_which(register):
    tracked.write_reports(fcd=99.0)
    register()
    assert holders() == {"challenger": "1"}, "and the place of the champion stays empty"
    tracked.write_reports()
    register()
    assert holders() == {"champion": "1"}, "it is challenger no more"
    tracked.write_exported_model(b"other", fcd=0.01, label_accuracy=0.5, class_shares=[0.0, 0.2, *[0.1] * 8])
    register()
    assert holders() == {"champion": "1", "challenger": "2"}
    assert versions()["2"].tags["failed_gates"] == "label_accuracy, min_class_share"
    assert "| label_accuracy | 0.5 | 0.98 | **no** |" in versions()["2"].description


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"fcd": 0.1}, {"champion": "2"}),
        ({"fcd": 0.115}, {"champion": "1", "challenger": "2"}),  # within the spread of the sampling seeds
        ({"fcd": 0.01, "dataset_sha256": "e" * 64}, {"champion": "1", "challenger": "2"}),
    ],
)
def test_only_a_clearly_better_model_takes_over(register, figures, expected):
    register()
    tracked.write_exported_model(b"second", **figures)
    register()
    assert holders() == expected


def test_without_mlflow_or_its_server_it_is_69_and_while_another_sends_75(register, monkeypatch):
    with exclusive(workspace.LOCK), pytest.raises(BusyError):
        register()
    assert tracked.runs_in() == []
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9")
        with pytest.raises(UnavailableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 failed"):
            register()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UnavailableError, match=r"MLflow cannot be imported"):
        register()
    assert not workspace.REGISTRATION.exists()


@pytest.mark.parametrize("call", ["_create_model_version", "set_model_version_tag", "set_registered_model_alias"])
def test_a_failure_half_way_stops_the_stage_and_the_next_attempt_completes_it(register, monkeypatch, call):
    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("the server died")

    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{call}", fail)
        with pytest.raises(UnavailableError, match="the server died"):
            register()
    assert not workspace.REGISTRATION.exists()
    register()
    assert versions().keys() == {"1"}
    assert holders() == {"champion": "1"}
    assert versions()["1"].tags["decision"] == "champion: the first model that passes every gate"


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
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=str(path)):
        register()
    assert versions() == {}
    assert not workspace.REGISTRATION.exists()


def test_an_alias_leads_to_the_model_that_has_it_now_byte_for_byte(register):
    register()
    loaded = load_generator(CHAMPION)
    assert str(loaded.info.path) == CHAMPION
    assert loaded.info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    assert np.array_equal(loaded.sample(20), Generator.load(workspace.ONNX_GENERATOR).sample(20))
    tracked.write_exported_model(b"better", fcd=0.05)
    register()
    for address in (CHAMPION, f"models:/{NAME}/2"):
        assert load_generator(address).info.metadata["weights"] == "better"


def test_what_the_registry_does_not_have_or_has_damaged_is_65_and_one_that_is_away_69(folder, register, monkeypatch):
    register()
    for address in ("models:/none@champion", f"models:/{NAME}/7", "models:/nonsense"):
        with pytest.raises(BadDataError, match=f"{address}: the registry at sqlite:.* has no such model"):
            load_generator(address)
    flip_bit(next((folder / "mlruns").rglob("model.onnx")), 1000)
    with pytest.raises(BadDataError, match=rf"^{CHAMPION}: damaged: expected SHA-256 \w{{64}} of its content, found "):
        load_generator(CHAMPION)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        load_generator(CHAMPION)


@pytest.mark.slow
def test_mlflows_own_server_answers_an_example_request(folder, register):
    register()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--model-uri", CHAMPION,
         "--env-manager", "local", "--port", str(port)],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
                          "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )  # fmt: skip
    try:
        generator = Generator.load(workspace.ONNX_GENERATOR)
        latents, labels = generator.latents_for(3), generator.labels_for(3)
        body = json.dumps({"inputs": {"latents": latents.tolist(), "labels": labels.tolist()}}).encode()
        url, headers = f"http://127.0.0.1:{port}", {"content-type": "application/json"}
        wait_for_answer(f"{url}/ping", serving)
        with urllib.request.urlopen(urllib.request.Request(f"{url}/invocations", body, headers), timeout=30) as answer:
            predictions = json.load(answer)["predictions"]
        assert np.array_equal(np.array(predictions["pixels"]), generator.sample(3))
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(20)
