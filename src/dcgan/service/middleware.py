"""What surrounds every request: an id, a line in the access log, metrics, keys, limits, and headers for browsers.

Plain ASGI, outermost first: `Recorded` sees the final status of all that is inside it.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcgan.service.binary import JSON_SIZE, MEDIA_TYPE, replaying, takes_tensors
from dcgan.service.errors import RequestError
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics

access_log = logging.getLogger("dcgan.access")
service_log = logging.getLogger("dcgan.service")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
JSON_TYPE = re.compile(r"application/([a-z0-9.-]+\+)?json")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
"""That have metrics of their own: what clients make up must not become metrics without end."""

PUBLIC = ("/", "/docs", "/v2/health/live", "/v2/health/ready")
"""Paths that need no key; and all below `/page/`."""


def is_public(path: str) -> bool:
    """Whether a path needs no key."""
    return path in PUBLIC or path.startswith("/page/")


def is_free(path: str) -> bool:
    """Whether a path answers however much there is to do: who watches over the service must see an overload."""
    return is_public(path) or path == "/metrics"


SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
        " connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Trimmed:
    """Takes off a path's front, where the service lies behind a proxy that has left it on, and its last slash.

    `/docs/` keeps its slash: the addresses in that page are relative.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the rest of the service knows no such paths."""
        if scope["type"] == "http":
            path = scope["path"]
            if f"{path}/".startswith(f"{self._root_path}/"):
                path = path.removeprefix(self._root_path) or "/"
            if path.startswith(("/v1/", "/v2/", "/metrics/")):
                path = path.rstrip("/")
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)


class Recorded:
    """Gives every request an id, and writes one line and one observation when it has been answered."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, num_bytes = time.perf_counter(), 499, 0
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

        async def counting(message: Message) -> None:
            nonlocal status, num_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            else:
                num_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            service_log.exception("request %s failed", request_id)
            if status != 499:
                raise  # the answer has begun: only cutting the connection tells the client
            error = RequestError(500, f"internal error; the log tells more under request id {request_id}")
            await error.answer()(scope, receive, counting)
        finally:
            seconds = time.perf_counter() - started
            route = _route_of(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            access_log.info(
                json.dumps(
                    {
                        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "request_id": request_id,
                        "client": (scope.get("client") or ("",))[0],
                        "method": scope["method"],
                        "path": scope["path"][:200],
                        "status": status,
                        "bytes": num_bytes,
                        "ms": round(1000 * seconds, 2),
                    }
                )
            )


class Guarded:
    """Lets a request in if it has a key, if there is room, and if its body comes whole, in time and not too large."""

    def __init__(self, app: ASGIApp, *, limits: Limits, keys: Collection[str], metrics: Metrics) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._keys = [_digest(key) for key in keys]
        self._in_progress = 0
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._require_key(scope)
            _require_json(scope)
        except RequestError as error:
            is_whole = await self._discard_body(scope, receive)
            await error.answer({} if is_whole else {"connection": "close"})(scope, receive, send)
            return
        try:
            body = await self._whole_body(scope, receive)
            counted = not is_free(scope["path"])  # and only now: slow clients take nobody's place
            if counted and self._in_progress >= self._limits.max_requests:
                raise RequestError(429, f"{self._in_progress} requests are in progress already; try again in a second")
        except RequestError as error:
            await error.answer()(scope, receive, send)
            return
        self._count(counted)
        try:
            await self._app(scope, replaying(body, receive), send)
        finally:
            self._count(-counted)

    def _count(self, more: int) -> None:
        self._in_progress += more
        self._metrics.in_progress.set(self._in_progress)

    def _require_key(self, scope: Scope) -> None:
        if not self._keys or is_public(scope["path"]):
            return
        headers = Headers(scope=scope)
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = _digest(bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", ""))
        # Every key is compared, and digests have one length, so that time tells nothing.
        if not any([hmac.compare_digest(given, key) for key in self._keys]):  # noqa: C419
            raise RequestError(401, "a key is needed: send `Authorization: Bearer KEY`")

    async def _discard_body(self, scope: Scope, receive: Receive) -> bool:
        """Wait for a body that is not wanted, so that its connection can be used again; whether it came whole.

        A client that asks whether to send it need not.
        """
        left = 0 if "expect" in Headers(scope=scope) else self._limits.max_body_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.request_seconds):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body", False):
                        return bool(message["type"] == "http.request")
                    left -= len(message["body"])
        return False

    async def _whole_body(self, scope: Scope, receive: Receive) -> bytes:
        headers = Headers(scope=scope)
        most = self._limits.max_body_bytes
        too_large = RequestError(413, f"the body is larger than the {most:,} bytes that are taken")
        if int(headers.get("content-length", 0)) > most:  # the protocol lets through whole numbers only
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "the client went away before its body was whole")
                    part = message.get("body", b"")
                    body += part
                    self._buffered += len(part)
                    if len(body) > most:
                        raise too_large
                    if self._buffered > self._limits.max_buffered_bytes:
                        raise RequestError(429, "too much is being sent at once; try again in a second")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise RequestError(408, f"the body was not whole after {self._limits.request_seconds:g} seconds") from None
        finally:
            self._buffered -= len(body)


def _require_json(scope: Scope) -> None:
    """Refuse a body that says it is something else; one that says nothing is taken for JSON."""
    headers = Headers(scope=scope)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "content-encoding: compressed bodies are not taken; send it plain")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise RequestError(400, "content-length and transfer-encoding exclude each other; send one of them")
    if scope["method"] != "POST" or (headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers):
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if takes_tensors(scope) and (JSON_SIZE in headers or kind == MEDIA_TYPE):
        return
    if kind and not JSON_TYPE.fullmatch(kind):
        raise RequestError(415, f"content-type: {kind[:60]} is not taken; send application/json")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _route_of(scope: Scope) -> str:
    """The path of the request's route, as `/v1/images`; also of a request that was refused before it was routed."""
    if "route" in scope:
        return str(scope["route"].path)
    return next((each.path for each in scope["app"].routes if each.matches(scope)[0] is not Match.NONE), "unmatched")
