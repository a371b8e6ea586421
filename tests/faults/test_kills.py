"""Killed or stopped anywhere, a training goes on to the same bytes; `make chaos` does the same hundreds of times."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from chaos import Bench, Tally, kill_at_point, kill_at_random, orphans, stop_politely
from corruption import corrupt_all

from tiny_workspace import ROOT, new_workspace, stage_environment


@pytest.fixture(scope="module")
def bench(stages, tmp_path_factory) -> Bench:
    bench = Bench(stages, tmp_path_factory.mktemp("bench") / "workspace")
    for stage in ("train", "train_classifier"):
        bench.run_straight(stage)
    return bench


@pytest.mark.parametrize("stage", ["train", "train_classifier"])
def test_killed_at_a_random_moment(bench, stage):
    tally = Tally(stage)
    for seed in range(2):
        kill_at_random(bench, stage, tally, random.Random(seed))
    assert tally.is_whole, tally
    assert tally.failures == []


@pytest.mark.parametrize(
    ("point", "after"),
    [("half_written", 12), ("after_rename", 9), ("before_rename", 14), ("after_prune", 2), ("before_removal", 0)],
)
def test_killed_at_a_point_of_saving(bench, point, after):
    tally = Tally(point)
    kill_at_point(bench, "train", tally, point=point, after=after)
    assert tally.is_whole, tally
    assert tally.failures == []


@pytest.mark.parametrize("stage", ["train", "train_classifier"])
def test_stopped_politely(bench, stage):
    tally = Tally(stage)
    stop_politely(bench, stage, tally, random.Random(0))
    stop_politely(bench, stage, tally, random.Random(1), number=signal.SIGINT)
    assert tally.is_whole, tally
    assert tally.failures == []


def test_a_stage_whose_dvc_was_killed_saves_and_ends(tmp_path):
    """Else nobody would wait for it, and the next `dvc repro` would delete its outputs under it."""
    workspace = new_workspace(tmp_path, train={"epochs": 500, "checkpoint_every": 10, "max_steps": 5000})
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    kept = {key: stage[key] for key in ("cmd", "params", "outs")}
    (workspace / "pipeline").symlink_to(ROOT / "pipeline")
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": kept}}))
    environment = stage_environment(workspace) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    del environment["DVC_ROOT"]
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=workspace, env=environment, check=True)
    with (tmp_path / "output.log").open("w") as output:
        dvc = subprocess.Popen(
            ["dvc", "repro"], cwd=workspace, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while not list(workspace.glob(".checkpoints/*/step-*.safetensors")):
            assert dvc.poll() is None, (tmp_path / "output.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        dvc.kill()
        dvc.wait()
        killed = time.monotonic()
        while left := orphans(dvc.pid):
            assert time.monotonic() < killed + 10, left
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(dvc.pid, signal.SIGKILL)
    assert "train: stopped and saved after step" in (tmp_path / "output.log").read_text()


def test_no_damage_goes_unseen(tmp_path):
    for corrupted in corrupt_all(tmp_path, count=12):
        assert (corrupted.silent, corrupted.unnamed) == (0, 0), corrupted
        assert corrupted.damaged == 12
