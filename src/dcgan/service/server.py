"""Running the service: one process, its signals, and its log."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import FrameType

import uvicorn
from fastapi import FastAPI

from dcgan.inference.generator import Generator
from dcgan.service.address import listen, url_of
from dcgan.service.app import build_app
from dcgan.service.connection import Connections
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.service.model import ServedModel, Watch
from dcgan.system.cores import default_threads
from dcgan.system.redaction import redacted

logger = logging.getLogger("dcgan.service")

MAX_HEAD_BYTES = 65_536
"""Of a request's head, of its trailers, and of a chunk's extension."""


def serve(
    load: Callable[[], Generator],
    *,
    host: str,
    port: int,
    limits: Limits,
    keys: Collection[str] = (),
    origins: Collection[str] = (),
    root_path: str = "",
    threads: int | None = None,
    watch: Watch | None = None,
) -> None:
    """Serve a generator until SIGTERM or Ctrl-C, which let requests in progress end; SIGHUP loads the model anew.

    With `watch`, it also does where that tells another version.

    Port 0 is any free one, which the log tells; `threads` batches are drawn at a time, None: as `default_threads` says.

    Raises:
        DcganError: as `load`.
        UnavailableError: the address is in use, or is not this machine's.
        UsageError: the host is empty, or the port out of range.
    """
    _log_to_streams()
    metrics = Metrics()
    connections = Connections(request_seconds=limits.request_seconds, most=limits.max_connections)
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in listen(host, port)]
        model = ServedModel(load, limits, metrics, threads=threads or default_threads())
        app = build_app(
            model,
            limits=limits,
            metrics=metrics,
            keys=keys,
            origins=origins,
            root_path=root_path,
            unread=connections.unread_bytes,
        )
        config = uvicorn.Config(
            connections.watching(app),
            http=connections.protocol,  # type: ignore[arg-type]  # uvicorn says type; it calls it, as it would one
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=limits.max_connections,
            timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]  # uvicorn says int, and only waits so long
            timeout_graceful_shutdown=limits.drain_seconds,  # type: ignore[arg-type]
        )
        gc.freeze()  # what is loaded now stays; collections need not look at it
        address = url_of(host, listeners[0].getsockname()[1]) + root_path
        logger.info("%s served on %s at %s", model.generator.info.path, model.generator.info.device, address)
        _Server(config, app, model, connections, watch).run(sockets=listeners)


class _Server(uvicorn.Server):
    """Ends with exit code 0 once it has drained, and reloads the model on SIGHUP."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        model: ServedModel,
        connections: Connections,
        watch: Watch | None,
    ) -> None:
        super().__init__(config)
        self._app, self._model, self._connections, self._watch = app, model, connections, watch
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for connections, and for SIGHUP."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        self._tasks["watch"] = loop.create_task(self._connections.watch())
        if self._watch:
            self._tasks["follow"] = loop.create_task(self._model.follow(self._watch))
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._start_reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 uvicorn's own signature
        """Take no more requests, and end once those in progress are answered; at once on a second Ctrl-C."""
        self._app.state.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def _start_reload(self) -> None:
        self._tasks["reload"] = asyncio.get_running_loop().create_task(self._model.reload())


class _Redacting(logging.Formatter):
    """Shows no passwords or keys, not even in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        return redacted(super().format(record))


def _log_to_streams() -> None:
    """The access log, JSON line by JSON line, to standard output; everything else to standard error."""
    for name, stream, formatter, level in (
        ("dcgan.access", sys.stdout, logging.Formatter(), logging.INFO),
        ("dcgan.service", sys.stderr, _Redacting(), logging.INFO),
        ("uvicorn.error", sys.stderr, _Redacting(), logging.WARNING),
    ):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(_is_for_the_operator)
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(level)


def _is_for_the_operator(record: logging.LogRecord) -> bool:
    """Whether a record is not one of uvicorn's two on upgrades, which Java's client offers on every connection.

    They are ignored, as HTTP has it, and the request is answered; the second one advises to install WebSockets.
    """
    return not str(record.msg).startswith(("Unsupported upgrade request", "No supported WebSocket library"))
