"""The Open Inference Protocol, version 2."""

import json
import math

import numpy as np
import pytest

from dcgan.inference.generator import PRETRAINED
from service_client import Service, inputs, tensor
from tiny_onnx import LATENT_DIM


def test_the_server_and_its_model_describe_themselves(service):
    assert service.get("/v2").json()["name"] == "dcgan-mnist"
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    assert service.get("/v2/models/generator/ready").json() == {"name": "generator", "ready": True}
    described = service.get("/v2/models/generator").json()
    assert described == service.get("/v2/models/generator/versions/1").json()
    assert described["platform"] == "onnxruntime_onnx"
    assert described["inputs"] == [
        {"name": "latents", "datatype": "FP32", "shape": [-1, LATENT_DIM]},
        {"name": "labels", "datatype": "INT64", "shape": [-1]},
    ]
    assert described["outputs"] == [
        {"name": "images", "datatype": "FP32", "shape": [-1, 1, 28, 28]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 28, 28]},
    ]


def test_a_service_that_drains_is_alive_and_not_ready(service):
    service.app.state.draining = True
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
        ({"latents": {"name": "\ud800"}}, 400, "inputs"),
        ({"latents": {"name": "noise"}}, 400, "inputs: found noise"),
        ({"labels": {"name": "latents"}}, 400, "inputs: found latents, latents"),
        ({"latents": {"datatype": "FP64"}}, 400, "latents: datatype FP64"),
        ({"labels": {"datatype": "INT32"}}, 400, "labels: datatype INT32"),
        ({"latents": {"shape": [3, 5]}}, 422, "latents: shape [3, 5]"),
        ({"latents": {"shape": []}}, 422, "latents: shape []"),
        ({"latents": {"shape": [0, 4]}}, 422, "latents: shape [0, 4]"),
        ({"latents": {"shape": [-1, 4]}}, 422, "latents: shape [-1, 4]"),
        ({"latents": {"shape": [10**6, 4]}}, 422, "latents: 1000000"),
        ({"latents": {"data": [0.0] * 11}}, 422, "latents: 11 values"),
        ({"latents": {"data": ["a"] * 12}}, 422, "latents: a value"),
        ({"latents": {"data": [None] * 12}}, 422, "latents: a value"),
        ({"latents": {"data": [True] * 12}}, 422, "latents: a value"),
        ({"latents": {"data": [[[0.0]]] * 12}}, 422, "latents: data"),
        ({"latents": {"data": [math.nan] * 12}}, 422, "latents: a value"),
        ({"latents": {"data": [1e308] * 12}}, 422, "latents: a value"),
        ({"latents": {"data": [10**400] * 12}}, 422, "latents: a value"),
        ({"labels": {"data": [0, 1, 10]}}, 422, "labels"),
        ({"labels": {"data": [0, 1, -1]}}, 422, "labels"),
        ({"labels": {"data": [0, 1, 2.0]}}, 422, "labels: a value"),
        ({"labels": {"data": [0, 1, 2**80]}}, 422, "labels: a value"),
        ({"labels": {"colour": 1}}, 422, "inputs.1: colour: unknown"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_name(service, changes, status, told):
    body = json.dumps({"inputs": inputs(**changes)})  # httpx refuses to write what is no number
    answer = service.post("/v2/models/generator/infer", content=body)
    assert (answer.status_code, answer.json()["error"][: len(told)]) == (status, told)


def test_latents_that_overflow_in_the_model_are_refused():
    with Service(PRETRAINED) as service:
        latent_dim = service.generator.info.contract.latent_dim
        huge = tensor("latents", "FP32", np.full((1, latent_dim), 3e38))
        answer = service.infer(inputs=[huge, tensor("labels", "INT64", [3])])
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (422, "latents")


def test_an_output_that_is_not_there_is_refused(service):
    answer = service.infer(inputs=inputs(), outputs=[{"name": "logits"}])
    assert (answer.status_code, answer.json()["error"].startswith("outputs: logits")) == (400, True)
