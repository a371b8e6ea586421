"""`dcgan serve` as a process: its start, its signals, and clients that do not behave."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from running_service import IMAGES, SERVE, Running
from tiny_onnx import build_model, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def service(tmp_path: Path, model: Path) -> Iterator[Running]:
    running = Running(tmp_path, model)
    yield running
    running.process.kill()
    running.process.wait()


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def refused(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, timeout=60, env=os.environ | environment, check=False
    )


# Start


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "missing; run `dvc repro export`"), (b"", "empty"), (b"\x08\x08junk", "ONNX"), ("half", "truncated")],
)
def test_a_model_that_is_no_generator_ends_the_start_with_65_and_one_line(model, content, told):
    if content is None:
        model.unlink()
    else:
        model.write_bytes(model.read_bytes()[:3000] if content == "half" else content)
    done = refused("--model", str(model), "--port", "0")
    assert done.returncode == 65
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {model}: ")
    assert told in done.stderr


def test_a_port_in_use_is_69_and_one_out_of_range_64(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused("--model", str(model), "--port", str(port))
    assert done.returncode == 69
    assert f"127.0.0.1:{port}: cannot be listened on (Address already in use)" in done.stderr
    assert refused("--model", str(model), "--port", "65536").returncode == 64


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("max_image=5", "--limit max_image=5: unknown; did you mean max_images? There are max_body_bytes"),
        ("max_images", "--limit max_images: expected a whole number above 0"),
        ("max_images=2.5", "expected a whole number above 0"),
        ("max_images=0", "expected a whole number above 0"),
        ("request_seconds=nan", "expected a number above 0"),
    ],
)
def test_a_limit_that_is_none_is_64(model, setting, told):
    done = refused("--model", str(model), "--limit", setting)
    assert done.returncode == 64
    assert told in done.stderr


def test_keys_come_from_the_environment(tmp_path, model):
    running = Running(tmp_path, model, DCGAN_API_KEYS="first, second")
    try:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            running.ask()
        assert running.ask("/v2/health/ready", None)
    finally:
        running.end()
    assert "second" not in running.out_path.read_text() + running.err_path.read_text()


# Signals


def test_sigterm_answers_what_is_in_work_and_ends_with_0(service):
    answers, failures = [], []

    def client() -> None:
        body = b'{"count": 400}'
        try:
            while True:
                answers.append(len(service.ask(body=body)))
        except (urllib.error.URLError, ConnectionError) as error:
            failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(8)]
    for each in clients:
        each.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert service.end() == 0
    assert time.monotonic() - started < 15
    for each in clients:
        each.join(20)
    log = [json.loads(line) for line in service.out_path.read_text().splitlines()]
    assert len(answers) >= 8
    assert set(answers) == {400 * 784 + 128}
    assert [line["status"] for line in log] == [200] * len(log)
    assert len(log) == len(answers)  # what was begun was answered whole; the rest was refused at the door


def test_sighup_takes_the_new_model_and_no_request_fails(service, model):
    before = service.ask()
    stop, seen = threading.Event(), []

    def client() -> None:
        while not stop.is_set():
            seen.append(service.ask())

    thread = threading.Thread(target=client)
    thread.start()
    weight = np.random.default_rng(9).normal(size=(4, 784)).astype(np.float32)
    write_model(model, build_model(weight=weight))
    service.process.send_signal(signal.SIGHUP)
    service.told("reloaded: sha256")
    after = service.ask()
    stop.set()
    thread.join(20)
    assert after != before
    assert set(seen) <= {before, after}
    model.write_bytes(b"no model")
    service.process.send_signal(signal.SIGHUP)
    service.told("reload refused, the model stays")
    assert service.ask() == after
    assert service.end() == 0


# Clients that do not behave


@pytest.fixture
def hasty(tmp_path: Path, model: Path) -> Iterator[Running]:
    """A service that loses its patience after a second."""
    running = Running(tmp_path, model, "--limit", "request_seconds=1", "--limit", "idle_seconds=1")
    yield running
    running.process.kill()
    running.process.wait()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b"408"),
        (b"POST /v1/images HTT", b"408"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", b"408"),
        (b"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{", b"408"),
        (b"POST /v1/images HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{", b"408"),
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
def test_a_client_that_sends_too_slowly_is_cut_off(hasty, sent, answered):
    with hasty.connect() as connection:
        started = time.monotonic()
        connection.sendall(sent)
        answer = everything(connection)
    assert 0.9 < time.monotonic() - started < 6
    assert answer.split()[1] == answered
    assert hasty.ask()


def test_a_client_that_drips_its_head_is_cut_off(hasty):
    with hasty.connect() as connection, contextlib.suppress(ConnectionError):
        started = time.monotonic()
        for byte in b"GET /" + b"a" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)
    assert time.monotonic() - started < 6


def test_a_client_that_does_not_read_is_cut_off(hasty):
    body = b'{"count": 1000}'
    head = f"POST /v1/images HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-length: {len(body)}\r\n"
    with hasty.connect() as connection:
        connection.sendall(10 * (head.encode() + b"content-type: application/json\r\n\r\n" + body))
        hasty.await_connections(1)
        hasty.await_connections(0)
        assert len(everything(connection)) < 10 * 2_000_000  # some, not all
    assert hasty.ask()


def test_two_hundred_slow_clients_hold_up_nobody_and_are_gone_soon(hasty):
    hasty.ask()
    beginnings = [b"", b"GET /", b"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
    with contextlib.ExitStack() as held:
        for index in range(200):
            held.enter_context(hasty.connect()).sendall(beginnings[index % 3])
        started = time.monotonic()
        assert hasty.ask()
        assert time.monotonic() - started < 1
        hasty.await_connections(0, seconds=10)
    assert hasty.end() == 0


def test_a_body_that_comes_with_its_head_is_not_taken_for_one(service):
    assert service.ask(body=IMAGES + b" " * 1_000_000) == service.ask()


def test_an_idle_connection_is_closed(hasty):
    with hasty.connect() as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        started = time.monotonic()
        assert b"200 OK" in everything(connection)
    assert 0.9 < time.monotonic() - started < 6


def test_bodies_without_end_cost_no_memory(service):
    service.ask()
    before = service.memory()
    sent = 0
    with service.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(b"POST /v1/images HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(300):
            connection.sendall(b"100000\r\n" + b" " * 2**20 + b"\r\n")
            sent += 1
    with service.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(f"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: {300 * 2**20}\r\n\r\n".encode())
        for _ in range(300):
            connection.sendall(b" " * 2**20)
    assert service.memory() - before < 50
    assert service.ask()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/images HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /page/../../../files.py HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ],
)
def test_what_is_no_good_request_gets_4xx_or_no_answer(service, sent):
    with service.connect() as connection:
        with contextlib.suppress(ConnectionError):  # it hangs up on what is too long
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert answer == b"" or answer.split()[1][:1] == b"4", answer[:200]
    assert service.ask()
