"""The jobs: Kubeflow's, Slurm's and SkyPilot's commands, with their own arguments and environment, on tiny workspaces.

Quickly with DVC on stages that only note how they were started; slowly with the whole pipeline.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dcgan.commands.new import new_workspace
from deploy_files import DEPLOY, directives, document, environment_of, image_of
from dvc_workspace import write_pipeline
from slurm_stand_in import install, sbatch, steps
from support import ROOT
from tiny_workspace import write_params

NOTE = """
import json, os, pathlib, sys
name = pathlib.Path(sys.argv[0]).stem
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out", name).write_text(name)
with open("notes.jsonl", "a") as notes:
    print(json.dumps({"stage": name} | dict(os.environ)), file=notes)
"""
STAGES = ("validate", "train_classifier", "train_witness", "train", "evaluate")
SBATCH = sorted((DEPLOY / "slurm").glob("*.sbatch"))


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """A workspace whose stages are named as ours, and note their environment."""
    folder = tmp_path / "workspace"
    (folder / "pipeline").mkdir(parents=True)
    for stage in STAGES:
        (folder / f"pipeline/{stage}.py").write_text(NOTE)
    commands = {
        stage: {"cmd": f"python pipeline/{stage}.py", "deps": [f"pipeline/{stage}.py"], "outs": [f"out/{stage}"]}
        for stage in STAGES
    }
    write_pipeline(folder, commands)
    return folder


def notes(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = inherited | variables | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def train_job() -> tuple[list[str], dict[str, str]]:
    """The command and the variables of Kubeflow's job."""
    trainer = document("kubeflow/trainjob.yaml")["spec"]["trainer"]
    return [*trainer["command"], *trainer.get("args", [])], environment_of(trainer)


def sky_task() -> tuple[list[str], dict[str, str]]:
    """What SkyPilot runs in the working folder."""
    task = document("skypilot/train.yaml")
    return ["bash", "-e", "-c", task["run"]], task["envs"]


