"""`dcgan serve` in a process of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

SERVE = [sys.executable, "-c", "from dcgan.cli import main; main()", "serve"]
IMAGES = b'{"count": 3, "seed": 5}'


class Running:
    """A service in a process of its own; leaving its block kills it."""

    def __init__(
        self, folder: Path, model: Path, *more: str, options: Sequence[str] = ("--port", "0"), **environment: str
    ) -> None:
        self.err_path, self.out_path = folder / "err", folder / "out"
        with self.err_path.open("wb") as err, self.out_path.open("wb") as out:
            self.process = subprocess.Popen(
                [*SERVE, "--model", str(model), *options, *more],
                stdout=out,
                stderr=err,
                env=os.environ | environment,
            )
        # With a model from the registry, MLflow is imported first.
        try:
            self.port = int(self.told(r"at http://\S+:(\d+)", seconds=120).group(1))
        except AssertionError:
            self.process.kill()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def told(self, pattern: str, *, seconds: float = 30) -> re.Match[str]:
        """Wait until standard error has the pattern."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.err_path.read_text())):
            assert self.process.poll() is None, self.err_path.read_text()
            assert time.monotonic() < end, f"{pattern} is not in {self.err_path.read_text()}"
            time.sleep(0.02)
        return found

    def ask(self, path: str = "/v1/images", body: bytes | None = IMAGES, *, accept: str = "application/x-npy") -> bytes:
        headers = {"content-type": "application/json", "accept": accept}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers), timeout=20) as answer:
            return answer.read()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def end(self, *, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def await_connections(self, count: int, *, seconds: float = 20) -> None:
        """Wait until so many are open, the listening socket apart."""
        process, end = psutil.Process(self.process.pid), time.monotonic() + seconds
        while sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp")) != count:
            assert time.monotonic() < end, self.err_path.read_text()
            time.sleep(0.02)

    def memory(self, kind: str = "VmRSS") -> float:
        """Resident memory in MiB, now or, as VmHWM, at its highest so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{kind}:\s+(\d+)", status).group(1)) / 1024


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
