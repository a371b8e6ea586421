"""Failures of MLflow, told apart in one place: an outage, a refusal, a deleted thing and a broken installation.

Each becomes one line that names its repair. MLflow has no exceptions of their own for most of them, so that they are
known by their error codes and words.
"""

import os
import re
import shlex
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dcgan.system.errors import BadDataError, BusyError, DcganError, UnavailableError, UsageError
from dcgan.system.files import storage_error
from dcgan.system.redaction import holds_secret, redacted

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
"""MLflow's error codes for what it does not have, or has no more."""
LENGTH = 300
"""Characters of MLflow's own words in a message."""


class Kind(NamedTuple):
    """One kind of failure."""

    pattern: str
    """Of the text that it is known by: types, error codes and messages of the error and of its cause."""
    error: type[DcganError]
    repair: str
    words: str = ""
    """What happened, if MLflow's own words are long or name a command that would not work here."""


KINDS = (
    # Addresses that are no store's.
    Kind("unsupported URI|Can't load plugin|Could not parse .*URL|Invalid database engine", UsageError,
         "set MLFLOW_TRACKING_URI to a server (http://…) or a database (sqlite:///…, postgresql://…)",
         "no such kind of store"),
    Kind("filesystem tracking backend", UsageError,
         "set MLFLOW_TRACKING_URI to a server (http://…) or a database (sqlite:///mlflow.db); MLflow's command"
         " migrate-filestore brings a folder's runs there", "a folder, which MLflow keeps runs in no more"),
    Kind("mlflow-artifacts URI", UsageError,
         "set MLFLOW_TRACKING_URI to that server's address (http://…), or take another tracking.experiment",
         "the experiment was made through an MLflow server, which keeps its files"),
    Kind("Databricks .*(credential|authentication)", UsageError, "set DATABRICKS_HOST and DATABRICKS_TOKEN",
         "not logged in"),
    # Logins.
    Kind("Invalid Host header", UsageError, "start the server with --allowed-hosts and this host's name"),
    Kind("PERMISSION_DENIED|UNAUTHENTICATED|error code 40[13]\\b|\\b40[13] Client Error", UsageError,
         "log in with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, as somebody who"
         " may write there"),
    Kind("password authentication failed|no password supplied|Access denied|role \\S+ does not exist"
         "|no pg_hba.conf entry|permission denied for", UsageError,
         "correct the login in MLFLOW_TRACKING_URI, or its rights in the database"),
    Kind("NoCredentials|Unable to locate credentials|DefaultCredentialsError", UsageError,
         "log in to the storage of its files; for S3, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    Kind("\\b413\\b", UsageError,
         "let the proxy in front of it take larger bodies (nginx: client_max_body_size)"),
    Kind("database \\S+ does not exist|Unknown database", UsageError,
         "create the database, or correct its name in MLFLOW_TRACKING_URI"),
    Kind("CERTIFICATE_VERIFY_FAILED", UsageError,
         "set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of its authority"),
    Kind("WRONG_VERSION_NUMBER", UsageError, "it speaks http, not https: correct MLFLOW_TRACKING_URI"),
    # Databases.
    Kind("database is locked", UnavailableError, "another program is writing there; wait until it ends, or stop it"),
    Kind("readonly database|unable to open database|disk I/O error", UnavailableError,
         "check the file, its folder and the rights of both, or set MLFLOW_TRACKING_URI"),
    Kind("file is not a database|malformed", UnavailableError,
         "bring it back from a copy, or move it away: the next `dcgan sync` begins a new one"),
    Kind("IntegrityError|UniqueViolation|DeadlockDetected|SerializationFailure|LockNotAvailable", BusyError,
         "run this again", "somebody else wrote the same there at the same moment"),
    # What MLflow does not have.
    Kind("Current state is deleted|RESOURCE_DOES_NOT_EXIST|\\bNOT_FOUND", BadDataError,
         "it was deleted there; run `dcgan sync`, which creates anew what is missing"),
    Kind("ENDPOINT_NOT_FOUND|valid JSON format|INTERNAL_ERROR: Response:", UsageError,
         "no MLflow 2 or 3 answers there; correct MLFLOW_TRACKING_URI, or upgrade the server"),
    # What MLflow refuses.
    Kind("INVALID_PARAMETER_VALUE|INVALID_STATE|BAD_REQUEST|ALREADY_EXISTS", UsageError,
         "it refuses this; correct what it names"),
    Kind("RestException|error code 500\\b|too many 500", UnavailableError,
         "the server's log tells why; or set MLFLOW_TRACKING_URI"),
    Kind("error code (429|50[234])\\b|Connection|OperationalError|[Tt]imed? ?out|resol(ve|ution)|unreachable",
         UnavailableError, "start it, or set MLFLOW_TRACKING_URI"),
)  # fmt: skip
"""The first that fits holds."""
UNKNOWN = Kind("", UnavailableError, "correct what it names, or set MLFLOW_TRACKING_URI")
DRIVERS = {"psycopg", "psycopg2", "pg8000", "MySQLdb", "pymysql", "mysql", "pyodbc"}


