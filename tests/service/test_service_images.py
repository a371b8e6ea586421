"""Images and interpolations over HTTP."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from dcgan.commands.generate import generate_file
from dcgan.service.images import MEDIA_TYPES
from service_client import Service, inputs
from tiny_onnx import build_model, write_model


def test_a_png_grid_is_the_default_and_the_bytes_of_dcgan_generate(service, tmp_path):
    answer = service.images(count=20, seed=3, digits=[1, 7], truncation=0.5)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    out, model = tmp_path / "out.png", service.generator.info
    generate_file(out, model.path, count=20, seed=3, digits=[1, 7], truncation=0.5)
    assert answer.content == out.read_bytes()
    assert answer.headers["x-model-sha256"] == model.sha256


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
    assert all(each in answer.json()["error"] for each in MEDIA_TYPES)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"count": 0}, "count: "),
        ({"count": 101}, "count: 101 "),
        ({"count": 10**30}, "count: "),
        ({"count": "5"}, "count: "),
        ({"count": True}, "count: "),
        ({"count": 2.5}, "count: "),
        ({"digits": 10}, "digit: 10 is out of range; expected 0 to 9"),
        ({"digits": 1000}, "digits"),
        ({"digits": [1, -1]}, "digits"),
        ({"digits": []}, "digits"),
        ({"digits": "3"}, "digits"),
        ({"seed": -1}, "seed: "),
        ({"seed": 2**63}, "seed: "),
        ({"truncation": 0}, "truncation: "),
        ({"truncation": 1.5}, "truncation: "),
        ({"cuont": 5}, "body: cuont: unknown; there are count, digits, seed, truncation"),
        ({f"key{i}": 0 for i in range(100)}, "body: key0, key1, key2: unknown"),
    ],
)
def test_what_is_out_of_range_or_unknown_is_422_with_its_name(service, request_, named):
    answer = service.images(**request_)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(named)


NO_OBJECTS = [b"{", b"[]", b"null", b"[" * 20_000, b"\xff\x00", b'{"\\ud800": 1}']
NO_NUMBERS = [b'{"count": NaN}', b'{"truncation": Infinity}', b'{"truncation": 1e999}']


@pytest.mark.parametrize("body", NO_OBJECTS + NO_NUMBERS)
def test_a_body_that_is_no_such_object_is_422(service, body):
    answer = service.post("/v1/images", content=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_an_unconditional_model_takes_no_digits(tmp_path):
    with Service(write_model(tmp_path / "any.onnx", build_model(conditional=False))) as service:
        assert service.images("application/json", count=2).json()["labels"] is None
        refused = service.images(digits=3)
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (422, "digits")
        assert service.post("/v1/walks", json={"from_seed": 1, "to_seed": 2}).status_code == 200
        assert len(service.infer(inputs=inputs()[:1]).json()["outputs"]) == 2


def test_an_interpolation_begins_and_ends_at_its_seeds(service):
    asked = {"from_seed": 4, "to_seed": 5, "steps": 7, "digit": 3}
    answer = service.post("/v1/walks", json=asked, headers={"accept": "application/x-npy"})
    pixels, generator = np.load(io.BytesIO(answer.content)), service.generator
    assert np.array_equal(pixels, generator.interpolate(4, 5, steps=7, digit=3))
    ends = [generator.sample(1, digits=3, seed=seed)[0].astype(int) for seed in (4, 5)]
    assert all(np.abs(pixels[at] - end).max() <= 1 for at, end in zip((0, -1), ends, strict=True))
    assert not np.array_equal(pixels[3], pixels[0])
    for steps in (1, 101):
        assert service.post("/v1/walks", json=asked | {"steps": steps}).status_code == 422
