"""What MLflow's pages show of a run: its name, a description with the result, few metrics, tags and parameters."""

import csv
import json
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.config import workspace
from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import Params, flatten
from dcgan.evaluation.numbers import numbers_in
from dcgan.tracking.contents import PARAMETERS, figures_table, shown_parameters
from dcgan.tracking.provenance import load_run
from dcgan.tracking.record import read_training
from tracking_store import model, sync

pytestmark = pytest.mark.usefixtures("tracked_workspace")
NOTE = "mlflow.note.content"


def the_note() -> str:
    (run,) = tracked.runs()
    return run.data.tags[NOTE]


def write_note(text: str) -> None:
    (run,) = tracked.runs()
    tracked.client().set_tag(run.info.run_id, NOTE, text)


def test_the_description_gets_the_result_with_floors_and_a_grid_and_follows_the_figures():
    tracked.write_training([10], weights=None)
    sync(read_training(tracked.TRAINING, status="RUNNING"))
    summary = load_run(tracked.TRAINING)["tags"][NOTE]
    assert the_note().startswith(f"{summary}\n\n<!--")
    tracked.write_training()
    tracked.write_reports()
    sync(model())
    (run,) = tracked.runs()
    first, result, table, grid, mark = the_note().split("\n\n")
    assert first == summary
    assert result == "**fcd 0.120, 3.000 times its floor**, on 10,000 samples a seed"
    assert "| fcd | 0.120 | 0.040 |" in table
    assert grid == f"![samples](get-artifact?path=evaluation%2Fsamples.png&run_uuid={run.info.run_id})"
    assert mark.startswith("<!-- An edited description is kept.")
    tracked.write_reports(fcd=0.5)
    sync(model())
    assert "**fcd 0.500" in the_note()


@pytest.mark.parametrize("edited", ["mine", "", "**fcd 0.1**\n\n<!-- An edited description is kept. 0123 -->"])
def test_a_description_that_people_edited_or_emptied_is_kept(edited):
    tracked.write_training()
    sync(model())
    write_note(edited)
    tracked.write_reports()
    sync(model())
    assert the_note() == edited


def test_a_run_of_an_earlier_version_gets_its_description_and_nothing_else_twice():
    """It has the plain summary, all parameters, and figures that are no longer sent."""
    tracked.write_training()
    sync(model())
    (run,) = tracked.runs()
    client, summary = tracked.client(), model().tags[NOTE]
    write_note(summary)
    client.set_tag(run.info.run_id, "mlflow.runName", "digits-012345")
    client.log_param(run.info.run_id, "evaluate.num_samples", "100")
    for key in ("evaluation/discriminator/accuracy", "evaluation/fcd"):
        client.log_metric(run.info.run_id, key, 0.75, step=30)
    tracked.write_reports()
    sync(model())
    assert sync(model()) == {}
    (run,) = tracked.runs()
    assert the_note().startswith(f"{summary}\n\n**fcd 0.120")
    assert run.info.run_name == "digits-012345"
    assert run.data.metrics["evaluation/discriminator/accuracy"] == 0.75
    assert tracked.points(run, "evaluation/fcd") == [(30, 0.12), (30, 0.75)], "a lower step would not be shown"
    assert run.data.metrics["evaluation/fcd"] == 0.12


def test_a_restored_model_keeps_the_summary_that_its_training_gave():
    tracked.write_training()
    summary = model().tags[NOTE]
    sync(model())
    (workspace.REPORTS / "run.json").unlink()
    tracked.write_reports()
    sync(model())
    assert the_note().startswith(f"{summary}\n\n**fcd 0.120")


def test_runs_of_the_same_parameters_are_numbered():
    for weights in (b"first", b"second", b"third"):
        tracked.write_training(weights=weights)
        sync(model())
    names = sorted(run.info.run_name for run in tracked.runs())
    assert names == [names[0], f"{names[0]} (2)", f"{names[0]} (3)"]


def test_tags_are_few_and_the_rest_is_in_a_file_of_the_run():
    tracked.write_training()
    tracked.write_reports()
    sync(model())
    (run,) = tracked.runs()
    shown = {key for key in run.data.tags if not key.startswith("mlflow.")}
    assert shown == {
        "training_id", "generator_sha256", "dataset_sha256", "source_revision", "device", "device_name", "threads",
        "precision", "artifacts",
    }  # fmt: skip
    kept = json.loads(Path(tracked.client().download_artifacts(run.info.run_id, "provenance/run.json")).read_text())
    assert {"version.torch", "platform", "source_dirty", "md5.data/dataset.safetensors"} <= kept["tags"].keys()
    assert kept["params"].keys() == flatten(load_params(workspace.PARAMS)).keys()


def test_parameters_are_those_that_people_tune_and_those_of_the_model_that_differ():
    def shown(**changes: object) -> dict[str, str]:
        params = changed(Params(), {name.replace("__", "."): value for name, value in changes.items()})
        return shown_parameters({key: str(value) for key, value in flatten(params).items()})

    assert shown().keys() == PARAMETERS
    unusual = shown(train__keep="best", train__threads=1, gates__recall_over_floor=0.5, evaluate__num_samples=500)
    assert unusual.keys() == PARAMETERS | {"train.keep"}
    subset = shown(data__classes=(3, 5), model__num_classes=2)
    assert subset.keys() == PARAMETERS | {"data.classes", "model.num_classes"}


def test_the_table_has_every_number_once_with_its_floor():
    report = {"fcd": 0.12, "fcd_floor": 0.04, "recall_per_class": [0.5, None], "recall_per_class_floor": [0.9, 0.8],
              "discriminator": {"accuracy": 0.75}, "name": "text"}  # fmt: skip
    header, *rows = csv.reader(figures_table(report).splitlines())
    assert header == ["figure", "value", "floor"]
    assert rows == [
        ["fcd", "0.12", "0.04"], ["recall_per_class/0", "0.5", "0.9"], ["recall_per_class_floor/1", "0.8", ""],
        ["discriminator/accuracy", "0.75", ""],
    ]  # fmt: skip
    assert len(numbers_in(report)) == sum(bool(cell) for row in rows for cell in row[1:])
