"""A connection to MLflow that breaks at most once, and quietly: tracking must neither stop nor slow a training."""

import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from dcgan.system.errors import UnavailableError
from dcgan.system.redaction import redacted
from dcgan.tracking.mlflow.store import connect, prepare, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

PATIENCE = 7.0
"""Seconds that a training waits for MLflow in all, if calls fail, hang or are slow; a stop has to be over in ten."""
LONGEST_REASON = 300
"""Characters of MLflow's own words in a message; some of its errors quote whole pages."""


class Link:
    """A client of MLflow; the first call that fails prints one warning and switches the link off for good.

    Calls are made one after the other, beside the training. Nobody waits for those that are only sent; those whose end
    is waited for take up patience, and the one during which it runs out counts as failed and is left to itself.
    Importing MLflow and creating a store are work, not waiting. Where tracking is what a stage is for, `required` turns
    the failure into an UnavailableError, and every call is waited for to its end.
    """

    def __init__(self, *, required: bool = False, patience: float = PATIENCE) -> None:
        self.uri = tracking_uri()
        self.is_on = True
        """Whether nothing is known to have failed so far."""
        self._required = required
        self._patience = patience
        self._last: Future[Any] = Future()
        self._last.set_result(None)
        try:
            prepare(self.uri)
            self._client = self._result_of(lambda: connect(self.uri))
        except Exception as error:
            self._switch_off(error)

    @property
    def is_busy(self) -> bool:
        """Whether a call is still on its way."""
        return not self._last.done()

    def attempt(self, call: Callable[["MlflowClient"], Result]) -> Result | None:
        """What `call` returns when given the client; None if the link is off, or goes off because `call` fails."""
        if not self.is_on:
            return None
        try:
            return self._result_of(lambda: call(self._client))
        except Exception as error:
            self._switch_off(error)
            return None

    def send(self, call: Callable[["MlflowClient"], object]) -> None:
        """Have `call` made without waiting for it; if it fails, the next one finds out."""
        if self._required:
            self.attempt(call)
        elif self.is_on:
            failure = None if self.is_busy else self._last.exception()
            if isinstance(failure, Exception):
                self._switch_off(failure)
            else:
                self._start(lambda: call(self._client))

    def _result_of(self, call: Callable[[], Result]) -> Result:
        """What `call` returns; TimeoutError if patience ends before it does, the failure if one before it failed."""
        if self._required:
            return call()
        started = time.monotonic()
        if self._patience > 0:
            outcome = self._start(call)
            wait([outcome], timeout=self._patience)
            self._patience -= time.monotonic() - started
            if outcome.done():
                return outcome.result()
        raise TimeoutError("too slow, all its answers together")

    def _start(self, call: Callable[[], Result]) -> "Future[Result]":
        """Have `call` made after the one before it, unless that fails or the link is off by then.

        It runs in a thread that does not keep the process alive: neither HTTP nor a database can be told from outside
        to give up, and the timeouts of both hold for each of the requests that a call may consist of.
        """
        before, outcome = self._last, Future[Result]()

        def run() -> None:
            try:
                before.result()
                if self.is_on:
                    outcome.set_result(call())
                else:
                    outcome.cancel()
            except BaseException as error:
                outcome.set_exception(error)

        Thread(target=run, name="mlflow", daemon=True).start()
        self._last = outcome
        return outcome

    def _switch_off(self, error: Exception) -> None:
        self.is_on = False
        if self._required:
            raise UnavailableError(f"{_described(error, uri=self.uri)}, and run again") from error
        from tqdm import tqdm  # here, because production, which loads models by this module, has none

        going_on = "going on without it; a later stage or `dcgan sync` sends what is missing"
        tqdm.write(f"warning: {_described(error, uri=self.uri)}; {going_on}", file=sys.stderr)  # tears no progress bar


def _described(error: Exception, *, uri: str) -> str:
    """The error and its repair in one line without passwords."""
    if isinstance(error, ImportError):
        return f"MLflow cannot be imported ({error}): install the extra `train`"
    cause = _cause_of(error)
    words = " ".join(redacted(f"{type(cause).__name__}: {cause}").split())[:LONGEST_REASON]
    return f"MLflow at {redacted(uri)} failed ({words}): start it, or set MLFLOW_TRACKING_URI"


def _cause_of(error: Exception) -> BaseException:
    """The operating system's or the database's own error beneath MLflow's, if any: it is the shortest to read."""
    chain: list[BaseException] = [error]
    while deeper := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(deeper)
    return next((each for each in reversed(chain) if isinstance(each, OSError | sqlite3.Error)), error)
