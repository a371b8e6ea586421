"""`dcgan serve` as a process: its start and its signals."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from dcgan.service.limits import limits_from
from dcgan.system.errors import UsageError
from running_service import SERVE, Running
from tiny_onnx import build_model, write_model


def refused(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command, variables = [*SERVE, *arguments], os.environ | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


# Start


def test_a_model_that_is_no_generator_ends_the_start_with_65_and_one_line(model):
    model.write_bytes(model.read_bytes()[:3000])
    done = refused("--model", str(model), "--port", "0")
    assert done.returncode == 65
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {model}: ")


def test_a_port_in_use_is_69_and_one_out_of_range_64(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = refused("--model", str(model), "--port", address.partition(":")[2])
    assert done.returncode == 69
    assert done.stderr.startswith(f"error: {address}: is in use; ")
    assert refused("--model", str(model), "--port", "65536").returncode == 64


@pytest.mark.parametrize(
    ("port", "told"),
    [
        ("abc", "error: Invalid value for '--port' (env var: 'PORT'): 'abc' is not a valid int"),
        ("65536", "error: --port (or PORT): 65536 is out of range; expected 0 to 65535"),
        ("tcp://10.0.0.1:80", "error: Invalid value for '--port' (env var: 'PORT'): 'tcp://10.0.0.1:80' is not"),
    ],
)
def test_a_port_in_the_environment_that_is_none_is_64_and_one_line(model, port, told):
    done = refused("--model", str(model), PORT=port)
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert done.stderr.startswith(told)


def test_the_environments_port_is_taken_and_an_option_goes_before_it(tmp_path, model):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for options in ([], ["--port", "0"]):
        with Running(tmp_path, model, options=options, PORT=str(port)) as running:
            assert (running.port == port) == (not options)
            assert running.ask("/v2/health/ready", None)


HEAVY = {
    "mlflow",
    "torch",
    "ray",
    "optuna",
    "onnx",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "sqlalchemy",
    "matplotlib",
}


def test_a_local_model_is_served_without_what_training_and_tracking_need(tmp_path, model):
    with Running(tmp_path, model, PYTHONPROFILEIMPORTTIME="1") as running:
        running.ask()
        assert running.end() == 0
        imported = re.findall(r"^import time: .*\| +([\w.]+)$", running.err_path.read_text(), re.MULTILINE)
    assert "fastapi" in imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("max_image=5", "max_images"),
        ("max_images", "max_images="),
        ("max_images=2.5", "max_images=2.5"),
        ("max_images=0", "max_images=0"),
        ("max_queued_images=999", "max_images=1000"),
        ("request_seconds=nan", "request_seconds=nan"),
        ("request_seconds=-1", "request_seconds=-1"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(setting, named):
    with pytest.raises(UsageError, match=f"--limit.*{re.escape(named)}"):
        limits_from([setting])
    assert limits_from(["max_images=5", "request_seconds=2"]).max_images == 5


def test_keys_come_from_the_environment(tmp_path, model):
    with Running(tmp_path, model, DCGAN_API_KEYS="first, second") as running:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            running.ask()
        assert running.ask("/v2/health/ready", None)
    assert "second" not in running.out_path.read_text() + running.err_path.read_text()


# Signals


def test_sigterm_answers_what_is_in_progress_and_ends_with_0(running):
    answers = []

    def client() -> None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            while True:
                answers.append(len(running.ask(body=b'{"count": 400}')))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for each in clients:
        each.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert running.end() == 0
    assert time.monotonic() - started < 15
    for each in clients:
        each.join(20)
    log = [json.loads(line) for line in running.out_path.read_text().splitlines()]
    assert len(answers) >= 8
    assert set(answers) == {400 * 784 + 128}
    assert [line["status"] for line in log] == [200] * len(log)
    assert len(log) == len(answers)  # what was begun was answered whole; the rest was refused at the door


def test_sighup_takes_the_new_model_and_no_request_fails(running, model):
    before = running.ask()
    stop, seen = threading.Event(), []

    def client() -> None:
        while not stop.is_set():
            seen.append(running.ask())

    thread = threading.Thread(target=client)
    thread.start()
    weight = np.random.default_rng(9).normal(size=(4, 784)).astype(np.float32)
    write_model(model, build_model(weight=weight))
    running.process.send_signal(signal.SIGHUP)
    running.told("reloaded: sha256")
    after = running.ask()
    stop.set()
    thread.join(20)
    assert after != before
    assert set(seen) <= {before, after}
    model.write_bytes(b"no model")
    running.process.send_signal(signal.SIGHUP)
    running.told("reload refused, the model stays")
    assert running.ask() == after
    assert running.end() == 0


# Bodies made to be costly


def test_a_body_full_of_mistakes_costs_no_more_than_a_good_one(running):
    keys = {f"k{index}": [] for index in range(300_000)}
    latents = {"name": "latents", "datatype": "FP32", "shape": [1, 4], "data": [0.0] * 4}
    infer = "/v2/models/generator/infer"
    running.ask()
    for path, body in (
        ("/v1/images", keys),
        (infer, keys),
        (infer, {"inputs": [latents | keys]}),
        (infer, {"inputs": [latents | {"parameters": keys}]}),
    ):
        content = json.dumps(body, separators=(",", ":")).encode()
        assert len(content) < 4 * 2**20
        started = time.monotonic()
        with pytest.raises(urllib.error.HTTPError, match=r"4(00|22)") as refusal:
            running.ask(path, content)
        assert time.monotonic() - started < 2
        assert len(refusal.value.read()) < 500
    assert running.memory("VmHWM") < 400
