"""Connections that do not wait for ever, and hold no more than they may: who sends or reads too slowly is cut off."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_PIPELINED = 16
"""Requests that wait on one connection for the answers before theirs."""
MAX_WAITING_BODY = 2**20
"""Bytes of such a request's body; bodies of requests that are being answered are bounded by `Guarded`."""
MAX_HEAD_BYTES = 65_536
"""Of a head, and of all else that is neither head nor body: trailers, chunk extensions, empty lines."""
MIN_READ_RATE = 65_536
"""Bytes a second that a client must read of what is ready for it."""


class SlowReaders(set["ImpatientProtocol"]):
    """Connections whose clients do not read as fast as they are answered."""

    def num_bytes(self) -> int:
        """Bytes that wait for them."""
        return sum(connection.transport.get_write_buffer_size() for connection in self)


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with bounds on what only the connection sees.

    That is: a request's head, the rest of a body that has been answered already, what comes between two requests, and
    an answer that is not read. Bodies that the application reads are timed by `Guarded`, silence between two requests
    by uvicorn's own keep-alive timeout.
    """

    patience_seconds = 10.0
    slow_readers: SlowReaders

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._in_head, self._frame_bytes = True, 0
        self._answering: RequestResponseCycle | None = None
        super().connection_made(transport)
        self._await_data()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._data_came()
        self._all_read()
        if self._answering is not None:  # of pipelined requests, uvicorn itself tells the last one only
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is neither head nor body for too long."""
        self._frame_bytes += len(data)
        super().data_received(data)
        if self._frame_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self.cycle is not None and self.cycle.response_complete and not self.pipeline:
            self._await_data()  # uvicorn's keep-alive timeout ended with the first byte, which need not be a request's

    def on_message_begin(self) -> None:
        """Wait for the rest of the head."""
        self._in_head = True
        self._await_data()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes after the body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._in_head, self._frame_bytes = False, 0
        self._data_came()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")  # the parser stops, and uvicorn hangs up with 400
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; one that waits for its turn may not grow without end."""
        self._frame_bytes = 0
        super().on_body(body)
        if self.pipeline and len(self.cycle.body) > MAX_WAITING_BODY:
            raise ValueError("too large a request behind others")

    def on_message_complete(self) -> None:
        """The body is here."""
        self._data_came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A body that was answered before it was whole must end soon, and the answer must be read."""
        if self.cycle.more_body:
            self._await_data()
        self._watch_reader()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._all_read()  # or nearly, until now
        self.slow_readers.add(self)
        self._watch_reader()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read nearly all; what is left it has a new term for."""
        self._all_read()
        self._watch_reader()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _await_data(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self.patience_seconds, self._refuse, b"408 Request Timeout")

    def _data_came(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _refuse(self, status: bytes) -> None:
        if self._in_head and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()

    def _watch_reader(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if self._writing is None and unread:
            allowed = max(0, unread - int(MIN_READ_RATE * self.patience_seconds))
            self._writing = self.loop.call_later(self.patience_seconds, self._cut_unless_read, allowed)

    def _all_read(self) -> None:
        self.slow_readers.discard(self)
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _cut_unless_read(self, allowed: int) -> None:
        self._writing = None
        if self.transport.get_write_buffer_size() > allowed:
            self.transport.abort()
        else:
            self._watch_reader()


def impatient(patience_seconds: float, slow_readers: SlowReaders) -> type[Any]:
    """The protocol with that patience, which tells who reads slowly, for uvicorn's configuration."""
    return type(
        "ImpatientProtocol",
        (ImpatientProtocol,),
        {"patience_seconds": patience_seconds, "slow_readers": slow_readers},
    )
