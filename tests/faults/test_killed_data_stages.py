"""The stages that make the data, killed at any moment: the next run completes, and no file is ever torn."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_workspace import ROOT, run_stage, stage_environment, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 10
"""Of each stage."""

FILES = {"download": 4, "validate": 4 + 2}
"""How many there are after a stage."""

FORKING = """
import os, runpy, signal, sys, time
import pandas, scipy.stats, sklearn.datasets
if sys.argv[1] == "validate":
    import great_expectations, safetensors.numpy
from dcgan.system import files

def write_slowly(path, content):
    def write(file):
        for start in range(0, len(content), len(content) // 5 + 1):
            file.write(content[start : start + len(content) // 5 + 1])
            file.flush()
            time.sleep(0.05)
    files.write_atomically(path, write)

files.write_bytes = write_slowly
script, sys.argv = sys.argv[2], sys.argv[2:]
for line in sys.stdin:
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        runpy.run_path(script, run_name="__main__")
    while time.monotonic() - started < float(line):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status), time.monotonic() - started, flush=True)
"""
"""Runs a stage script for as long as each line of its input says, with the imports, which take seconds, done before.

The disk is a slow one, so that many a kill comes in the middle of a file.
"""


class Forking:
    """A stage script that is run again and again, and killed."""

    def __init__(self, stage: str, folder: Path) -> None:
        script = str(ROOT / "pipeline" / f"{stage}.py")
        command, pipes = [sys.executable, "-c", FORKING, stage, script], {"stdin": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            command, cwd=folder, env=stage_environment(folder), stdout=subprocess.PIPE, **pipes
        )

    def run(self, seconds: float) -> tuple[int, float]:
        """The exit code, negative where it was killed, and how long it took."""
        print(seconds, file=self.process.stdin, flush=True)
        code, taken = self.process.stdout.readline().split()
        return int(code), float(taken)


def files_in(folder: Path) -> dict[str, bytes]:
    """What the stages left under final names, but for the pages for people, whose bytes differ every run."""
    files = (path for name in ("data", "reports") for path in (folder / name).rglob("*") if path.is_file())
    final = (path for path in files if not path.name.endswith(".tmp") and "data_docs" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in final}


@pytest.mark.parametrize("stage", ["download", "validate"])
def test_after_a_kill_every_file_is_whole_or_absent_and_the_next_run_completes(tmp_path, stage):
    straight, folder = tmp_path / "straight", tmp_path / "killed"
    for each in (straight, folder):
        each.mkdir()
        write_params(each)
        if stage == "validate":
            assert run_stage("download", each, absent=["torch"]).returncode == 0
    assert run_stage(stage, straight).returncode == 0
    expected, rng = files_in(straight), random.Random(0)
    assert len(expected) == FILES[stage]
    forking = Forking(stage, folder)
    with forking.process:
        code, seconds = forking.run(1e9)
        assert code == 0
        codes = []
        for number in range(KILLS):
            if number < KILLS / 2:
                for name in expected:  # half of the kills on the way to the first files, half over older ones
                    if not name.startswith("data/raw") or stage == "download":
                        (folder / name).unlink(missing_ok=True)
            codes.append(forking.run(rng.uniform(0, seconds))[0])
            assert {name: expected.get(name) for name in files_in(folder)} == files_in(folder)
        assert codes.count(-9) >= KILLS / 2
        assert forking.run(1e9)[0] == 0
        forking.process.stdin.close()
    assert files_in(folder) == expected
    if stage == "validate":
        report = json.loads(expected["reports/validation.json"])
        assert report["dataset_sha256"] == hashlib.sha256(expected["data/dataset.safetensors"]).hexdigest()
