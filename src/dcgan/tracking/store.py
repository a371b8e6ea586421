"""Where runs are kept: MLflow's address, its sqlite store, created exactly once, and the folder of its artifacts."""

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from dcgan.system.redaction import holds_secret

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A request to a server that hangs costs two times four seconds; MLflow's own settings would cost four minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Environment variables that are set before MLflow is imported, unless the user set them."""

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow's pages take an experiment for one with language models."""

CREATION_SECONDS = 60
"""How long to wait while another process creates the store."""


def workspace_root() -> Path:
    """The folder whose runs belong together: DVC's repository, even from within a copy that DVC runs experiments in.

    A workspace whose dvc.yaml is a link, as the demo's is, belongs to the folder that it links to.
    """
    here = Path.cwd()
    found = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    return (Path(os.environ.get("DVC_ROOT") or found) / "dvc.yaml").resolve().parent


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else the store that a plain `mlflow ui` in the workspace's root shows."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace_root() / 'mlflow.db'}"


def prepare(uri: str) -> None:
    """Import MLflow with our settings, and create the store at `uri` if it is a sqlite file that does not exist.

    Raises:
        ImportError: MLflow is not installed.
        Exception: whatever MLflow, sqlite or the file system raise.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if holds_secret(uri):
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # MLflow prints the address of a run that ends
    import mlflow  # noqa: F401

    # It prints a page of traceback for what our caller says in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if database := sqlite_file(uri):
        create_store(database)


def connect(uri: str) -> "MlflowClient":
    """A client for the store at `uri`, which is prepared first; raises as `prepare` does."""
    prepare(uri)
    from mlflow import MlflowClient

    if database := sqlite_file(uri):
        _check_readable(database)
    return MlflowClient(uri)


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite store, absolute; None for any other store."""
    scheme, _, path = uri.partition("?")[0].partition(":///")
    is_file = scheme == "sqlite" and path and not path.startswith((":", "file:"))
    return Path(path).absolute() if is_file else None


def create_store(database: Path) -> None:
    """Create MLflow's tables in the file `database` unless it exists; it appears whole or not at all.

    Processes may call this together: left to itself MLflow would let them break each other's store.
    """
    if database.exists():
        return
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=CREATION_SECONDS):
        if not database.exists():
            unfinished = Path(f"{database}.new")
            for leftover in database.parent.glob(f"{unfinished.name}*"):  # of a process that was killed here
                leftover.unlink()
            _create_tables(unfinished, artifacts=database.with_name("mlruns"))
            unfinished.replace(database)


def find_or_create_experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`; a new one in a sqlite store keeps its artifacts in `mlruns` beside the file."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        from mlflow.exceptions import MlflowException

        database = sqlite_file(client.tracking_uri)
        folder = str(database.with_name("mlruns") / re.sub(r"[^\w.-]+", "-", name)) if database else None
        try:
            return str(client.create_experiment(name, artifact_location=folder, tags=EXPERIMENT_TAGS))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:  # not just another process that was faster
                raise
    return str(experiment.experiment_id)


def _create_tables(database: Path, *, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{database}", str(artifacts)).engine.dispose()


def _check_readable(database: Path) -> None:
    """Fail at once where MLflow would try ten times, during two minutes."""
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
        connection.execute("PRAGMA schema_version")
