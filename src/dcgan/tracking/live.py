"""Tracking during a training: a thread that keeps its MLflow run up to date, and that the training hardly waits for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dcgan.config import workspace
from dcgan.config.schema import GanConfig, Params
from dcgan.gan.parallel import rank
from dcgan.gan.tracker import TeeTracker, Tracker
from dcgan.system.errors import DcganError, Interrupted
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.machine import MachineMonitor
from dcgan.tracking.progress import ProgressBar
from dcgan.tracking.provenance import describe_training
from dcgan.tracking.record import Status, read_training
from dcgan.tracking.store import open_store, prepare, tracking_uri
from dcgan.tracking.sync import sync_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE, STOP_PATIENCE, INTERVAL = 7.0, 5.0, 10.0
"""Seconds that a training waits for MLflow at its end, that one which is stopped waits (a stop has to be over in ten,
imports and all), and between two syncs."""


@contextmanager
def track_training(folder: Path, *, params: Params, config: GanConfig, step: int, end: int) -> Iterator[Tracker]:
    """Track a training while the block lasts: in files, in MLflow, and by a progress bar.

    Of several processes, the first one does so; the others get a tracker that keeps nothing.

    Args:
        folder: of its checkpoints.
        params: those of the workspace.
        config: the same with every `auto` resolved.
        step: that it starts or resumes from.
        end: its last step.

    Raises:
        BadDataError: the history in the folder is damaged.
        CannotCreateError, StorageError: a file cannot be written.
    """
    if rank() > 0:
        yield TeeTracker()
        return
    describe_training(folder, params=params, config=config)
    monitor = MachineMonitor()
    files = JsonlTracker(folder, resume_from_step=step, publish_to=workspace.REPORTS, sample_machine=monitor.sample)
    mlflow = LiveSync(folder, experiment=params.tracking.experiment)
    with mlflow, files, ProgressBar("train", start=step, end=end) as bar:
        yield TeeTracker(files, bar)


class LiveSync:
    """Syncs the record of a running training every few seconds, and once more when the block ends, saying how.

    It never raises: the first failure prints a warning, and the next sync tries again. Importing MLflow and creating
    a local store are work, not waiting, and do not count against `patience`; a training that is stopped waits for
    neither longer than `STOP_PATIENCE`.
    """

    later = "the training goes on without it; `dcgan sync` or the stage `register` sends what is missing"
    """What a warning says of the consequences."""

    def __init__(self, folder: Path, *, experiment: str, patience: float = PATIENCE, interval: float = INTERVAL):
        self.folder, self.experiment = folder, experiment
        self._patience, self._interval = patience, interval
        self._status: Status = "RUNNING"
        self._prepared, self._ending, self._ended = Event(), Event(), Event()
        self._has_warned = False

    def __enter__(self) -> Self:
        """Begin; a daemon thread, because nothing outside it can make a request or a database give up."""
        Thread(target=self._run, name="mlflow", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run FINISHED, KILLED after an interruption or FAILED after another error, if patience lasts."""
        is_killed = isinstance(error, Interrupted | KeyboardInterrupt)
        self._status = "FINISHED" if error is None else "KILLED" if is_killed else "FAILED"
        self._ending.set()
        patience = min(self._patience, STOP_PATIENCE) if is_killed else self._patience
        if not is_killed:
            self._prepared.wait()
        if not self._ended.wait(patience):
            self._warn(f"MLflow is too slow: gave up after {patience:.0f} s")

    def send(self, client: "MlflowClient", status: Status) -> None:
        """Send what the store lacks of the record in the folder; a subclass may send another kind of record."""
        sync_run(client, read_training(self.folder, status=status), experiment=self.experiment)

    def _run(self) -> None:
        with suppress(Exception):  # the sync meets it again, and tells
            prepare(tracking_uri(), wait_seconds=0)
        self._prepared.set()
        is_over = False
        while not is_over:
            is_last = self._ending.is_set()
            has_failed = self._has_failed(self._status if is_last else "RUNNING")
            is_over = is_last or (has_failed and self._ending.is_set())
            self._ending.wait(self._interval)
        self._ended.set()

    def _has_failed(self, status: Status) -> bool:
        """Whether a sync failed, which is tried now."""
        try:
            with open_store() as client:
                self.send(client, status)
        except DcganError as error:
            self._warn(str(error))
            return True
        return False

    def _warn(self, problem: str) -> None:
        """Print one warning in all, without tearing a progress bar."""
        from tqdm import tqdm

        if not self._has_warned:
            tqdm.write(f"warning: {problem}; {self.later}", file=sys.stderr)
        self._has_warned = True
