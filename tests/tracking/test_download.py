"""Loading a generator from MLflow's registry, by its alias, and serving it with MLflow's own server."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import tracking_store as tracked
from damage import flip_bit
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.config.params_file import load_params
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError, UnavailableError
from dcgan.system.files import sha256_of
from dcgan.tracking.record import read_model
from dcgan.tracking.registry import read_candidate, register
from dcgan.tracking.store import open_store
from dcgan.tracking.sync import sync_run
from tiny_workspace import write_dataset, write_params
from tracking_server import TrackingServer, wait_for_answer

pytestmark = [pytest.mark.filterwarnings(warning) for warning in tracked.MLFLOW_WARNINGS]

NAME = "tiny-generator"
CHAMPION = f"models:/{NAME}@champion"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    tracked.use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    return tmp_path


def register_model(weights: bytes = b"weights", **figures: object) -> str:
    """The version of a new model."""
    tracked.write_exported_model(weights, **figures)
    params = load_params(workspace.PARAMS)
    with open_store() as client:
        run_id, _ = sync_run(client, read_model(params), experiment="tiny")
        version, _ = register(client, read_candidate(params), name=NAME, run_id=run_id, step=30)
    return version


def test_an_alias_leads_to_the_model_that_has_it_now_byte_for_byte():
    register_model()
    loaded = load_generator(CHAMPION)
    assert str(loaded.info.path) == CHAMPION
    assert loaded.info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    assert np.array_equal(loaded.sample(20), Generator.load(workspace.ONNX_GENERATOR).sample(20))
    version = register_model(b"better", fcd=0.05)
    for address in (CHAMPION, f"models:/{NAME}/{version}"):
        assert load_generator(address).metadata["weights"] == "better"


@pytest.mark.parametrize("address", ["models:/none@champion", f"models:/{NAME}/7", "models:/nonsense"])
def test_what_the_registry_does_not_have_is_65(address):
    with pytest.raises(BadDataError, match=f"{address}: the registry at sqlite:.* has no such model"):
        load_generator(address)


def test_a_registry_that_is_away_is_69(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        load_generator(CHAMPION)


def test_a_registered_file_that_is_damaged_is_65_and_named_by_its_address(folder):
    register_model()
    (kept,) = (folder / "mlruns").rglob("model.onnx")
    flip_bit(kept, 1000)
    with pytest.raises(BadDataError, match=rf"^{CHAMPION}: damaged: expected SHA-256 \w{{64}} of its content, found "):
        load_generator(CHAMPION)


@pytest.mark.slow
def test_a_server_takes_a_model_and_gives_it_back_and_its_password_stays_here(folder, monkeypatch, capfd):
    server = TrackingServer(folder / "server")
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url.replace("://", "://somebody:hunter2@"))
        register_model()
        assert load_generator(CHAMPION).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    finally:
        server.end()
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in each for each in (*kept, *(each.encode() for each in capfd.readouterr())))


@pytest.mark.slow
def test_mlflows_own_server_answers_an_example_request(folder):
    register_model()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--model-uri", CHAMPION,
         "--env-manager", "local", "--port", str(port)],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
                          "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )  # fmt: skip
    try:
        generator = Generator.load(workspace.ONNX_GENERATOR)
        latents, labels = generator.latents_for(3), generator.labels_for(3)
        body = json.dumps({"inputs": {"latents": latents.tolist(), "labels": labels.tolist()}}).encode()
        url, headers = f"http://127.0.0.1:{port}", {"content-type": "application/json"}
        wait_for_answer(f"{url}/ping", serving)
        with urllib.request.urlopen(urllib.request.Request(f"{url}/invocations", body, headers), timeout=30) as answer:
            predictions = json.load(answer)["predictions"]
        assert np.array_equal(np.array(predictions["pixels"]), generator.sample(3))
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(20)
