"""The clients of Triton and of KServe in their own default settings, and tensors as bytes behind JSON."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http
import tritonclient.http.aio
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from dcgan.inference.generator import Generator
from running_service import Running
from service_client import Service, inputs, tensor
from stripping_proxy import stripping_proxy
from support import ROOT
from tiny_onnx import LATENT_DIM, write_model

COUNT = 70  # more than one batch
LATENTS = np.random.default_rng(0).normal(size=(COUNT, LATENT_DIM)).astype(np.float32)
LABELS = np.arange(COUNT) % 10


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    with Running(folder, write_model(folder / "generator.onnx")) as service:
        yield service


@pytest.fixture(scope="module")
def expected(running) -> Any:
    """Both outputs for the latents above, by the model alone."""
    generator = Generator.load(running.err_path.parent / "generator.onnx", providers="cpu")
    return generator.draw_batch(LATENTS, LABELS)


@pytest.fixture
def triton(running) -> Iterator[tritonclient.http.InferenceServerClient]:
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{running.port}") as client:
        yield client


def triton_inputs(*, binary: bool = True, labels: np.ndarray = LABELS) -> list[InferInput]:
    made = [InferInput("latents", [COUNT, LATENT_DIM], "FP32"), InferInput("labels", list(labels.shape), "INT64")]
    for each, values in zip(made, (LATENTS, labels), strict=True):
        each.set_data_from_numpy(values, binary_data=binary)
    return made


# Triton's client


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors_go_in_and_out_as_bytes_or_json_to_the_same_bits(triton, expected, binary_in, binary_out):
    wanted = [InferRequestedOutput(name, binary_data=binary_out) for name in ("pixels", "images")]
    drawn = triton.infer("generator", triton_inputs(binary=binary_in), outputs=wanted, request_id="a-1")
    assert np.array_equal(drawn.as_numpy("pixels"), expected.pixels)
    assert np.array_equal(drawn.as_numpy("images"), expected.images)
    assert drawn.get_response()["id"] == "a-1"
    assert ("data" in drawn.get_output("pixels")) != binary_out


def test_the_clients_defaults_ask_for_all_outputs_as_bytes(triton, expected):
    drawn = triton.infer("generator", triton_inputs(), model_version="1", priority=1, timeout=10**6)
    assert drawn.get_output("images")["parameters"] == {"binary_data_size": expected.images.nbytes}
    assert np.array_equal(drawn.as_numpy("images"), expected.images)
    assert np.array_equal(drawn.as_numpy("pixels"), expected.pixels)


def test_some_outputs_may_be_bytes_and_others_json(triton, expected):
    wanted = [InferRequestedOutput("images", binary_data=False), InferRequestedOutput("pixels")]
    drawn = triton.infer("generator", triton_inputs(), outputs=wanted)
    assert np.array_equal(drawn.as_numpy("images"), expected.images)
    assert np.array_equal(drawn.as_numpy("pixels"), expected.pixels)


def test_labels_may_have_the_shape_that_the_exported_triton_repository_wants(triton, expected):
    drawn = triton.infer("generator", triton_inputs(labels=LABELS.reshape(-1, 1)))
    assert np.array_equal(drawn.as_numpy("pixels"), expected.pixels)


@pytest.mark.parametrize("binary", [True, False])
def test_the_asynchronous_client_whose_json_says_that_it_is_bytes(running, expected, binary):
    async def infer() -> Any:
        async with tritonclient.http.aio.InferenceServerClient(f"127.0.0.1:{running.port}") as client:
            wanted = [InferRequestedOutput("pixels", binary_data=binary)]
            return await client.infer("generator", triton_inputs(binary=binary), outputs=wanted)

    assert np.array_equal(asyncio.run(infer()).as_numpy("pixels"), expected.pixels)


def test_the_client_works_below_a_proxys_path(running, expected):
    with stripping_proxy(running.url, "/digits") as address:
        client = tritonclient.http.InferenceServerClient(address.removeprefix("http://"))
        assert client.is_model_ready("generator")
        assert np.array_equal(client.infer("generator", triton_inputs()).as_numpy("pixels"), expected.pixels)
        client.close()


def test_what_the_clients_own_examples_ask_is_answered(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("generator", "1")
    assert not triton.is_model_ready("other")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    assert triton.get_model_repository_index() == [
        {"name": "generator", "version": "1", "state": "READY", "reason": ""}
    ]
    metadata, config = triton.get_model_metadata("generator"), triton.get_model_config("generator", "1")
    assert config["max_batch_size"] == 1000
    for told, kind in (("inputs", "input"), ("outputs", "output")):
        for of_metadata, of_config in zip(metadata[told], config[kind], strict=True):
            assert of_config["name"] == of_metadata["name"]
            assert of_config["data_type"] == f"TYPE_{of_metadata['datatype']}"
            assert of_config.get("reshape", {}).get("shape", of_config["dims"]) == of_metadata["shape"][1:]
    for refused in (lambda: triton.get_model_metadata("other"), lambda: triton.get_model_config("generator", "2")):
        with pytest.raises(InferenceServerException, match="unknown model"):
            refused()
    for change in (triton.load_model, triton.unload_model):
        with pytest.raises(InferenceServerException, match="SIGHUP"):
            change("generator")


def test_statistics_count_what_was_drawn_by_whichever_protocol(triton, running):
    def now() -> dict[str, Any]:
        (stats,) = triton.get_inference_statistics("generator")["model_stats"]
        assert (stats["name"], stats["version"]) == ("generator", "1")
        return stats

    before = now()
    running.ask(body=b'{"count": 64}')
    triton.infer("generator", triton_inputs())
    after = now()
    assert after["inference_count"] - before["inference_count"] == 64 + COUNT
    assert 2 <= after["execution_count"] - before["execution_count"] <= 4
    assert after["last_inference"] > 1.6e12
    for name in ("success", "queue"):
        assert after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"] == 2
    assert after["inference_stats"]["compute_infer"]["count"] == after["execution_count"]
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert triton.get_inference_statistics()["model_stats"][0]["inference_count"] == after["inference_count"]


# Bodies with bytes behind their JSON


def binary_inputs(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of three digits, whose bytes are `BYTES`."""
    made = [
        {"name": "labels", "shape": [3], "datatype": "INT64", "parameters": {"binary_data_size": 24}},
        {"name": "latents", "shape": [3, LATENT_DIM], "datatype": "FP32", "parameters": {"binary_data_size": 48}},
    ]
    return [each | changes.get(each["name"], {}) for each in made]


