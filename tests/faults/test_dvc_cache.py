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
from dcgan.gan.networks import build_generator
from dcgan.tracking.gates import EvaluationFigures
from dvc_workspace import commands_in, damage_object, in_shell, object_of, record
from tiny_workspace import new_workspace, run_stage, weights_in

DATASET, CLASSIFIER, GENERATOR = (
    "data/dataset.safetensors",
    "models/classifier.safetensors",
    "models/generator.safetensors",
)
EVALUATION, EXPORT, RAW = "reports/evaluation.json", "reports/export.json", "data/raw"
STAGES = {
    "download": [RAW],
    "validate": [DATASET, "reports/validation.json"],
    "train_classifier": [CLASSIFIER],
    "train": [GENERATOR],
    "evaluate": [EVALUATION],
    "export": [EXPORT],
}
DAMAGED = [DATASET, CLASSIFIER, GENERATOR, EVALUATION, EXPORT]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A workspace in which every stage has run, and all that matters was damaged in the cache and checked out."""
    folder = new_workspace(tmp_path_factory.mktemp("damaged"))
    with torch.random.fork_rng():
        save_weights(folder / "models", generator=build_generator(load_params(folder / "params.yaml").model))
    names = [each.name for each in dataclasses.fields(EvaluationFigures)]
    evaluation = dict.fromkeys(names, 1.0) | {"class_shares": [0.1] * 10, "num_seeds": 3}
    for name, content in {EVALUATION: evaluation, EXPORT: {"opset": 20}, f"{RAW}/deeper/file.gz": {}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    record(folder, STAGES)
    assert in_shell(folder, "dvc status --quiet").exit_code == 0, "DVC takes what the test wrote for its own"
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


slow = pytest.mark.slow


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
    folder = copy_of(out)
    before = weights_in(folder)
    done = run_stage(stage, folder, absent=["mlflow"])
    assert done.returncode == 65, done.stderr
    assert done.stderr.startswith(f"error: {out}: ")
    assert done.stderr.count("\n") == 1
    assert "expected" in done.stderr
    assert "run `dcgan doctor --repair`, then `dvc repro`" in done.stderr
    assert weights_in(folder) == before
    assert not (folder / "reports/run.json").exists()
    assert not (folder / ".checkpoints").exists()


def test_doctor_finds_every_damaged_object_and_following_it_repairs_them(damaged, tmp_path):
    folder = tmp_path / "workspace"
    shutil.copytree(damaged, folder)
    ended = in_shell(folder, "dcgan doctor")
    assert ended.exit_code == 65
    assert [line.split(": ")[1] for line in ended.out.splitlines()] == DAMAGED
    assert in_shell(folder, "dcgan doctor --repair").exit_code == 0
    ended = in_shell(folder, "dvc repro")
    assert ended.exit_code == 0, ended.err
    assert_whole(folder)
    assert "made data/raw" not in (folder / "runs.txt").read_text(), "only what was damaged is made again"


@slow
@pytest.mark.parametrize("out", DAMAGED)
def test_each_command_that_doctor_prints_repairs(copy_of, out):
    folder = copy_of(out)
    for _ in range(10):
        ended = in_shell(folder, "dcgan doctor")
        if ended.exit_code == 0:
            break
        repaired = in_shell(folder, commands_in(ended.out)[0])
        assert repaired.exit_code == 0, repaired
    assert_whole(folder)


def assert_whole(folder: Path) -> None:
    """What DVC and the doctor say, and the bytes, agree."""
    assert in_shell(folder, "dcgan doctor") == (
        0,
        "no findings: what dvc.lock lists, DVC's copies of it, checkpoints and locks are whole\n",
        "",
    )
    outs = [out for stage in STAGES.values() for out in stage]
    assert [out for out in outs if object_of(folder, out) != object_of(folder, f"good/{out}")] == []
    assert "up to date" in in_shell(folder, "dvc status").out
