import json
import re
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dcgan.system.errors import BadDataError, DivergedError, Interrupted
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.mlflow import (
    MlflowRun,
    RunReference,
    load_run_reference,
    open_run,
    resume_run,
    save_run_reference,
    store,
)
from tracking_store import MLFLOW_WARNINGS, TRACKING, use_folder, use_new_store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

REFERENCE = Path("checkpoints/run.json")
HISTORY = Path("reports/history.jsonl")
PARAMS = {"train.epochs": 10, "train.threads": None, "model.conditional": True}
GRID = np.tile(np.arange(56, dtype=np.uint8), (28, 1))


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store in the current folder."""
    return use_new_store(tmp_path, monkeypatch)


def start(**changes: object) -> MlflowRun:
    options = {
        "reference": REFERENCE,
        "tracking": TRACKING,
        "params": PARAMS,
        "tags": {},
        "name": "trial",
        "description": "A trial.",
    }
    return open_run(**(options | changes))


def resume(run_id: str, **changes: object) -> MlflowRun:
    reference = RunReference(run_id=run_id, experiment=TRACKING.experiment)
    options = {"reference": reference, "tracking": TRACKING, "history": HISTORY, "params": PARAMS}
    return resume_run(**(options | changes))


def client():
    return store.connect(store.tracking_uri())


def record_of(run: MlflowRun):
    return client().get_run(run.run_id)


def points(run: MlflowRun, key: str = "generator/loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(run.run_id, key)]


def image_steps(run: MlflowRun) -> list[int]:
    names = [artifact.path for artifact in client().list_artifacts(run.run_id, "images")]
    return sorted(int(re.search(r"\+step\+(\d+)\+", name)[1]) for name in names if name.endswith(".png"))


def all_runs() -> list:
    experiment = client().get_experiment_by_name(TRACKING.experiment)
    return list(client().search_runs([experiment.experiment_id]))


def write_history(steps: list[int]) -> None:
    with JsonlTracker(HISTORY.parent, resume_from_step=0) as tracker:
        for step in steps:
            tracker.log_metrics({"generator/loss": step / 100, "discriminator/loss": 1.0}, step=step)
            tracker.log_samples(GRID, step=step)


# One run a training


def test_a_training_leaves_one_finished_run_that_holds_everything(database):
    report = Path("validation.json")
    report.write_text("{}")
    with start(
        tags={"source_revision": "abc-dirty", "threads": "2"}, name="digits-1a2b3c", description="**Ten** epochs."
    ) as run:
        run.log_dataset(name="digits", sha256="ab" * 32, path=Path("data/dataset.safetensors"), profile={"train": 1442})
        for step in (10, 20):
            run.log_metrics({"generator/loss": step / 10, "discriminator/loss": 0.5}, step=step)
        run.log_samples(GRID, step=20)
        run.log_artifacts(report, folder="training")
        assert record_of(run).info.status == "RUNNING"
    record = record_of(run)
    assert (record.info.status, record.info.run_name) == ("FINISHED", "digits-1a2b3c")
    assert record.data.params == {"train.epochs": "10", "train.threads": "None", "model.conditional": "True"}
    assert points(run) == [(10, 1.0), (20, 2.0)]
    assert record.data.metrics == {"generator/loss": 2.0, "discriminator/loss": 0.5}
    tags = record.data.tags
    assert (tags["threads"], tags["source_revision"], tags["mlflow.note.content"]) == (
        "2",
        "abc-dirty",
        "**Ten** epochs.",
    )
    assert tags["mlflow.source.git.commit"] == "abc"
    (data,) = record.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", ("ab" * 32)[:36])
    assert json.loads(data.dataset.profile) == {"sha256": "ab" * 32, "train": 1442}
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    assert [each.path for each in client().list_artifacts(run.run_id, "training")] == ["training/validation.json"]
    assert len(all_runs()) == 1


def test_grids_come_as_a_series_of_images_at_a_readable_size(database):
    with start() as run:
        run.log_samples(GRID, step=10)
        run.log_samples(GRID, step=20)
        run.log_samples(np.zeros((600, 600), np.uint8), step=30)
    assert image_steps(run) == [10, 20, 30]
    assert record_of(run).data.tags["mlflow.loggedImages"] == "True"
    folder = Path(record_of(run).info.artifact_uri, "images")
    with Image.open(next(folder.glob("samples+step+20+*[0-9a-f].png"))) as image:
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[::2, ::2], GRID)
    assert pixels.shape == (56, 112)
    with Image.open(next(folder.glob("samples+step+30+*[0-9a-f].png"))) as image:
        assert image.size == (600, 600)


def test_a_folder_is_stored_with_all_it_holds(database):
    Path("plots/deep").mkdir(parents=True)
    for name in ("plots/roc.png", "plots/deep/a.csv"):
        Path(name).write_text("x")
    run = start()
    run.log_artifacts(Path("plots"), folder="evaluation")
    stored = Path(record_of(run).info.artifact_uri, "evaluation")
    assert sorted(str(path.relative_to(stored)) for path in stored.rglob("*.*")) == ["deep/a.csv", "roc.png"]


def test_a_file_is_sent_again_only_when_its_content_is_another(database):
    report = Path("report.json")
    with start() as run:
        for content, sent in (("a", 1), ("a", 1), ("b", 2)):
            report.write_text(content)
            run.log_artifacts(report)
            assert run.sent["artifacts"] == sent
    later = resume(run.run_id)
    later.log_artifacts(report)
    assert later.sent["artifacts"] == 0
    client().set_tag(run.run_id, "artifact_digests", '{"report')
    later = resume(run.run_id)
    later.log_artifacts(report)
    assert later.sent["artifacts"] == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(Interrupted("stopped"), "KILLED"), (KeyboardInterrupt(), "KILLED"), (DivergedError("NaN"), "FAILED")],
)
def test_a_run_says_how_it_ended(database, error, status):
    run = start()
    run.log_metrics({"generator/loss": 1.0}, step=10)
    with pytest.raises(type(error)), run:
        raise error
    assert record_of(run).info.status == status
    assert points(run) == [(10, 1.0)]


def arrived(batches, run):
    """The batches, once all that was sent has been taken."""
    run.link.attempt(lambda _client: None)
    return batches


def test_metrics_leave_in_batches(database, monkeypatch):
    run = start()
    batches = []
    monkeypatch.setattr("mlflow.MlflowClient.log_batch", lambda _, run_id, metrics: batches.append(len(metrics)))
    for step in range(499):
        run.log_metrics({"generator/loss": 1.0}, step=step)
    assert arrived(batches, run) == []
    run.log_metrics({"generator/loss": 1.0}, step=499)
    assert arrived(batches, run) == [500]
    run.log_metrics({f"key{number}": 1.0 for number in range(2300)}, step=500)
    assert arrived(batches, run) == [500, 1000, 1000, 300]


def test_metrics_leave_every_ten_seconds_but_not_while_others_are_on_their_way(database, monkeypatch):
    now, batches, is_answered = [0.0], [], threading.Event()
    clock = SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns)
    monkeypatch.setattr("dcgan.tracking.mlflow.run.time", clock)
    run = start()

    def send_slowly(client, run_id, metrics):
        batches.append(len(metrics))
        is_answered.wait(60)

    monkeypatch.setattr("mlflow.MlflowClient.log_batch", send_slowly)
    for _ in range(35):
        run.log_metrics({"generator/loss": 1.0}, step=1)
        now[0] += 1.0
    is_answered.set()
    assert arrived(batches, run) == [11], "those of seconds 0 to 10"
    run.log_metrics({"generator/loss": 1.0}, step=1)
    assert arrived(batches, run) == [11, 25]


# Interruptions


def test_a_killed_training_goes_on_in_its_run_without_a_point_or_a_grid_twice(database):
    killed = start(tags={"threads": "2"})
    for step in (10, 20, 30):
        killed.log_metrics({"generator/loss": step / 10}, step=step)
        killed.log_samples(GRID, step=step)
    killed.flush()  # and then SIGKILL: the run stays RUNNING

    with start(params={**PARAMS, "train.epochs": 99, "gates.fcd": 5}, tags={"threads": "1"}) as run:
        assert run.run_id == killed.run_id
        for step in (30, 40):
            run.log_metrics({"generator/loss": step / 10, "generator/new": 1.0}, step=step)
            run.log_samples(GRID, step=step)
    assert points(run) == [(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)]
    assert points(run, "generator/new") == [(30, 1.0), (40, 1.0)]
    assert image_steps(run) == [10, 20, 30, 40]
    record = record_of(run)
    assert record.info.status == "FINISHED"
    assert record.data.params["train.epochs"] == "10"
    assert record.data.params["gates.fcd"] == "5"
    assert record.data.tags["threads"] == "1"
    assert len(all_runs()) == 1


def test_an_interrupted_run_is_running_while_it_goes_on(database):
    with pytest.raises(Interrupted), start():
        raise Interrupted("stopped")
    assert record_of(start()).info.status == "RUNNING"


def test_a_damaged_reference_beside_the_checkpoints_stops_no_training(database):
    killed = start()
    REFERENCE.write_text('{"run_id')
    run = start()
    assert run.run_id != killed.run_id
    assert load_run_reference(REFERENCE).run_id == run.run_id


# Later stages


def test_a_later_stage_adds_to_the_finished_run_and_leaves_it_finished(database):
    write_history([10, 20])
    with start() as run:
        run.sync_history([{"step": 10, "generator/loss": 0.1}, {"step": 20, "generator/loss": 0.2}])
    ended = record_of(run).info.end_time
    with resume(run.run_id) as later:
        assert record_of(later).info.status == "FINISHED", "a kill from here on leaves no run RUNNING"
        later.log_metrics({"evaluation/fcd": 0.3})
    assert later.run_id == run.run_id
    assert points(later, "evaluation/fcd") == [(20, 0.3)]
    assert (record_of(run).info.status, record_of(run).info.end_time) == ("FINISHED", ended)


def test_an_error_in_a_later_stage_does_not_make_the_training_a_failure(database):
    with start() as run:
        pass
    with pytest.raises(BadDataError), resume(run.run_id):
        raise BadDataError("parity")
    assert record_of(run).info.status == "FINISHED"


def test_what_the_run_missed_is_sent_exactly_once(database):
    write_history([10, 20, 30, 40])
    run = start()
    run.log_metrics({"generator/loss": 0.2}, step=20)
    run.log_samples(GRID, step=20)
    run.flush()  # and the tracking server went away
    for _ in range(2):
        resumed = resume(run.run_id)
    assert sorted(points(run)) == [(10, 0.1), (20, 0.2), (30, 0.3), (40, 0.4)]
    assert sorted(points(run, "discriminator/loss")) == [(step, 1.0) for step in (10, 20, 30, 40)]
    assert image_steps(run) == [10, 20, 30, 40]
    assert resumed.last_step == 40
    assert record_of(run).info.status == "FINISHED"


def test_a_history_longer_than_a_batch_arrives_whole(database):
    rows = [{"step": step, **{f"key{number}": 1.0 for number in range(7)}} for step in range(300)]
    run = start()
    run.sync_history(rows)
    assert Counter(step for step, _ in points(run, "key6")) == Counter(range(300))


def test_a_model_trained_elsewhere_gets_one_run_that_says_so(database):
    write_history([10, 20])
    stranger = "f" * 32
    first = resume(stranger)
    assert first.run_id != stranger
    record = record_of(first)
    assert record.data.tags["restored_from"] == stranger
    assert record.data.params["train.epochs"] == "10"
    assert record.info.status == "FINISHED"
    assert points(first) == [(10, 0.1), (20, 0.2)]
    assert image_steps(first) == [10, 20]
    assert resume(stranger).run_id == first.run_id
    assert points(first) == [(10, 0.1), (20, 0.2)]
    assert len(all_runs()) == 1


def test_a_deleted_run_is_an_unknown_one(database):
    with start() as run:
        pass
    client().delete_run(run.run_id)
    assert record_of(resume(run.run_id)).data.tags["restored_from"] == run.run_id


def test_a_training_that_began_without_a_server_goes_on_with_one(database, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    offline = start()
    monkeypatch.undo()
    use_folder(database.parent, monkeypatch)
    online = start()
    assert record_of(online).data.tags["restored_from"] == offline.run_id
    assert load_run_reference(REFERENCE).run_id == online.run_id


def test_a_run_that_was_created_though_no_answer_came_is_found_and_its_twin_deleted(database, monkeypatch):
    """The request was repeated, as MLflow's client does, and the server carried out both; then it died."""
    import mlflow

    genuine = mlflow.MlflowClient.create_run

    def create_twice(self, *arguments, **options):
        for _ in range(2):
            genuine(self, *arguments, **options)
        raise TimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "create_run", create_twice)
        start(tags={"threads": "2"})
    assert len(all_runs()) == 2
    reference = load_run_reference(REFERENCE)
    resumed = resume(reference.run_id, reference=reference)
    (run,) = all_runs()
    assert run.info.run_id == resumed.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "10"
    assert run.data.tags["opened_as"] == reference.run_id
    assert "restored_from" not in run.data.tags
    assert resume(reference.run_id).run_id == resumed.run_id


