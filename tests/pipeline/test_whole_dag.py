"""The whole DAG as a user runs it, on few images in a temporary folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_workspace import ROOT, stage_environment, write_params
from tracking_store import MLFLOW_WARNINGS

pytestmark = [pytest.mark.timeout(600), *(pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS)]
STAGES = ["download", "validate", "train_classifier", "train", "evaluate", "export", "register"]
OUTPUTS = [
    "data/dataset.safetensors",
    "models/classifier.safetensors",
    "models/discriminator.safetensors",
    "models/generator.onnx",
    "models/generator.safetensors",
    "models/run.json",
    "reports/data_docs/index.html",
    "reports/evaluation.json",
    "reports/export.json",
    "reports/history.jsonl",
    "reports/metrics/samples.json",
    "reports/plots/closest_pairs.png",
    "reports/plots/confusion.csv",
    "reports/plots/roc.csv",
    "reports/registration.json",
    "reports/samples/step-0000000.png",
    "reports/validation.json",
]


def dvc(folder: Path, *arguments: str) -> str:
    environment = stage_environment(folder)
    del environment["DVC_ROOT"]  # DVC sets it itself
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    write_params(folder, train={"epochs": 1, "batch_size": 64, "report_every": 5}, evaluate={"num_samples": 200})
    shutil.copy(ROOT / "dvc.yaml", folder)
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    output = dvc(folder, "repro")
    assert [stage for stage in STAGES if f"Running stage '{stage}'" in output] == STAGES
    return folder


def test_every_output_is_there_and_nothing_is_left_to_do(workspace):
    assert [out for out in OUTPUTS if not (workspace / out).is_file()] == []
    assert "up to date" in dvc(workspace, "status")


def test_a_second_repro_runs_no_stage(workspace):
    assert "Running stage" not in dvc(workspace, "repro")


def test_one_mlflow_run_holds_what_all_stages_found(workspace, monkeypatch):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    evaluation = json.loads((workspace / "reports/evaluation.json").read_text())
    assert run.info.run_id == json.loads((workspace / "models/run.json").read_text())["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params["train.batch_size"] == "64"
    assert run.data.metrics["evaluation/fcd"] == evaluation["fcd"]
    assert {"generator/loss", "discriminator/loss", "train/images_per_second"} <= run.data.metrics.keys()
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    report = json.loads((workspace / "reports/registration.json").read_text())
    assert client.get_model_version("tiny-generator", report["version"]).run_id == run.info.run_id


def test_deleted_models_come_back_from_the_run_cache_without_training(workspace):
    before = {path.name: path.read_bytes() for path in (workspace / "models").iterdir()}
    shutil.rmtree(workspace / "models")
    output = dvc(workspace, "repro")
    assert "Running stage" not in output
    assert {path.name: path.read_bytes() for path in (workspace / "models").iterdir()} == before


def test_an_evaluation_parameter_does_not_retrain_and_its_restore_keeps_the_run(workspace):
    params = workspace / "params.yaml"
    original = params.read_text()
    run_file = (workspace / "models/run.json").read_bytes()
    params.write_text(original.replace("num_samples: 200", "num_samples: 150"))
    output = dvc(workspace, "repro")
    assert "Running stage 'evaluate'" in output
    assert "Running stage 'train'" not in output
    params.write_text(original)
    assert "Running stage" not in dvc(workspace, "repro")
    assert (workspace / "models/run.json").read_bytes() == run_file
