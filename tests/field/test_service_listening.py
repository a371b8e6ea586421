"""Where the service listens, how long its connections wait, and MLflow's own server beside it."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import tracking_store as tracked
from dcgan.service import address
from dcgan.service.address import listen, url_of
from dcgan.service.connection import ROOM_FOR_IDLE, Connection, Connections
from dcgan.service.limits import Limits
from dcgan.system.errors import UnavailableError, UsageError
from running_service import SERVE, Running
from support import ROOT, free_port
from tiny_onnx import LATENT_DIM

HAS_IPV6 = Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text() != ""


# Names of addresses


@contextlib.contextmanager
def listening(host: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(each) for each in listen(host, 0)]


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_all_of_ipv6_is_all_of_ipv4_too_and_each_client_has_the_address_it_is_known_by(tmp_path, model):
    with Running(tmp_path, model, "--host", "::") as running:
        for host in ("127.0.0.1", "::1"):
            connection = http.client.HTTPConnection(host, running.port, timeout=20)
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200
            connection.close()
        assert running.end() == 0
        clients = [json.loads(line)["client"] for line in running.out_path.read_text().splitlines()]
        assert clients == ["127.0.0.1", "::1"]
        assert running.err_path.read_text().endswith(f" at http://[::]:{running.port}\n")


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_may_have_the_brackets_that_urls_give_it(host):
    with listening(host) as (only,):
        assert only.getsockname()[0] == "::1"
        with pytest.raises(UnavailableError, match=re.escape(f"[::1]:{only.getsockname()[1]}: is in use; choose")):
            listen(host, only.getsockname()[1])


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_a_port_that_one_version_has_in_use_leaves_nothing_open_in_the_other():
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"0\.0\.0\.0:{port}: is in use"):
            listen("::", port)
        socket.create_server(("::", port), family=socket.AF_INET6).close()


def test_urls_are_as_clients_write_them():
    assert [url_of(host, 80) for host in ("127.0.0.1", "localhost", "::", "[::1]", "fe80::1%eth0")] == [
        "http://127.0.0.1:80", "http://localhost:80", "http://[::]:80", "http://[::1]:80", "http://[fe80::1%eth0]:80",
    ]  # fmt: skip


def test_a_name_listens_by_ipv4_if_it_points_there_too(monkeypatch):
    found = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(address.socket, "getaddrinfo", Mock(return_value=found))
    with listening("localhost") as (only,):
        assert only.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure"),
    ],
)
def test_a_name_that_does_not_resolve_is_told_in_words(monkeypatch, error, told):
    monkeypatch.setattr(address.socket, "getaddrinfo", Mock(side_effect=error))
    with pytest.raises(UnavailableError, match=rf"^nowhere\.invalid:80: cannot be used \({told}.*\); choose another"):
        listen("nowhere.invalid", 80)


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "\udcff", "192.0.2.1"])
def test_a_host_that_is_none_of_this_machines_is_refused_in_words(host):
    with pytest.raises(UnavailableError, match=r"cannot be used \([A-Za-z' ]+\); choose another") as refusal:
        listen(host, 0)
    assert "Errno" not in str(refusal.value)


def test_no_host_is_not_every_host():
    with pytest.raises(UsageError, match="--host: empty"):
        listen("", 0)


def test_a_name_that_does_not_resolve_is_69_and_one_line(model):
    command = [*SERVE, "--model", str(model), "--port", "0", "--host", "nowhere.invalid"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "nowhere.invalid:0: cannot be used (" in done.stderr
    assert "Unknown error" not in done.stderr


# Connections that wait


BALANCERS_KEEP_SECONDS = 60
"""AWS's application load balancer and nginx keep an idle connection to a server so long."""


def test_by_default_connections_outlive_those_of_common_balancers_as_documented():
    idle_seconds = Limits().idle_seconds
    assert idle_seconds > BALANCERS_KEEP_SECONDS
    assert f"| `idle_seconds` | {idle_seconds:g} |" in (ROOT / "docs/service.md").read_text()


@pytest.mark.slow
def test_a_balancers_connection_is_still_there_after_its_idle_time(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.connect()
    first = connection.sock
    for pause in (0, BALANCERS_KEEP_SECONDS, 0):
        time.sleep(pause)
        connection.request("POST", "/v1/images", b"{}", {"content-type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        assert connection.sock is first, "closed meanwhile"
    connection.close()


def test_idle_connections_make_room_for_new_ones(tmp_path, model):
    with Running(tmp_path, model, "--limit", "max_connections=8") as running, contextlib.ExitStack() as stack:
        kept = []
        for _ in range(12):
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            stack.callback(connection.close)
            connection.request("GET", "/v2/models/generator")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
            kept.append(connection.sock)
        running.await_connections(6)
        kept[0].settimeout(20)
        assert kept[0].recv(1) == b"", "the longest idle was closed"


def test_only_idle_connections_make_room_and_the_longest_idle_first():
    now = [0.0]
    connections = Connections(request_seconds=10, most=3 / ROOM_FOR_IDLE, now=lambda: now[0])

    def new() -> Connection:
        connection = Connection(connections, asyncio.Protocol())
        connection.connection_made(Mock(spec=asyncio.Transport))
        return connection

    def answer(connection: Connection) -> None:
        async def app(_scope: object, _receive: object, _send: object) -> None:
            now[0] += 1

        asyncio.run(connection.run(app, {"type": "http"}, None, None))

    def closed() -> list[bool]:
        return [each.transport.close.called for each in (silent, first, second, sending)]

    silent, first, second = new(), new(), new()
    for connection in (second, first, second):
        answer(connection)
    sending = new()
    assert closed() == [False, True, False, False], "the first was answered before the second"
    first.connection_lost(None)
    second.data_received(b"GET")
    new()
    assert closed() == [False, True, False, False], "what sends a request is not idle"


# Documented commands


@pytest.mark.slow
def test_mlflows_own_server_is_started_as_documented(tracked_workspace):
    tracked.write_exported_model()
    runpy.run_path(str(ROOT / "pipeline/register.py"))["main"]()
    documented = re.search(r"`(mlflow models serve[^`]*)`", (ROOT / "docs/service.md").read_text()).group(1)
    command = " ".join(documented.split()).replace("dcgan-generator", "tiny-generator")
    port = free_port()
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}  # no pyenv
    server = subprocess.Popen([*command.split(), "--port", str(port)], env=environment, start_new_session=True)
    try:
        body = json.dumps({"inputs": {"latents": [[0.0] * LATENT_DIM], "labels": [3]}})
        arguments = [
            "--retry",
            "60",
            "--retry-delay",
            "1",
            "--retry-all-errors",
            "-H",
            "content-type: application/json",
        ]
        command = ["curl", "-sS", *arguments, "-d", body, f"http://127.0.0.1:{port}/invocations"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert np.shape(json.loads(done.stdout)["predictions"]["pixels"]) == (1, 28, 28)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
