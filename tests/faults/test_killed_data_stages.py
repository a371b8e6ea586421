"""The stages that make the data, killed at any moment: the next run completes, and no file is ever torn."""

import hashlib
import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from tiny_workspace import run_stage, stage_command, stage_environment, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STAGES = ("download", "validate")
KILLS = 5
"""Of each stage."""


def files_in(folder: Path) -> dict[str, bytes]:
    """What the stages left under final names, but for the pages for people, whose bytes differ every run."""
    files = (path for name in ("data", "reports") for path in (folder / name).rglob("*") if path.is_file())
    final = (path for path in files if not path.name.endswith(".tmp") and "data_docs" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in final}


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """What each stage leaves when nobody disturbs it, and how long it takes."""
    folder = tmp_path_factory.mktemp("straight")
    write_params(folder)
    left = {}
    for stage in STAGES:
        started = time.monotonic()
        done = run_stage(stage, folder)
        assert done.returncode == 0, done.stderr
        left[stage] = {"seconds": time.monotonic() - started, "files": files_in(folder)}
    return left


@pytest.mark.parametrize("stage", STAGES)
def test_after_a_kill_every_file_is_whole_or_absent_and_the_next_run_completes(tmp_path, straight, stage):
    write_params(tmp_path)
    for before in STAGES[: STAGES.index(stage)]:
        assert run_stage(before, tmp_path).returncode == 0
    expected, seconds, rng = straight[stage]["files"], straight[stage]["seconds"], random.Random(0)
    killed = 0
    for number in range(KILLS):
        # Most of the time is imports; the second half is where files are written.
        moment = seconds * rng.uniform(0.4 + 0.1 * number, 1)
        process = subprocess.Popen(
            stage_command(stage), cwd=tmp_path, env=stage_environment(tmp_path), stdout=subprocess.DEVNULL
        )
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
        assert [name for name, content in files_in(tmp_path).items() if content != expected[name]] == []
    assert killed > 0
    done = run_stage(stage, tmp_path)
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path) == expected
    if stage == "validate":
        report = json.loads((tmp_path / "reports/validation.json").read_text())
        assert report["dataset_sha256"] == hashlib.sha256(expected["data/dataset.safetensors"]).hexdigest()
