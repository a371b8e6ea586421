"""Clients that do not behave, against `dcgan serve` in a process of its own."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

import pytest

from running_service import IMAGES, Running, everything
from tiny_onnx import write_model

GET = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /v1/images HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
TOO_LARGE = POST + b"content-length: 5000000\r\n\r\n"
SLOW = POST + b'accept: application/json\r\ncontent-length: 15\r\n\r\n{"count": 1000}'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests that leave it as it was, and wait for it to end their connections."""
    folder = tmp_path_factory.mktemp("running")
    with Running(folder, write_model(folder / "generator.onnx"), "--limit", "idle_seconds=5") as service:
        yield service


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that loses its patience after a second, and sooner between two requests."""
    folder = tmp_path_factory.mktemp("hasty")
    limits = ["--limit", "request_seconds=1", "--limit", "idle_seconds=0.7"]
    with Running(folder, write_model(folder / "generator.onnx"), *limits) as service:
        yield service


def drip(connection: socket.socket, parts: Iterable[bytes], *, every: float = 0.0) -> None:
    for part in parts:
        connection.sendall(part)
        time.sleep(every)


@pytest.mark.parametrize(
    "sent",
    [b"", POST[:19], POST + b"x-slow: ", POST + b"content-length: 100\r\n\r\n{", CHUNKED + b"5\r\n{"],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
def test_a_client_that_sends_too_slowly_is_cut_off(hasty, sent):
    with hasty.connect() as connection:
        started = time.monotonic()
        connection.sendall(sent)
        answer = everything(connection)
    assert 0.9 < time.monotonic() - started < 6
    assert answer.split()[1] == b"408"
    assert b"connection: close" in answer.lower()
    assert hasty.ask()


def test_a_client_that_drips_its_head_is_cut_off(hasty):
    with hasty.connect() as connection, contextlib.suppress(ConnectionError):
        started = time.monotonic()
        drip(connection, 100 * [b"a"], every=0.1)
    assert time.monotonic() - started < 6


def test_a_client_that_does_not_read_is_cut_off(hasty):
    with hasty.connect() as connection:
        connection.sendall(10 * SLOW)
        hasty.await_connections(1)
        hasty.await_connections(0)
        assert len(everything(connection)) < 10 * 2_000_000  # some, not all
    assert hasty.ask()


def test_answers_that_nobody_reads_leave_no_room_for_more_until_they_are_cut(tmp_path, model):
    limits = ["--limit", "request_seconds=2", "--limit", "max_unread_bytes=1000000"]
    with Running(tmp_path, model, *limits) as running, running.connect() as connection:
        connection.sendall(10 * SLOW)
        time.sleep(1)
        with pytest.raises(urllib.error.HTTPError, match="429"):
            running.ask()
        assert running.ask("/v2/health/ready", None)
        running.await_connections(0)
        assert running.ask()


def test_two_hundred_slow_clients_hold_up_nobody_and_are_gone_soon(hasty):
    hasty.ask()
    beginnings = [b"", b"GET /", POST + b"content-length: 9\r\n\r\n{"]
    with contextlib.ExitStack() as held:
        for index in range(200):
            held.enter_context(hasty.connect()).sendall(beginnings[index % 3])
        started = time.monotonic()
        assert hasty.ask()
        assert time.monotonic() - started < 1
        hasty.await_connections(0, seconds=10)


def test_a_body_that_comes_with_its_head_is_not_taken_for_one(running):
    assert running.ask(body=IMAGES + b" " * 1_000_000) == running.ask()


def test_a_connection_that_keeps_asking_stays_open(hasty):
    with hasty.connect() as connection:
        for _ in range(6):
            connection.sendall(GET)
            answer = b""
            while not answer.endswith(b'{"live":true}'):
                part = connection.recv(65536)
                assert part, answer
                answer += part
            time.sleep(0.4)


def test_bodies_without_end_cost_no_memory(running):
    running.ask()
    before, mebibyte = running.memory(), b" " * 2**20
    long = POST + b"content-length: %d\r\n\r\n" % (300 * 2**20)
    for head, part in ((CHUNKED, b"100000\r\n" + mebibyte + b"\r\n"), (long, mebibyte)):
        with running.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(head)
            drip(connection, 300 * [part])
    assert running.memory() - before < 50
    assert running.ask()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"a" * 2_000_000 + b"\r\n\r\n",
        POST + b"content-length: -5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        POST + b"connection: close\r\ncontent-length: 5\r\n" + CHUNKED.removeprefix(POST) + b"2\r\n{}\r\n0\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /page/../../../files.py HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ],
)
def test_what_is_no_good_request_gets_4xx_or_no_answer(running, sent):
    with running.connect() as connection:
        with contextlib.suppress(OSError):  # it hangs up on what is too long
            connection.sendall(sent)
        answer = everything(connection)
    assert answer == b"" or answer.split()[1][:1] == b"4", answer[:200]
    assert running.ask()


@pytest.mark.parametrize(
    "parts",
    [(GET,), (GET, b"\r\n"), (TOO_LARGE + b" " * 4_000_000, b" " * 1_000_000)],
    ids=["nothing after an answer", "an empty line after an answer", "the rest of a body that was refused"],
)
def test_what_begins_no_request_keeps_no_connection_open(hasty, parts):
    with hasty.connect() as connection:
        drip(connection, parts, every=0.2)
        started = time.monotonic()
        everything(connection)
    assert time.monotonic() - started < 3


def test_requests_sent_at_once_are_answered_in_turn_and_wait_with_their_client(running):
    large = POST + b"content-length: 4000000\r\n\r\n" + b" " * 4_000_000
    running.ask(body=b'{"count": 1000}', accept="application/json")
    before = running.memory()
    with running.connect() as connection:
        connection.sendall(200 * GET + 4 * SLOW)
        sender = threading.Thread(target=connection.sendall, args=[15 * large], daemon=True)
        sender.start()
        time.sleep(0.3)
        assert sender.is_alive()
        assert running.memory() - before < 30
        answers = everything(connection)
    assert answers.count(b"200 OK") == 204
    assert answers.count(b"422 Unprocessable") == 15


@pytest.mark.parametrize(
    ("begun", "flood"),
    [
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + b"2\r\n{}\r\n5;", b"a" * 1000),
        (b"", b"\r\n" * 500),
        (GET, b"\r\n" * 500),
    ],
    ids=["trailers", "a chunk's extension", "empty lines first", "empty lines after an answer"],
)
def test_what_is_neither_head_nor_body_is_bounded(running, begun, flood):
    with running.connect() as connection:
        connection.sendall(begun)
        with pytest.raises(ConnectionError):
            drip(connection, 300 * [flood], every=0.001)
    assert running.ask()


def test_what_comes_after_a_body_is_no_header(running):
    body = b"2\r\n{}\r\n0\r\naccept: application/json\r\nx-request-id: late\r\n\r\n"
    with running.connect() as connection:
        connection.sendall(CHUNKED.replace(b"host", b"connection: close\r\nhost") + body)
        answer = everything(connection)
    assert b"image/png" in answer
    assert b"late" not in answer
