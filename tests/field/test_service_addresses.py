"""What lies between the service and its clients: probes, proxies, and browsers; and bodies that are left out."""

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from browser import new_browser
from dcgan.commands.serve import serve
from dcgan.service.browsers import require_origins
from dcgan.system.errors import UsageError
from running_service import Running
from service_client import Service
from stripping_proxy import stripping_proxy
from support import ROOT
from tiny_onnx import write_model

PREFIX = "/digits"
ORIGIN = "https://example.org"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that knows the path that a proxy serves it at."""
    folder = tmp_path_factory.mktemp("below")
    model = write_model(folder / "generator.onnx")
    with Running(folder, model, "--root-path", f"{PREFIX}/") as service:
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


def answered(connection: socket.socket) -> http.client.HTTPResponse:
    """The next answer on a connection, read to its end."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response


def test_a_refused_request_whose_body_comes_later_leaves_its_connection_as_it_was(tmp_path, model):
    """A balancer that uses the connection again would take an answer that nobody asked for as the next one."""
    head = b"POST /v1/images HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n"
    with (
        Running(tmp_path, model, "--limit", "request_seconds=1") as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection,
    ):
        connection.sendall(head)
        time.sleep(0.2)
        connection.sendall(b"{}")
        assert answered(connection).status == 415
        time.sleep(2)
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answered(connection).status == 200
        connection.sendall(head)
        refused = answered(connection)
        assert (refused.status, refused.headers["connection"]) == (415, "close")


def test_a_path_that_the_router_takes_is_taken_by_all(service):
    assert service.post("/v2/models/generator/infer%0A", content=b"{}").status_code in {404, 422}


# A path in front


def test_a_proxy_may_leave_the_path_on_or_take_it_off(below):
    drawn = below.ask()
    assert below.ask(f"{PREFIX}/v1/images") == drawn
    with stripping_proxy(below.url, PREFIX) as proxy:
        (server,) = json.loads(curl(f"{proxy}/openapi.json"))["servers"]
        assert proxy.endswith(server["url"])
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{below.url}{PREFIX}other/v2") == "404"
    assert "x-request-id" in curl("-I", f"{below.url}{PREFIX}?a=b").lower()
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{below.url}{PREFIX}?a=b") == "200"
    assert below.told("served on CPU at (.*)").group(1).endswith(f":{below.port}{PREFIX}")


def test_keys_and_public_paths_are_the_same_below_a_path(model):
    with Service(model, keys=["one"], root_path=PREFIX) as service:
        for path in ("/", "/v2/health/live", "/page/app.js"):
            assert service.get(PREFIX + path).status_code == 200
        assert service.get(f"{PREFIX}/metrics").status_code == 401
        assert service.get(f"{PREFIX}/v2", headers={"x-api-key": "one"}).status_code == 200
        assert 'route="/v2",status="200"' in service.get("/metrics", headers={"x-api-key": "one"}).text


@pytest.mark.parametrize("path", ["/v1", "/v2/models", "/docs", "/metrics", "/.", "/a/../b"])
def test_a_path_in_front_is_none_of_the_services_own(path):
    with pytest.raises(UsageError, match="--root-path"):
        serve(root_path=path)


def test_a_slash_at_the_end_changes_nothing(model):
    """Without a redirect, whose address behind a proxy would be wrong."""
    with Service(model, keys=["one"], root_path=PREFIX) as service:
        assert service.get("/v2/health/live/").status_code == 200  # without a key
        for path in ("/v2/", "/metrics/", f"{PREFIX}/v2/models/generator/"):
            assert service.get(path, headers={"x-api-key": "one"}).status_code == 200
        assert service.post("/v1/images/", headers={"x-api-key": "one"}).status_code == 200


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
    with pytest.raises(UsageError, match=f"^--root-path: {re.escape(path)} cannot be the path"):
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


@pytest.mark.parametrize(
    "origin",
    [
        "example.org",
        "https://example.org/",
        "https://example.org/page",
        "",
        "https://*",
        "http://[::1]:80",
        "https://example.org:443",
    ],
)
def test_an_origin_that_none_would_match_is_refused(origin):
    with pytest.raises(UsageError, match="--allow-origin: "):
        require_origins([origin])
    require_origins([ORIGIN, "http://localhost:3000", "http://[::1]:8080", "*"])


def test_origins_are_set_on_the_command_line(tmp_path, model):
    with pytest.raises(UsageError, match="--allow-origin: "):
        serve(model=str(model), origins=["example.org"])
    with Running(tmp_path, model, "--allow-origin", ORIGIN, "--allow-origin", "https://b.org") as running:
        for origin in (ORIGIN, "https://b.org"):
            answer = curl("-i", "-H", f"origin: {origin}", f"{running.url}/v2")
            assert f"access-control-allow-origin: {origin}\r\n" in answer
