"""One run a training, brought up to date from what lies on disk, each thing once, whatever happened before."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.config import workspace
from dcgan.system.files import write_bytes
from dcgan.tracking.jsonl import Point
from dcgan.tracking.provenance import load_run
from dcgan.tracking.record import read_training, unfinished_trainings
from tracking_store import dying, model, sync

pytestmark = pytest.mark.usefixtures("tracked_workspace")


def test_a_run_holds_all_that_the_stages_left_and_gets_nothing_twice(monkeypatch):
    monkeypatch.setenv("CACHE_TOKEN", "non_saturating")  # a parameter has this value: it is no secret there
    tracked.write_training()
    tracked.write_reports()
    assert sync(model()) == {"points": 17, "grids": 4, "artifacts": 7}
    assert sync(model()) == {}
    run = tracked.assert_holds(model())
    assert run.data.params["loss.name"] == "non_saturating"
    assert run.info.run_name.startswith("digits epochs=2 ")
    expected = {"name": "digits", "sha256": model().tags["dataset_sha256"], "images": 20}
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile) == expected
    assert tracked.points(run, "generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]
    for key, value in {"fcd": 0.12, "fcd_over_floor": 3.0, "haze": 0.03}.items():
        assert tracked.points(run, f"evaluation/{key}") == [(0, value)]
    assert tracked.artifacts(run, "evaluation") == ["all_figures.csv", "evaluation.json", "roc.png", "samples.png"]
    timings = [json.loads(line) for line in workspace.TIMINGS.read_text().splitlines()]
    stored = tracked.client().get_metric_history(run.info.run_id, "generator/loss")
    assert [point.timestamp for point in stored] == [row["time_ms"] for row in timings[::2]]
    assert (run.info.start_time, run.info.end_time) == (stored[0].timestamp, stored[-1].timestamp)


def test_a_training_that_runs_gets_what_is_new_and_is_found_by_its_weights_afterwards():
    tracked.write_training([10, 20], weights=None)
    assert sync(read_training(tracked.TRAINING, status="RUNNING")) == {"points": 6, "grids": 2}
    before = tracked.assert_holds(read_training(tracked.TRAINING, status="RUNNING"))
    tracked.write_training()
    assert sync(model()) == {"points": 3, "grids": 2, "artifacts": 2}
    assert tracked.assert_holds(model()).info.run_id == before.info.run_id


def test_an_attempt_that_was_given_up_keeps_its_points():
    """Their steps are known, so they are not sent again, whatever the value."""
    tracked.write_training([10, 20], weights=None)
    record = read_training(tracked.TRAINING, status="RUNNING")
    sync(replace(record, points=[point._replace(value=77.0) for point in record.points if point.step == 20]))
    sync(record)
    assert tracked.points(tracked.runs()[0], "generator/loss") == [(10, 1.0), (20, 77.0)]


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        (["RUNNING", "FAILED", "KILLED"], "FAILED"),
        (["KILLED", "RUNNING"], "RUNNING"),
        (["RUNNING", "FAILED", "FINISHED", "FINISHED"], "FINISHED"),
    ],
)
def test_a_run_says_how_it_ended_and_keeps_its_word(statuses, shown):
    tracked.start_training()
    for status in statuses:
        sync(read_training(tracked.TRAINING, status=status))
    assert [run.info.status for run in tracked.runs()] == [shown]


def test_a_history_longer_than_a_batch_arrives_whole():
    tracked.start_training()
    long = [Point(f"key{number}", 1.0, step, None) for step in range(300) for number in range(7)]
    record = replace(read_training(tracked.TRAINING, status="RUNNING"), points=long)
    assert sync(record) == {"points": 2100}
    tracked.assert_holds(record)


@pytest.mark.parametrize("is_carried_out", [True, False])
@pytest.mark.parametrize(
    ("call", "good_calls"),
    [("create_run", 0), ("log_batch", 0), ("log_batch", 1), ("log_inputs", 0), ("log_image", 1), ("log_artifact", 2),
     ("log_artifact", 8), ("set_tag", 0), ("set_terminated", 0)],
)  # fmt: skip
def test_a_store_that_dies_at_any_call_is_brought_up_to_date_by_the_next_sync(call, good_calls, is_carried_out):
    """Whether the request was carried out or not: nobody can tell from outside."""
    tracked.write_training()
    tracked.write_reports()
    with dying(call, good_calls=good_calls, is_carried_out=is_carried_out):
        sync(model())
    sync(model())
    tracked.assert_holds(model())
    assert sync(model()) == {}


def test_a_request_that_is_carried_out_after_the_store_was_asked_brings_no_point_twice(monkeypatch):
    tracked.write_training()
    sync(model())
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.get_metric_history", lambda *_: [])
        assert sync(model()) == {"points": 9}
    tracked.assert_holds(model())


def test_a_figure_and_a_file_that_have_changed_are_sent_and_shown():
    tracked.write_training()
    for fcd, sent in ((0.5, 17), (0.25, 1), (0.5, 1)):
        tracked.write_reports(fcd=fcd)
        assert sync(model())["points"] == sent
        (run,) = tracked.runs()
        assert run.data.metrics["evaluation/fcd"] == fcd
    stored = Path(tracked.client().download_artifacts(run.info.run_id, "evaluation/evaluation.json"))
    assert stored.read_bytes() == workspace.EVALUATION.read_bytes()


def test_a_model_restored_from_the_cache_has_its_own_run_in_whichever_store_is_asked(tmp_path, monkeypatch):
    tracked.write_training()
    sync(model())
    shutil.copytree(workspace.TRAINING_REPORTS, tmp_path / "first")
    tracked.write_training([10, 20], weights=b"another model, trained later")
    sync(model())
    assert len(tracked.runs()) == 2

    shutil.copytree(tmp_path / "first", workspace.TRAINING_REPORTS, dirs_exist_ok=True)
    write_bytes(workspace.GENERATOR, tracked.WEIGHTS)
    assert sync(model()) == {}, "the store knows it by its weights"
    assert not any("Restored" in run.data.tags["mlflow.note.content"] for run in tracked.runs())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    for sent in ({"points": 6, "grids": 4, "artifacts": 1}, {}):
        assert sync(model()) == sent
    run = tracked.assert_holds(model())
    assert "Restored" in run.data.tags["mlflow.note.content"]
    assert "device" not in run.data.tags
    assert tracked.points(run, "generator/loss") == [(10, 1.0), (20, 2.0), (30, 3.0)]


def test_a_second_training_with_the_same_weights_is_a_run_of_its_own_and_a_deleted_one_is_created_anew():
    for _ in range(2):
        tracked.write_training([10], weights=None)
        sync(read_training(tracked.TRAINING, status="RUNNING"))
        tracked.write_training()
        sync(model())
    assert [run.info.status for run in tracked.runs()] == ["FINISHED"] * 2
    for run in tracked.runs():
        tracked.client().delete_run(run.info.run_id)
    sync(model())
    tracked.assert_holds(model())


def test_an_interrupted_training_keeps_its_run_and_a_damaged_run_json_begins_another():
    tracked.start_training()
    before = load_run(tracked.TRAINING)
    tracked.start_training()
    assert load_run(tracked.TRAINING)["tags"]["training_id"] == before["tags"]["training_id"]
    assert [record.status for record in unfinished_trainings()] == ["KILLED"]
    for content in ('{"tags', "[]", '{"tags": {}, "params": {"a": "b"}}', '{"tags": {"training_id": "\' or 1"}}'):
        (tracked.TRAINING / "run.json").write_text(content)
        assert load_run(tracked.TRAINING) is None
        assert list(unfinished_trainings()) == []
    tracked.start_training()
    assert load_run(tracked.TRAINING)["tags"]["training_id"] != before["tags"]["training_id"]