OCTETS = "application/octet-stream"
BYTES = np.arange(3, dtype="<i8").tobytes() + LATENTS[:3].tobytes()


def send(
    service: Service, request: dict[str, Any], tensors: bytes = BYTES, *, size: object = None, kind: str = OCTETS
) -> Any:
    content = json.dumps(request).encode()
    told = str(len(content) if size is None else size).encode("latin-1")
    headers = {"content-type": kind, "inference-header-content-length": told}
    return service.post("/v2/models/generator/infer", content=content + tensors, headers=headers)


def test_the_bytes_follow_in_the_order_of_the_inputs_and_the_answer_tells_how_much_is_json(service):
    request = {"model_name": "generator", "inputs": binary_inputs(), "parameters": {"binary_data_output": True}}
    answer = send(service, request | {"outputs": [{"name": "pixels"}]})
    size = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == OCTETS
    (output,) = json.loads(answer.content[:size])["outputs"]
    assert output["parameters"] == {"binary_data_size": 3 * 784}
    assert answer.content[size:] == service.generator.draw(LATENTS[:3], np.arange(3)).tobytes()


def test_curl_which_calls_every_body_a_form_is_believed_by_the_size_of_its_json(service):
    form = "application/x-www-form-urlencoded"
    assert send(service, {"inputs": binary_inputs()}, kind=form).status_code == 200
    assert service.post("/v2/models/generator/infer", data={"a": "b"}).status_code == 415


