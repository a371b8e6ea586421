"""Damage that comes through DVC, done to the real one: what it lets pass, our stages refuse; what we say repairs it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dcgan.checkpoints.weights import save_weights
from dcgan.config.params_file import load_params
from dcgan.config.workspace import CLASSIFIER, DATASET, EVALUATION, EXPORT, GENERATOR, RAW, VALIDATION
from dcgan.gan.networks import build_generator
from dcgan.tracking.gates import Judgement
from dvc_workspace import commands_in, damage_object, in_shell, object_of, record
from tiny_workspace import new_workspace, run_stage, weights_in

STAGES = {
    "download": [str(RAW)],
    "validate": [str(DATASET), str(VALIDATION)],
    "train_classifier": [str(CLASSIFIER)],
    "train": [str(GENERATOR)],
    "evaluate": [str(EVALUATION)],
    "export": [str(EXPORT)],
}
DAMAGED = [str(path) for path in (DATASET, CLASSIFIER, GENERATOR, EVALUATION, EXPORT)]
HEALTHY = "no findings: "
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A workspace in which every stage has run, and all that matters was damaged in the cache and checked out."""
    folder = new_workspace(tmp_path_factory.mktemp("damaged"))
    with torch.random.fork_rng():
        save_weights(folder / "models", generator=build_generator(load_params(folder / "params.yaml").model))
    judgement = dict.fromkeys([each.name for each in dataclasses.fields(Judgement)], 1.0) | {"class_shares": [0.1] * 10}
    for path, content in {EVALUATION: judgement, EXPORT: {"opset": 20}, RAW / "deeper/file.gz": {}}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(content))
    record(folder, STAGES)
    for out in DAMAGED:
        damage_object(object_of(folder, out))
        (folder / out).unlink()
    ended = in_shell(folder, "dvc checkout")
    assert ended.exit_code == 0
    assert "damage" not in ended.out + ended.err
    assert [out for out in DAMAGED if (folder / out).read_bytes() == (folder / "good" / out).read_bytes()] == []
    return folder


@pytest.fixture
def copy_of(damaged, tmp_path) -> Callable[..., Path]:
    """Makes a copy of the damaged workspace, in which only some outs are damaged."""

    def copy(*outs: str) -> Path:
        folder = tmp_path / "workspace"
        shutil.copytree(damaged, folder)
        for out in set(DAMAGED) - set(outs):
            shutil.copyfile(folder / "good" / out, folder / out)
            object_of(folder, out).chmod(0o644)
            shutil.copyfile(folder / "good" / out, object_of(folder, out))
            object_of(folder, out).chmod(0o444)
        return folder

    return copy


@pytest.mark.parametrize(
    ("out", "stage"),
    [
        (DATASET, "train"),
        (GENERATOR, "export"),
        pytest.param(CLASSIFIER, "train", marks=slow),
        pytest.param(DATASET, "train_classifier", marks=slow),
        pytest.param(DATASET, "evaluate", marks=slow),
        pytest.param(GENERATOR, "evaluate", marks=slow),
    ],
)
def test_no_stage_reads_what_dvc_restored_damaged(copy_of, out, stage):
    folder = copy_of(str(out))
    before = weights_in(folder)
    done = run_stage(stage, folder, absent=["mlflow"])
    assert done.returncode == 65, done.stderr
    assert done.stderr.startswith(f"error: {out}: ")
    assert done.stderr.count("\n") == 1
    assert "expected" in done.stderr
    assert "run `dcgan doctor --repair`, then `dvc repro`" in done.stderr
    assert weights_in(folder) == before
    assert not (folder / ".checkpoints").exists()


def test_doctor_finds_every_damaged_object_and_following_it_repairs_them(copy_of):
    folder = copy_of(*DAMAGED)
    ended = in_shell(folder, "dcgan doctor")
    assert ended.exit_code == 65
    assert [line.split(": ")[1] for line in ended.out.splitlines()] == DAMAGED
    assert in_shell(folder, "dcgan doctor --repair").exit_code == 0
    ended = in_shell(folder, "dvc repro")
    assert ended.exit_code == 0, ended.err
    assert_whole(folder)
    assert "made data/raw" not in (folder / "runs.txt").read_text(), "only what was damaged is made again"


@slow
def test_the_commands_that_doctor_prints_repair(copy_of):
    folder = copy_of(*DAMAGED)
    for command in commands_in(in_shell(folder, "dcgan doctor").out):
        assert in_shell(folder, command).exit_code == 0, command
    assert_whole(folder)


def assert_whole(folder: Path) -> None:
    """What DVC and the doctor say, and the bytes, agree."""
    assert in_shell(folder, "dcgan doctor").out.startswith(HEALTHY)
    for out in DAMAGED:
        assert (folder / out).read_bytes() == (folder / "good" / out).read_bytes()
    assert "up to date" in in_shell(folder, "dvc status").out
