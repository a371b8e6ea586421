"""docs/tutorial.md as a reader follows it: its commands in one shell, from a clone to a served digit."""

import os
import re
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from printed_commands import user_environment
from support import ROOT, free_port

PAGE = (ROOT / "docs/tutorial.md").read_text()
BLOCKS = re.findall(r"^```(bash|text)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SERVERS = {"mlflow ui &": "127.0.0.1:5000", "dcgan serve &": "127.0.0.1:8000"}
"""Commands that a reader waits for, and where each is seen to answer."""
WAIT = "curl --silent --output /dev/null --retry 90 --retry-delay 1 --retry-connrefused http://"


def script_of(page: list[tuple[str, str]], ports: dict[str, str]) -> str:
    """The page's commands, with the repository's address, other ports than the usual, and a look at each server."""
    lines = ["set -euo pipefail"]
    for kind, block in page:
        if kind == "bash":
            lines.append(block.replace("REPOSITORY", shlex.quote(str(ROOT))).strip())
            lines += [WAIT + place for server, place in SERVERS.items() if block.strip() == server]
    script = "\n".join(lines)
    for usual, other in ports.items():
        script = script.replace(usual, other)
    return script


def promised(page: list[tuple[str, str]]) -> list[str]:
    """The lines that the page says are printed, up to what it leaves out."""
    lines = [line for kind, block in page if kind == "text" for line in block.splitlines()]
    return [kept for line in lines if (kept := shape(line.partition("…")[0]))]


def shape(line: str) -> str:
    """A line without its numbers, which differ from machine to machine, and without the width of its columns."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*(e-\d+)?", "#", line)).strip()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tutorial_leads_from_a_clone_to_a_served_digit(tmp_path: Path):
    ports = {"127.0.0.1:5000": f"127.0.0.1:{free_port()}", "127.0.0.1:8000": f"127.0.0.1:{free_port()}"}
    mlflow, service = (place.partition(":")[2] for place in ports.values())
    variables = user_environment() | {"MLFLOW_PORT": mlflow, "PORT": service}
    with (tmp_path / "told").open("w") as file:
        command = ["bash", "-c", script_of(BLOCKS, ports)]
        shell = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            ended = shell.wait()
        finally:
            with suppress(ProcessLookupError):  # the servers, where it ended before it stopped them
                os.killpg(shell.pid, signal.SIGKILL)
    output = (tmp_path / "told").read_text()
    assert ended == 0, output
    told = {shape(line) for line in output.splitlines()}
    assert [line for line in promised(BLOCKS) if not any(each.startswith(line) for each in told)] == []

    workspace = tmp_path / "dcgan-mnist/demo/run"
    with Image.open(workspace / "0000_7.png") as digit:
        assert (digit.size, digit.mode) == ((28, 28), "L")
        assert digit.getextrema()[1] > 127
    assert (workspace / "digits.png").is_file()
    assert (workspace / "reports/report.html").is_file()


def test_every_command_of_the_tutorial_is_run_and_both_servers_are_waited_for():
    script = script_of(BLOCKS, {"127.0.0.1:8000": "127.0.0.1:8123"})
    assert script.count(WAIT) == len(SERVERS)
    assert "REPOSITORY" not in script
    assert "make demo\n" in script
    assert "http://127.0.0.1:8123/v1/images" in script
    assert "127.0.0.1:8000" not in script
    assert "models/generator.onnx served on CPU at http://#:#" in promised(BLOCKS)
