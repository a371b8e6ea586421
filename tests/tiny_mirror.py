"""A folder with the files of a tiny data set that count as MNIST's, and servers on this machine to get them from."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dcgan.data import files as mnist_files
from tiny_data import files_with_hashes, tiny_arrays, write_files


def write_mirror(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files, which are those that the project looks for from now on, and return `folder`."""
    arrays = tiny_arrays()
    write_files(folder, arrays)
    files = files_with_hashes(folder, arrays)
    monkeypatch.setattr(mnist_files.files, "files_of", lambda name: files)
    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    return folder


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers with `handler`; a client that gives up is part of the test."""
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
