"""MLflow's store: its address, a client of it, and a sqlite file that is created exactly once and may be moved."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from dcgan.system.errors import DcganError, UnavailableError
from dcgan.system.redaction import redacted

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
CREATION_SECONDS = 60
"""How long to wait while another process creates the store."""
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
    """MLFLOW_TRACKING_URI, else mlflow.db in the workspace's root, to which a relative sqlite address is relative."""
    given = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    _, mark, query = given.partition("?")
    file = sqlite_file(given)
    return given if file is None or file.is_absolute() else sqlite_uri(workspace_root() / file) + mark + query


def registry_uri() -> str:
    """MLFLOW_REGISTRY_URI, which MLflow obeys by itself when it registers or fetches a model, else `tracking_uri()`."""
    return os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri()


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
        UnavailableError: MLflow is missing or cannot be reached, or anything that is done with the client fails.
    """
    uri = tracking_uri()
    try:
        prepare(uri)
        from mlflow import MlflowClient

        yield MlflowClient(uri, registry_uri())
    except DcganError:
        raise
    except Exception as error:
        raise UnavailableError(describe_failure(error, uri=uri)) from error


def prepare(uri: str) -> None:
    """Import MLflow with our settings, and create the store at `uri` if it is a sqlite file that does not exist.

    Raises:
        Exception: whatever MLflow, sqlite or the file system raise; ImportError if MLflow is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it may hold a password, and tears progress bars
    import mlflow  # noqa: F401

    # It prints a page of traceback for what our caller says in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if database := sqlite_file(uri):
        create_store(database)
        # Raises at once where MLflow would try ten times, during two minutes.
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
        if database == workspace_root() / "mlflow.db":
            follow_move(database)


def describe_failure(error: Exception, *, uri: str) -> str:
    """An error of MLflow and its repair in one line without passwords, of at most 300 characters of MLflow's own."""
    if isinstance(error, ImportError):
        return f"MLflow cannot be imported ({error}): install the extra `train`"
    chain: list[BaseException] = [error]
    while deeper := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(deeper)
    # The operating system's or the database's error beneath MLflow's is the shortest to read.
    cause = next((each for each in reversed(chain) if isinstance(each, OSError | sqlite3.Error)), error)
    words = " ".join(redacted(f"{type(cause).__name__}: {cause}").split())[:300]
    return f"MLflow at {redacted(uri)} failed ({words}): start it, or set MLFLOW_TRACKING_URI"


def create_store(database: Path) -> None:
    """Create MLflow's tables in the file `database` unless it exists; it appears whole or not at all.

    Processes may call this together: left to itself MLflow would let them break each other's store.
    """
    if database.exists():
        return
    from dcgan.system.locks import exclusive

    with exclusive(Path(f"{database}.lock"), wait_seconds=CREATION_SECONDS):
        if not database.exists():
            unfinished = Path(f"{database}.new")
            for leftover in database.parent.glob(f"{unfinished.name}*"):  # of a process that was killed here
                leftover.unlink()
            _create_tables(unfinished, artifacts=database.with_name("mlruns"))
            unfinished.replace(database)


def follow_move(database: Path) -> None:
    """Correct the addresses of artifacts in a store that was moved or copied together with its folder `mlruns`.

    The first experiment, which `create_store` made, tells where the store was then.
    """
    here = database.with_name("mlruns").as_uri()
    with closing(sqlite3.connect(database)) as connection, connection:
        first = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
        before = first[0].removesuffix("/0") if first else here
        length = len(before) + 1
        for table, column in LOCATIONS.items() if before != here and before.endswith("/mlruns") else ():
            change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608 our own names
            connection.execute(change, (here, length, length, f"{before}/"))


def find_or_create_experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`; a new one in a sqlite store keeps its artifacts in `mlruns` beside the file."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database, folder = sqlite_file(client.tracking_uri), re.sub(r"[^\w.-]+", "-", name)
        location = (database.with_name("mlruns") / folder).as_uri() if database else None
        # Without the tag, MLflow's pages take an experiment for one with language models.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:  # not just another process that was faster
                raise
    return str(experiment.experiment_id)


def _create_tables(database: Path, *, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(sqlite_uri(database), artifacts.as_uri()).engine.dispose()