def failure_of(error: Exception, *, uri: str) -> DcganError:
    """The project's error for an error of MLflow, its libraries or the network: one line, without passwords."""
    if isinstance(error, ImportError):
        return UnavailableError(_missing_module(error, uri))
    cause = _cause_of(error)
    if isinstance(cause, OSError) and cause.filename:
        return storage_error(cause, Path(os.fsdecode(cause.filename)))
    text = " ".join(f"{type(each).__name__}: {getattr(each, 'error_code', '')} {each}" for each in (error, cause))
    kind = next((kind for kind in KINDS if re.search(kind.pattern, text)), UNKNOWN)
    if found := re.search(r"out-of-date database schema \(found version (\w+)", text):
        kind = Kind("", UnavailableError, _schema_repair(found[1], uri), f"its tables are of version {found[1]}")
    words = kind.words or " ".join(redacted(f"{type(cause).__name__}: {cause}").split())[:LENGTH]
    return kind.error(f"MLflow at {redacted(uri)} failed ({words}): {kind.repair}")


def is_missing(error: "MlflowException") -> bool:
    """Whether MLflow does not have what it was asked for."""
    return str(error.error_code) in MISSING


def lacks_endpoint(error: "MlflowException") -> bool:
    """Whether the server is too old to know what it was asked for."""
    return str(error.error_code) == "ENDPOINT_NOT_FOUND"


def _missing_module(error: ImportError, uri: str) -> str:
    package = (error.name or "mlflow").partition(".")[0]
    if re.match(r"(postgresql|mysql|mssql)\b", uri) and package in DRIVERS:
        has_extra = " (the extra `team` has it)" if error.name == "psycopg" else ""
        way_out = f"install the driver of this database, the Python module {error.name}{has_extra}"
        return f"MLflow at {redacted(uri)} cannot be opened ({error}): {way_out}, or set MLFLOW_TRACKING_URI"
    if package != "mlflow":
        return f"MLflow at {redacted(uri)} cannot be used ({error}): install the Python module {error.name}"
    return f"MLflow cannot be imported ({error}): run `pip install '.[train]'` in the repository"


def _cause_of(error: Exception) -> BaseException:
    """The operating system's or the database's error beneath MLflow's, which is the shortest to read, or `error`."""
    chain: list[BaseException] = [error]
    while deeper := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(deeper)
    return next((each for each in reversed(chain) if isinstance(each, OSError | sqlite3.Error)), error)


def _schema_repair(revision: str, uri: str) -> str:
    """What brings a store to this MLflow's schema; a store of a newer MLflow cannot be brought back."""
    import mlflow

    migrations = Path(mlflow.__file__).parent / "store/db_migrations/versions"
    if migrations.is_dir() and not any(migrations.glob(f"{revision}_*.py")):
        return f"a newer MLflow than {mlflow.__version__} made it; install that one, or set MLFLOW_TRACKING_URI"
    address = '"$MLFLOW_TRACKING_URI"' if holds_secret(uri) else shlex.quote(uri)
    return f"an older MLflow made it; make a copy of it, then run `mlflow db upgrade {address}`"
