"""What the service accepts, and how long it waits: every bound in one place."""

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dcgan.system.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on requests, on queues and on patience; over them a request is refused, never delayed without end."""

    max_body_bytes: int = 4 * 2**20
    """Of a request, after which 413 answers; a v2 request of 1,000 latents in JSON has about 2 MB."""
    max_buffered_bytes: int = 64 * 2**20
    """Of all requests that have not come whole yet, over which 429 answers."""
    max_images: int = 1000
    """Digits a request, over which 422 answers."""
    max_requests: int = 256
    """Requests in work at once, over which 429 answers."""
    max_queued_images: int = 4000
    """Digits waiting to be drawn, over which 429 answers: about half a second of work for two cores."""
    max_unread_bytes: int = 128 * 2**20
    """Of answers that clients have not read yet, over which 429 answers; 1,000 digits by v2 are up to 20 MB of JSON."""
    max_connections: int = 1024
    """Open connections; while there are as many, every request is answered 503 and its connection closed."""
    request_seconds: float = 10.0
    """For a client to send a request's head, then its body (408 answers), and to read 64 KiB a second of the answer."""
    idle_seconds: float = 5.0
    """For a connection to stay open between two requests."""
    drain_seconds: float = 12.0
    """For requests in work to end after SIGTERM."""
    max_batch: int = 64
    """Digits drawn by one call of the model; more do not get faster."""
    max_wait_seconds: float = 0.002
    """For others to join a batch that is not full."""


def limits_from(settings: Sequence[str]) -> Limits:
    """The limits with some of them set, each as `NAME=VALUE`.

    Raises:
        UsageError: a name is unknown, or a value is no number above 0, or two limits contradict each other.
    """
    fields = {field.name: field.type for field in dataclasses.fields(Limits)}
    chosen: dict[str, float] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in fields:
            nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0)[0]
            raise UsageError(f"--limit {setting}: unknown; did you mean {nearest}? There are {', '.join(fields)}")
        kind = fields[name]
        assert kind in (int, float)
        try:
            chosen[name] = kind(value)
        except ValueError:
            chosen[name] = math.nan
        if not 0 < chosen[name] < math.inf:
            described = "a whole number" if kind is int else "a number"
            raise UsageError(f"--limit {setting}: expected {described} above 0")
    limits = Limits(**chosen)  # type: ignore[arg-type]
    if limits.max_queued_images < limits.max_images:
        both = f"max_queued_images={limits.max_queued_images}: less than max_images={limits.max_images}"
        raise UsageError(f"--limit {both}, so that the largest requests could never be drawn; set both")
    return limits


RETRY_AFTER_SECONDS = 1
"""Told to clients that 429 answers."""