def test_a_run_that_stands_for_a_lost_one_has_its_parameters_and_tags(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    start(tags={"threads": "2"}, name="digits-1a2b3c", params=PARAMS | {"train.epochs": 3})
    monkeypatch.undo()
    use_folder(database.parent, monkeypatch)
    reference = load_run_reference(REFERENCE)
    record = record_of(resume(reference.run_id, reference=reference, params=PARAMS | {"gates.fcd": 5}))
    assert record.info.run_name == "digits-1a2b3c"
    assert record.data.tags["threads"] == "2"
    assert record.data.tags["mlflow.note.content"] == "A trial."
    assert record.data.tags["restored_from"] == reference.run_id
    assert record.data.params == {
        "train.epochs": "3",
        "train.threads": "None",
        "model.conditional": "True",
        "gates.fcd": "5",
    }


# Without MLflow


def test_without_mlflow_everything_goes_on_after_one_line_of_warning(tmp_path, monkeypatch, capsys):
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with start() as run:
        run.log_metrics({"generator/loss": 1.0}, step=10)
        run.log_samples(GRID, step=10)
        run.log_artifacts(Path("nowhere"))
        run.log_dataset(name="digits", sha256="ab" * 32, path=Path("data"))
    assert re.fullmatch(r"[0-9a-f]{32}", run.run_id)
    assert load_run_reference(REFERENCE).run_id == run.run_id
    assert start().run_id == run.run_id, "a second start of the same training is the same run"
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert warnings[0].startswith("warning: MLflow cannot be imported (")
    assert not Path("mlflow.db").exists()


# The reference


def test_the_reference_names_the_run_and_what_it_was_opened_with_and_no_address(database):
    run = start(tags={"threads": "2"})
    save_run_reference(Path("models/run.json"), run)
    content = json.loads(Path("models/run.json").read_text())
    assert content.keys() == {"run_id", "experiment", "params", "tags"}
    assert str(database.parent) not in json.dumps(content)
    reference = load_run_reference(Path("models/run.json"))
    assert (reference.run_id, reference.experiment) == (run.run_id, "digits")
    assert reference.params == {"train.epochs": "10", "train.threads": "None", "model.conditional": "True"}
    assert reference.params.items() <= record_of(run).data.params.items()
    assert reference.tags.items() <= record_of(run).data.tags.items()
    assert (reference.tags["threads"], reference.tags["mlflow.runName"]) == ("2", "trial")


def test_a_reference_of_former_times_holds_no_more_than_the_name(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"run_id": "abc", "experiment": "digits"}')
    assert load_run_reference(path) == RunReference(run_id="abc", experiment="digits", params={}, tags={})


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"run_id": "a", "experiment": "e", "tags": {"threads": 2}}',
        '{"run_id": "a", "experiment": "e", "params": []}',
        '{"run_id": "x\' or 1", "experiment": "e"}',
        '{"run_id": 3}',
        "[]",
        "{",
    ],
)
def test_a_damaged_reference_is_refused(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(BadDataError, match=r"run\.json: "):
        load_run_reference(path)


def test_a_missing_reference_names_the_stage_that_writes_it(tmp_path):
    with pytest.raises(BadDataError, match=r"run\.json: missing; run the stage `train` first"):
        load_run_reference(tmp_path / "run.json")


# The store


def test_the_store_belongs_to_dvcs_root(tmp_path, monkeypatch):
    use_folder(tmp_path, monkeypatch)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_workspace_whose_dvc_yaml_is_a_link_belongs_to_the_folder_it_links_to(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "demo/dvc.yaml").symlink_to("../dvc.yaml")
    use_folder(tmp_path / "demo", monkeypatch)
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_without_dvc_running_it_belongs_to_the_nearest_folder_that_dvc_manages(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path / "demo")
    assert store.workspace_root() == tmp_path / "demo"
    (tmp_path / ".dvc").mkdir()
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"


def test_an_address_in_the_environment_always_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert store.tracking_uri() == "http://tracking:5000"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////data/mlflow.db", "/data/mlflow.db"),
        ("sqlite:////data/mlflow.db?timeout=5", "/data/mlflow.db"),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:/data/mlflow.db?mode=ro&uri=true", None),
        ("http://tracking:5000", None),
        ("postgresql://me@host/db", None),
    ],
)
def test_only_a_sqlite_file_is_ours_to_create(uri, file):
    assert store.sqlite_file(uri) == (None if file is None else Path(file))


