"""Running the service: one process, its signals, and its log."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection
from types import FrameType

import uvicorn

from dcgan.inference.generator import Generator, usable_cores
from dcgan.service.app import Readiness, build_app
from dcgan.service.connection import SlowReaders, impatient
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.service.model import ServedModel
from dcgan.system.errors import UnavailableError, UsageError
from dcgan.system.redaction import redacted

logger = logging.getLogger("dcgan.service")


def serve(
    load: Callable[[], Generator],
    *,
    host: str,
    port: int,
    limits: Limits,
    keys: Collection[str] = (),
    threads: int | None = None,
) -> None:
    """Serve a generator until SIGTERM or Ctrl-C, after which requests in work are answered; SIGHUP loads it anew.

    Args:
        load: loads the generator.
        host: address to listen on.
        port: port to listen on; 0: any free one, which the log tells.
        limits: what is accepted.
        keys: as `build_app` has it.
        threads: batches drawn at the same time; None: one for each usable core.

    Raises:
        DcganError: as `load`.
        UnavailableError: the address cannot be listened on.
        UsageError: the port is out of range.
    """
    _log_to_streams()
    metrics, readiness, slow_readers = Metrics(), Readiness(), SlowReaders()
    with _listen(host, port) as listener:
        model = ServedModel(load, limits, metrics, threads=threads or usable_cores())
        app = build_app(
            model,
            limits=limits,
            metrics=metrics,
            readiness=readiness,
            keys=keys,
            unread=slow_readers.num_bytes,
        )
        config = uvicorn.Config(
            app,
            http=impatient(limits.request_seconds, slow_readers),
            ws="none",
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=limits.max_connections,
            timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]  # uvicorn says int, and only waits so long
            timeout_graceful_shutdown=limits.drain_seconds,  # type: ignore[arg-type]
        )
        gc.freeze()  # what is loaded now stays; collections need not look at it
        shown = f"http://{host}:{listener.getsockname()[1]}"
        logger.info("%s drawn by %s, on %s", model.generator.info.path, model.generator.info.providers[0], shown)
        _Server(config, readiness, model).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends with exit code 0 once it has drained, and reloads the model on SIGHUP."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness, model: ServedModel) -> None:
        super().__init__(config)
        self._readiness, self._model = readiness, model
        self._reload: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for connections, and for SIGHUP."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._start_reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 uvicorn's own signature
        """Say that no more requests are welcome, and end once those in work are answered; at once the second time."""
        self._readiness.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def _start_reload(self) -> None:
        self._reload = asyncio.get_running_loop().create_task(self._model.reload())


class _Discreet(logging.Formatter):
    """Shows no passwords or keys, not even in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        return redacted(super().format(record))


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: {port} is out of range; expected 0 to 65535")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UnavailableError(f"{host}:{port}: cannot be listened on ({reason}); choose another address") from error


def _log_to_streams() -> None:
    """The access log, JSON line by JSON line, to standard output; everything else to standard error."""
    for name, stream, form in (
        ("dcgan.access", sys.stdout, "%(message)s"),
        ("dcgan.service", sys.stderr, "%(message)s"),
        ("uvicorn.error", sys.stderr, "%(message)s"),
    ):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(form) if name == "dcgan.access" else _Discreet(form))
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.WARNING if name == "uvicorn.error" else logging.INFO)
