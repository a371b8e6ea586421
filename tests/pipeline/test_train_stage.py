"""The stage `train` as a process: resumed, interrupted, locked out, refused."""

import json
import signal
import time

import pytest

from dcgan.system.locks import exclusive
from stage_server import RunningStage, StageServer
from tiny_workspace import LONG, new_workspace, weights_in


@pytest.fixture(scope="module")
def trained(stages, tmp_path_factory):
    workspace = new_workspace(tmp_path_factory.mktemp("trained"))
    done = stages.run("train", workspace)
    assert done.returncode == 0, done.stderr
    return workspace


def start_training(stages: StageServer, workspace) -> RunningStage:
    """A long training that has saved at least one checkpoint."""
    training = stages.start("train", workspace)
    deadline = time.monotonic() + 60
    while not list(workspace.glob(".checkpoints/*/step-*.safetensors")):
        assert not training.has_ended(), training.wait()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return training


def test_it_leaves_what_dvc_yaml_declares_and_no_checkpoints(trained):
    for out in ("models/generator.safetensors", "models/discriminator.safetensors", "reports/run.json"):
        assert (trained / out).stat().st_size > 0
    for out in ("training/history.jsonl", "training/samples/step-0000000.png", "timings.jsonl"):
        assert (trained / "reports" / out).stat().st_size > 0
    assert [path.name for path in (trained / ".checkpoints").iterdir()] == ["lock"]
    history = [json.loads(line) for line in (trained / "reports/training/history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in history if "generator/loss" in row] == list(range(2, 25, 2))
    assert [row["step"] for row in history if "train/quick_fcd" in row] == [0, 12, 24]


def test_equal_params_give_equal_bytes_in_another_folder(stages, trained, tmp_path):
    workspace = new_workspace(tmp_path)
    assert stages.run("train", workspace).returncode == 0
    assert weights_in(workspace) == weights_in(trained)


def test_a_killed_training_goes_on_to_the_same_bytes(stages, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    sections = {"train": LONG | {"max_steps": 200}}
    for workspace in (straight, killed):
        workspace.mkdir()
        new_workspace(workspace, **sections)
    assert stages.run("train", straight).returncode == 0
    training = start_training(stages, killed)
    training.kill()
    assert training.wait().returncode == -signal.SIGKILL
    done = stages.run("train", killed)
    assert done.returncode == 0, done.stderr
    assert "going on after step" in done.stdout
    assert weights_in(killed) == weights_in(straight)
    history = [
        (workspace / "reports/training/history.jsonl").read_text().splitlines() for workspace in (straight, killed)
    ]
    straight_rows, killed_rows = ([json.loads(line) for line in lines] for lines in history)
    assert killed_rows == straight_rows


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_stop_saves_and_says_how_to_go_on(stages, tmp_path, number, exit_code):
    workspace = new_workspace(tmp_path, train=LONG)
    training = start_training(stages, workspace)
    training.kill(number)
    done = training.wait()
    assert done.returncode == exit_code
    assert "error: train: stopped and saved after step" in done.stderr
    assert "Traceback" not in done.stderr
    step = int(done.stderr.partition("after step ")[2].split()[0])
    assert list(workspace.glob(f".checkpoints/*/step-{step:08d}.safetensors"))
    assert not (workspace / "models/generator.safetensors").exists()


def test_a_second_trainer_is_told_who_is_at_work(stages, tmp_path):
    workspace = new_workspace(tmp_path)
    with exclusive(workspace / ".checkpoints/lock"):
        done = stages.run("train", workspace)
    assert done.returncode == 75
    assert "locked by pid" in done.stderr
    assert not (workspace / "reports/run.json").exists()


@pytest.mark.parametrize(
    ("sections", "exit_code", "message"),
    [
        ({"train": {"generator_learning_rate": 1e30}}, 70, "training diverged"),
        ({"train": {"epoch": 1}}, 64, "unknown parameter train.epoch; did you mean train.epochs?"),
        ({"train": {"batch_size": 500}}, 64, "batch_size: 500 is more than the 200 training images"),
        ({"train": {"device": "cuda"}}, 64, "PyTorch finds no GPU"),
        ({"model": {"architecture": "dcgna"}}, 64, "model.architecture: expected one of dcgan, "),
        ({"loss": {"name": "hing"}}, 64, "did you mean hinge?"),
        ({"model": {"architecture": "infogan"}}, 64, "model.conditional: infogan finds classes by itself"),
        ({"penalties": {"gradient_penalty": 10}}, 64, "penalties.gradient_penalty"),
        ({"train": {"stop_when": {"metric": "train/fdc", "below": 1.0}}}, 64, "train.stop_when.metric"),
        ({"train": {"stop_when": {"metric": "train/quick_fcd"}}}, 64, "missing parameter train.stop_when.below"),
    ],
)
def test_a_users_mistake_is_one_line_with_its_exit_code(stages, tmp_path, sections, exit_code, message):
    done = stages.run("train", new_workspace(tmp_path, **sections))
    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models/generator.safetensors").exists()


def test_what_is_kept_is_the_last_or_the_best_as_asked(stages, tmp_path):
    """At such a rate the samples get worse again."""
    kept = {}
    for keep in ("last", "best"):
        (tmp_path / keep).mkdir()
        workspace = new_workspace(tmp_path / keep, train={"keep": keep, "epochs": 6, "generator_learning_rate": 2.0})
        assert stages.run("train", workspace).returncode == 0
        kept[keep] = weights_in(workspace)["generator.safetensors"]
        history = [json.loads(line) for line in (workspace / "reports/training/history.jsonl").read_text().splitlines()]
    judged = {row["step"]: row["train/quick_fcd"] for row in history if "train/quick_fcd" in row}
    best, last = min(judged, key=judged.get), max(judged)
    assert best < last, "the two cannot be told apart"
    assert kept["last"] != kept["best"]


def test_a_missing_classifier_is_told_with_the_stage_that_makes_it(stages, tmp_path):
    workspace = new_workspace(tmp_path)
    (workspace / "models/classifier.safetensors").unlink()
    done = stages.run("train", workspace)
    assert done.returncode == 65
    assert "dvc repro train_classifier" in done.stderr


def test_a_changed_data_set_is_never_trained_on(stages, tmp_path):
    workspace = new_workspace(tmp_path)
    path = workspace / "data/dataset.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = stages.run("train", workspace)
    assert done.returncode == 65
    assert "data/dataset.safetensors: damaged" in done.stderr
