"""What bounds a request, who may ask, and what is told about it."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError
from service_client import LIMITS, HeldDrawing, Service
from tiny_onnx import build_model, write_model


def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(service):
    for content in (b" " * 50_001, (b" " * 10_000 for _ in range(6))):
        assert service.post("/v1/images", content=content).status_code == 413


def test_more_than_the_service_can_buffer_is_429_and_leaves_nothing_behind(model):
    with Service(model, limits=LIMITS.model_copy(update={"max_buffered_bytes": 100})) as service:
        for size, status in ((101, 429), (99, 422), (101, 429), (99, 422)):
            answer = service.post("/v1/images", content=b" " * size)
            assert (answer.status_code, "retry-after" in answer.headers) == (status, status == 429)


def test_an_overload_is_seen_not_suffered_by_who_watches(model, monkeypatch):
    held = HeldDrawing(monkeypatch)
    with Service(model, limits=LIMITS.model_copy(update={"max_requests": 1})) as service:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(service.images, count=1)
            held.await_begin()
            answers = {path: service.get(path).status_code for path in ("/v2/health/live", "/metrics", "/", "/v2")}
            held.release()
        assert answers == {"/v2/health/live": 200, "/metrics": 200, "/": 200, "/v2": 429}
        assert (first.result().status_code, service.get("/v2").status_code) == (200, 200)


@pytest.mark.parametrize(
    ("unread_before", "unread_after", "status", "drawn"),
    [(0, 0, 200, 1), (10**6, 10**6 + 1, 429, 1), (10**6 + 1, 0, 429, 0)],
    ids=["room", "room until it was drawn", "no room"],
)
def test_an_answer_that_has_no_room_beside_unread_ones_is_429(model, unread_before, unread_after, status, drawn):
    unread = iter([unread_before, unread_after])
    with Service(
        model, unread=lambda: next(unread), limits=LIMITS.model_copy(update={"max_unread_bytes": 10**6})
    ) as service:
        answer = service.images(count=1)
        assert (answer.status_code, service.get("/v2/health/live").status_code) == (status, 200)
        assert f"dcgan_batch_images_count {drawn}.0" in service.get("/metrics").text


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("x-none", "", 200),
        ("content-type", "Application/JSON; charset=utf-8", 200),
        ("content-type", "application/vnd.kserve+json", 200),
        ("content-type", "application/x-www-form-urlencoded", 415),
        ("content-type", "text/plain", 415),
        ("content-type", "application/jsonp", 415),
        ("content-encoding", "gzip", 415),
    ],
)
def test_a_body_is_json_unless_it_says_otherwise(service, name, value, status):
    answer = service.post("/v1/images", content=b'{"count": 1}', headers={name: value})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"].startswith(f"{name}: ")


def test_what_does_not_exist_is_told_in_json(service):
    assert service.get("/nothing").json() == {"error": "Not Found"}
    answer = service.get("/v1/images")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer three"}, {"authorization": "Basic two"}, {"x-api-key": ""}]
)
def test_without_one_of_the_keys_only_the_page_and_health_answer(model, header, caplog):
    caplog.set_level(logging.INFO)
    with Service(model, keys=["one", "two"]) as service:
        for method, path in (("POST", "/v1/images"), ("GET", "/metrics"), ("GET", "/v2/models/generator")):
            answer = service.request(method, path, headers=header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for path in ("/", "/page/app.js", "/v2/health/live", "/v2/health/ready"):
            assert service.get(path, headers=header).status_code == 200
        assert service.post("/v1/images", headers={"authorization": "Bearer two"}, json={}).status_code == 200
        told = service.get("/metrics", headers={"x-api-key": "one"}).text
    for route in ('"POST",route="/v1/images"', '"GET",route="/metrics"', '"GET",route="/v2/models/{name}"'):
        assert f'dcgan_requests_total{{method={route},status="401"}} 1.0' in told
    assert "three" not in caplog.text


def test_every_request_has_an_id_and_a_line_of_json_in_the_log(service, caplog):
    caplog.set_level(logging.INFO, logger="dcgan.access")
    given = service.get("/v2/health/live", headers={"x-request-id": "mine-1"})
    made = service.get("/v2/health/live?key=secret", headers={"x-request-id": "not; good"})
    assert given.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32
    first, second = (json.loads(record.message) for record in caplog.records if record.name == "dcgan.access")
    expected = {"request_id": "mine-1", "method": "GET", "path": "/v2/health/live", "status": 200}
    assert expected.items() <= first.items()
    assert first["bytes"] == len(given.content)
    assert first["ms"] > 0
    assert "secret" not in json.dumps(second)


def test_prometheus_sees_requests_batches_and_refusals(service):
    service.images(count=70)
    service.images(count=-1)
    service.request("BREW", "/nothing")
    told = service.get("/metrics").text
    assert 'dcgan_requests_total{method="POST",route="/v1/images",status="200"} 1.0' in told
    assert 'dcgan_requests_total{method="POST",route="/v1/images",status="422"} 1.0' in told
    assert 'dcgan_requests_total{method="other",route="unmatched",status="404"} 1.0' in told
    assert "dcgan_batch_images_sum 70.0" in told
    assert "dcgan_batch_images_count 2.0" in told
    assert "dcgan_queued_images 0.0" in told
    assert 'dcgan_request_seconds_count{route="/v1/images"} 2.0' in told


@pytest.mark.parametrize("error", [ZeroDivisionError("division"), BadDataError("models/generator.onnx: failed")])
def test_a_failure_of_ours_is_500_whose_insides_are_told_to_the_log_alone(service, monkeypatch, caplog, error):
    monkeypatch.setattr(Generator, "draw_batch", Mock(side_effect=error))
    answer = service.images(count=1)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["error"]
    assert str(error) not in answer.text
    assert f"{type(error).__name__}: {error}" in caplog.text
    assert 'route="/v1/images",status="500"' in service.get("/metrics").text


def test_pages_carry_headers_for_browsers(service):
    for path in ("/", "/docs", "/page/style.css"):
        answer = service.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


# Reload


def test_a_reload_takes_the_new_model_and_one_that_fails_changes_nothing(service, model, monkeypatch, caplog):
    first, content = service.generator, model.read_bytes()
    model.write_bytes(content[: len(content) // 2])
    asyncio.run(service.served.reload())
    assert service.generator is first
    write_model(model, build_model(dataset="other"))
    asyncio.run(service.served.reload())
    new = service.generator
    assert new.info.metadata["dataset"] == "other"
    monkeypatch.setattr(Generator, "load", lambda *_arguments, **_options: 1 / 0)
    asyncio.run(service.served.reload())
    assert service.generator is new
    assert "ZeroDivisionError" in caplog.text
    told = service.get("/metrics").text
    assert 'dcgan_reloads_total{outcome="refused"} 2.0' in told
    assert 'dcgan_reloads_total{outcome="done"} 1.0' in told