@pytest.mark.parametrize("job", [train_job, sky_task])
def test_a_job_runs_every_stage_with_its_variables(noted, job):
    command, variables = job()
    done = run(command, noted, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    found = notes(noted)
    assert sorted(each["stage"] for each in found) == sorted(STAGES)
    assert all(variables.items() <= each.items() for each in found)
    assert "MLFLOW_TRACKING_URI" in variables


def test_the_image_of_the_training_runs_the_same_command():
    assert image_of("train")["CMD"] == train_job()[0]


def test_skypilots_setup_is_a_target_that_makes_what_run_needs():
    task = document("skypilot/train.yaml")
    assert task["workdir"] == "."
    done = subprocess.run([*shlex.split(task["setup"]), "--dry-run"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".venv/bin" in task["run"]


# Slurm


@pytest.mark.parametrize("script", SBATCH, ids=lambda path: path.stem)
def test_a_script_is_bash_and_its_directives_come_before_its_commands(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    lines = script.read_text().splitlines()
    first_command = next(index for index, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first_command:] if line.startswith("#SBATCH")]
    assert len(directives(script)) == len([line for line in lines if line.startswith("#SBATCH")])
    assert {"job-name", "time", "output"} <= directives(script).keys()


@pytest.mark.parametrize("script", SBATCH, ids=lambda path: path.stem)
def test_a_script_that_was_not_submitted_says_so(tmp_path, script):
    done = run(["bash", str(script)], tmp_path)
    assert (done.returncode, "start this with sbatch" in done.stderr) == (1, True)


def test_a_training_on_one_gpu_is_one_step(noted, tmp_path):
    done = sbatch(DEPLOY / "slurm/train.sbatch", noted, bin_folder=install(tmp_path / "bin"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps(noted) == ["srun dvc repro"]
    assert sorted(each["stage"] for each in notes(noted)) == sorted(STAGES)
    assert {each["OMP_NUM_THREADS"] for each in notes(noted)} == {"4"}


TORCHRUN = """#!/bin/bash
[ "$1 $2" = "--standalone --nproc-per-node=2" ] || exit 64
for rank in 0 1; do RANK=$rank python "$3" || exit; done
"""


def test_a_training_on_two_gpus_is_torchruns_and_its_result_is_dvcs(noted, tmp_path):
    script = DEPLOY / "slurm/train.sbatch"
    done = sbatch(script, noted, bin_folder=install(tmp_path / "bin", torchrun=TORCHRUN), SLURM_GPUS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    found = notes(noted)
    trained = [each for each in found if each["stage"] == "train"]
    assert sorted(each["RANK"] for each in trained) == ["0", "1"]  # and no third time by DVC
    assert sorted(each["stage"] for each in found if each not in trained) == sorted({*STAGES} - {"train"})
    assert run(["dvc", "status"], noted).stdout.strip() == "Data and pipelines are up to date."


def test_a_training_that_fails_fails_its_job(noted, tmp_path):
    (noted / "pipeline/train.py").write_text("raise SystemExit(70)")
    done = sbatch(DEPLOY / "slurm/train.sbatch", noted, bin_folder=install(tmp_path / "bin"))
    assert done.returncode == 255  # DVC's; the stage's own stands above


RAY = """#!/bin/bash
printf '%s\\n' "$@" > ray.arguments
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""
DCGAN = """#!/bin/bash
printf '%s\\n' "$@" > dcgan.arguments
"""


def test_a_sweep_is_rays_on_all_nodes_with_the_first_as_head(tmp_path):
    from ray.scripts.symmetric_run import symmetric_run

    script = DEPLOY / "slurm/sweep.sbatch"
    done = sbatch(script, tmp_path, bin_folder=install(tmp_path / "bin", ray=RAY, dcgan=DCGAN))
    assert done.returncode == 0, done.stdout + done.stderr
    (step,) = steps(tmp_path)
    assert step.startswith("srun --ntasks=4 ray symmetric-run ")
    name, *options = (tmp_path / "ray.arguments").read_text().splitlines()
    start = options[: options.index("--")]
    read = symmetric_run.make_context(name, list(start), resilient_parsing=False).params
    assert read == {"address": "node1:6379", "min_nodes": 4, "ray_args_and_entrypoint": ()}
    assert (tmp_path / "dcgan.arguments").read_text().split() == ["sweep", "--trials", "32", "--address", "auto"]


def test_an_array_draws_a_share_a_job(tmp_path):
    script = DEPLOY / "slurm/generate.sbatch"
    bin_folder = install(tmp_path / "bin", dcgan=DCGAN + 'echo "$JOB_COMPLETION_INDEX" > index\n')
    done = sbatch(script, tmp_path, "shards", bin_folder=bin_folder, SLURM_ARRAY_TASK_ID="3")
    assert done.returncode == 0, done.stderr
    arguments = (tmp_path / "dcgan.arguments").read_text().split()
    assert " ".join(arguments) == "generate --count 1000000 --shards shards --format parquet --jobs 8"
    assert (tmp_path / "index").read_text() == "3\n"
    assert directives(script)["array"] == "0-7"


# What other commands than these must know


def test_the_sweep_that_slurm_starts_is_a_command_that_exists(tmp_path):
    done = run(["dcgan", "sweep", "--trials", "32", "--address", "auto", "--help"], tmp_path)
    assert done.returncode == 0, done.stderr


def small(command: list[str], folder: Path) -> list[str]:
    """The command of a share, of 80 digits instead of a million, and with `/data` in a folder."""
    return [each.replace("1000000", "80").replace("/data/", f"{folder}/") for each in command]


def digits_in(folder: Path) -> int:
    from pyarrow.parquet import ParquetFile

    return sum(ParquetFile(path).metadata.num_rows for path in folder.rglob("*.parquet"))


def test_the_pods_of_the_indexed_job_draw_all_digits_together(tmp_path):
    (container,) = document("kubernetes/generate/job.yaml")["spec"]["template"]["spec"]["containers"]
    for index in range(document("kubernetes/generate/job.yaml")["spec"]["completions"]):
        command = small([*container["command"], *container["args"]], tmp_path)
        done = run(command, tmp_path, JOB_COMPLETION_INDEX=str(index))
        assert done.returncode == 0, done.stderr
    assert digits_in(tmp_path / "digits") == 80


def test_the_jobs_of_slurms_array_draw_all_digits_together(tmp_path):
    script, bin_folder = DEPLOY / "slurm/generate.sbatch", install(tmp_path / "bin")
    for index in range(8):
        done = sbatch(script, tmp_path, bin_folder=bin_folder, COUNT="80", SLURM_ARRAY_TASK_ID=str(index))
        assert done.returncode == 0, done.stderr
    assert digits_in(tmp_path / "digits") == 80


# The whole pipeline


def whole_workspace(folder: Path) -> Path:
    params: dict[str, Any] = {"train": {"epochs": 1, "batch_size": 64, "report_every": 5}}
    write_params(folder, **params, evaluate={"num_samples": 200})
    new_workspace(folder / "workspace", params=folder / "params.yaml")
    return folder / "workspace"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("gpus", ["1", "2"])
def test_slurms_script_runs_the_whole_pipeline(tmp_path, gpus):
    workspace = whole_workspace(tmp_path)
    script, bin_folder = DEPLOY / "slurm/train.sbatch", install(tmp_path / "bin")
    done = sbatch(
        script, workspace, bin_folder=bin_folder, SLURM_GPUS=gpus, SLURM_CPUS_PER_TASK="1", CUDA_VISIBLE_DEVICES=""
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workspace / "reports/registration.json").exists()
    assert "up to date" in run(["dvc", "status"], workspace).stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_skypilots_task_runs_the_whole_pipeline(tmp_path):
    workspace = whole_workspace(tmp_path)
    command, variables = sky_task()
    done = run(command, workspace, **variables, CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workspace / "models/generator.onnx").exists()
    assert (workspace / "mlflow.db").exists()
