"""A training that leaves the finite numbers goes back and on with half the rates, or ends with 70, and says so."""

import json

import pytest

from dcgan.tracking.history import read_history
from tiny_workspace import new_workspace, weights_in

TRAIN = {"max_steps": 24, "checkpoint_every": 4, "report_every": 2, "evaluate_every": 12}


def poison(where: str, *, step: int, times: int) -> str:
    """Code that lets a weight or a gradient be no number at `step`, so many times."""
    change = {
        "weight": "next(state.generator.parameters()).data[0] = float('nan')",
        "gradient": "next(state.discriminator.parameters()).register_hook(lambda gradient: gradient * float('inf'))",
    }[where]
    return f"""
from dcgan.gan import graph
genuine, left = graph.gan_step, [{times}]

def step(state, *args, **kwargs):
    if state.step == {step} and left[0]:
        left[0] -= 1
        {change}
    return genuine(state, *args, **kwargs)

graph.gan_step = step
"""


IMPROVING = """
import itertools
from dcgan.classifier.quick_fcd import QuickFcd
better = itertools.count(9, -1)
QuickFcd.__call__ = lambda self, generate: {"train/quick_fcd": next(better), "train/mode_coverage": 10.0}
"""
"""Code that makes every evaluation the best so far, whatever a processor's rounding makes of so short a training."""


@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_it_goes_on_from_the_newest_checkpoint_with_half_the_rates(stages, tmp_path, where):
    workspace = new_workspace(tmp_path, train=TRAIN)
    ended = stages.run("train", workspace, planted=poison(where, step=9, times=1))
    assert ended.returncode == 0, ended.stderr
    assert "going on after step 8" in ended.stdout
    assert "warning: rollback-1: training diverged: " in ended.stderr
    rows = read_history(workspace / "reports/training/history.jsonl")
    assert [row for row in rows if "train/diverged_at" in row] == [
        {"step": 8, "train/rollbacks": 1, "train/diverged_at": 10}
    ]
    rates = {row["step"]: row["generator/learning_rate"] for row in rows if "generator/learning_rate" in row}
    assert rates[10] == pytest.approx(rates[8] / 2)
    assert list(rates) == list(range(2, 25, 2)), "every report is there once"
    names = {path.removesuffix(".safetensors") for path in weights_in(workspace)}
    assert names == {"classifier", "witness", "discriminator", "generator"}


def test_once_too_often_is_70_with_the_checkpoints_kept_and_nothing_handed_on(stages, tmp_path):
    workspace = new_workspace(tmp_path, train=TRAIN)
    ended = stages.run("train", workspace, planted=poison("weight", step=17, times=9) + IMPROVING)
    assert ended.returncode == 70
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert (
        "lower the learning rates or change train.seed (after 2 rollbacks; its checkpoints are kept, the best" in line
    )
    assert ended.stderr.count("warning: rollback-") == 2
    checkpoints = {path.name for path in workspace.glob(".checkpoints/*/step-*.safetensors")}
    newest = {f"step-00000016-rollback-{number}.safetensors" for number in (1, 2)}
    assert checkpoints == newest | {"step-00000012.safetensors"}, "the newest two, and the best"
    assert not (workspace / "models/generator.safetensors").exists()


def test_rates_that_no_halving_helps_are_told_after_one_rollback_if_one_is_allowed(stages, tmp_path):
    workspace = new_workspace(tmp_path, train=TRAIN | {"generator_learning_rate": 1e30, "max_rollbacks": 1})
    ended = stages.run("train", workspace)
    assert ended.returncode == 70
    assert "after 1 rollbacks" in ended.stderr


COLLAPSED = """
import torch
from dcgan.gan import graph, monitor
genuine = graph.gan_step

def step(*args, **kwargs):
    return genuine(*args, **kwargs) | {"discriminator/accuracy": torch.tensor(1.0)}

graph.gan_step = step
monitor.MIN_SATURATED_STEPS = 1
"""


@pytest.mark.timeout(600)
def test_a_lost_game_is_warned_of_and_its_model_is_never_champion(stages, tmp_path):
    from dcgan.config.params_file import load_params
    from dcgan.tracking.gates import EvaluationFigures, apply_gates

    workspace = new_workspace(tmp_path, train=TRAIN)
    ended = stages.run("train", workspace, planted=COLLAPSED)
    assert ended.returncode == 0, ended.stderr
    assert "warning: collapse: at step 12: " in ended.stderr
    judged = stages.run("evaluate", workspace)
    assert judged.returncode == 0, judged.stderr
    report = json.loads((workspace / "reports/evaluation.json").read_text())
    assert "right about every image for 24 steps" in report["collapse"]
    figures = EvaluationFigures.from_report(report, path="report")
    gates = apply_gates(load_params(workspace / "params.yaml").gates, figures)
    assert "collapse" in [gate.name for gate in gates if not gate.passed]
