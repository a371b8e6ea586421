"""The stage `evaluate` and the command `dcgan evaluate` as a user runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tiny_onnx import FOREIGN, LATENT_DIM, build_model, write_model
from tiny_workspace import new_workspace, run_stage, stage_environment, write_params

ABSENT = ["mlflow"]
TRAINING = {"epochs": 5, "max_steps": 20, "report_every": 10}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace in which everything up to `export` has run."""
    workspace = new_workspace(tmp_path_factory.mktemp("trained"), train=TRAINING)
    for stage in ("train_classifier", "train", "evaluate", "export"):
        done = run_stage(stage, workspace, absent=ABSENT)
        assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture
def workspace(trained, tmp_path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def evaluate(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dcgan.cli", "evaluate", *map(str, arguments)]
    environment = stage_environment(folder)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line
    assert "Traceback" not in done.stderr


def test_the_stage_says_what_it_measured_on_how_many_samples(trained):
    report = json.loads((trained / "reports/evaluation.json").read_text())
    assert (report["num_samples"], report["num_seeds"], report["num_train_on_fake"]) == (100, 2, 100)
    assert report["fid"] is None
    assert set(report["discriminator"]["probes"]) == {"200", "100"}
    samples, floor = (
        json.loads((trained / f"reports/metrics/{rated}.json").read_text()) for rated in ("samples", "real_images")
    )
    assert (samples["fcd"], floor["fcd"]) == (report["fcd"], report["fcd_floor"])
    assert samples.keys() == floor.keys()
    assert all(isinstance(value, int | float) for value in (*samples.values(), *floor.values()))
    pictures = {path.name for path in (trained / "reports/plots").glob("*.png")}
    assert {"samples.png", "by_digit.png", "interpolations.png", "closest_pairs.png", "probes.png"} <= pictures


def test_the_exported_file_is_judged_as_its_network_was(trained, tmp_path):
    """The same latents through ONNX Runtime: rounding moves a grey level here and there, and nothing else."""
    done = evaluate(trained, "--out", tmp_path / "judged.json")
    assert done.returncode == 0, done.stderr
    judged = json.loads((tmp_path / "judged.json").read_text())
    report = json.loads((trained / "reports/evaluation.json").read_text())
    for name in ("fcd", "kcd", "precision", "recall", "classifier_score", "label_accuracy", "train_on_fake"):
        assert judged[name] == pytest.approx(report[name], rel=0.02, abs=0.02), name
    assert judged["fcd_floor"] == report["fcd_floor"]
    assert len(judged["model_sha256"]) == 64
    assert f"{judged['fcd']:.4f}" in done.stdout
    assert "on 100 samples a seed" in done.stdout


def test_a_generator_from_elsewhere_is_judged_without_its_training_run(workspace):
    foreign = workspace / "foreign.onnx"
    write_model(foreign, build_model(**FOREIGN))
    shutil.rmtree(workspace / "reports/plots")
    (workspace / "models/run.json").unlink()
    done = evaluate(workspace, "--model", foreign)
    assert done.returncode == 0, done.stderr
    assert "foreign.onnx: fcd " in done.stdout


def test_a_model_of_another_shape_is_refused(workspace):
    other = workspace / "other.onnx"
    write_model(other, build_model(names=("noise", "labels", "images", "pixels")))
    assert_refused(evaluate(workspace, "--model", other), 65, "other.onnx", "noise")


def test_a_constant_model_is_refused(workspace):
    constant = workspace / "constant.onnx"
    weight = np.zeros((LATENT_DIM, 784), np.float32)
    write_model(constant, build_model(conditional=False, weight=weight, num_classes="0"))
    assert_refused(evaluate(workspace, "--model", constant), 65, "constant.onnx draws the same image 100 times")


def test_a_damaged_judge_is_refused(workspace):
    evaluator = workspace / "models/classifier.safetensors"
    evaluator.write_bytes(evaluator.read_bytes()[:-5])
    assert_refused(evaluate(workspace), 65, "classifier.safetensors", "dvc repro --force train_classifier")


def test_outside_a_workspace_it_says_so(trained, tmp_path):
    done = evaluate(tmp_path, "--model", trained / "models/generator.onnx")
    assert_refused(done, 64, "params.yaml: missing", "run from the folder that holds it")


def test_weights_of_another_shape_are_refused(workspace):
    write_params(workspace, train=TRAINING, model={"generator_channels": 16})
    done = run_stage("evaluate", workspace, absent=ABSENT)
    assert_refused(done, 65, "generator.safetensors: holds another network than params.yaml describes")


def test_more_samples_than_training_images_are_refused(workspace):
    write_params(workspace, train=TRAINING, evaluate={"num_samples": 201})
    assert_refused(
        run_stage("evaluate", workspace, absent=ABSENT), 64, "evaluate.num_samples: 201", "200 training images"
    )


def test_missing_inception_weights_are_refused_before_the_work(workspace):
    write_params(workspace, train=TRAINING, evaluate={"inception_weights": "nowhere.pth"})
    before = (workspace / "reports/evaluation.json").read_bytes()
    assert_refused(run_stage("evaluate", workspace, absent=ABSENT), 65, "nowhere.pth: missing")
    assert (workspace / "reports/evaluation.json").read_bytes() == before


def test_an_installation_without_pytorch_says_what_is_missing(tmp_path):
    script = "import runpy, sys; sys.modules['torch'] = None; sys.argv = ['dcgan', 'evaluate']; "
    command = [sys.executable, "-c", script + "runpy.run_module('dcgan.cli', run_name='__main__')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_refused(done, 69, "dcgan evaluate needs torch; install dcgan-mnist[train]")


def test_a_classifier_that_is_not_finite_is_refused(workspace):
    import torch

    from dcgan.checkpoints.weights import restored, save_weights
    from dcgan.classifier.network import Classifier

    path = workspace / "models/classifier.safetensors"
    classifier = restored(Classifier(), path, device=torch.device("cpu"), made_by="train_classifier")
    classifier.head.bias.data[3] = torch.nan
    save_weights(path.parent, classifier=classifier)
    done = run_stage("evaluate", workspace, absent=ABSENT)
    assert_refused(done, 65, "the classifier reads values that are not finite")
