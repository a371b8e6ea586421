"""What takes minutes: part of `make serve-check`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from running_service import Running
from support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def test_ten_thousand_made_up_requests_meet_no_failure_of_ours(running, tmp_path):
    before = running.memory()
    checks = "not_a_server_error,content_type_conformance,response_headers_conformance"
    done = subprocess.run(
        [SCHEMATHESIS, "run", running.url + "/openapi.json", "--checks", checks, "--max-examples", "1500",
         "--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--continue-on-failure", "--no-color",
         "--request-timeout", "15"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = running.ask("/metrics", None).decode()
    counts = re.findall(r'dcgan_requests_total\{.*status="(\d+)"\} (\S+)', told)
    answered = sum(float(count) for _, count in counts)
    print(f"{answered:,.0f} requests; memory {running.memory() - before:+.1f} MiB")
    assert done.returncode == 0, done.stdout[-5000:]
    assert answered >= 10_000
    assert not [status for status, _ in counts if status.startswith("5")]
    assert running.memory() - before < 50


@pytest.mark.parametrize("language", ["bash", "python", "javascript"])
def test_the_examples_in_the_documentation_work(tmp_path, language):
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/service.md").read_text(), re.DOTALL)
    example = next(block for block in blocks if "127.0.0.1:8000" in block)
    program = {"bash": "bash", "python": sys.executable, "javascript": shutil.which("node")}[language]
    assert program, "node is needed"
    script = tmp_path / ("example.mjs" if language == "javascript" else "example")
    with Running(tmp_path, ROOT / "src/dcgan/inference/pretrained.onnx") as running:
        script.write_text(example.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}"))
        done = subprocess.run([program, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    expected = {"bash": "", "python": "UINT8 [2, 28, 28]\n", "javascript": "2 28 28 [ 5, 5 ]\n"}
    assert done.stdout == expected[language]
    if language == "bash":
        assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
