"""The service's metrics for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from dcgan.inference.model_info import ModelInfo
from dcgan.service.limits import Limits

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 48, 64)


class Metrics:
    """The service's counters and histograms, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("dcgan_requests", "Requests answered.", ["route", "method", "status"], registry=own)
        self.in_progress = Gauge(
            "dcgan_requests_in_progress", "Requests in progress that count towards max_requests.", registry=own
        )
        self.seconds = Histogram("dcgan_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=own)
        self.queued_images = Gauge("dcgan_queued_images", "Digits waiting to be drawn.", registry=own)
        self.reloads = Counter("dcgan_reloads", "Reloads of the model.", ["outcome"], registry=own)
        self.queue_seconds = Summary(
            "dcgan_queue_seconds", "Time from a request until its first digit is begun.", registry=own
        )
        self._draw_seconds = Summary(
            "dcgan_draw_seconds", "Time to draw what a request asks for, waiting included.", ["outcome"], registry=own
        )
        self._batch_images = Histogram(
            "dcgan_batch_images", "Digits drawn by one call of the model.", buckets=BATCHES, registry=own
        )
        self._batch_seconds = Summary("dcgan_batch_seconds", "Time of one call of the model.", registry=own)
        self.batches = Gauge("dcgan_batches_in_progress", "Calls of the model in progress.", registry=own)
        self._last_batch = Gauge("dcgan_last_batch_timestamp_seconds", "When the last call ended.", registry=own)
        self._model = Gauge(
            "dcgan_model_info",
            "Always 1; the labels name the model that draws: version in the registry, SHA-256 of the file.",
            ["version", "sha256"],
            registry=own,
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Tell of what has not happened yet: Prometheus sees no increase in a series that begins at 1."""
        for outcome in ("done", "refused"):
            self.reloads.labels(outcome)
        for outcome in ("done", "failed"):
            self._draw_seconds.labels(outcome)

    def tell_capacity(self, limits: Limits, *, threads: int) -> None:
        """Set the gauges that say how much is too much: at each, requests wait or are refused."""
        for name, text, value in (
            ("dcgan_requests_limit", "Requests in progress over which 429 answers: max_requests.", limits.max_requests),
            (
                "dcgan_queued_images_limit",
                "Digits waiting over which 429 answers: max_queued_images.",
                limits.max_queued_images,
            ),
            ("dcgan_batches_limit", "Calls of the model at a time: threads.", threads),
        ):
            Gauge(name, text, registry=self._registry).set(value)

    def tell_model(self, info: ModelInfo) -> None:
        """Name the model that draws from now on, and no other."""
        self._model.clear()
        self._model.labels(info.version or "", info.sha256).set(1)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Observe how long a request's digits take, and whether they come."""
        started, outcome = time.monotonic(), "failed"
        try:
            yield
            outcome = "done"
        finally:
            self._draw_seconds.labels(outcome).observe(time.monotonic() - started)

    def observe_batch(self, count: int, seconds: float) -> None:
        """Count a call of the model that drew `count` digits."""
        self._batch_images.observe(count)
        self._batch_seconds.observe(seconds)
        self._last_batch.set_to_current_time()

    def values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample's value now, by its name and labels."""
        samples = (sample for metric in self._registry.collect() for sample in metric.samples)
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
