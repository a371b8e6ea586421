"""A connection to MLflow that breaks at most once, and quietly: tracking must neither stop nor slow a training."""

import sqlite3
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dcgan.adapters.mlflow_tracker.store import connect, tracking_uri
from dcgan.errors import UnavailableError
from dcgan.masking import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

LONGEST_REASON = 300
"""Characters of MLflow's own words in a message; some of its errors quote whole pages."""


class Link:
    """A client of MLflow; the first call that fails prints one warning and switches the link off for good.

    Where tracking is what a stage is for, `required` turns that failure into an UnavailableError.
    """

    def __init__(self, *, required: bool = False) -> None:
        self.uri = tracking_uri()
        self._required = required
        self._client: MlflowClient | None = None
        try:
            self._client = connect(self.uri)
        except Exception as error:
            self._switch_off(error)

    def attempt(self, call: Callable[["MlflowClient"], Result]) -> Result | None:
        """What `call` returns when given the client; None if the link is off, or goes off because `call` fails."""
        if self._client is None:
            return None
        try:
            return call(self._client)
        except Exception as error:
            self._switch_off(error)
            return None

    def _switch_off(self, error: Exception) -> None:
        self._client = None
        if self._required:
            raise UnavailableError(f"{_described(error, uri=self.uri)}, and run again") from error
        going_on = "going on without it; a later stage sends what is missing"
        print(f"warning: {_described(error, uri=self.uri)}; {going_on}", file=sys.stderr)


def _described(error: Exception, *, uri: str) -> str:
    """The error and its repair in one line without passwords."""
    if isinstance(error, ImportError):
        return f"MLflow cannot be imported ({error}): install the extra `train`"
    cause = _cause_of(error)
    words = " ".join(masked(f"{type(cause).__name__}: {cause}").split())[:LONGEST_REASON]
    return f"MLflow at {masked(uri)} failed ({words}): start it, or set MLFLOW_TRACKING_URI"


def _cause_of(error: Exception) -> BaseException:
    """The operating system's or the database's own error beneath MLflow's, if any: it is the shortest to read."""
    chain: list[BaseException] = [error]
    while deeper := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(deeper)
    return next((each for each in reversed(chain) if isinstance(each, OSError | sqlite3.Error)), error)
