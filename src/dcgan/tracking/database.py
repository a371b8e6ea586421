"""MLflow's store in a database of many users: one quick attempt to connect, and tables that are created once."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

DATABASES = ("postgresql", "mysql", "mssql")
WITH_TIMEOUT = {
    "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "mysql", "mysql+pymysql", "mysql+mysqldb",
}  # fmt: skip
"""Drivers that know `connect_timeout`."""
CONNECT_SECONDS = 4
"""How long to wait for a database to answer."""
CREATION_SECONDS = 60
"""How long to wait while another process creates the tables, here or in a sqlite file."""
CREATION_LOCK = 4_231_707
"""The number of our lock in a PostgreSQL database: any that nobody else takes."""


def connect_database(uri: str) -> None:
    """Connect to a database; raises at once where MLflow would try ten times, during two minutes."""
    from sqlalchemy import create_engine

    has_timeout = uri.partition(":")[0] in WITH_TIMEOUT and "connect_timeout" not in uri
    options = {"connect_timeout": CONNECT_SECONDS} if has_timeout else {}
    engine = create_engine(uri, connect_args=options)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            _create_tables(connection, uri)
    engine.dispose()


def _create_tables(connection: "Connection", uri: str) -> None:
    """Let MLflow create its tables in a PostgreSQL database that has none; processes may call this together.

    Left to itself, MLflow would fail in all but one of them.
    """
    from mlflow import MlflowClient
    from sqlalchemy import inspect, text

    if inspect(connection).has_table("alembic_version"):  # which comes with the last of them
        return
    connection.execute(text(f"SET lock_timeout = '{CREATION_SECONDS}s'"))
    connection.execute(text(f"SELECT pg_advisory_lock({CREATION_LOCK})"))  # until the connection is closed
    MlflowClient(uri, uri).search_experiments(max_results=1)
