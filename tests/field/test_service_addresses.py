"""What lies between the service and its clients: probes, proxies, balancers, browsers, and names of addresses."""

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
from playwright.sync_api import Page, expect

import tracking_store as tracked
from browser import new_browser
from dcgan.commands.serve import serve
from dcgan.service import address
from dcgan.service.address import listen, url_of
from dcgan.service.browsers import require_origins
from dcgan.service.connection import ROOM_FOR_IDLE, Connection, Connections
from dcgan.service.limits import Limits
from dcgan.system.errors import UnavailableError, UsageError
from running_service import SERVE, Running
from service_client import Service
from stripping_proxy import stripping_proxy
from support import ROOT
from tiny_onnx import LATENT_DIM, write_model

PREFIX = "/digits"
ORIGIN = "https://example.org"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}
HAS_IPV6 = Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text() != ""


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that knows the path that a proxy serves it at."""
    folder = tmp_path_factory.mktemp("below")
    model = write_model(folder / "generator.onnx")
    with Running(folder, model, "--root-path", f"{PREFIX}/", "--host", "::" if HAS_IPV6 else "0.0.0.0") as service:
        yield service


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, check=True, timeout=20).stdout.decode()


# Probes


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/metrics", "/openapi.json", "/page/app.js", "/v2", "/v2/health/live", "/v2/health/ready",
     "/v2/models/generator", "/v2/models/generator/ready", "/v2/models/stats"],
)  # fmt: skip
def test_what_can_be_got_can_be_asked_for_its_head(service, path):
    got, head = service.get(path), service.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert head.headers["content-type"] == got.headers["content-type"]


def test_a_head_has_no_body_and_says_how_long_it_would_be_and_is_logged_as_what_it_is(below):
    answer = curl("--head", f"{below.url}/v2/health/live")
    assert answer.startswith("HTTP/1.1 200 OK")
    assert answer.endswith("\r\n\r\n")
    assert f"content-length: {len(below.ask('/v2/health/live', None))}\r\n" in answer
    assert '"method": "HEAD"' in below.out_path.read_text()


def test_a_service_that_drains_says_so_to_a_head_too(service):
    service.app.state.draining = True
    assert service.head("/v2/health/ready").status_code == 503


@pytest.mark.parametrize(("path", "methods"), [("/v1/images", {"POST"}), ("/v2/health/live", {"GET", "HEAD"})])
def test_options_and_refusals_tell_what_can_be_done(service, path, methods):
    other = "GET" if methods == {"POST"} else "POST"
    for answer, status in ((service.options(path), 204), (service.request(other, path), 405)):
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (status, methods)
    assert service.options("/nothing").status_code == 404


def test_the_description_of_the_api_tells_of_each_route_once(service):
    operations = [kind for path in service.get("/openapi.json").json()["paths"].values() for kind in path]
    assert set(operations) == {"get", "post"}


# Bodies that are left out


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}, {"content-type": "text/plain"}])
def test_images_need_no_body_since_every_field_has_a_default(service, headers):
    accepted = {"accept": "application/json"}
    asked = service.post("/v1/images", headers=headers | accepted)
    assert asked.status_code == 200
    assert asked.content == service.post("/v1/images", json={}, headers=accepted).content


def test_curl_with_an_empty_form_gets_the_defaults_too(below, tmp_path):
    curl("--data", "", f"{below.url}/v1/images", "--output", str(tmp_path / "grid.png"))
    assert (tmp_path / "grid.png").read_bytes() == below.ask(body=b"{}", accept="image/png")


def test_a_body_that_is_needed_is_asked_for(service):
    for path in ("/v1/walks", "/v2/models/generator/infer"):
        answer = service.post(path)
        assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (422, "body")
    assert service.post("/v2/repository/index").status_code == 200


# A path in front


def test_a_proxy_may_leave_the_path_on_or_take_it_off(below):
    drawn = below.ask()
    assert below.ask(f"{PREFIX}/v1/images") == drawn
    with stripping_proxy(below.url, PREFIX) as proxy:
        (server,) = json.loads(curl(f"{proxy}/openapi.json"))["servers"]
        assert proxy.endswith(server["url"])
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{below.url}{PREFIX}other/v2") == "404"
    assert curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"{below.url}{PREFIX}") == (
        f"308 {below.url}{PREFIX}/"
    )
    assert below.told("served on CPU at (.*)").group(1).endswith(f":{below.port}{PREFIX}")


def test_keys_and_public_paths_are_the_same_below_a_path(model):
    with Service(model, keys=["one"], root_path=PREFIX) as service:
        for path in ("/", "/v2/health/live", "/page/app.js"):
            assert service.get(PREFIX + path).status_code == 200
        assert service.get(f"{PREFIX}/metrics").status_code == 401
        assert service.get(f"{PREFIX}/v2", headers={"x-api-key": "one"}).status_code == 200
        assert 'route="/v2",status="200"' in service.get("/metrics", headers={"x-api-key": "one"}).text


def test_a_known_path_is_the_base_of_the_pages_addresses_so_that_its_slash_may_be_left_out(model):
    for root_path, base in ((PREFIX, f'<base href="{PREFIX}/">'), ("", None)):
        with Service(model, root_path=root_path) as service:
            for path in ("/", "/docs"):
                found = re.search("<base.*>", service.get(path).text)
                assert (found and found.group()) == base


def test_no_address_of_the_pages_is_absolute():
    for page in (ROOT / "src/dcgan/service/page").iterdir():
        assert re.findall(r"""(?:href=|src=|fetch\(|ask\(|url\()\s*["'`]?/.*""", page.read_text()) == [], page.name


@pytest.mark.parametrize("path", ["digits", "/digits?a", "//digits", "/a b", "https://example.org/digits", "/é"])
def test_a_root_path_that_is_none_is_refused(path):
    with pytest.raises(UsageError, match=f"^--root-path: {re.escape(path)} is no path"):
        serve(root_path=path)


@pytest.fixture
def page() -> Iterator[Page]:
    with new_browser() as browser:
        yield browser.new_page()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opened", "options"), [("/", []), ("", ["--root-path", PREFIX]), ("/", ["--root-path", PREFIX])]
)
def test_the_pages_work_below_a_proxys_path(page, tmp_path, model, opened, options):
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    with Running(tmp_path, model, *options) as running, stripping_proxy(running.url, PREFIX) as proxy:
        page.goto(proxy + opened)
        expect(page.get_by_role("img", name=re.compile("100 handwritten"))).to_be_visible()
        page.wait_for_function(
            "() => document.getElementById('interpolation').getContext('2d').getImageData(0, 0, 1, 1).data[3] === 255"
        )
        page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
        page.get_by_role("button", name="Copy as curl").click()
        expect(page.locator("#status")).to_have_text("Copied.")
        assert f"{proxy}/v1/images " in page.evaluate("() => window.copied")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        page.get_by_role("link", name="API").click()
        expect(page.get_by_role("heading", name="POST /v1/images")).to_be_visible()
        expect(page.locator("pre").first).to_contain_text(f"{proxy}/")
        page.get_by_role("link", name="Back to the page").click()
        expect(page.get_by_role("img", name=re.compile("100 handwritten"))).to_be_visible()
    assert errors == []


# Pages of other origins


@pytest.mark.parametrize("allowed", [ORIGIN, "*"])
def test_an_allowed_page_asks_with_a_key_and_reads_answers_and_refusals(model, allowed):
    with Service(model, keys=["one"], origins=[allowed]) as service:
        asked = service.options("/v1/images", headers=PREFLIGHT)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, allowed)
        assert "POST" in asked.headers["access-control-allow-methods"]
        for header in ("authorization", "content-type", "x-api-key", "inference-header-content-length"):
            assert header in asked.headers["access-control-allow-headers"].lower()
        for key, status in (("one", 200), ("two", 401)):
            answer = service.post("/v1/images", json={}, headers={"origin": ORIGIN, "x-api-key": key})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, allowed)
            assert "X-Model-Sha256" in answer.headers["access-control-expose-headers"]


