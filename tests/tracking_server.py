"""A real MLflow server that tests may kill, stop and start again, and a proxy that makes it fail or slow."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tiny_workspace import stage_environment
from tracking_store import empty_store, wait_for

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class TrackingServer:
    """`mlflow server` on a free port that stays its own, with its store and its artifacts in `folder`, or elsewhere."""

    def __init__(
        self,
        folder: Path,
        *,
        mlflow: str = str(Path(sys.executable).with_name("mlflow")),
        store: str | None = None,
        artifacts: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._mlflow = folder, mlflow
        self._process: subprocess.Popen[bytes] | None = None
        self._store, self._artifacts = store or f"sqlite:///{folder / 'mlflow.db'}", artifacts or folder / "artifacts"
        if store is None:
            (folder / "mlflow.db").write_bytes(empty_store())

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *(self._mlflow, "server", "--port", str(self.port), "--workers", "1"),
            *("--artifacts-destination", str(self._artifacts)),
        ]
        options = {
            "MLFLOW_BACKEND_STORE_URI": self._store,  # which may hold a password
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=stage_environment(self._folder) | options,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes; returns when the kill is over."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        if number == signal.SIGKILL:
            self._process.wait(20)
            self._process = None

    def end(self) -> None:
        """Kill it if it lives, stopped or not."""
        if self._process is not None:
            self.send(signal.SIGKILL)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server has ended"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
            return True
        return False


class Proxy(ThreadingHTTPServer):
    """Hands requests on to the server on `port` while its block lasts, or behaves worse."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url, self.behind = f"http://127.0.0.1:{self.server_port}", port
        self.behave()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def behave(self, *, status: int | None = None, delay: float = 0.0, slow: str = "") -> None:
        """Answer with a `status` and half a page; wait `delay` seconds where the path holds `slow`, empty for all."""
        self.status, self.delay, self.slow = status, delay, slow

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.delay if self.server.slow in self.path else 0)
        status, headers, content = self.server.status, {"Retry-After": "3600"}, b"<html>"
        if status is None:
            behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
            with contextlib.closing(behind):
                behind.request(self.command, self.path, body, _passed_on(self.headers.items()))
                answer = behind.getresponse()
                status, headers, content = answer.status, _passed_on(answer.getheaders()), answer.read()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 the names are the standard library's

    def log_message(self, *_: object) -> None:
        """Be silent."""


def _passed_on(headers: object) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in HOP_BY_HOP}