def test_artifacts_lie_beside_the_store_under_an_absolute_path(database, tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path / "demo")
    run = start(tracking=TRACKING)
    assert record_of(run).info.artifact_uri == f"{tmp_path}/mlruns/digits/{run.run_id}/artifacts"


def test_trainings_that_start_together_create_one_store(tmp_path, monkeypatch):
    create_tables, calls, failures = store._create_tables, [], []
    monkeypatch.setattr(store, "_create_tables", lambda *a, **k: (calls.append(a), create_tables(*a, **k)))
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    together = threading.Barrier(6)

    def start_cold():
        together.wait()
        try:
            store.connect(uri).search_experiments()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start_cold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(calls) == 1
    assert not list(tmp_path.glob("new/mlflow.db.new*"))


def test_what_a_killed_creation_left_is_cleared_away(tmp_path):
    for name in ("mlflow.db.new", "mlflow.db.new-journal"):
        (tmp_path / name).write_bytes(b"half a store")
    store.create_store(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_a_failure_during_creation_leaves_no_store(tmp_path, monkeypatch):
    def half_create(database, *, artifacts):
        database.write_bytes(b"half a store")
        raise OSError("no space left on device")

    monkeypatch.setattr(store, "_create_tables", half_create)
    with pytest.raises(OSError, match="no space"):
        store.create_store(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