@pytest.mark.parametrize("size", ["-1", "+5", "", "x", "99999", "9" * 30, "²", "1.0"])
def test_a_json_size_that_is_none_is_refused(service, size):
    answer = send(service, {"inputs": binary_inputs()}, size=size)
    assert (answer.status_code, "inference-header-content-length" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("size", [0, 10])
def test_a_json_size_that_cuts_the_json_is_refused(service, size):
    answer = send(service, {"inputs": binary_inputs()}, size=size)
    assert (answer.status_code, bool(answer.json()["error"])) == (422, True)


@pytest.mark.parametrize(
    ("changes", "tensors", "status", "told"),
    [
        ({}, BYTES[:-1], 400, "inputs: 71 bytes follow the JSON"),
        ({}, BYTES + b"\0", 400, "inputs: 73 bytes follow the JSON"),
        ({}, b"", 400, "inputs: 0 bytes follow the JSON"),
        ({"labels": {"parameters": None}}, BYTES, 400, "inputs: 72 bytes follow"),
        ({"labels": {"parameters": {}}}, BYTES[24:], 400, "labels: send either"),
        ({"labels": {"data": [0, 1, 2]}}, BYTES, 400, "labels: send either"),
        ({"labels": {"parameters": {"binary_data_size": -24}}}, BYTES, 400, "labels: binary_data_size"),
        ({"labels": {"parameters": {"binary_data_size": True}}}, BYTES, 400, "labels: binary_data_size"),
        ({"labels": {"parameters": {"binary_data_size": "24"}}}, BYTES, 400, "labels: binary_data_size"),
        ({"labels": {"parameters": {"binary_data_size": 2**80}}}, BYTES, 400, "inputs: "),
        ({"labels": {"parameters": {"shared_memory_region": "a"}}}, BYTES[24:], 400, "labels: shared_memory_region"),
        ({"labels": {"datatype": "INT32", "shape": [6]}}, BYTES, 400, "labels: datatype INT32"),
        ({"labels": {"shape": [3, 2]}}, BYTES, 422, "labels: shape [3, 2]"),
        ({"latents": {"shape": [4, LATENT_DIM]}}, BYTES, 422, "latents: 48 bytes; shape [4, 4] in FP32 needs 64"),
        ({"latents": {"shape": [10**6, LATENT_DIM]}}, BYTES, 422, "latents: 1000000"),
        ({"latents": {"datatype": "FP16"}}, BYTES, 400, "latents: datatype FP16"),
        ({}, BYTES[:-4] + np.float32("nan").tobytes(), 422, "latents: a value"),
        ({}, BYTES[:-4] + np.float32("inf").tobytes(), 422, "latents: a value"),
        ({}, np.int64(10).tobytes() + BYTES[8:], 422, "labels: some are out of range"),
        ({}, np.int64(-1).tobytes() + BYTES[8:], 422, "labels: some are out of range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_do_not_fit_are_refused_by_name(service, changes, tensors, status, told):
    answer = send(service, {"inputs": binary_inputs(**changes)}, tensors)
    assert (answer.status_code, answer.json()["error"][: len(told)]) == (status, told)


@pytest.mark.parametrize(
    ("request_parameters", "output_parameters", "told"),
    [
        ({"binary_data_output": 1}, None, "binary_data_output: expected true or false"),
        (None, {"binary_data": "yes"}, "binary_data: expected true or false"),
        (None, {"shared_memory_region": "a"}, "pixels: shared_memory_region is not offered"),
        (None, {"classification": 3}, "pixels: classification is not offered"),
    ],
)
def test_a_parameter_that_cannot_be_kept_is_refused_not_ignored(service, request_parameters, output_parameters, told):
    outputs = [{"name": "pixels", "parameters": output_parameters}]
    answer = service.infer(inputs=inputs(), parameters=request_parameters, outputs=outputs)
    assert (answer.status_code, answer.json()["error"][: len(told)]) == (400, told)


def test_bytes_are_limited_and_need_a_key_as_json_does(model):
    with Service(model, keys=["one"]) as service:
        assert send(service, {"inputs": binary_inputs()}).status_code == 401
        service.headers["authorization"] = "Bearer one"
        assert send(service, {"inputs": binary_inputs()}).status_code == 200
        assert send(service, {"inputs": binary_inputs()}, b"\0" * 50_001).status_code == 413
        answer = service.post("/v1/images", content=b"{}", headers={"content-type": OCTETS})
        assert answer.status_code == 415, "no other address takes bytes"


def test_overflow_in_the_model_is_told_of_bytes_too():
    with Service(ROOT / "src/dcgan/inference/pretrained.onnx") as service:
        latent_dim = service.generator.info.contract.latent_dim
        huge = np.full((1, latent_dim), 3e38, np.float32)
        latents = {"name": "latents", "shape": [1, latent_dim], "datatype": "FP32"}
        given = [latents | {"parameters": {"binary_data_size": huge.nbytes}}, tensor("labels", "INT64", [3])]
        answer = send(service, {"inputs": given, "parameters": {"binary_data_output": True}}, huge.tobytes())
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (422, "latents")


# KServe's client, in an environment of its own

KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
import tritonclient.http

async def ask(url, binary):
    latents, labels = np.load(sys.argv[2]), np.load(sys.argv[3])
    made = [InferInput("latents", list(latents.shape), "FP32"), InferInput("labels", list(labels.shape), "INT64")]
    for each, values in zip(made, (latents, labels)):
        each.set_data_from_numpy(values, binary_data=binary)
    request = InferRequest("generator", made, parameters={"binary_data_output": binary},
                           request_outputs=[RequestedOutput("pixels")])
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "generator") and not await client.is_model_ready(url, "other")
    (pixels,) = (await client.infer(url, request, model_name="generator")).outputs
    return pixels.as_numpy().tolist()

async def by_default(url):
    try:
        await InferenceRESTClient().infer(url, {"instances": [[0.0]]}, model_name="generator")
    except Exception as error:
        return str(error)

def newest_triton(url):
    latents, labels = np.load(sys.argv[2]), np.load(sys.argv[3])
    made = [tritonclient.http.InferInput("latents", list(latents.shape), "FP32"),
            tritonclient.http.InferInput("labels", list(labels.shape), "INT64")]
    for each, values in zip(made, (latents, labels)):
        each.set_data_from_numpy(values)
    client = tritonclient.http.InferenceServerClient(url.removeprefix("http://"))
    return client.infer("generator", made).as_numpy("pixels").tolist()

url = sys.argv[1]
print(json.dumps([asyncio.run(ask(url, True)), asyncio.run(ask(url, False)), newest_triton(url),
                  asyncio.run(by_default(url))]))
"""


@pytest.mark.slow
def test_kserves_client_and_the_newest_of_tritons(running, expected, tmp_path):
    python = ROOT / ".venv-clients/bin/python"
    assert python.exists(), "KServe's client is needed: make serve-check"
    files = [tmp_path / "latents.npy", tmp_path / "labels.npy"]
    for path, values in zip(files, (LATENTS, LABELS), strict=True):
        np.save(path, values)
    command = [python, "-c", KSERVE, running.url, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    *drawn, told = json.loads(done.stdout.splitlines()[-1])
    assert all(np.array_equal(each, expected.pixels) for each in drawn)
    assert 'use version 2, as RESTConfig(protocol="v2")' in told
