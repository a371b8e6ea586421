"""The generator as a library, in production: no checkout, no DVC, arguments as people write them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dcgan.inference import Generator
from dcgan.inference.generator import PRETRAINED
from dcgan.system.errors import BadDataError, UsageError
from support import ROOT
from tiny_onnx import build_model, write_model


@pytest.fixture
def generator(model: Path) -> Generator:
    return Generator.load(model, providers="cpu")


@pytest.fixture
def unconditional(tmp_path: Path) -> Generator:
    return Generator.load(write_model(tmp_path / "unconditional.onnx", build_model(conditional=False)), providers="cpu")


def test_the_shipped_generator_has_a_call_of_its_own_and_tells_what_it_is():
    shipped = Generator.pretrained(providers="cpu")
    assert shipped.info.path == PRETRAINED
    assert repr(shipped) == f"<Generator {PRETRAINED}: 10 classes, 100 normal latents, on CPU>"
    assert shipped.sample(2, digits=3).shape == (2, 28, 28)


def test_the_readmes_python_works_where_nothing_was_trained(tmp_path):
    (code,) = re.findall(
        r"```python\n(from dcgan.inference import Generator.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"digits": "3"}, "digit: '3' is not a whole number; expected 0 to 9"),
        ({"digits": ["3"]}, "digit: '3' is not a whole number; expected 0 to 9"),
        ({"digits": 3.0}, "digit: 3.0 is not a whole number"),
        ({"digits": [3, 1.5]}, "digit: 1.5 is not a whole number"),
        ({"digits": True}, "digit: True is not a whole number"),
        ({"digits": np.array([[1], [2]])}, "digit: [1] is not a whole number"),
        ({"seed": None}, "seed: None is not a whole number; expected 0 to 2^63 - 1"),
        ({"seed": "7"}, "seed: '7' is not a whole number"),
        ({"seed": 1.0}, "seed: 1.0 is not a whole number"),
        ({"count": None}, "count: None is not a whole number; expected 1 to 100,000"),
        ({"count": 4.0}, "count: 4.0 is not a whole number"),
        ({"truncation": None}, "truncation: None is not a number; expected more than 0, at most 1"),
        ({"truncation": "1"}, "truncation: '1' is not a number"),
    ],
)
def test_an_argument_of_another_kind_is_told_as_that(generator, arguments, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        generator.sample(**{"count": 3} | arguments)


@pytest.mark.parametrize("digits", [np.array(3), np.uint8(3), (3,), {3}, iter([3]), np.array([3], np.int8)])
def test_whole_numbers_of_any_kind_are_digits(generator, digits):
    assert generator.labels_for(2, digits=digits).tolist() == [3, 3]


def test_numbers_of_any_width_are_latents_and_labels(generator):
    latents, labels = generator.latents_for(3), generator.labels_for(3)
    expected = generator.draw(latents, labels)
    for given in ((latents.astype(np.float64), labels.astype(np.int32)), (latents.tolist(), labels.tolist())):
        np.testing.assert_array_equal(generator.draw(*given), expected)


LATENTS, LABELS = np.zeros((2, 4), np.float32), [1, 2]


@pytest.mark.parametrize(
    ("latents", "labels", "told"),
    [
        (LATENTS[:, :3], LABELS, "latents: float32 of shape [2, 3]; expected numbers of shape [N, 4]"),
        (LATENTS[0], LABELS, "latents: float32 of shape [4]"),
        (LATENTS[:0], [], "latents: float32 of shape [0, 4]; expected numbers of shape [N, 4], N at least 1"),
        (LATENTS.astype(str), LABELS, "latents: <U32 of shape [2, 4]"),
        (LATENTS * np.nan, LABELS, "latents: some are not finite"),
        (np.full((2, 4), 1e300), LABELS, "latents: some are not finite in float32"),
        ([[1, 2, 3, 4], [5]], LABELS, "latents: no array; expected numbers of shape [N, 4]"),
        (LATENTS, [[1], [2, 3]], "labels: no array; expected 2 digits"),
        (LATENTS, None, "labels: none; expected 2 digits from 0 to 9"),
        (LATENTS, [1], "labels: int64 of shape [1]; expected 2 digits"),
        (LATENTS, [1.0, 2.0], "labels: float64 of shape [2]"),
        (LATENTS, [1, 10], "labels: [10] is out of range; expected 2 digits from 0 to 9"),
    ],
)
def test_latents_and_labels_that_do_not_fit_are_told_by_their_shape(generator, latents, labels, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        generator.draw(latents, labels)


def test_labels_for_an_unconditional_model_are_refused(unconditional):
    with pytest.raises(UsageError, match="labels: the model is unconditional"):
        unconditional.draw(LATENTS, LABELS)


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_no_message_names_dvc_where_there_is_none(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = Path("models/generator.onnx")
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(BadDataError, match="; choose another model; the package comes with one"):
        Generator.load(path)


@pytest.mark.parametrize(("content", "command"), [(None, "`dvc repro export`"), (b"", "`dcgan doctor --repair`")])
def test_a_workspace_makes_its_own_model_again(tmp_path, monkeypatch, content, command):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").touch()
    Path("models").mkdir()
    if content is not None:
        Path("models/generator.onnx").write_bytes(content)
    with pytest.raises(BadDataError, match=re.escape(command)):
        Generator.load("models/generator.onnx")


@pytest.mark.parametrize(
    ("request_body", "told"),
    [
        (b'{"digits": 12}', "digit: 12 is out of range; expected 0 to 9"),
        (b'{"digits": [3, 12]}', "digit: 12 is out of range; expected 0 to 9"),
        (b'{"digits": "3"}', "digits: Input should be a valid integer"),
        (b'{"digits": []}', "digits: List should have at least 1 item after validation, not 0"),
        (b'{"digits": {"a": 1}}', "digits: Input should be a valid integer"),
    ],
)
def test_the_service_tells_a_mistake_once_by_the_names_of_the_request(service, request_body, told):
    answer = service.post("/v1/images", content=request_body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"error": told})
