"""Killed or stopped anywhere, a training goes on to the same bytes; `make chaos` does the same hundreds of times."""

import contextlib
import os
import random
import signal
import subprocess
import time
from functools import partial

import pytest
import yaml
from chaos import Bench, Tally, kill_at_point, kill_at_random, orphans, stop_politely
from corruption import corrupt_all

from dvc_workspace import shell_environment, write_pipeline
from tiny_workspace import ROOT, new_workspace

STAGES = ("train", "train_classifier")
WITNESS = "train_witness"
TRIALS = [kill_at_random, kill_at_random, stop_politely, partial(stop_politely, number=signal.SIGINT)]
POINTS = {"half_written": 12, "after_rename": 9, "before_rename": 14, "after_prune": 2, "before_removal": 0}
CASES = [(stage, trial) for stage in STAGES for trial in TRIALS]
CASES += [(WITNESS, kill_at_random)]
CASES += [("train", partial(kill_at_point, point=point, after=after)) for point, after in POINTS.items()]


@pytest.fixture(scope="module")
def bench(stages, tmp_path_factory) -> Bench:
    bench = Bench(stages, tmp_path_factory.mktemp("bench") / "workspace")
    for stage in (*STAGES, WITNESS):
        bench.run_straight(stage)
    return bench


@pytest.mark.parametrize(("seed", "stage", "trial"), [(seed, *case) for seed, case in enumerate(CASES)])
def test_killed_or_stopped_anywhere_a_stage_goes_on_to_the_same_bytes(bench, seed, stage, trial):
    tally = Tally(stage)
    trial(bench, stage, tally, random.Random(seed))
    assert tally.is_whole, tally


def test_a_stage_whose_dvc_was_killed_saves_and_ends(tmp_path):
    """Else nobody would wait for it, and the next `dvc repro` would delete its outputs under it."""
    new_workspace(tmp_path, train={"epochs": 500, "checkpoint_every": 10, "max_steps": 5000})
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    (tmp_path / "pipeline").symlink_to(ROOT / "pipeline")
    write_pipeline(tmp_path, {"train": {key: stage[key] for key in ("cmd", "params", "outs")}})
    told, deadline = tmp_path / "output.log", time.monotonic() + 120
    with told.open("w") as output:
        options = {"cwd": tmp_path, "env": shell_environment(), "stdout": output, "stderr": output}
        dvc = subprocess.Popen(["dvc", "repro"], start_new_session=True, **options)
    try:
        while not list(tmp_path.glob(".checkpoints/*/step-*.safetensors")):
            assert dvc.poll() is None, told.read_text()
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
    assert "train: stopped and saved after step" in told.read_text()


def test_no_damage_goes_unseen(tmp_path):
    for corrupted in corrupt_all(tmp_path, count=15):
        assert corrupted.is_whole, corrupted
        assert corrupted.damaged == 15
