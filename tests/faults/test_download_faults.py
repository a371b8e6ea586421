"""Everything a mirror can do wrong, done by a real server on this machine."""

import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from damage import flipped
from dcgan.data.files import download_files, fetch
from dcgan.system.errors import BadDataError, DcganError, UnavailableError
from tiny_data import NAMES
from tiny_mirror import serving, write_mirror

FIRST = next(iter(NAMES.values()))


class Mirror(BaseHTTPRequestHandler):
    """Misbehaves as the first part of the address asks for."""

    folder: Path
    requests: Counter[str]
    closing: threading.Event

    def do_GET(self):
        _, behaviour, name = self.path.split("/", 2)
        self.requests[self.path] += 1
        content = (self.folder / name).read_bytes() if behaviour != "page" else b""
        match behaviour:
            case "flaky" if self.requests[self.path] < 3:
                self.send_error(503)
            case "ok" | "flaky":
                self.answer(content)
            case "encoded":
                self.answer(content, Content_Encoding="gzip")
            case "hang":
                self.closing.wait(30)
            case "drip":
                self.answer(b"", Content_Length=str(len(content)))
                while not self.closing.wait(0.05):
                    self.wfile.write(b"x")
            case "redirect" | "loop":
                self.answer(b"", status=302, Location="/page/login.html" if behaviour == "redirect" else self.path)
            case "page":
                self.answer(b"\n<!doctype html><title>Please log in</title>", Content_Type="text/html")
            case "half":
                self.answer(content[: len(content) // 2], Content_Length=str(len(content)))
            case "wrong":
                self.answer(flipped(content, -8))
            case "flood":
                self.answer(content * 1000)
            case status:
                self.send_error(int(status))

    def answer(self, content, status=200, **headers):
        self.send_response(status)
        for key, value in ({"Content_Length": str(len(content))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_mirror(tmp_path / "mirror", monkeypatch)


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of a running mirror; limits are shrunk to tenths of seconds."""
    monkeypatch.setenv("NO_PROXY", "*")
    for name, value in {"IDLE_LIMIT_S": 0.4, "TOTAL_LIMIT_S": 1.5, "RETRY_PAUSE_S": 0.01}.items():
        monkeypatch.setattr(fetch, name, value)
    for name, value in {"folder": folder, "requests": Counter(), "closing": threading.Event()}.items():
        monkeypatch.setattr(Mirror, name, value, raising=False)
    with serving(Mirror) as address:
        yield f"http://{address}"
        Mirror.closing.set()


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
    delivered, offered = ({path.name: path.read_bytes() for path in each.iterdir()} for each in (raw, folder))
    assert delivered == offered


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [
        ("ok/", 1),
        ("flaky", 3),
        ("encoded", 1),  # packed by itself, not for the transfer
    ],
)
def test_a_server_delivers_even_if_it_has_to_recover(server, folder, raw, behaviour, requests):
    download_files("mnist", raw, mirrors=[f"{server}/{behaviour}"])
    assert_whole(raw, folder)
    assert Mirror.requests == {f"/{behaviour.rstrip('/')}/{name}": requests for name in NAMES.values()}


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


def test_the_next_source_helps_out(server, folder, raw, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / FIRST).write_bytes((folder / FIRST).read_bytes()[:100])
    bad = [f"{server}/{behaviour}" for behaviour in ("403", "503", "hang", "redirect", "half", "wrong")]
    download_files("mnist", raw, mirrors=[*bad, str(damaged), f"{server}/ok"])
    assert_whole(raw, folder)
    assert Mirror.requests[f"/hang/{FIRST}"] == 3, "a source that failed is tried last for the other files"


def test_wrong_bytes_everywhere_are_bad_data_with_both_hashes(server, folder, raw):
    error = failure(raw, f"{server}/wrong", f"{server}/403")
    content = (folder / FIRST).read_bytes()
    expected, found = (hashlib.sha256(each).hexdigest() for each in (content, flipped(content, -8)))
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
