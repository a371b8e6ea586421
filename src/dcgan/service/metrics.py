"""The service's metrics for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 48, 64)


class Metrics:
    """The service's counters and histograms, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "dcgan_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self.in_progress = Gauge("dcgan_requests_in_progress", "Requests in progress.", registry=self._registry)
        self.seconds = Histogram(
            "dcgan_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=self._registry
        )
        self.batch_images = Histogram(
            "dcgan_batch_images", "Digits drawn by one call of the model.", buckets=BATCHES, registry=self._registry
        )
        self.queued_images = Gauge("dcgan_queued_images", "Digits waiting to be drawn.", registry=self._registry)
        self.reloads = Counter("dcgan_reloads", "Reloads of the model.", ["outcome"], registry=self._registry)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
