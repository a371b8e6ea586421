"""Loading a generator from MLflow's registry, by its alias, and serving it with MLflow's own server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from damage import flip_bit
from dcgan.commands.model_source import load_generator
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError, UnavailableError
from dcgan.system.files import sha256_of
from dcgan.tracking.mlflow import load_run_reference, open_run, resume_run
from dcgan.tracking.mlflow.registry import Registry
from tiny_onnx import build_model, write_model
from tracking_store import MLFLOW_WARNINGS, TRACKING, use_new_store

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

CHAMPION = f"models:/{TRACKING.registered_model}@champion"


def open_registry() -> Registry:
    """As the stage `register` does: with a run that waits for the server as long as it takes."""
    reference = Path("run.json")
    with open_run(reference=reference, tracking=TRACKING, params={}, tags={}, name="trial", description="A trial."):
        pass
    run = resume_run(
        load_run_reference(reference), tracking=TRACKING, history=Path("history.jsonl"), params={}, required=True
    )
    return Registry(run, TRACKING.registered_model)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    use_new_store(tmp_path, monkeypatch)
    return open_registry()


def await_answer(url: str, process: subprocess.Popen[bytes], *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.5)


def crown(registry: Registry, path: Path) -> str:
    version = registry.register(path)
    registry.award(version, "champion")
    return version


def test_an_alias_leads_to_the_model_that_has_it_now(registry, tmp_path):
    first = write_model(tmp_path / "first.onnx")
    second = write_model(tmp_path / "second.onnx", build_model(dataset="other"))
    crown(registry, first)
    loaded = load_generator(CHAMPION)
    assert str(loaded.info.path) == CHAMPION
    assert np.array_equal(loaded.sample(20), Generator.load(first).sample(20))
    version = crown(registry, second)
    assert load_generator(CHAMPION).info.metadata["dataset"] == "other"
    by_number = load_generator(f"models:/{TRACKING.registered_model}/{version}")
    assert by_number.info.metadata["dataset"] == "other"


@pytest.mark.parametrize(
    "address", ["models:/none@champion", f"models:/{TRACKING.registered_model}/7", "models:/nonsense"]
)
def test_what_the_registry_does_not_have_is_65(registry, address):
    with pytest.raises(BadDataError, match=f"{address}: the registry at sqlite:.* has no such model"):
        load_generator(address)


def test_a_registry_that_is_away_is_69(registry, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        load_generator(CHAMPION)


@pytest.mark.slow
def test_a_server_takes_a_model_and_gives_it_back_and_its_password_stays_here(tmp_path, monkeypatch, capfd):
    use_new_store(tmp_path, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, store = f"http://127.0.0.1:{port}", f"sqlite:///{tmp_path / 'mlflow.db'}"
    serving = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "server", "--port", str(port), "--workers", "1",
         "--backend-store-uri", store, "--artifacts-destination", str(tmp_path / "artifacts")],
        start_new_session=True,
    )  # fmt: skip
    try:
        await_answer(f"{url}/health", serving)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("://", "://somebody:hunter2@"))
        model = write_model(tmp_path / "generator.onnx")
        crown(open_registry(), model)
        assert load_generator(CHAMPION).info.sha256 == sha256_of(model)
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(20)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in each for each in (*kept, *(each.encode() for each in capfd.readouterr())))


@pytest.mark.slow
def test_mlflows_own_server_answers_an_example_request(registry, tmp_path):
    model = write_model(tmp_path / "generator.onnx")
    crown(registry, model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--model-uri", CHAMPION,
         "--env-manager", "local", "--port", str(port)],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
                          "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )  # fmt: skip
    try:
        generator = Generator.load(model)
        latents, labels = generator.latents_for(3), generator.labels_for(3)
        body = json.dumps({"inputs": {"latents": latents.tolist(), "labels": labels.tolist()}}).encode()
        url, headers = f"http://127.0.0.1:{port}", {"content-type": "application/json"}
        await_answer(f"{url}/ping", serving)
        with urllib.request.urlopen(urllib.request.Request(f"{url}/invocations", body, headers), timeout=30) as answer:
            predictions = json.load(answer)["predictions"]
        assert np.array_equal(np.array(predictions["pixels"]), generator.sample(3))
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(20)


def test_the_registered_bytes_are_the_exported_ones_with_their_seal(registry, tmp_path):
    model = write_model(tmp_path / "generator.onnx")
    crown(registry, model)
    champion = load_generator(CHAMPION)
    assert champion.info.sha256 == sha256_of(model)
    assert champion.info.has_checksum


def test_a_registered_file_that_is_damaged_is_65_and_named_by_its_address(registry, tmp_path):
    crown(registry, write_model(tmp_path / "generator.onnx"))
    (kept,) = (tmp_path / "mlruns").rglob("model.onnx")
    flip_bit(kept, 1000)
    with pytest.raises(BadDataError, match=rf"^{CHAMPION}: damaged: expected SHA-256 \w{{64}} of its content, found "):
        load_generator(CHAMPION)
