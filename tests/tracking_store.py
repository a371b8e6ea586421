"""MLflow stores for tests: one is created, the others are copies of it."""

import tempfile
from functools import cache
from pathlib import Path

import pytest

from dcgan.config.schema import TrackingConfig
from dcgan.tracking.mlflow.store import SETTINGS, connect

MLFLOW_WARNINGS = [
    "ignore:The ``noload`` loader strategy is deprecated",  # SQLAlchemy, of MLflow's tables
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow, of its own chat models
]
TRACKING = TrackingConfig(experiment="digits", registered_model="generator")


def use_new_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `folder` the current folder and DVC's root, with an empty MLflow store; returns the store's file."""
    use_folder(folder, monkeypatch)
    database = folder / "mlflow.db"
    database.write_bytes(empty_store())
    return database


def use_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the current folder and DVC's root; MLflow's address is the default and is restored afterwards."""
    for name in (*SETTINGS, "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # remembers what was there: MLflow itself sets them too
        monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder)


@cache
def empty_store() -> bytes:
    """The bytes of a store without runs."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "mlflow.db")
        connect(f"sqlite:///{database}")
        return database.read_bytes()
