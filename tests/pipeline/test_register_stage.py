"""The stage `register` on a tiny model, against a real MLflow store, and what can be loaded and served from there."""

import json
import re
import runpy
import shutil
import sys

import numpy as np
import pytest

import tracking_store as tracked
from damage import flip_bit
from dcgan.commands.model_source import load_generator
from dcgan.commands.sync import sync_workspace
from dcgan.config import workspace
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError, BusyError, UnavailableError
from dcgan.system.files import sha256_of
from dcgan.system.locks import exclusive
from dcgan.tracking.promotion import promote, roll_back
from dcgan.tracking.store import open_store
from support import ROOT
from tiny_onnx import SHIFT, WEIGHT, build_model, write_model
from tiny_workspace import write_params

NAME = "tiny-generator"
CHAMPION = f"models:/{NAME}@champion"
register = runpy.run_path(str(ROOT / "pipeline/register.py"))["main"]


@pytest.fixture(autouse=True)
def _exported(tracked_workspace) -> None:
    """What the stages before `register` leave."""
    tracked.write_exported_model()


def holders() -> dict[str, str]:
    """The version that each alias points to."""
    return {alias: str(version) for alias, version in tracked.client().get_registered_model(NAME).aliases.items()}


def versions() -> dict[str, object]:
    return {str(each.version): each for each in tracked.client().search_model_versions(f"name = '{NAME}'")}


def test_the_first_good_model_becomes_champion_with_all_that_people_ask_of_it(capsys):
    register()
    assert capsys.readouterr().out.startswith(f"{NAME} version 1 is champion: the first")
    report, weights = json.loads(workspace.REGISTRATION.read_text()), sha256_of(workspace.GENERATOR)
    assert report.keys() == {"model", "generator_sha256", "gates"}
    assert (report["model"], report["generator_sha256"]) == (NAME, weights)
    assert {"name": "label_accuracy", "value": 0.99, "bound": 0.98, "passed": True} in report["gates"]
    (run,), version = tracked.runs(), tracked.client().get_model_version_by_alias(NAME, "champion")
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


