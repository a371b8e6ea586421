"""The HTTP application, in this process."""

import asyncio
import dataclasses
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from dcgan.errors import BadDataError
from dcgan.inference.generator import Generator
from dcgan.inference.service.app import Readiness, build_app
from dcgan.inference.service.limits import Limits
from dcgan.inference.service.metrics import Metrics
from dcgan.inference.service.middleware import Guarded
from dcgan.inference.service.model import ServedModel
from tiny_onnx import LATENT_DIM, build_model, write_model

LIMITS = Limits(max_body_bytes=50_000, max_images=100)


class Service(TestClient):
    """A client of an application, with the application's parts."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.readiness, self.metrics = Readiness(), Metrics()
        self.served = ServedModel(lambda: Generator.load(path, providers="cpu"), LIMITS, self.metrics, threads=2)
        app = build_app(self.served, limits=LIMITS, metrics=self.metrics, readiness=self.readiness, **options)
        super().__init__(app, raise_server_exceptions=False)

    @property
    def generator(self) -> Generator:
        return self.served.generator

    def images(self, accept: str = "*/*", **request: Any) -> Any:
        return self.post("/v1/images", json=request, headers={"accept": accept})

    def infer(self, **request: Any) -> Any:
        return self.post("/v2/models/generator/infer", json=request)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def service(model: Path) -> Iterator[Service]:
    with Service(model) as client:
        yield client


def tensor(name: str, datatype: str, values: Any, shape: list[int] | None = None) -> dict[str, Any]:
    array = np.asarray(values)
    return {"name": name, "datatype": datatype, "shape": shape or list(array.shape), "data": array.ravel().tolist()}


def inputs(count: int = 3, **changes: dict[str, Any]) -> list[dict[str, Any]]:
    latents = np.random.default_rng(0).normal(size=(count, LATENT_DIM))
    both = {"latents": tensor("latents", "FP32", latents), "labels": tensor("labels", "INT64", np.arange(count))}
    return [each | changes.get(name, {}) for name, each in both.items()]


# Digits


def test_a_png_grid_is_the_default_and_the_bytes_of_dcgan_generate(service, tmp_path):
    from dcgan.inference.samples_file import Samples, writer_for

    answer = service.images(count=20, seed=3, digits=[1, 7], truncation=0.5)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    generator = service.generator
    with (tmp_path / "out.png").open("wb") as file:
        pixels = generator.sample(20, seed=3, digits=[1, 7], truncation=0.5)
        labels = generator.labels_for(20, digits=[1, 7])
        sha256 = generator.info.sha256
        writer_for(Path("out.png"))(
            file, Samples(pixels=pixels, labels=labels, seed=3, truncation=0.5, model_sha256=sha256)
        )
    assert answer.content == (tmp_path / "out.png").read_bytes()
    assert answer.headers["x-model-sha256"] == sha256


def test_an_empty_request_draws_64_digits_in_turn(service):
    answer = service.images("application/json").json()
    assert answer["labels"] == [i % 10 for i in range(64)]
    assert (answer["seed"], answer["truncation"]) == (0, 1.0)


def test_every_format_holds_the_same_digits(service):
    expected = service.generator.sample(12, digits=5, seed=9)
    asked = {"count": 12, "digits": 5, "seed": 9}
    array = np.load(io.BytesIO(service.images("application/x-npy", **asked).content))
    listed = np.array(service.images("application/json", **asked).json()["images"], np.uint8)
    with zipfile.ZipFile(io.BytesIO(service.images("application/zip", **asked).content)) as archive:
        names = archive.namelist()
        unpacked = np.stack([np.asarray(Image.open(archive.open(name))) for name in names])
    assert names[0] == "0000_5.png"
    for found in (array, listed, unpacked):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("text/html, application/json", "application/json"),
        ("image/png;q=0.2, application/zip;q=0.9", "application/zip"),
        ("application/json;q=0, image/png;q=0.1", "image/png"),
        ("application/json;q=nan, APPLICATION/X-NPY", "application/x-npy"),
    ],
)
def test_accept_decides_the_format(service, accept, answered):
    assert service.images(accept, count=1).headers["content-type"] == answered


def test_a_format_that_is_not_there_is_406(service):
    answer = service.images("text/html", count=1)
    assert answer.status_code == 406
    assert "choose from image/png, application/zip, application/x-npy, application/json" in answer.json()["error"]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"count": 0}, "count: Input should be greater than or equal to 1"),
        ({"count": -1}, "count: Input should be"),
        ({"count": 10**9}, "count: 1000000000 is more than the 100 that one request may ask for"),
        ({"count": 10**30}, "count: "),
        ({"count": "5"}, "count: Input should be a valid integer"),
        ({"count": True}, "count: Input should be a valid integer"),
        ({"count": 2.5}, "count: Input should be a valid integer"),
        ({"digits": 10}, "digits"),
        ({"digits": [1, -1]}, "digits"),
        ({"digits": []}, "digits"),
        ({"digits": "3"}, "digits"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**63}, "seed: Input should be less than or equal to 9223372036854775807"),
        ({"truncation": 0}, "truncation: Input should be greater than 0"),
        ({"truncation": 1.5}, "truncation: Input should be less than or equal to 1"),
        ({"cuont": 5}, "cuont: Extra inputs are not permitted"),
    ],
)
def test_what_is_out_of_range_or_unknown_is_422_with_its_name(service, request_, told):
    answer = service.images(**request_)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(told)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '{"count": NaN}',
        '{"truncation": Infinity}',
        '{"truncation": 1e999}',
        "[" * 20_000,
        "\xff\x00",
    ],
)
def test_a_body_that_is_no_such_object_is_422(service, body):
    headers = {"content-type": "application/json"}
    answer = service.post("/v1/images", content=body.encode("latin-1"), headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_an_unconditional_model_takes_no_digits(tmp_path):
    with Service(write_model(tmp_path / "any.onnx", build_model(conditional=False))) as service:
        assert service.images("application/json", count=2).json()["labels"] is None
        assert "unconditional" in service.images(digits=3).json()["error"]
        assert service.post("/v1/walks", json={"from_seed": 1, "to_seed": 2}).status_code == 200
        asked = {"inputs": inputs()[:1]}
        assert len(service.infer(**asked).json()["outputs"]) == 2


def test_a_walk_begins_and_ends_at_its_seeds(service):
    asked = {"from_seed": 4, "to_seed": 5, "steps": 7, "digit": 3}
    walked = service.post("/v1/walks", json=asked, headers={"accept": "application/x-npy"})
    pixels = np.load(io.BytesIO(walked.content))
    generator = service.generator
    assert np.array_equal(pixels, generator.interpolate(4, 5, steps=7, digit=3))
    ends = [generator.sample(1, digits=3, seed=seed)[0].astype(int) for seed in (4, 5)]
    assert all(np.abs(pixels[at] - end).max() <= 1 for at, end in zip((0, -1), ends, strict=True))
    assert not np.array_equal(pixels[3], pixels[0])
    assert service.post("/v1/walks", json=asked | {"steps": 1}).status_code == 422
    assert service.post("/v1/walks", json=asked | {"steps": 101}).status_code == 422


# Open Inference Protocol


def test_the_server_and_its_model_describe_themselves(service):
    assert service.get("/v2").json()["name"] == "dcgan-mnist"
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    assert service.get("/v2/models/generator/ready").json() == {"name": "generator", "ready": True}
    described = service.get("/v2/models/generator").json()
    assert described == service.get("/v2/models/generator/versions/1").json()
    assert described["inputs"] == [
        {"name": "latents", "datatype": "FP32", "shape": [-1, LATENT_DIM]},
        {"name": "labels", "datatype": "INT64", "shape": [-1]},
    ]
    assert described["outputs"] == [
        {"name": "images", "datatype": "FP32", "shape": [-1, 1, 28, 28]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28]},
    ]


def test_a_service_that_drains_is_alive_and_not_ready(service):
    service.readiness.draining = True
    assert service.get("/v2/health/live").status_code == 200
    answer = service.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/generator/versions/2", "/v2/models/other/ready"])
def test_another_model_is_unknown(service, path):
    assert service.get(path).status_code == 404


@pytest.mark.parametrize("nested", [False, True])
def test_infer_draws_from_the_clients_own_latents(service, nested):
    given = inputs()
    if nested:
        given[0]["data"] = np.reshape(given[0]["data"], given[0]["shape"]).tolist()
    answer = service.infer(id="a-1", inputs=given, outputs=[{"name": "pixels"}]).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("generator", "1", "a-1")
    (output,) = answer["outputs"]
    latents = np.reshape(inputs()[0]["data"], (3, LATENT_DIM)).astype(np.float32)
    expected = service.generator.draw(latents, np.arange(3))
    assert (output["datatype"], output["shape"]) == ("UINT8", [3, 28, 28])
    assert np.array_equal(np.reshape(output["data"], output["shape"]), expected)


def test_infer_answers_with_all_outputs_where_none_is_named(service):
    outputs = service.infer(inputs=inputs()).json()["outputs"]
    assert [each["name"] for each in outputs] == ["images", "pixels"]
    images, pixels = (np.reshape(each["data"], each["shape"]) for each in outputs)
    assert np.abs((images[:, 0] + 1) * 127.5 - pixels).max() <= 0.51


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"latents": {"name": "noise"}}, 400, "inputs: found noise, labels; expected latents, labels, each once"),
        ({"labels": {"name": "latents"}}, 400, "inputs: found latents, latents"),
        ({"latents": {"datatype": "FP64"}}, 400, "latents: datatype FP64 is wrong; expected FP32"),
        ({"labels": {"datatype": "INT32"}}, 400, "labels: datatype INT32 is wrong; expected INT64"),
        ({"latents": {"shape": [3, 5]}}, 422, "latents: shape [3, 5] is wrong; expected [3, 4]"),
        ({"latents": {"shape": []}}, 422, "latents: shape [] has no rows"),
        ({"latents": {"shape": [0, 4]}}, 422, "latents: shape [0, 4] has no rows"),
        ({"latents": {"shape": [-1, 4]}}, 422, "latents: shape [-1, 4] has no rows"),
        ({"latents": {"shape": [10**6, 4]}}, 422, "latents: 1000000 is more than the 100"),
        ({"latents": {"data": [0.0] * 11}}, 422, "latents: 11 values in data; shape [3, 4] needs 12"),
        ({"latents": {"data": ["a"] * 12}}, 422, "latents: a value in data is no number"),
        ({"latents": {"data": [None] * 12}}, 422, "latents: a value in data is no number"),
        ({"latents": {"data": [True] * 12}}, 422, "latents: a value in data is no number"),
        ({"latents": {"data": [[[0.0]]] * 12}}, 422, "latents: data is neither flat nor rows"),
        ({"latents": {"data": [1e308] * 12}}, 422, "latents: a value in data is not finite in FP32"),
        ({"latents": {"data": [10**400] * 12}}, 422, "latents: a value in data"),
        ({"labels": {"data": [0, 1, 10]}}, 422, "labels: some are out of range; expected 0 to 9"),
        ({"labels": {"data": [0, 1, -1]}}, 422, "labels: some are out of range"),
        ({"labels": {"data": [0, 1, 2.0]}}, 422, "labels: a value in data is no whole number"),
        ({"labels": {"data": [0, 1, 2**80]}}, 422, "labels: a value in data is too large"),
        ({"labels": {"colour": 1}}, 422, "inputs.1.colour: Extra inputs are not permitted"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name(service, changes, status, told):
    answer = service.infer(inputs=inputs(**changes))
    assert (answer.status_code, answer.json()["error"][: len(told)]) == (status, told)


def test_values_that_are_not_finite_are_refused(service):
    body = json.dumps({"inputs": inputs()}).replace(str(inputs()[0]["data"][0]), "NaN")
    headers = {"content-type": "application/json"}
    answer = service.post("/v2/models/generator/infer", content=body, headers=headers)
    assert answer.status_code == 422


def test_an_output_that_is_not_there_is_refused(service):
    answer = service.infer(inputs=inputs(), outputs=[{"name": "logits"}])
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "outputs: logits is unknown; choose from images, pixels",
    )


# Limits, keys, log and metrics


def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(service):
    headers = {"content-type": "application/json"}
    assert service.post("/v1/images", content=b" " * 50_001, headers=headers).status_code == 413
    chunks = (b" " * 10_000 for _ in range(6))
    assert service.post("/v1/images", content=chunks, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("bound", "refused", "told"),
    [
        ("max_buffered_bytes", 2, "too much is being sent at once"),
        ("max_requests", 1, "1 requests are in work already"),
    ],
)
def test_more_than_the_service_can_hold_is_429_and_leaves_nothing_behind(bound, refused, told):
    refusals, scope = [], {"type": "http", "path": "/v1/images", "headers": []}

    async def play() -> None:
        release = asyncio.Event()

        async def work(_scope, _receive, _send) -> None:
            await release.wait()

        def answer(error):
            async def respond(_scope, _receive, _send) -> None:
                refusals.append(error)

            return respond

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{ }", "more_body": False}

        guarded = Guarded(work, limits=dataclasses.replace(LIMITS, **{bound: 1}), keys=(), answer=answer)
        first = asyncio.get_running_loop().create_task(guarded(scope, receive, None))
        await asyncio.sleep(0.01)
        await guarded(scope, receive, None)
        release.set()
        await first
        assert (guarded._buffered, guarded._in_work) == (0, 0)

    asyncio.run(play())
    assert [error.status for error in refusals] == [429] * refused
    assert told in refusals[-1].message


def test_a_compressed_body_is_not_taken(service):
    answer = service.post("/v1/images", content=b"bomb", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_what_does_not_exist_is_told_in_json(service):
    assert service.get("/nothing").json() == {"error": "Not Found"}
    answer = service.get("/v1/images")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("header", [{"authorization": "Bearer two"}, {"x-api-key": "one"}])
def test_one_of_the_keys_lets_in(model, header):
    with Service(model, keys=["one", "two"]) as service:
        assert service.post("/v1/images", json={"count": 1}, headers=header).status_code == 200


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer three"}, {"authorization": "Basic two"}, {"x-api-key": ""}]
)
def test_without_a_key_only_the_page_and_health_answer(model, header, caplog):
    caplog.set_level(logging.INFO)
    with Service(model, keys=["one", "two"]) as service:
        for method, path in (("POST", "/v1/images"), ("GET", "/metrics"), ("GET", "/v2/models/generator")):
            answer = service.request(method, path, headers=header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for path in ("/", "/page/app.js", "/v2/health/live", "/v2/health/ready"):
            assert service.get(path, headers=header).status_code == 200
    assert "three" not in caplog.text


def test_every_request_has_an_id_and_a_line_of_json_in_the_log(service, caplog):
    caplog.set_level(logging.INFO, logger="dcgan.access")
    given = service.get("/v2/health/live", headers={"x-request-id": "mine-1"})
    made = service.get("/v2/health/live?key=secret", headers={"x-request-id": "not; good"})
    assert given.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32
    first, second = (json.loads(record.message) for record in caplog.records if record.name == "dcgan.access")
    assert (first["request_id"], first["method"], first["path"], first["status"]) == (
        "mine-1",
        "GET",
        "/v2/health/live",
        200,
    )
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


def test_a_failure_of_ours_is_500_without_its_insides(service, monkeypatch, caplog):
    monkeypatch.setattr(Generator, "latents_for", lambda *_arguments, **_options: 1 / 0)
    answer = service.images(count=1)
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("internal error; the log tells more under request id ")
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert 'route="/v1/images",status="500"' in service.get("/metrics").text


def test_pages_carry_headers_for_browsers(service):
    for path in ("/", "/docs", "/page/style.css"):
        answer = service.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


# Reload


def test_a_reload_takes_the_new_model_and_a_bad_one_changes_nothing(model):
    metrics = Metrics()
    content = model.read_bytes()

    async def play() -> list[str]:
        served = ServedModel(lambda: Generator.load(model, providers="cpu"), LIMITS, metrics, threads=1)
        seen = [served.generator.info.sha256]
        model.write_bytes(content[: len(content) // 2])
        await served.reload()
        seen.append(served.generator.info.sha256)
        write_model(model, build_model(dataset="other"))
        await served.reload()
        seen.append(served.generator.info.sha256)
        served.close()
        return seen

    first, kept, new = asyncio.run(play())
    assert first == kept != new
    told = metrics.text().decode()
    assert 'dcgan_reloads_total{outcome="refused"} 1.0' in told
    assert 'dcgan_reloads_total{outcome="done"} 1.0' in told


def test_a_model_that_is_missing_is_not_served(tmp_path):
    with pytest.raises(BadDataError, match="missing"):
        Service(tmp_path / "none.onnx")
