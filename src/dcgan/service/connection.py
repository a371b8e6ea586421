"""Deadlines of connections: a client that brings no request in time, or does not read its answer, is cut off.

uvicorn bounds a request's head and closes connections that are idle between two requests; `Guarded` bounds bodies.
Only the connection sees the rest: silence before the first request, a head that never ends, and unread answers.
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MIN_READ_RATE = 65_536
"""Bytes a second that a client must read of what is ready for it."""
UNCOUNTED_BYTES = 65_536
"""Of an answer that each connection may hold: asyncio's own buffer."""
ROOM_FOR_IDLE = 7 / 8
"""Of all connections; above it idle ones are closed, which takes a moment in which new ones bring their requests."""

_REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_current: ContextVar["Connection | None"] = ContextVar("connection", default=None)


class Connection(asyncio.Protocol):
    """One client's connection: passes everything on to uvicorn's HTTP protocol, and keeps the times."""

    transport: asyncio.Transport

    def __init__(self, connections: "Connections", http: asyncio.Protocol) -> None:
        self._connections, self._http = connections, http
        self._requests = 0
        self._began: float | None = connections.now()
        self.idle_since: float | None = None
        self._allowed, self._read_by = math.inf, math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        self.transport = transport
        self._connections.admit(self)
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._connections.discard(self)
        self._http.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when what may become a request begins."""
        if self._began is None and not self._requests:
            self._began, self.idle_since = self._connections.now(), None
        _current.set(self)  # the request's task, which uvicorn starts in here, sees it
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._http.eof_received()

    def pause_writing(self) -> None:
        """More is ready than the client has read so far: it has a new term for that."""
        self._allowed = math.inf
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """The client has read nearly all: it has a new term for the rest."""
        self._allowed = math.inf
        self._http.resume_writing()

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of this connection; meanwhile none is waited for."""
        self._requests, self._began, self.idle_since = self._requests + 1, None, None
        try:
            await app(scope, receive, send)
        finally:
            self._requests -= 1
            self.idle_since = None if self._requests else self._connections.now()

    def cut_off_if_late(self, now: float, *, seconds: float) -> None:
        """Close a connection whose request has not come in `seconds`; abort one that does not read fast enough."""
        unread = self.transport.get_write_buffer_size()
        if unread <= self._allowed:
            self._allowed, self._read_by = max(0, unread - MIN_READ_RATE * seconds), now + seconds
        elif now > self._read_by:
            self.transport.abort()
        if self._began is not None and now > self._began + seconds and not self.transport.is_closing():
            self.transport.write(_REQUEST_TIMEOUT)
            self.transport.close()


class Connections(set[Connection]):
    """All open connections of a server."""

    def __init__(self, *, request_seconds: float, most: int, now: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._seconds, self._most = request_seconds, most
        self.now = now or (lambda: asyncio.get_running_loop().time())

    def admit(self, connection: Connection) -> None:
        """Add a connection; where little room is left, the one that has been idle longest makes some."""
        self.add(connection)
        if len(self) >= self._most * ROOM_FOR_IDLE:
            idle = [(each.idle_since, id(each), each) for each in self if each.idle_since is not None]
            if idle:
                longest = min(idle)[2]
                longest.idle_since = None
                longest.transport.close()

    def protocol(self, **options: Any) -> Connection:
        """What uvicorn makes for each connection."""
        return Connection(self, H11Protocol(**options))

    def watching(self, app: ASGIApp) -> ASGIApp:
        """The application, whose requests the connections know of."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            connection = _current.get() if scope["type"] == "http" else None
            await (connection.run(app, scope, receive, send) if connection else app(scope, receive, send))

        return watched

    async def watch(self) -> None:
        """Cut off who is late, for as long as the server runs."""
        while True:
            await asyncio.sleep(self._seconds / 10)
            self.cut_off_late()

    def cut_off_late(self) -> None:
        """Cut off who is late now."""
        for connection in list(self):
            connection.cut_off_if_late(self.now(), seconds=self._seconds)

    def unread_bytes(self) -> int:
        """Bytes of answers that clients have not read, above what every connection may hold."""
        sizes = (connection.transport.get_write_buffer_size() for connection in self)
        return sum(size for size in sizes if size > UNCOUNTED_BYTES)
