"""The containers that serve, as processes of this machine: their own arguments, environment, probes and end."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy_files import document, environment_of, image_of
from support import ROOT, free_port

PODS = {
    "deployment": lambda: document("kubernetes/deployment.yaml")["spec"]["template"]["spec"],
    "kserve": lambda: document("kserve/inferenceservice.yaml")["spec"]["predictor"],
}


class Container:
    """A container as a process: its image's entrypoint with its own arguments, on a port that is free here."""

    def __init__(self, container: dict[str, Any], folder: Path) -> None:
        self.ports = {each.get("name", each["containerPort"]): each["containerPort"] for each in container["ports"]}
        self.variables = image_of("serve")["ENV"] | environment_of(container)
        self.port = free_port()
        environment = os.environ | self.variables | {"PORT": str(self.port)}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        command = [*image_of("serve")["ENTRYPOINT"], *container["args"]]
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    def port_of(self, name: str | int) -> int:
        """Where the process listens for what Kubernetes would send to a port of the container."""
        port = self.ports.get(name, name)
        assert str(port) == self.variables["PORT"], f"{name}: nothing listens there"
        return self.port

    def ask(self, port: str | int, path: str, body: object = None, *, seconds: float = 20) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port_of(port), timeout=seconds)
        content = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, content, {"content-type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def passes(self, probe: dict[str, Any]) -> bool:
        """What the kubelet does once: any status from 200 to 399 within the probe's time."""
        get = probe["httpGet"]
        try:
            status, _ = self.ask(get["port"], get["path"], seconds=probe.get("timeoutSeconds", 1))
        except OSError:
            return False
        return 200 <= status < 400

    def start_up(self, probe: dict[str, Any]) -> None:
        for _ in range(probe["failureThreshold"]):
            if self.passes(probe):
                return
            assert self.process.poll() is None
            time.sleep(probe["periodSeconds"])
        raise AssertionError("killed before it was up")


@contextmanager
def started(container: dict[str, Any], folder: Path) -> Iterator[Container]:
    running = Container(container, folder)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_starts_passes_its_probes_draws_and_ends_within_its_time(tmp_path, pod):
    spec = PODS[pod]()
    (container,) = spec["containers"]
    with started(container, tmp_path) as running:
        running.start_up(container["startupProbe"])
        assert running.passes(container["readinessProbe"])
        assert running.passes(container["livenessProbe"])
        port = container["readinessProbe"]["httpGet"]["port"]
        metadata = json.loads(running.ask(port, "/v2/models/generator")[1])
        latent_dim = next(each["shape"][1] for each in metadata["inputs"] if each["name"] == "latents")
        inputs = [
            {"name": "latents", "datatype": "FP32", "shape": [2, latent_dim], "data": [0.5] * 2 * latent_dim},
            {"name": "labels", "datatype": "INT64", "shape": [2], "data": [3, 7]},
        ]
        status, answer = running.ask(port, "/v2/models/generator/infer", {"inputs": inputs})
        outputs = {each["name"]: each["shape"] for each in json.loads(answer)["outputs"]}
        assert (status, outputs["pixels"]) == (200, [2, 28, 28])
        assert running.ask(port, "/v1/images", {"count": 3})[0] == 200
        assert b"dcgan_requests_limit 32.0" in running.ask(port, "/metrics")[1]
        running.process.send_signal(signal.SIGTERM)
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert running.process.wait(spec["terminationGracePeriodSeconds"] - pause) == 0
        assert list(tmp_path.iterdir()) == []  # its root is read-only


def test_a_probe_of_a_path_that_is_not_there_or_of_a_server_that_ended_fails(tmp_path):
    (container,) = PODS["deployment"]()["containers"]
    with started(container, tmp_path) as running:
        running.start_up(container["startupProbe"])
        assert not running.passes({"httpGet": {"path": "/healthz", "port": "http"}})
        with pytest.raises(AssertionError, match="9090: nothing listens there"):
            running.passes({"httpGet": {"path": "/v2/health/ready", "port": 9090}})
        running.process.kill()
        running.process.wait()
        assert not running.passes(container["livenessProbe"])


def test_the_image_alone_listens_on_8080_and_its_health_check_knows_the_port(tmp_path):
    image = image_of("serve")
    assert image["ENV"]["PORT"] == "8080"
    assert "--port" not in image["CMD"]
    text = (ROOT / "Dockerfile").read_text().rpartition("HEALTHCHECK")[2]
    health = json.loads(text.partition("CMD ")[2].splitlines()[0])
    with started({"args": image["CMD"], "ports": [{"containerPort": 8080}]}, tmp_path) as running:
        probe = PODS["kserve"]()["containers"][0]["startupProbe"]
        running.start_up(probe | {"httpGet": probe["httpGet"] | {"port": 8080}})
        environment = os.environ | {"PORT": str(running.port)}
        assert subprocess.run([sys.executable, *health[1:]], env=environment, check=False).returncode == 0
    done = subprocess.run([sys.executable, *health[1:]], env=environment, capture_output=True, check=False)
    assert done.returncode == 1


def test_compose_publishes_the_port_that_the_image_listens_on():
    serve = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]["serve"]
    assert [each.rpartition(":")[2] for each in serve["ports"]] == [image_of("serve")["ENV"]["PORT"]]
    assert "--port" not in serve["command"]


# Triton

TRITONSERVER = "#!/bin/sh\nprintf '%s\\n' \"$@\" > arguments\n"


def test_tritons_script_writes_a_repository_that_triton_can_read_and_serves_it(tmp_path, model):
    from google.protobuf import text_format

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tritonserver").write_text(TRITONSERVER)
    (tmp_path / "bin/tritonserver").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": "8123",
    }
    script = [ROOT / "deploy/triton/serve.sh", model.name]
    for version in ("1", "2"):
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "triton-models/dcgan-generator"
        assert (folder / version / "model.onnx").read_bytes() == model.read_bytes()
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == ["--model-repository", "triton-models", "--http-port", "8123"]
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config())
    assert (config.name, config.platform) == (folder.name, "onnxruntime_onnx")
    assert [each.name for each in config.output] == ["images", "pixels"]
    with pytest.raises(text_format.ParseError, match="max_batchsize"):
        text_format.Parse("max_batchsize: 1", model_config())


def model_config() -> Any:
    """Triton's own message of a model's configuration, without its client's gRPC, which is not installed."""
    from importlib.metadata import distribution
    from importlib.util import module_from_spec, spec_from_file_location

    path = distribution("tritonclient").locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = spec_from_file_location("model_config_pb2", str(path))
    module = sys.modules.get("model_config_pb2") or module_from_spec(spec)
    if "model_config_pb2" not in sys.modules:
        sys.modules["model_config_pb2"] = module
        spec.loader.exec_module(module)
    return module.ModelConfig()


def test_without_triton_the_script_names_what_it_needs(tmp_path, model):
    found = {name: shutil.which(name) for name in ("bash", "realpath", "env")}
    (tmp_path / "bin").mkdir()
    for name, path in found.items():
        (tmp_path / "bin" / name).symlink_to(path)
    (tmp_path / "bin/dcgan").symlink_to(Path(sys.executable).with_name("dcgan"))
    environment = {"PATH": str(tmp_path / "bin")}
    script = [ROOT / "deploy/triton/serve.sh", model.name]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TRITON_IMAGE: name the image of Triton, or install tritonserver" in done.stderr
