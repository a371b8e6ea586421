"""What people delete, rename, restore and rewrite in MLflow: it comes back from disk, and their own words stay."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.system.errors import BadDataError
from dcgan.system.files import sha256_of
from dcgan.tracking.record import read_training
from tiny_workspace import write_dataset, write_params

NAME = "tiny-generator"
CHAMPION = f"models:/{NAME}@champion"


def the_run():
    (run,) = tracked.runs()
    return run


def experiment_id() -> str:
    return tracked.client().get_experiment_by_name("tiny").experiment_id


def delete_logged_model() -> None:
    client = tracked.client()
    client.delete_logged_model(client.get_model_version(NAME, champion()).source.removeprefix("models:/"))


def delete_all_files() -> None:
    shutil.rmtree("mlruns")


BY_HAND: dict[str, Callable[[], object]] = {
    "experiment deleted": lambda: tracked.client().delete_experiment(experiment_id()),
    "experiment renamed": lambda: tracked.client().rename_experiment(experiment_id(), f"was {experiment_id()}"),
    "run deleted": lambda: tracked.client().delete_run(the_run().info.run_id),
    "version deleted": lambda: tracked.client().delete_model_version(NAME, champion()),
    "model deleted": lambda: tracked.client().delete_registered_model(NAME),
    "model renamed": lambda: tracked.client().rename_registered_model(NAME, f"was {experiment_id()}"),
    "alias deleted": lambda: tracked.client().delete_registered_model_alias(NAME, "champion"),
    "logged model deleted": delete_logged_model,
    "artifacts deleted": delete_all_files,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A workspace whose run and champion MLflow has; people change it, and a sync brings it back."""
    folder = tmp_path_factory.mktemp("synced")
    with pytest.MonkeyPatch.context() as patch:
        tracked.use_new_store(folder, patch)
        write_params(folder)
        write_dataset(folder, per_class=2)
        tracked.write_exported_model()
        tracked.dcgan_sync()
    return folder


@pytest.fixture
def synced(folder, monkeypatch) -> None:
    """The same as the current folder."""
    tracked.use_folder(folder, monkeypatch)


@pytest.fixture
def fresh(tracked_workspace) -> None:
    """Another one, in which the champion may be lost."""
    tracked.write_exported_model()
    tracked.dcgan_sync()


def champion() -> str:
    """The number of its version."""
    return str(tracked.client().get_model_version_by_alias(NAME, "champion").version)


@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND)
def test_one_sync_brings_back_what_was_deleted_or_renamed(synced, change):
    change()
    tracked.dcgan_sync()
    tracked.assert_holds(tracked.model())
    assert load_generator(CHAMPION).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)


def test_a_deleted_experiment_is_restored_with_its_runs_and_one_line_says_so(fresh, capsys):
    before = the_run().info.run_id
    BY_HAND["experiment deleted"]()
    tracked.dcgan_sync()
    assert capsys.readouterr().err.splitlines() == ["note: the experiment tiny was deleted in MLflow; it is restored"]
    assert the_run().info.run_id == before


def test_a_run_restored_beside_the_one_made_in_its_place_is_the_one_that_is_kept_up_to_date(fresh):
    first = the_run().info.run_id
    BY_HAND["run deleted"]()
    tracked.sync(tracked.model())
    tracked.client().restore_run(first)
    assert tracked.sync(tracked.model()) == {}
    assert {run.info.status for run in tracked.runs()} == {"FINISHED"}


def test_a_run_deleted_during_its_training_begins_anew(tracked_workspace):
    tracked.write_training([10, 20], weights=None)
    tracked.sync(read_training(tracked.TRAINING, status="RUNNING"))
    BY_HAND["run deleted"]()
    tracked.write_training()
    tracked.sync(tracked.model())
    tracked.assert_holds(tracked.model())


def test_names_and_descriptions_that_people_wrote_are_kept(synced):
    client, run_id = tracked.client(), the_run().info.run_id
    client.update_run(run_id, name="the good one")
    client.set_tag(run_id, "mlflow.note.content", "shown on Monday")
    client.update_registered_model(NAME, "ours")
    tracked.sync(tracked.model())
    client.delete_model_version(NAME, champion())
    tracked.dcgan_sync()
    tags = the_run().data.tags
    assert (tags["mlflow.runName"], tags["mlflow.note.content"]) == ("the good one", "shown on Monday")
    assert client.get_registered_model(NAME).description == "ours"


def test_what_people_write_into_the_champions_tags_is_no_figure(fresh):
    for key, value in {"fcd": "good", "fcd_spread": "nan"}.items():
        tracked.client().set_model_version_tag(NAME, "1", key, value)
    tracked.write_exported_model(b"better", fcd=0.05)
    assert "version 2 is challenger" in tracked.dcgan_sync()[-1]


def test_a_champion_whose_file_is_gone_gives_its_place_to_a_model_that_has_one(fresh):
    delete_all_files()
    with pytest.raises(BadDataError, match=r"holds 0 ONNX files.*`dcgan sync`"):
        load_generator(CHAMPION)
    tracked.write_exported_model(b"worse", fcd=0.125)
    assert "version 2 is champion" in tracked.dcgan_sync()[-1]


def test_a_new_store_gets_the_champion_by_the_command_that_its_absence_names(synced, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new.db")
    Path("new.db").write_bytes(tracked.empty_store())
    with pytest.raises(BadDataError, match="no such model; `dcgan sync`"):
        load_generator(CHAMPION)
    tracked.dcgan_sync()
    assert load_generator(CHAMPION).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
