"""MLflow stores for tests, copies of one that is created once, and the files that stages leave for them."""

import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dcgan.commands.sync import sync_workspace
from dcgan.config import workspace
from dcgan.config.params_file import load_params
from dcgan.system.errors import UnavailableError
from dcgan.system.files import sha256_of, write_bytes, write_json
from dcgan.tracking.jsonl import JsonlTracker, step_of
from dcgan.tracking.provenance import describe_training, note_weights
from dcgan.tracking.record import RunRecord, read_model
from dcgan.tracking.store import SETTINGS, create_store, open_store, tracking_uri
from dcgan.tracking.sync import sync_run
from tiny_onnx import build_model, write_model

WEIGHTS = b"weights"
EVALUATION = {
    "fcd": 0.12, "fcd_floor": 0.04, "fcd_over_floor": 3.0, "fcd_spread": 0.01, "precision": 0.75,
    "precision_floor": 0.8, "recall": 0.85, "recall_floor": 0.9, "witness_fcd_over_floor": 2.0,
    "two_sample_accuracy": 0.8, "num_samples": 10_000, "num_seeds": 3, "label_accuracy": 0.99,
    "class_shares": [0.1] * 10, "dataset_sha256": "d" * 64, "classifier_sha256": "c" * 64, "fcd_per_digit": [0.1, None],
    "discriminator": {"accuracy": 0.75}, "pixels": {"samples": {"haze": 0.03}},
}  # fmt: skip
TRAINING = workspace.CHECKPOINTS / "0123456789abcdef"
GRID = np.tile(np.arange(56, dtype=np.uint8), (28, 1))


def use_new_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the current folder and DVC's root, with an empty MLflow store."""
    use_folder(folder, monkeypatch)
    (folder / "mlflow.db").write_bytes(empty_store())


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


def client():
    """MLflow's own, of the store that the code finds by itself."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(), tracking_uri())


def runs() -> list:
    found = client().get_experiment_by_name("tiny")
    return list(client().search_runs([found.experiment_id])) if found else []


def points(run, key: str) -> list[tuple[int, float]]:
    """Step and value of everything that is there, sorted."""
    return sorted((point.step, point.value) for point in client().get_metric_history(run.info.run_id, key))


def has_points() -> bool:
    """Whether the first points have come."""
    return any(points(run, "generator/loss") for run in runs())


def artifacts(run, folder: str) -> list[str]:
    """The names there; asked without the client, which asks for models that MLflow 2 does not have."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=f"{run.info.artifact_uri}/{folder}", tracking_uri=tracking_uri())
    return sorted(Path(each.path).name for each in found)


def model() -> RunRecord:
    """The record of the model in the current folder."""
    return read_model(load_params(workspace.PARAMS))


def sync(record: RunRecord) -> dict[str, int]:
    """What was sent."""
    with open_store() as mlflow:
        _, sent = sync_run(mlflow, record, experiment="tiny")
    return {kind: count for kind, count in sent.items() if count}


def dcgan_sync() -> list[str]:
    """The lines that `dcgan sync` prints."""
    with redirect_stdout(io.StringIO()) as printed:
        sync_workspace()
    return printed.getvalue().splitlines()


@contextmanager
def dying(call: str, *, good_calls: int = 0, is_carried_out: bool = False) -> Iterator[None]:
    """The store dies at a call of MLflow's client, after some good ones; the request may be carried out nonetheless."""
    import mlflow

    genuine, calls = getattr(mlflow.MlflowClient, call), []

    def die(*arguments: object, **options: object) -> object:
        calls.append(call)
        is_good = len(calls) <= good_calls
        answer = genuine(*arguments, **options) if is_good or is_carried_out else None
        if not is_good:
            raise ConnectionResetError("the server died")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, call, die)
        with pytest.raises(UnavailableError, match="the server died"):
            yield


def assert_holds(record: RunRecord):
    """The store's only run holds the record, each point, grid and figure once; returns the run."""
    (run,) = runs()
    assert run.info.status == record.status
    note, tags = "mlflow.note.content", dict(record.tags)
    assert tags.pop(note) in run.data.tags[note]
    assert run.data.tags.items() >= tags.items()
    assert run.data.params == record.params
    assert len(run.inputs.dataset_inputs) == bool(record.dataset)
    for key in {point.key for point in record.points}:
        expected = sorted((point.step, point.value) for point in record.points if point.key == key)
        assert points(run, key) == expected, key
    for key, value in record.figures.items():
        assert points(run, key) == [(0, value)], key
    names = [name for name in artifacts(run, "images") if name.endswith(".png")]
    steps = sorted(re.fullmatch(r"(\w+)\+step\+(\d+)\+.*", name).groups() for name in names)
    last = [("final_samples", "0")] if record.status == "FINISHED" and record.grids else []
    assert steps == last + [("samples", step) for step in sorted(str(step_of(path)) for path in record.grids)]
    for folder, paths in record.files.items():
        texts = [Path(path).name for path in record.texts if path.startswith(f"{folder}/")]
        assert artifacts(run, folder) == sorted([*texts, *(path.name for path in paths)])
    return run


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_training() -> None:
    """What `train` leaves before its first step, in a workspace of `tiny_workspace`."""
    params = load_params(workspace.PARAMS)
    write_bytes(workspace.CLASSIFIER, b"classifier")
    describe_training(TRAINING, params=params, config=params.gan)


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
        shutil.rmtree(TRAINING)


def write_reports(**figures: object) -> None:
    """What `evaluate` and `export` leave for the present weights: 8 headlines, 3 files and 1."""
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
