"""A run in MLflow, as a tracker that sends in batches and never raises."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dcgan.gan.tracker import is_kept
from dcgan.system.errors import Interrupted
from dcgan.system.files import sha256_of
from dcgan.tracking.mlflow.link import Link

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Status = Literal["FINISHED", "KILLED", "FAILED"]
Point = tuple[str, float, int]
"""A metric's key, its value and its step."""

SEND_EVERY = 10.0
"""Seconds between two batches of metrics."""
MOST_BUFFERED = 500
LARGEST_BATCH = 1000
"""MLflow's own limit."""
DIGEST_LENGTH = 36
"""MLflow's own limit."""
SMALL_GRID = 500
"""Width and height in pixels below which a grid is shown at twice its size."""
ARTIFACTS = "artifact_digests"
"""Tag that holds the beginning of the SHA-256 of every artifact by its path there, as JSON."""


class MlflowRun:
    """One run: a `Tracker`, and what else a stage leaves in it. No method raises; what MLflow misses is sent later.

    As a context manager it ends the run: FINISHED, KILLED after an interruption, FAILED after an error. `sent` counts
    `points`, `grids` and `artifacts`.
    """

    def __init__(
        self,
        link: Link,
        *,
        run_id: str,
        experiment: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        has_ended: bool = False,
    ) -> None:
        self.link = link
        self.run_id = run_id
        self.experiment = experiment
        self.params = params
        self.tags = tags
        self.last_step = 0
        self.sent: Counter[str] = Counter()
        self._has_ended = has_ended
        self.has_dataset = False
        self._shown: dict[str, tuple[float, int]] = {}
        self._digests: dict[str, str] = {}
        self._buffer: list[tuple[Point, int]] = []
        self._send_at = time.monotonic() + SEND_EVERY
        self._known_points: dict[str, set[int]] = {}
        self._known_samples: set[int] = set()

    def __enter__(self) -> Self:
        """Track while the block lasts."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run, saying how."""
        killed = isinstance(error, Interrupted | KeyboardInterrupt)
        self.finish("FINISHED" if error is None else "KILLED" if killed else "FAILED")

    def log_metrics(self, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Record `metrics` at `step`, by default the last one so far; they leave with the next batch, one at a time."""
        step = self.last_step if step is None else step
        self.last_step = max(self.last_step, step)
        now = time.time_ns() // 1_000_000
        points = [(key, value, step) for key, value in metrics.items()]
        self._buffer += [(point, now) for point in points if not self._is_known(point)]
        is_due = len(self._buffer) >= MOST_BUFFERED or time.monotonic() >= self._send_at
        if is_due and not self.link.is_busy:
            self._empty_buffer(self.link.send)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """As `log_metrics`."""
        self.log_metrics(metrics, step=step)

    def log_figures(self, figures: Mapping[str, float]) -> None:
        """Record at the last step what a later stage found; a figure that the run shows already is not sent again.

        One that has changed, because the stage was run with other settings, comes at the next step.
        """
        now = time.time_ns() // 1_000_000
        for key, value in figures.items():
            shown, step = self._shown.get(key, (None, self.last_step - 1))
            if value != shown:
                self._buffer.append(((key, value, max(self.last_step, step + 1)), now))
        self.flush()

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Record one grid of samples, uint8 [height, width], for the image slider."""
        if step not in self._known_samples:
            enlarged = pixels.repeat(2, axis=0).repeat(2, axis=1) if max(pixels.shape) < SMALL_GRID else pixels
            self.link.send(lambda client: client.log_image(self.run_id, enlarged, key="samples", step=step))

    def log_event(self, name: str, text: str) -> None:
        """Set the tag `event.<name>`."""
        self.link.send(partial(log_tags, run_id=self.run_id, tags={f"event.{name}": text}))

    def rewind(self, step: int) -> None:
        """Drop what waits; points that were sent stay beside those that come anew, for MLflow deletes none."""
        self._buffer = [(point, now) for point, now in self._buffer if is_kept(point[2], rewound_to=step)]
        self._known_points, self._known_samples = {}, set()

    def log_artifacts(self, *paths: Path, folder: str | None = None) -> None:
        """Store files, or all that folders hold, in the run's artifacts, below `folder` there.

        What the run has with the same content is not sent again.
        """
        before = dict(self._digests)
        for path in paths:
            self.link.attempt(partial(self._send_artifacts, path=path, folder=folder))
        if self._digests != before:
            digests = json.dumps(self._digests, sort_keys=True)
            self.link.attempt(lambda client: log_tags(client, self.run_id, {ARTIFACTS: digests}))

    def log_dataset(self, *, name: str, sha256: str, path: Path, profile: Mapping[str, Any] | None = None) -> None:
        """Name the data set that the model is trained on; `profile` may hold counts and other figures of it.

        A run has one: a second is dropped.
        """
        if self.has_dataset:
            return
        fields = {
            "name": name,
            "digest": sha256[:DIGEST_LENGTH],
            "source_type": "local",
            "source": json.dumps({"uri": path.as_posix()}),
            "profile": json.dumps({"sha256": sha256, **(profile or {})}),
        }
        self.link.attempt(partial(_log_dataset, run_id=self.run_id, fields=fields))

    def flush(self) -> None:
        """Send all metrics that are left, and wait for the answer."""
        self._empty_buffer(self.link.attempt)

    def finish(self, status: Status = "FINISHED") -> None:
        """Send what waits and set the status; a run that has ended before keeps its status and its end."""
        self.flush()
        if not self._has_ended:
            self.link.attempt(lambda client: client.set_terminated(self.run_id, status))
            self._has_ended = True

    def sync_history(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Send every point of a history, one row a step with the key `step`, that the run lacks; none twice."""
        self.flush()
        points = [(key, value, int(row["step"])) for row in rows for key, value in row.items() if key != "step"]
        self.last_step = max([self.last_step, *(step for _, _, step in points)])
        self.link.attempt(lambda client: self._read_points(client, {key for key, _, _ in points}))
        now = time.time_ns() // 1_000_000
        self._buffer += [(point, now) for point in points if not self._is_known(point)]
        self.flush()

    def sync_samples(self, folder: Path) -> None:
        """Send every grid `step-0000937.png` in `folder` that the run lacks."""
        self.link.attempt(self._read_samples)
        for path in sorted(folder.glob("step-*.png")):
            self.link.attempt(partial(self._send_sample, path=path))

    def take_stock(self, found: "Run") -> None:
        """Take note of what the run holds: its figures, its data set and its artifacts are not sent again."""
        self._shown = {metric.key: (metric.value, metric.step) for metric in found.to_proto().data.metrics}
        self.has_dataset = bool(found.inputs and found.inputs.dataset_inputs)
        try:
            self._digests = dict(json.loads(found.data.tags.get(ARTIFACTS, "{}")))
        except (ValueError, TypeError):  # edited by somebody: everything is sent again, over what is there
            self._digests = {}

    def skip_known(self, keys: Iterable[str]) -> None:
        """From here on drop every point of `keys` and every grid that the run has: a training repeats some steps."""
        self.link.attempt(lambda client: self._read_points(client, keys))
        self.link.attempt(self._read_samples)

    def _empty_buffer(self, post: Callable[[Callable[["MlflowClient"], None]], object]) -> None:
        waiting, self._buffer = self._buffer, []
        for start in range(0, len(waiting), LARGEST_BATCH):
            post(partial(self._send_points, points=waiting[start : start + LARGEST_BATCH]))
        self._send_at = time.monotonic() + SEND_EVERY

    def _is_known(self, point: Point) -> bool:
        key, _, step = point
        return step in self._known_points.get(key, ())

    def _read_points(self, client: "MlflowClient", keys: Iterable[str]) -> None:
        for key in keys:
            self._known_points[key] = {point.step for point in client.get_metric_history(self.run_id, key)}

    def _read_samples(self, client: "MlflowClient") -> None:
        names = [artifact.path for artifact in client.list_artifacts(self.run_id, "images")]
        steps = (re.search(r"samples[+%]step[+%](\d+)", name) for name in names)
        self._known_samples = {int(step[1]) for step in steps if step}

    def _send_points(self, client: "MlflowClient", *, points: list[tuple[Point, int]]) -> None:
        from mlflow.entities import Metric

        client.log_batch(self.run_id, [Metric(key, value, at, step) for (key, value, step), at in points])
        self.sent["points"] += len(points)

    def _send_artifacts(self, client: "MlflowClient", *, path: Path, folder: str | None) -> None:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for file in files:
            place = Path(folder or "") / (file.relative_to(path) if path.is_dir() else file.name)
            digest = sha256_of(file)[:12]
            if self._digests.get(place.as_posix()) != digest:
                client.log_artifact(self.run_id, str(file), place.parent.as_posix() if place.parent.name else None)
                self._digests[place.as_posix()] = digest
                self.sent["artifacts"] += 1

    def _send_sample(self, client: "MlflowClient", path: Path) -> None:
        from PIL import Image

        step = int(path.stem.removeprefix("step-"))
        if step not in self._known_samples:
            with Image.open(path) as image:
                client.log_image(self.run_id, image, key="samples", step=step)
            self.sent["grids"] += 1


def log_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set or replace tags of a run, in one request."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _log_dataset(client: "MlflowClient", run_id: str, fields: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(run_id, [DatasetInput(Dataset(**fields), [InputTag("mlflow.data.context", "training")])])
