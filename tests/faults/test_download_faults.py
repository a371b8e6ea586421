"""Everything a mirror can do wrong, done by a real server on this machine."""

import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dcgan.data import files as mnist_files
from dcgan.data.files import download_files, fetch
from dcgan.system.errors import BadDataError, DcganError, UnavailableError
from tiny_data import NAMES, files_with_hashes, tiny_arrays, write_files

FIRST = next(iter(NAMES.values()))


class Mirror(BaseHTTPRequestHandler):
    """Misbehaves as the first part of the address asks for."""

    folder: Path
    requests: Counter[str]
    closing: threading.Event

    def do_GET(self):
        _, behaviour, name = self.path.split("/", 2)
        self.requests[self.path] += 1
        if behaviour.isdecimal():
            self.send_error(int(behaviour))
        else:
            getattr(self, behaviour)((self.folder / name).read_bytes() if behaviour != "page" else b"")

    def ok(self, content, status=200, **headers):
        self.send_response(status)
        for key, value in ({"Content_Length": str(len(content))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def flaky(self, content):
        if self.requests[self.path] < 3:
            self.send_error(503)
        else:
            self.ok(content)

    def hang(self, content):
        self.closing.wait(30)

    def drip(self, content):
        self.ok(b"", Content_Length=str(len(content)))
        while not self.closing.wait(0.05):
            self.wfile.write(b"x")

    def redirect(self, content):
        self.ok(b"", status=302, Location="/page/login.html")

    def loop(self, content):
        self.ok(b"", status=302, Location=self.path)

    def page(self, content):
        self.ok(b"\n<!doctype html><title>Please log in</title>", Content_Type="text/html")

    def half(self, content):
        self.ok(content[: len(content) // 2], Content_Length=str(len(content)))

    def wrong(self, content):
        self.ok(content[:-1] + bytes([content[-1] ^ 1]))

    def encoded(self, content):
        self.ok(content, Content_Encoding="gzip")

    def flood(self, content):
        self.ok(content * 1000)

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    write_files(folder, tiny_arrays())
    return folder


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of a running mirror; limits are shrunk to tenths of seconds."""
    files = files_with_hashes(folder, tiny_arrays())
    monkeypatch.setattr(mnist_files.files, "files_of", lambda name: files)
    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(fetch, "IDLE_LIMIT_S", 0.4)
    monkeypatch.setattr(fetch, "TOTAL_LIMIT_S", 1.5)
    monkeypatch.setattr(fetch, "RETRY_PAUSE_S", 0.01)
    monkeypatch.setattr(Mirror, "folder", folder, raising=False)
    monkeypatch.setattr(Mirror, "requests", Counter(), raising=False)
    monkeypatch.setattr(Mirror, "closing", threading.Event(), raising=False)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    http.handle_error = lambda *_: None  # a client that gave up is part of the test
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    Mirror.closing.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def failure(raw: Path, *mirrors: str) -> DcganError:
    """The error of a download from the mirrors, which says everything once and leaves nothing behind."""
    printed = io.StringIO()
    with pytest.raises(DcganError) as caught, redirect_stdout(printed):
        download_files("mnist", raw, mirrors=mirrors)
    assert printed.getvalue() == ""
    assert not raw.exists() or list(raw.iterdir()) == []
    assert "\n" not in str(caught.value)
    return caught.value


def assert_whole(raw: Path, folder: Path) -> None:
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_a_good_server_delivers_with_or_without_a_slash_at_the_end(server, folder, raw):
    download_files("mnist", raw, mirrors=[f"{server}/ok/"])
    assert_whole(raw, folder)
    assert set(Mirror.requests) == {f"/ok/{name}" for name in NAMES.values()}


def test_a_server_that_recovers_is_asked_again(server, folder, raw):
    download_files("mnist", raw, mirrors=[f"{server}/flaky"])
    assert_whole(raw, folder)
    assert set(Mirror.requests.values()) == {3}


@pytest.mark.parametrize(
    ("behaviour", "reason", "requests"),
    [
        ("403", "HTTP 403 Forbidden", 1),
        ("404", "HTTP 404 Not Found", 1),
        ("503", "HTTP 503 Service Unavailable", 3),
        ("hang", "no answer within 0.4 s", 3),
        ("drip", "not delivered within 1.5 s", 1),
        ("redirect", "answers with a web page instead of the file", 1),
        ("loop", "Exceeded 3 redirects", 4),
        ("half", "IncompleteRead", 3),
    ],
)
def test_a_source_that_does_not_deliver_is_named_with_its_reason(server, raw, behaviour, reason, requests):
    started = time.monotonic()
    error = failure(raw, f"{server}/{behaviour}")
    assert time.monotonic() - started < 3
    assert isinstance(error, UnavailableError)
    assert error.exit_code == 69
    assert f"{server}/{behaviour}/{FIRST}: {reason}" in str(error)
    assert "set MNIST_MIRROR to a folder or a base URL" in str(error)
    assert Mirror.requests[f"/{behaviour}/{FIRST}"] == requests


def test_all_sources_are_listed_in_order_each_with_its_reason(server, raw, tmp_path):
    places = [f"{server}/403", str(tmp_path / "nowhere"), "http://127.0.0.1:1/mnist", "ftp://127.0.0.1/mnist"]
    message = str(failure(raw, *places))
    reasons = ["HTTP 403 Forbidden", "No such file or directory", "Connection refused", "neither a folder nor an http"]
    positions = [message.index(f"{place}/{FIRST}: {why}") for place, why in zip(places, reasons, strict=True)]
    assert positions == sorted(positions)


def test_the_next_source_helps_out(server, folder, raw):
    bad = [f"{server}/{behaviour}" for behaviour in ("403", "503", "hang", "redirect", "half", "wrong")]
    download_files("mnist", raw, mirrors=[*bad, f"{server}/ok"])
    assert_whole(raw, folder)
    assert Mirror.requests[f"/hang/{FIRST}"] == 3, "a source that failed is tried last for the other files"


def test_wrong_bytes_everywhere_are_bad_data_with_both_hashes(server, folder, raw):
    error = failure(raw, f"{server}/wrong", f"{server}/403")
    content = (folder / FIRST).read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    expected, found = (hashlib.sha256(each).hexdigest() for each in (content, flipped))
    assert isinstance(error, BadDataError)
    assert error.exit_code == 65
    size = f"({len(content):,} bytes)"
    assert f"expected sha256 {expected} {size}, found {found} {size}" in str(error)
    assert f"{server}/403/{FIRST}: HTTP 403 Forbidden" in str(error)


def test_a_source_that_sends_too_much_is_cut_off(server, raw, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_BYTES", 100_000)
    error = failure(raw, f"{server}/flood")
    assert isinstance(error, BadDataError)
    assert "sends more than 100,000 bytes" in str(error)


def test_a_file_whose_own_packing_is_called_an_encoding_stays_packed(server, folder, raw):
    download_files("mnist", raw, mirrors=[f"{server}/encoded"])
    assert_whole(raw, folder)


def test_the_folder_of_the_environment_is_preferred_to_a_server(server, folder, raw, monkeypatch):
    monkeypatch.setenv("MNIST_MIRROR", str(folder))
    download_files("mnist", raw, mirrors=[f"{server}/ok"])
    assert_whole(raw, folder)
    assert not Mirror.requests


def test_a_folder_with_a_damaged_file_is_passed_over(server, folder, raw, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / FIRST).write_bytes((folder / FIRST).read_bytes()[:100])
    download_files("mnist", raw, mirrors=[str(damaged), f"{server}/ok"])
    assert_whole(raw, folder)
