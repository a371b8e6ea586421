"""Damage that DVC hands out of its cache without a word (tests/commands/test_doctor.py): our stages refuse it."""

import pytest
import torch

from damage import flip_bit
from dcgan.checkpoints.weights import save_weights
from dcgan.config.params_file import load_params
from dcgan.config.workspace import CHECKPOINTS, CLASSIFIER, DATASET, GENERATOR, WITNESS
from dcgan.gan.networks import build_generator
from tiny_workspace import new_workspace, weights_in

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("out", "stage"),
    [
        (DATASET, "train"),
        (GENERATOR, "evaluate"),
        pytest.param(CLASSIFIER, "train", marks=slow),
        pytest.param(WITNESS, "evaluate", marks=slow),
        pytest.param(DATASET, "train_classifier", marks=slow),
        pytest.param(DATASET, "evaluate", marks=slow),
    ],
)
def test_no_stage_reads_what_dvc_restored_damaged(stages, tmp_path, out, stage):
    folder = new_workspace(tmp_path)
    with torch.random.fork_rng():
        save_weights(folder / "models", generator=build_generator(load_params(folder / "params.yaml").model))
    flip_bit(folder / out, -1)
    before = weights_in(folder)
    done = stages.run(stage, folder)
    assert done.returncode == 65, done.stderr
    assert done.stderr.startswith(f"error: {out}: ")
    assert done.stderr.count("\n") == 1
    assert "expected" in done.stderr
    assert "run `dcgan doctor --repair`, then `dvc repro`" in done.stderr
    assert weights_in(folder) == before
    assert not (folder / CHECKPOINTS).exists()
