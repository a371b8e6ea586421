"""Pages of other origins: which of them may ask this service from a browser."""

import re
from collections.abc import Collection

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from dcgan.service.binary import JSON_SIZE
from dcgan.system.errors import UsageError

ORIGIN = re.compile(r"\*|https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")
"""Browsers leave it out."""
TAKEN_HEADERS = ("Authorization", "Content-Type", "X-API-Key", "X-Request-Id", JSON_SIZE)
SHOWN_HEADERS = ("X-Model-Sha256", "X-Model-Version", "X-Request-Id", "Retry-After", JSON_SIZE)
MAX_AGE_SECONDS = 600
"""For a browser to remember what it may ask."""


def require_origins(origins: Collection[str]) -> None:
    """Refuse what is no origin, and would never match one.

    Raises:
        UsageError: naming it.
    """
    for origin in origins:
        if not ORIGIN.fullmatch(origin) or DEFAULT_PORT.fullmatch(origin):
            raise UsageError(
                f"--allow-origin: {origin} is no origin; expected one such as https://example.org, as browsers send it"
            )


def allow_origins(app: FastAPI, origins: Collection[str]) -> None:
    """Let pages of these origins ask, any with `*`; a browser's own question before that needs no key."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=TAKEN_HEADERS,
            expose_headers=SHOWN_HEADERS,
            max_age=MAX_AGE_SECONDS,
        )
