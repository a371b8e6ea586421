"""What takes minutes: part of `make serve-check`."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_service import Running
from support import ROOT
from tiny_onnx import write_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, write_model(tmp_path / "generator.onnx"))
    yield running
    running.process.kill()
    running.process.wait()


def test_ten_thousand_made_up_requests_meet_no_failure_of_ours(service, tmp_path):
    before = service.memory()
    checks = "not_a_server_error,content_type_conformance,response_headers_conformance"
    done = subprocess.run(
        [SCHEMATHESIS, "run", service.url + "/openapi.json", "--checks", checks, "--max-examples", "1500",
         "--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--continue-on-failure", "--no-color",
         "--request-timeout", "15"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = service.ask("/metrics", None).decode()
    statuses = {
        status: float(count) for status, count in re.findall(r'dcgan_requests_total\{.*status="(\d+)"\} (\S+)', told)
    }
    answered = sum(float(count) for count in re.findall(r"dcgan_requests_total\{.*\} (\S+)", told))
    print(f"{answered:,.0f} requests; memory {service.memory() - before:+.1f} MiB")
    assert done.returncode == 0, done.stdout[-5000:]
    assert answered >= 10_000
    assert not [status for status in statuses if status.startswith("5")]
    assert service.memory() - before < 50


@pytest.mark.parametrize("language", ["bash", "python", "javascript"])
def test_the_examples_in_the_documentation_work(tmp_path, language):
    model = ROOT / "src/dcgan/inference/pretrained.onnx"
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/service.md").read_text(), re.DOTALL)
    example = next(block for block in blocks if "127.0.0.1:8000" in block)
    program = {"bash": "bash", "python": sys.executable, "javascript": shutil.which("node")}[language]
    assert program, "node is needed"
    running = Running(tmp_path, model)
    script = tmp_path / ("example.mjs" if language == "javascript" else "example")
    script.write_text(example.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}"))
    done = subprocess.run([program, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert running.end() == 0
    assert done.returncode == 0, done.stderr
    expected = {"bash": "", "python": "UINT8 [2, 28, 28]\n", "javascript": "2 28 28 [ 5, 5 ]\n"}
    assert done.stdout == expected[language]
    if language == "bash":
        assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
