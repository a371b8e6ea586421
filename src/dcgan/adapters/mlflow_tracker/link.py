"""A connection to MLflow that breaks at most once, and quietly: tracking must neither stop nor slow a training."""

import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from dcgan.adapters.mlflow_tracker.store import connect, prepare, tracking_uri
from dcgan.errors import UnavailableError
from dcgan.masking import masked

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

PATIENCE = 9.0
"""Seconds that a training waits for MLflow in all, whether calls fail, hang or are merely slow."""
PATIENT_SHARE = 0.1
"""A long training may wait for this share of its time instead, but for one call never longer than PATIENCE."""
LONGEST_REASON = 300
"""Characters of MLflow's own words in a message; some of its errors quote whole pages."""


class Link:
    """A client of MLflow; the first call that fails prints one warning and switches the link off for good.

    So does the call during which patience runs out; it is left to itself. Importing MLflow and creating a store are
    work, not waiting. Where tracking is what a stage is for, `required` turns the failure into an UnavailableError, and
    patience has no end.
    """

    def __init__(self, *, required: bool = False, patience: float = PATIENCE) -> None:
        self.uri = tracking_uri()
        self._required = required
        self._patience = patience
        self._waited = 0.0
        self._opened = time.monotonic()
        self._client: MlflowClient | None = None
        try:
            prepare(self.uri)
            self._client = self._wait_for(lambda: connect(self.uri))
        except Exception as error:
            self._switch_off(error)

    @property
    def is_on(self) -> bool:
        """Whether nothing has failed so far."""
        return self._client is not None

    def attempt(self, call: Callable[["MlflowClient"], Result]) -> Result | None:
        """What `call` returns when given the client; None if the link is off, or goes off because `call` fails."""
        client = self._client
        if client is None:
            return None
        try:
            return self._wait_for(lambda: call(client))
        except Exception as error:
            self._switch_off(error)
            return None

    def _wait_for(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, or TimeoutError if patience ends before it does."""
        if self._required:
            return call()
        started = time.monotonic()
        in_all = max(self._patience, PATIENT_SHARE * (started - self._opened))
        try:
            return _within(min(self._patience, in_all - self._waited), call)
        finally:
            self._waited += time.monotonic() - started

    def _switch_off(self, error: Exception) -> None:
        self._client = None
        if self._required:
            raise UnavailableError(f"{_described(error, uri=self.uri)}, and run again") from error
        going_on = "going on without it; a later stage or `dcgan sync` sends what is missing"
        print(f"warning: {_described(error, uri=self.uri)}; {going_on}", file=sys.stderr)


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """What `call` returns or raises; after `seconds` TimeoutError, and nobody waits for the call any more.

    It runs in a thread that does not keep the process alive: neither HTTP nor a database can be told from outside to
    give up, and the timeouts of both hold for each of the requests that a call may consist of.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    if seconds > 0:
        Thread(target=run, name="mlflow", daemon=True).start()
        wait([outcome], timeout=seconds)
    if not outcome.done():
        raise TimeoutError("too slow, all its answers together")
    return outcome.result()


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
