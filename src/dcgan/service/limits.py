"""What the service accepts, and how long it waits: every limit in one place."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from dcgan.system.errors import UsageError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(BaseModel):
    """Limits of requests, of queues and of waiting; beyond them a request is refused, never delayed without end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: PositiveInt = 4 * 2**20
    """Of a request, after which 413 answers; a v2 request of 1,000 latents in JSON has about 2 MB."""
    max_buffered_bytes: PositiveInt = 64 * 2**20
    """Of all requests that have not come whole yet, over which 429 answers."""
    max_images: PositiveInt = 1000
    """Digits a request, over which 422 answers."""
    max_requests: PositiveInt = 256
    """Requests in progress at once, over which 429 answers."""
    max_queued_images: PositiveInt = 4000
    """Digits waiting to be drawn, over which 429 answers: about half a second of work for two cores."""
    max_unread_bytes: PositiveInt = 128 * 2**20
    """Of answers that clients have not read yet, over which 429 answers; 1,000 digits by v2 are up to 20 MB of JSON."""
    max_connections: PositiveInt = 1024
    """Open connections; idle ones make room for new ones, and without any, requests are answered 503 and closed."""
    request_seconds: Positive = 10.0
    """For a client to send a request's head, then its body (408 answers), and to read 64 KiB a second of the answer."""
    idle_seconds: Positive = 75.0
    """For a connection to stay open between two requests: longer than the 60 seconds that balancers keep theirs."""
    drain_seconds: Positive = 12.0
    """For requests in progress to end after SIGTERM."""
    max_batch: PositiveInt = 64
    """Digits drawn by one call of the model; more do not get faster."""
    max_wait_seconds: Positive = 0.002
    """For others to join a batch that is not full."""

    @model_validator(mode="after")
    def _let_the_largest_request_be_queued(self) -> Self:
        if self.max_queued_images < self.max_images:
            raise ValueError(
                f"max_queued_images={self.max_queued_images} is less than max_images={self.max_images}, so that the "
                "largest requests could never be drawn; set both"
            )
        return self


def limits_from(settings: Sequence[str]) -> Limits:
    """The limits with some of them set, each as `NAME=VALUE`.

    Raises:
        UsageError: a name is unknown, a value is no number above 0, or two limits contradict each other.
    """
    chosen = dict(setting.partition("=")[::2] for setting in settings)
    try:
        return Limits.model_validate(chosen)
    except ValidationError as error:
        raise UsageError(f"--limit {_described(error, chosen)}") from error


def _described(error: ValidationError, chosen: dict[str, str]) -> str:
    """The first finding as `NAME=VALUE: what is wrong`."""
    finding = error.errors()[0]
    if not finding["loc"]:
        return finding["msg"].removeprefix("Value error, ")
    name = str(finding["loc"][0])
    if name in Limits.model_fields:
        return f"{name}={chosen[name]}: {finding['msg']}"
    nearest = difflib.get_close_matches(name, Limits.model_fields, n=1, cutoff=0)[0]
    return f"{name}: unknown; did you mean {nearest}? There are {', '.join(Limits.model_fields)}"
