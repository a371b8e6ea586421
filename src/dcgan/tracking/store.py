"""MLflow's store: its address, a client of it, and a sqlite file that is created exactly once and may be moved."""

import logging
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from dcgan.system.errors import DcganError, UsageError
from dcgan.system.redaction import redacted
from dcgan.tracking.database import CREATION_SECONDS, DATABASES, connect_database
from dcgan.tracking.failures import failure_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own settings would make a server that hangs cost four minutes. A request is not repeated, because one
    # that was not answered may have been carried out; the next sync asks first.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "ORT_DISABLE_TELEMETRY": "1",  # MLflow imports ONNX Runtime, which reports to its maker otherwise
}
"""Environment variables that are set before MLflow is imported, unless the user set them."""
FOLDER_LENGTH = 60
"""Characters of a folder's name, each of which may take four of the 255 bytes that it may have."""
LOCATIONS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""The tables and columns of a store in which MLflow keeps absolute addresses of artifacts."""


def workspace_root() -> Path:
    """The workspace's root: DVC's repository, also from within a copy of it that DVC runs an experiment in."""
    here = Path.cwd()
    found = next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)
    return Path(os.environ.get("DVC_ROOT") or found)


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else mlflow.db in the workspace's root, to which a relative file or folder is relative."""
    return _absolute(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")


def registry_uri() -> str:
    """MLFLOW_REGISTRY_URI, which MLflow obeys by itself when it registers or fetches a model, else `tracking_uri()`."""
    given = os.environ.get("MLFLOW_REGISTRY_URI")
    return _absolute(given) if given else tracking_uri()


def sqlite_uri(file: Path) -> str:
    """The address of a sqlite store, for any absolute path."""
    path = str(file).translate({ord(character): quote(character) for character in "%?#"})
    # With the driver named, MLflow does not create a folder of the same name with the escapes left in it.
    return f"sqlite:///{path}" if path == str(file) else f"sqlite+pysqlite:///{path}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite store; None for any other store."""
    scheme, _, path = uri.partition("?")[0].partition(":///")
    is_file = scheme in {"sqlite", "sqlite+pysqlite"} and path and not path.startswith((":", "file:"))
    return Path(unquote(path)) if is_file else None


@contextmanager
def open_store() -> Iterator["MlflowClient"]:
    """A client of the store at `tracking_uri()`, and of the registry at `registry_uri()`.

    Raises:
        DcganError: MLflow is missing, cannot be reached or refuses what is done with the client, as `failure_of` tells.
    """
    uri = tracking_uri()
    try:
        prepare(uri)
        connect_once(uri)
        if (database := sqlite_file(uri)) and database.is_relative_to(workspace_root()):
            follow_move(database)
        from mlflow import MlflowClient

        yield MlflowClient(uri, registry_uri())
    except DcganError:
        raise
    except Exception as error:
        raise failure_of(error, uri=uri) from error


def prepare(uri: str, *, wait_seconds: float = CREATION_SECONDS) -> None:
    """Import MLflow with our settings, and create the store at `uri` if it is a sqlite file that does not exist.

    Args:
        uri: the store's address.
        wait_seconds: how long to wait while another process creates the store.

    Raises:
        UsageError: the store would keep nothing.
        Exception: whatever MLflow, sqlite or the file system raise; ImportError if MLflow is not installed.
    """
    if re.fullmatch(r"sqlite(\+\w+)?:/*(\?.*)?|sqlite.*:memory:.*", uri):
        raise UsageError(f"MLFLOW_TRACKING_URI: {redacted(uri)} is in memory and would keep nothing; name a file")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "MLFLOW_REGISTRY_URI" in os.environ:
        os.environ["MLFLOW_REGISTRY_URI"] = registry_uri()
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it may hold a password, and tears progress bars
    import mlflow  # noqa: F401

    # It prints a page of traceback for what our caller says in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if database := sqlite_file(uri):
        create_store(database, wait_seconds=wait_seconds)


def connect_once(uri: str) -> None:
    """Connect to a store that is a database; raises at once where MLflow would try ten times, during two minutes."""
    if database := sqlite_file(uri):
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    elif uri.startswith(DATABASES):
        connect_database(uri)


def create_store(database: Path, *, wait_seconds: float = CREATION_SECONDS) -> None:
    """Create MLflow's tables in the file `database` unless it holds anything; they appear whole or not at all.

    Processes may call this together: left to itself MLflow would let them break each other's store.
    """
    if _has_content(database):
        return
    from dcgan.system.locks import exclusive

    with exclusive(Path(f"{database}.lock"), wait_seconds=wait_seconds):
        if not _has_content(database):
            unfinished = Path(f"{database}.new")
            for leftover in database.parent.glob(f"{unfinished.name}*"):  # of a process that was killed here
                leftover.unlink()
            _create_tables(unfinished, artifacts=database.with_name("mlruns"))
            unfinished.replace(database)


def follow_move(database: Path) -> None:
    """Correct the addresses of artifacts in a store that was moved or copied together with its folder `mlruns`.

    An experiment tells where the store was: the first one, which `create_store` made, and every one whose folder is
    in `mlruns` here. It was there if that place is gone, or has the store that this one is a copy of.
    """
    runs = database.with_name("mlruns")
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= LOCATIONS.keys():  # of an older MLflow, or no store of MLflow's: it will tell
            return
        experiments = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
        before = set()
        for number, location in experiments:
            folder, _, name = str(location).rpartition("/")
            is_ours = number == 0 or (runs / unquote(name)).is_dir()
            if is_ours and folder.endswith("/mlruns") and folder.startswith(("file:", "/")):
                before.add(folder)
        for folder in before - {runs.as_uri(), str(runs)}:
            old, length = Path(unquote(folder.removeprefix("file://"))), len(folder) + 1
            if old.exists() and not old.with_name(database.name).exists():
                continue
            for table, column in LOCATIONS.items():
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608 our own names
                connection.execute(change, (runs.as_uri(), length, length, f"{folder}/"))


def find_or_create_experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`; a new one in a sqlite store keeps its artifacts in `mlruns` beside the file.

    One that was deleted is restored with its runs, because MLflow keeps its name; a line says so.
    """
    from mlflow.exceptions import MlflowException
    from tqdm import tqdm

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A name may hold more than a folder's name can.
        folder = re.sub(r"[^\w.-]+", "-", name).strip(".")[:FOLDER_LENGTH] or "-"
        database = sqlite_file(client.tracking_uri)
        location = (database.with_name("mlruns") / folder).as_uri() if database else None
        # Without the tag, MLflow's pages take an experiment for one with language models.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        try:
            experiment = client.get_experiment(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:  # not just another process that was faster
                raise
    _refuse_foreign_folder(client.tracking_uri, experiment.artifact_location)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
        tqdm.write(f"note: the experiment {name} was deleted in MLflow; it is restored", file=sys.stderr)
    return str(experiment.experiment_id)


def _absolute(uri: str) -> str:
    """An address in which a relative file or folder is taken as relative to the workspace."""
    _, mark, query = uri.partition("?")
    if file := sqlite_file(uri):
        return uri if file.is_absolute() else sqlite_uri(workspace_root() / file.expanduser()) + mark + query
    folder = re.fullmatch(r"(file:)?(?!/)([^:]+)", uri)
    if not folder or uri in {"databricks", "databricks-uc", "uc"}:
        return uri
    return f"{folder[1] or ''}{workspace_root() / Path(folder[2]).expanduser()}"


def _refuse_foreign_folder(uri: str, location: str) -> None:
    """Refuse an experiment whose files would go to a folder that only another machine has: they would be written here.

    That is the server's or, where a database is asked without a server, that of whoever created the experiment.
    """
    folder, is_server = location.removeprefix("file://"), uri.startswith("http")
    if not folder.startswith("/") or not (is_server or uri.startswith(DATABASES)):
        return
    path = Path(unquote(folder))
    if not (path.parent if is_server else path.parent.parent).exists():
        way_out = "start the server" if is_server else "put an MLflow server before the database,"
        raise UsageError(
            f"MLflow at {redacted(uri)} keeps this experiment's files in {folder}, which is not on this machine;"
            f" {way_out} with --serve-artifacts, and take another tracking.experiment"
        )


def _has_content(database: Path) -> bool:
    """Whether there is anything that may be a store: an empty file is what an interrupted program leaves."""
    return database.exists() and not (database.is_file() and database.stat().st_size == 0)


def _create_tables(database: Path, *, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(sqlite_uri(database), artifacts.as_uri()).engine.dispose()
