"""MLflow stores for tests, copies of one that is created once, and the files that stages leave for them."""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dcgan.config import workspace
from dcgan.config.params_file import load_params
from dcgan.system.files import sha256_of, write_bytes, write_json
from dcgan.tracking.jsonl import JsonlTracker, step_of
from dcgan.tracking.provenance import describe_training, note_weights
from dcgan.tracking.record import RunRecord
from dcgan.tracking.store import SETTINGS, create_store, tracking_uri
from tiny_onnx import build_model, write_model

MLFLOW_WARNINGS = [
    "ignore:The ``noload`` loader strategy is deprecated",  # SQLAlchemy, of MLflow's tables
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow, of its own chat models
]
WEIGHTS = b"weights"
EVALUATION = {
    "fcd": 0.12, "fcd_floor": 0.04, "fcd_spread": 0.01, "precision": 0.75, "precision_floor": 0.8, "recall": 0.85,
    "recall_floor": 0.9, "num_samples": 10_000, "num_seeds": 3, "label_accuracy": 0.99, "class_shares": [0.1] * 10,
    "dataset_sha256": "d" * 64, "classifier_sha256": "c" * 64, "fcd_per_digit": [0.1, None],
    "discriminator": {"accuracy": 0.75},
}  # fmt: skip
TRAINING = workspace.CHECKPOINTS / "0123456789abcdef"
GRID = np.tile(np.arange(56, dtype=np.uint8), (28, 1))


def use_new_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `folder` the current folder and DVC's root, with an empty MLflow store; returns the store's file."""
    use_folder(folder, monkeypatch)
    database = folder / "mlflow.db"
    database.write_bytes(empty_store())
    return database


def use_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the current folder and DVC's root; MLflow's address is the default and is restored afterwards."""
    for name in (*SETTINGS, "MLFLOW_TRACKING_URI", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        monkeypatch.setenv(name, "")  # remembers what was there: MLflow itself sets them too
        monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder)


@cache
def empty_store() -> bytes:
    """The bytes of a store without runs."""
    with tempfile.TemporaryDirectory() as folder:
        create_store(Path(folder, "mlflow.db"))
        return Path(folder, "mlflow.db").read_bytes()


def client(uri: str | None = None):
    """MLflow's own, of the store that the code finds by itself, or of another one."""
    from mlflow import MlflowClient

    return MlflowClient(uri or tracking_uri(), uri or tracking_uri())


def runs_in(uri: str | None = None) -> list:
    found = client(uri).get_experiment_by_name("tiny")
    return list(client(uri).search_runs([found.experiment_id])) if found else []


def points(run, key: str, uri: str | None = None) -> list[tuple[int, float]]:
    """Step and value of everything that is there, sorted."""
    return sorted((point.step, point.value) for point in client(uri).get_metric_history(run.info.run_id, key))


def artifacts(run, folder: str, uri: str | None = None) -> list[str]:
    return sorted(Path(each.path).name for each in client(uri).list_artifacts(run.info.run_id, folder))


def assert_holds(record: RunRecord, uri: str | None = None):
    """The store's only run holds the record, each point, grid and figure once; returns the run."""
    (run,) = runs_in(uri)
    assert run.info.status == record.status
    assert run.data.tags.items() >= record.tags.items()
    assert run.data.params == record.params
    assert len(run.inputs.dataset_inputs) == bool(record.dataset)
    for key in {point.key for point in record.points}:
        expected = sorted((point.step, point.value) for point in record.points if point.key == key)
        assert points(run, key, uri) == expected, key
    for key, value in record.figures.items():
        assert points(run, key, uri) == [(record.last_step, value)], key
    names = [name for name in artifacts(run, "images", uri) if name.endswith(".png")]
    steps = sorted(int(re.search(r"\+step\+(\d+)\+", name)[1]) for name in names)
    assert steps == [step_of(path) for path in record.grids]
    for folder, paths in record.files.items():
        assert artifacts(run, folder, uri) == sorted(path.name for path in paths)
    return run


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_training(folder: Path = TRAINING) -> None:
    """What `train` leaves before its first step, in a workspace of `tiny_workspace`."""
    params = load_params(workspace.PARAMS)
    if not workspace.CLASSIFIER.exists():
        write_bytes(workspace.CLASSIFIER, b"classifier")
    describe_training(folder, params=params, config=params.gan)


def write_training(steps: Sequence[int] = (10, 20, 30), *, weights: bytes | None = WEIGHTS) -> None:
    """What `train` leaves: 9 points and 3 grids; without weights, what it has left when it is stopped."""
    start_training()
    with JsonlTracker(TRAINING, resume_from_step=0, publish_to=workspace.REPORTS) as tracker:
        for step in steps:
            tracker.log_metrics({"generator/loss": step / 10, "discriminator/loss": 1.0}, step=step)
            tracker.log_timings({"train/images_per_second": 1000.0 + step}, step=step)
            tracker.log_samples(GRID, step=step)
    if weights is not None:
        write_bytes(workspace.GENERATOR, weights)
        note_weights(TRAINING)
        for path in (*TRAINING.rglob("*.*"), TRAINING / "training/samples", TRAINING / "training", TRAINING):
            path.unlink() if path.is_file() else path.rmdir()


def write_reports(**figures: object) -> None:
    """What `evaluate` and `export` leave for the present weights: 15 and 2 numbers, 3 files and 1."""
    of_these = {"generator_sha256": sha256_of(workspace.GENERATOR)}
    write_json(workspace.EVALUATION, of_these | EVALUATION | figures)
    for name in ("samples", "roc"):
        write_bytes(workspace.EVALUATION_FIGURES / f"{name}.png", b"picture")
    write_json(workspace.EXPORT, of_these | {"opset": 20, "parity": {"max_difference": 1e-7}})


def write_exported_model(weights: bytes = WEIGHTS, **figures: object) -> None:
    """What all stages before `register` leave; other weights give another ONNX file."""
    write_training(weights=weights)
    write_reports(**figures)
    write_model(workspace.ONNX_GENERATOR, build_model(weights=weights.decode()))