def test_the_run_holds_all_points_and_the_very_file_which_can_be_loaded_and_served_by_mlflow(tmp_path):
    register()
    (run,) = tracked.runs()
    assert run.data.metrics["evaluation/fcd"] == 0.12
    assert run.info.status == "FINISHED"
    (output,) = run.outputs.model_outputs
    logged = tracked.client().get_logged_model(output.model_id)
    assert (logged.experiment_id, logged.source_run_id) == (run.info.experiment_id, run.info.run_id)
    assert {metric.key: metric.value for metric in logged.metrics}["generator/loss"] == 3.0
    assert json.loads(logged.tags["mlflow.modelVersions"])[0]["name"] == NAME
    (kept,) = (tmp_path / "mlruns/tiny").rglob("model.onnx")
    assert kept.read_bytes() == workspace.ONNX_GENERATOR.read_bytes()
    requirements = (kept.parent / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "onnxruntime-gpu" not in requirements
    import mlflow
    from mlflow.pyfunc.scoring_server import invocations

    champion, generator = mlflow.pyfunc.load_model(CHAMPION), Generator.load(workspace.ONNX_GENERATOR)
    schema = champion.metadata.get_input_schema()
    inputs = {each["name"]: each["tensor-spec"] for each in schema.to_dict()}
    float32, int64 = {"dtype": "float32", "shape": (-1, 4)}, {"dtype": "int64", "shape": (-1,)}
    assert inputs == {"latents": float32, "labels": int64}
    latents, labels = generator.latents_for(3), generator.labels_for(3)
    drawn = champion.predict({"latents": latents, "labels": labels})
    expected = np.tanh(latents @ WEIGHT + SHIFT[labels]).reshape(3, 1, 28, 28)
    np.testing.assert_allclose(drawn["images"], expected, rtol=1e-4, atol=1e-6)
    assert (drawn["pixels"].shape, drawn["pixels"].dtype) == ((3, 28, 28), np.uint8)
    body = json.dumps({"inputs": {"latents": latents.tolist(), "labels": labels.tolist()}})
    served = json.loads(invocations(body, "application/json", champion, schema).response)["predictions"]
    assert np.array_equal(served["pixels"], generator.sample(3))


def test_going_back_to_an_older_model_gives_the_registrys_truth_and_the_same_report(tmp_path, capsys):
    for _ in range(2):
        register()
    assert "version 1 is champion: is the champion already" in capsys.readouterr().out
    first = workspace.REGISTRATION.read_bytes()
    for kept in (workspace.MODELS, workspace.REPORTS):
        shutil.copytree(kept, tmp_path / "first" / kept)
    tracked.write_exported_model(b"better", fcd=0.1)
    register()
    assert holders() == {"champion": "2"}
    shutil.copytree(tmp_path / "first", tmp_path, dirs_exist_ok=True)  # as DVC restores it
    workspace.REGISTRATION.unlink()
    register()
    assert versions().keys() == {"1", "2"}
    assert holders() == {"champion": "2", "challenger": "1"}
    assert f"{NAME} version 1 is challenger" in capsys.readouterr().out
    assert workspace.REGISTRATION.read_bytes() == first
    assert [len(run.outputs.model_outputs) for run in tracked.runs()] == [1, 1]


def test_the_aliases_follow_the_gates_and_the_figures_of_the_present_champion():
    failing = {"fcd": 0.01, "label_accuracy": 0.5, "class_shares": [0.0, 0.2, *[0.1] * 8]}
    for weights, figures, expected in [
        (tracked.WEIGHTS, {"fcd": 99.0}, {"challenger": "1"}),  # and the place of the champion stays empty
        (tracked.WEIGHTS, {}, {"champion": "1"}),  # evaluated anew, it is challenger no more
        (b"within the spread of the seeds", {"fcd": 0.115}, {"champion": "1", "challenger": "2"}),
        (b"other data", {"fcd": 0.01, "dataset_sha256": "e" * 64}, {"champion": "1", "challenger": "3"}),
        (b"failing", failing, {"champion": "1", "challenger": "4"}),
        (b"better", {"fcd": 0.1}, {"champion": "5", "challenger": "4"}),
    ]:
        tracked.write_exported_model(weights, **figures)
        register()
        assert holders() == expected
    assert versions()["4"].tags["failed_gates"] == (
        "label_accuracy is 0.5 (at least 0.98), min_class_share is 0 (at least 0.07)"
    )
    assert "| label_accuracy | 0.5 | 0.98 | **no** |" in versions()["4"].description


@pytest.mark.parametrize("on_failure", ["challenger", "fail"])
def test_a_failed_gate_is_told_with_its_bound_and_fails_the_stage_if_the_parameters_ask_for_it(
    tmp_path, capsys, on_failure
):
    write_params(tmp_path, gates={"on_failure": on_failure})
    tracked.write_exported_model(label_accuracy=0.5, two_sample_accuracy=0.99)
    told = f"{NAME} version 1 is challenger: fails 2 of 7 gates: two_sample_accuracy is 0.99 (at most 0.97), "
    told += "label_accuracy is 0.5 (at least 0.98)"
    if on_failure == "fail":
        with pytest.raises(BadDataError) as failed:
            register()
        assert str(failed.value) == f"{told}; so the stage fails, as gates.on_failure in params.yaml asks for"
        assert not workspace.REGISTRATION.exists()
    else:
        register()
        assert capsys.readouterr().out.startswith(f"{told}\n")
        assert [gate["passed"] for gate in json.loads(workspace.REGISTRATION.read_text())["gates"]].count(False) == 2
    assert holders() == {"challenger": "1"}, "one can look at it"
    assert tracked.dcgan_sync()[-1] == told, "it fails no sync, which only sends what there is"


def test_gates_that_fail_a_stage_let_good_models_pass_and_a_worse_one_stay_challenger(tmp_path):
    write_params(tmp_path, gates={"on_failure": "fail"})
    register()
    tracked.write_exported_model(b"no better", fcd=0.12)
    register()
    assert holders() == {"champion": "1", "challenger": "2"}
    assert workspace.REGISTRATION.exists()


def test_a_champion_that_was_rolled_back_stays_challenger_until_its_figures_change_or_people_promote_it(capsys):
    register()
    tracked.write_exported_model(b"better", fcd=0.1)
    register()
    with open_store() as client:
        assert roll_back(client, NAME, reason="sevens") == [f"{NAME} version 1 is champion again, and version 2 is not"]
    for _ in range(2):
        register()
        told = "version 2 is challenger: was rolled back; `dcgan promote 2` makes it champion\n"
        assert told in capsys.readouterr().out
    write_model(workspace.ONNX_GENERATOR, build_model(weights="better", more="exported anew"))
    register()
    told = "version 3 is challenger: was rolled back; `dcgan promote 3` makes it champion\n"
    assert told in capsys.readouterr().out, "other bytes of the same weights are the same model"
    assert holders() == {"champion": "1", "challenger": "3"}
    assert "> Rolled back by" in versions()["2"].description
    with open_store() as client:
        promote(client, NAME, "3")
        roll_back(client, NAME)
    tracked.write_reports(fcd=0.09)
    register()
    assert holders() == {"champion": "3"}
    assert not [tag for tag in versions()["3"].tags if tag.startswith("rolled_back")]
    assert "olled back" not in versions()["3"].description


def test_what_people_did_with_a_version_stays_on_its_page(capsys):
    tracked.write_exported_model(label_accuracy=0.5)
    register()
    with open_store() as client:
        promote(client, NAME, "1", is_forced=True, reason="the only one")
    register()
    failed = "fails 1 of 7 gates: label_accuracy is 0.5 (at least 0.98)"
    assert f"version 1 is champion: is the champion already, but now {failed}" in capsys.readouterr().out
    assert re.match(r"> Promoted by .* although it fails gates: .*; reason: the only one", versions()["1"].description)
    assert holders() == {"champion": "1"}
    tracked.write_exported_model(b"good", fcd=0.1)
    register()
    assert holders() == {"champion": "2"}
    with open_store() as client:
        assert roll_back(client, NAME)[-1] == f"{NAME} version 1 is champion again, and version 2 is not"


def test_an_alias_that_somebody_moves_meanwhile_is_told_and_the_next_attempt_decides_anew(monkeypatch):
    register()
    workspace.REGISTRATION.unlink()  # as DVC does
    tracked.write_exported_model(b"better", fcd=0.1)
    genuine = tracked.client().__class__.set_model_version_tag

    def tag_and_move(client, name, version, key, value):
        genuine(client, name, version, key, value)
        client.delete_registered_model_alias(name, "champion")

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.set_model_version_tag", tag_and_move)
        with pytest.raises(BusyError, match="the alias champion moved from version 1 to none meanwhile"):
            register()
    assert not workspace.REGISTRATION.exists()
    register()
    assert holders() == {"champion": "2"}


@pytest.mark.parametrize("send", [register, sync_workspace])
def test_without_mlflow_or_its_server_it_is_69_and_while_another_sends_75(send, monkeypatch):
    with exclusive(workspace.LOCK), pytest.raises(BusyError):
        send()
    assert tracked.runs() == []
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9")
        with pytest.raises(UnavailableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 failed"):
            send()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UnavailableError, match=r"MLflow cannot be imported"):
        send()
    assert not workspace.REGISTRATION.exists()


@pytest.mark.parametrize("call", ["_create_model_version", "set_model_version_tag", "set_registered_model_alias"])
def test_a_failure_half_way_stops_the_stage_and_the_next_attempt_completes_it(call):
    with tracked.dying(call):
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
def test_a_missing_or_damaged_file_is_named_and_nothing_registered(path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=str(path)):
        register()
    assert versions() == {}
    assert not workspace.REGISTRATION.exists()


def test_an_alias_leads_to_the_model_that_has_it_now_byte_for_byte():
    register()
    loaded = load_generator(CHAMPION)
    assert str(loaded.info.path) == CHAMPION
    assert (loaded.info.sha256, loaded.info.version) == (sha256_of(workspace.ONNX_GENERATOR), "1")
    assert np.array_equal(loaded.sample(20), Generator.load(workspace.ONNX_GENERATOR).sample(20))
    tracked.write_exported_model(b"better", fcd=0.05)
    register()
    for address, number in ((CHAMPION, "2"), (f"models:/{NAME}/2", "2"), (f"models:/{NAME}/latest", None)):
        info = load_generator(address).info
        assert (info.metadata["weights"], info.version) == ("better", number)


def test_what_the_registry_does_not_have_or_has_damaged_is_65_and_one_that_is_away_69(tmp_path, monkeypatch):
    register()
    for address in ("models:/none@champion", f"models:/{NAME}/7", "models:/nonsense", f"models:/{NAME}@nobody"):
        with pytest.raises(BadDataError, match=f"{address}: the registry at sqlite:.* has no such model"):
            load_generator(address)
    flip_bit(next((tmp_path / "mlruns").rglob("model.onnx")), 1000)
    with pytest.raises(BadDataError, match=rf"^{CHAMPION}: damaged: expected SHA-256 \w{{64}} of its content, found "):
        load_generator(CHAMPION)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        load_generator(CHAMPION)