def test_no_other_page_is_allowed_and_by_default_none(model):
    with Service(model) as service, Service(model, origins=["https://other.org", "http://localhost:3000"]) as choosy:
        for each in (service, choosy):
            for answer in (each.options("/v1/images", headers=PREFLIGHT), each.get("/v2", headers={"origin": ORIGIN})):
                assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://example.org/page", "", "https://*"])
def test_an_origin_that_none_would_match_is_refused(origin):
    with pytest.raises(UsageError, match="--allow-origin: "):
        require_origins([origin])
    require_origins([ORIGIN, "http://localhost:3000", "http://[::1]:80", "*"])


def test_origins_are_set_on_the_command_line(tmp_path, model):
    with pytest.raises(UsageError, match="--allow-origin: "):
        serve(model=str(model), origins=["example.org"])
    with Running(tmp_path, model, "--allow-origin", ORIGIN, "--allow-origin", "https://b.org") as running:
        for origin in (ORIGIN, "https://b.org"):
            answer = curl("-i", "-H", f"origin: {origin}", f"{running.url}/v2")
            assert f"access-control-allow-origin: {origin}\r\n" in answer


# Names of addresses


@contextlib.contextmanager
def listening(host: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(each) for each in listen(host, 0)]


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_all_of_ipv6_is_all_of_ipv4_too_and_each_client_has_the_address_it_is_known_by(below):
    for host in ("127.0.0.1", "::1"):
        connection = http.client.HTTPConnection(host, below.port, timeout=20)
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        connection.close()
    clients = {json.loads(line)["client"] for line in below.out_path.read_text().splitlines()}
    assert {"127.0.0.1", "::1"} <= clients
    assert f"at http://[::]:{below.port}{PREFIX}" in below.err_path.read_text()


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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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
