"""`dcgan sync`: what the workspace's run lacks in MLflow is sent, and nothing twice."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dcgan.commands.sync import sync_workspace
from dcgan.config.params_file import load_params
from dcgan.config.schema import Params
from dcgan.system.errors import BadDataError, BusyError, UnavailableError
from dcgan.system.files import sha256_of, write_bytes, write_json
from dcgan.system.locks import exclusive
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.mlflow import MlflowRun, open_run, save_run_reference, store
from dcgan.tracking.provenance import input_tags
from dcgan.tracking.sync import bring_up_to_date
from tiny_workspace import write_dataset, write_params
from tracking_store import MLFLOW_WARNINGS, use_folder, use_new_store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

AWAY = "http://somebody:secret@127.0.0.1:9"
CHECKPOINTS = Path(".checkpoints/0123456789abcdef")
STEPS = (10, 20, 30)
EVALUATION = {"fcd": 0.5, "num_samples": 100, "fcd_per_digit": [0.1, None], "discriminator": {"accuracy": 0.75}}
EXPORT = {
    "onnx_sha256": "a" * 64,
    "parity": {"max_difference": 1e-7},
}
NOTHING = "sent 0 points, 0 grids and 0 artifacts to run "


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which all stages up to `export` ran while MLflow was away; it is back, and its store is empty."""
    use_folder(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    write_training(STEPS)
    write_stages()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    use_new_store(tmp_path, monkeypatch)
    return tmp_path


def the_params() -> Params:
    return load_params(Path("params.yaml"))


def open_ours() -> MlflowRun:
    """The run, as `train` opens it."""
    run = open_run(
        reference=CHECKPOINTS / "run.json",
        tracking=the_params().tracking,
        params=the_params().flattened(),
        tags={"threads": "2"} | input_tags([Path("data/dataset.safetensors")]),
        name="tiny-012345",
        description="A trial.",
    )
    save_run_reference(Path("models/run.json"), run)
    return run


def write_training(steps: tuple[int, ...], *, to_its_end: bool = True) -> None:
    """What `train` leaves, without MLflow."""
    open_ours()
    with JsonlTracker(CHECKPOINTS, resume_from_step=0, publish_to=Path("reports")) as history:
        for step in steps:
            history.log_metrics({"generator/loss": step / 10, "train/quick_fcd": 1.0}, step=step)
            history.log_samples(np.zeros((28, 28), np.uint8), step=step)
    if to_its_end:
        write_bytes(Path("models/generator.safetensors"), b"weights")
        write_bytes(Path("reports/plots/training.png"), b"curves")
        (CHECKPOINTS / "run.json").unlink()


def write_stages(**figures: float) -> None:
    """What `evaluate` and `export` leave: 4 and 3 numbers, 3 artifacts and 1."""
    of_these = {"generator_sha256": sha256_of(Path("models/generator.safetensors"))}
    write_json(Path("reports/evaluation.json"), of_these | EVALUATION | figures)
    for name in ("samples", "roc"):
        write_bytes(Path(f"reports/plots/{name}.png"), b"picture")
    write_json(Path("reports/export.json"), of_these | EXPORT)


def sync(capsys: pytest.CaptureFixture[str]) -> str:
    """What it prints."""
    capsys.readouterr()
    sync_workspace()
    (line,) = capsys.readouterr().out.splitlines()
    return line


def client():
    return store.connect(store.tracking_uri())


def the_run():
    """The only one that there is."""
    (run,) = client().search_runs([client().get_experiment_by_name("tiny").experiment_id])
    return run


def points(key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(the_run().info.run_id, key)]


def artifacts(folder: str) -> list[str]:
    return [Path(each.path).name for each in client().list_artifacts(the_run().info.run_id, folder)]


def assert_no_point_is_there_twice() -> None:
    for key in the_run().data.metrics:
        assert set(Counter(step for step, _ in points(key)).values()) == {1}, key


def test_a_run_that_mlflow_never_heard_of_is_made_whole_and_then_left_alone(workspace, capsys):
    assert sync(capsys).startswith("sent 13 points, 3 grids and 6 artifacts to run ")
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "tiny-012345"
    assert run.data.params == {key: str(value) for key, value in the_params().flattened().items()}
    assert run.data.tags["threads"] == "2"
    assert run.data.tags["mlflow.note.content"] == "A trial."
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile)["images"] == 20
    assert points("generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert run.data.metrics["evaluation/discriminator/accuracy"] == 0.75
    assert run.data.metrics["evaluation/fcd_per_digit/0"] == 0.1
    assert run.data.metrics["export/max_difference"] == 1e-7
    assert points("evaluation/fcd") == [(30, 0.5)]
    assert artifacts("training") == ["training.png", "validation.json"]
    assert artifacts("evaluation") == ["evaluation.json", "roc.png", "samples.png"]
    assert artifacts("export") == ["export.json"]
    for _ in range(2):
        assert sync(capsys) == f"{NOTHING}{run.info.run_id} at sqlite:///{workspace}/mlflow.db"
    assert_no_point_is_there_twice()
    assert len(the_run().inputs.dataset_inputs) == 1


def test_what_a_stage_could_not_send_the_next_one_sends(workspace):
    """`evaluate` and `export` found MLflow away; the stages call the same function."""
    run = bring_up_to_date(the_params(), to="evaluate")
    assert dict(run.sent) == {"points": 10, "grids": 3, "artifacts": 5}
    assert points("export/max_difference") == []
    run = bring_up_to_date(the_params(), to="export")
    assert dict(run.sent) == {"points": 3, "artifacts": 1}
    assert artifacts("export") == ["export.json"]


def test_a_stage_that_runs_twice_sends_only_what_changed(workspace, capsys):
    sync(capsys)
    write_stages(fcd=0.25)
    assert sync(capsys).startswith("sent 1 points, 0 grids and 1 artifacts to run ")
    assert points("evaluation/fcd") == [(30, 0.5), (31, 0.25)]
    assert points("evaluation/num_samples") == [(30, 100.0)]
    assert sync(capsys).startswith(NOTHING)
    write_stages()
    assert sync(capsys).startswith("sent 1 points, 0 grids and 1 artifacts to run ")
    assert the_run().data.metrics["evaluation/fcd"] == 0.5
    assert_no_point_is_there_twice()


def test_an_attempt_that_was_given_up_keeps_its_points(workspace, capsys):
    """Their steps are known, so they are not sent again, whatever the value."""
    run = open_ours()
    run.log_metrics({"generator/loss": 77.0}, step=20)
    run.flush()
    (CHECKPOINTS / "run.json").unlink()
    sync(capsys)
    assert sorted(points("generator/loss")) == [(10, 1.0), (20, 77.0), (30, 3.0)]


def test_reports_of_another_model_are_passed_over(workspace, capsys):
    write_bytes(Path("models/generator.safetensors"), b"retrained, but not yet judged")
    assert sync(capsys).startswith("sent 6 points, 3 grids and 2 artifacts to run ")
    assert artifacts("evaluation") == []


def test_a_data_set_that_was_replaced_since_is_not_named(workspace, capsys):
    write_dataset(workspace, per_class=3)
    assert sync(capsys).startswith("sent 13 points, 3 grids and 5 artifacts to run ")
    assert the_run().inputs.dataset_inputs == []
    assert artifacts("training") == ["training.png"]


def test_an_interrupted_training_is_killed_in_mlflow_and_goes_on_in_its_run(workspace, monkeypatch, capsys):
    """An older model lies in the workspace, with its figures."""
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", AWAY)
        write_training((10, 20), to_its_end=False)
    for expected in ("sent 4 points, 2 grids and 0 artifacts to run ", NOTHING):
        assert sync(capsys).startswith(expected)
    assert the_run().info.status == "KILLED"
    assert the_run().inputs.dataset_inputs[0].dataset.name == "digits"
    with open_ours() as run:
        assert the_run().info.status == "RUNNING"
        for step in STEPS:
            run.log_metrics({"generator/loss": step / 10, "train/quick_fcd": 1.0}, step=step)
    assert points("generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert the_run().info.status == "FINISHED"


def test_a_run_that_says_how_it_was_interrupted_keeps_its_word(workspace, capsys):
    with pytest.raises(BadDataError), open_ours():
        raise BadDataError("diverged")
    sync(capsys)
    assert the_run().info.status == "FAILED"


def test_while_a_training_is_running_there_is_nothing_to_do(workspace):
    with exclusive(Path(".checkpoints/lock")), pytest.raises(BusyError, match="locked by pid"):
        sync_workspace()


def test_a_server_that_is_away_is_69_in_one_line_without_its_password(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    with pytest.raises(UnavailableError, match=r"^MLflow at http://\*\*\*@127\.0\.0\.1:9 failed .*, and run again$"):
        sync_workspace()


def test_where_nothing_was_trained_it_is_65_and_says_what_to_run(tmp_path):
    write_params(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "dcgan.cli", "sync"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 65
    assert (
        done.stderr == "error: models/run.json: missing, so there is no run to complete; run `dvc repro train` first\n"
    )
