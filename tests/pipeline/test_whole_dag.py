"""The whole DAG as a user runs it, on few images, in a workspace that `dcgan new` makes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import boto3
import pytest
import yaml

from dcgan.commands.new import new_workspace
from dcgan.config import workspace as files
from printed_commands import printed_in, works
from s3_server import LOGIN, s3_server
from support import ROOT
from tiny_workspace import stage_environment, write_params

pytestmark = pytest.mark.timeout(600)
STAGES = ["download", "validate", "train_classifier", "train_witness", "train", "export", "evaluate", "register"]
OUTPUTS = [
    files.DATASET, files.CLASSIFIER, files.WITNESS, files.GENERATOR, files.DISCRIMINATOR, files.ONNX_GENERATOR,
    files.VALIDATION, files.HISTORY, files.SAMPLES / "step-0000000.png", files.EVALUATION, files.METRICS,
    files.EVALUATION_FIGURES / "closest_pairs.png", files.EVALUATION_FIGURES / "roc.csv",
    files.EVALUATION_FIGURES / "training.csv", files.EXPORT, files.REGISTRATION, files.REPORT, files.MODEL_CARD,
    files.DATA_DOCS / "index.html", files.TIMINGS,
]  # fmt: skip


def attempt(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = stage_environment(folder)
    for name in {"DVC_ROOT", "MAKELEVEL"} & environment.keys():  # DVC sets it itself; `make test` is not under test
        del environment[name]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run(folder: Path, *command: str) -> str:
    done = attempt(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    run(folder, "git", *who, "commit", "--quiet", "--all", "--message", message)


def stages_run(output: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in output]


def new_tiny_workspace(folder: Path) -> Path:
    params = {"train": {"epochs": 1, "batch_size": 64, "report_every": 5}, "evaluate": {"num_samples": 200}}
    write_params(folder.parent, **params)
    new_workspace(folder, params=folder.parent / "params.yaml")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = new_tiny_workspace(tmp_path_factory.mktemp("dag") / "first")
    output = run(folder, "dvc", "repro")
    assert stages_run(output) == STAGES
    (folder.parent / "output").write_text(output)
    run(folder, "git", "add", "--all")
    commit(folder, "run")
    return folder


@pytest.fixture(scope="module")
def login() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**LOGIN, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def shared(workspace, login) -> Iterator[Path]:
    """The workspace with a DVC remote on S3, which has everything."""
    with s3_server() as address:
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="dvc")
        run(workspace, "dvc", "remote", "add", "--default", "team", "s3://dvc/digits")
        run(workspace, "dvc", "remote", "modify", "team", "endpointurl", address)
        commit(workspace, "A remote")
        run(workspace, "dvc", "push")
        yield workspace


def test_every_output_is_there_and_nothing_is_left_to_do(workspace):
    assert [str(out) for out in OUTPUTS if not (workspace / out).is_file()] == []
    assert "up to date" in run(workspace, "dvc", "status")
    assert stages_run(run(workspace, "dvc", "repro")) == []
    assert run(workspace, "git", "status", "--porcelain") == ""


def test_every_stage_tells_what_it_made_and_the_last_one_how_to_look_at_it(workspace):
    told = (workspace.parent / "output").read_text().splitlines()
    begins = [told.index(f"Running stage '{stage}':") for stage in STAGES]
    for stage, begin in zip(STAGES, begins, strict=True):
        lines = list(takewhile(lambda line: "lock file" not in line, told[begin + 2 :]))
        assert 1 <= len(lines) <= 3, (stage, lines)
    results, look = (next(line for line in told if line.startswith(f"{word}: ")) for word in ("results", "look"))
    assert results.split()[1:] == [str(path) for path in files.RESULTS]
    assert all((workspace / path).is_file() for path in files.RESULTS)
    assert printed_in(look) == ["mlflow ui", "dcgan generate --out digits.png", "dcgan serve"]


@pytest.fixture(scope="module")
def checkout(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `make demo` finds that workspace as demo/run, and nothing to set up."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "demo").mkdir()
    (folder / "demo/run").symlink_to(workspace)
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("Makefile", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, target: str) -> list[str]:
    """The lines that make prints after all others of a target."""
    output = run(folder, "make", "READY=ready", "--old-file=ready", target)
    return output.rpartition("\n\n")[2].splitlines()


def test_what_make_prints_in_the_end_is_there_and_works_as_printed(checkout):
    results, look, following = make(checkout, "demo")
    assert results.startswith("results in demo/run: ")
    assert all((checkout / "demo/run" / path).is_file() for path in results.split()[3:])
    activate, *commands = printed_in(look)
    assert commands == ["mlflow ui", "dcgan generate --out digits.png", "dcgan serve"]
    assert [command for command in commands if not works(command, checkout, after=activate)] == []
    assert (checkout / "demo/run/digits.png").is_file()
    assert printed_in(following) == ["make repro"]


def test_make_repro_ends_alike_in_the_checkout_itself(workspace):
    shutil.copy(ROOT / "Makefile", workspace)
    results, look, _ = make(workspace, "repro")
    (workspace / "Makefile").unlink()
    assert [Path(path) for path in results.split()[1:]] == [*files.RESULTS]
    assert printed_in(look) == [
        "make ui", "source .venv/bin/activate", "dcgan generate --out digits.png", "dcgan serve"
    ]  # fmt: skip


def test_under_make_the_last_stage_leaves_these_lines_to_make(workspace):
    output = run(workspace, "env", "MAKELEVEL=1", "dvc", "repro", "--force", "--single-item", "register")
    assert "is champion" in output or "is challenger" in output
    assert "results:" not in output


def test_one_mlflow_run_holds_what_all_stages_found(workspace):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    (found,) = client.search_runs([experiment.experiment_id])
    evaluation = json.loads((workspace / files.EVALUATION).read_text())
    assert found.info.status == "FINISHED"
    assert found.data.tags["generator_sha256"] == evaluation["generator_sha256"]
    assert found.data.params["train.batch_size"] == "64"
    assert found.data.metrics["evaluation/fcd"] == evaluation["fcd"]
    assert {"generator/loss", "discriminator/loss", "train/images_per_second"} <= found.data.metrics.keys()
    assert found.inputs.dataset_inputs[0].dataset.name == "digits"
    (version,) = client.search_model_versions("name='tiny-generator'")
    assert version.run_id == found.info.run_id


def test_git_has_the_metrics_and_the_table_of_experiments_shows_them(workspace):
    header, *rows = run(workspace, "dvc", "exp", "show", "--csv").splitlines()
    figures = json.loads((workspace / files.METRICS).read_text())
    columns = header.split(",")
    assert set(figures) <= set(columns)
    for row in rows:
        shown = dict(zip(columns, row.split(","), strict=True))
        assert float(shown["fcd"]) == pytest.approx(figures["fcd"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_experiments_of_dvc_are_runs_of_the_workspaces_store_under_their_names(workspace):
    """Their folders are copies that DVC deletes."""
    from mlflow import MlflowClient

    fewer = ("-S", "train.max_steps=5", "train")
    run(workspace, "dvc", "exp", "run", "--temp", "--name", "coral", "-S", "train.seed=1", *fewer)
    run(workspace, "dvc", "exp", "run", "--queue", "--name", "fern", "-S", "loss.name=hinge", *fewer)
    run(workspace, "dvc", "exp", "run", "--run-all", "--jobs", "1")
    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment.artifact_location == (workspace / "mlruns/tiny").as_uri()
    found = {each.data.tags.get("DVC_EXP_NAME"): each for each in client.search_runs([experiment.experiment_id])}
    assert found.keys() == {None, "coral", "fern"}
    head = run(workspace, "git", "rev-parse", "HEAD").strip()
    for name, words in {"coral": "digits seed=1 ", "fern": "digits hinge "}.items():
        assert found[name].info.run_name.startswith(f"{name}: {words}")
        assert found[name].info.status == "FINISHED"
        assert found[name].data.tags["DVC_EXP_BASELINE_REV"] == head
    assert run(workspace, "git", "status", "--porcelain") == ""
    assert set(run(workspace, "dvc", "exp", "list", "--name-only").split()) == {"coral", "fern"}
    run(workspace, "dvc", "exp", "apply", "coral")
    assert run(workspace, "git", "status", "--porcelain").split() == ["M", "dvc.lock", "M", "params.yaml"]
    assert (workspace / "src").is_symlink(), "an experiment holds the links to the checkout, not what is behind them"
    run(workspace, "git", "restore", ".")
    run(workspace, "dvc", "checkout")


def test_deleted_models_come_back_from_the_run_cache_without_training(workspace):
    before = {path.name: path.read_bytes() for path in (workspace / "models").iterdir()}
    shutil.rmtree(workspace / "models")
    assert stages_run(run(workspace, "dvc", "repro")) == []
    assert {path.name: path.read_bytes() for path in (workspace / "models").iterdir()} == before


def test_a_second_workspace_takes_everything_from_the_cache_but_registers_itself(workspace, tmp_path):
    from mlflow import MlflowClient

    second = new_tiny_workspace(tmp_path / "second")
    run(second, "dvc", "config", "--local", "cache.dir", str(workspace / ".dvc/cache"))
    assert stages_run(run(second, "dvc", "repro")) == ["register"]
    client = MlflowClient(f"sqlite:///{second}/mlflow.db")
    (version,) = client.search_model_versions("name='tiny-generator'")
    assert client.get_run(version.run_id).data.metrics["evaluation/fcd"] > 0


def clone(shared: Path, folder: Path) -> Path:
    run(shared, "git", "clone", "--quiet", str(shared), str(folder))
    return folder


def test_a_clone_takes_everything_from_s3_runs_nothing_and_generates(shared, tmp_path):
    second = clone(shared, tmp_path / "second")
    assert stages_run(run(second, "dvc", "repro", "--pull")) == []
    assert run(second, "git", "status", "--porcelain") == ""
    for path in (shared / "models").iterdir():
        assert (second / "models" / path.name).read_bytes() == path.read_bytes()
    run(second, "dcgan", "generate", "--count", "4", "--out", "digits.png")
    assert (second / "digits.png").is_file()
    (second / "digits.png").unlink()
    assert stages_run(run(second, "dvc", "repro")) == ["register"]  # in its own registry
    assert run(second, "git", "status", "--porcelain") == ""


def test_what_a_ci_does_for_a_change_is_told_and_can_be_taken_over(shared, tmp_path):
    change, reviewer = clone(shared, tmp_path / "change"), clone(shared, tmp_path / "reviewer")
    for folder in (change, reviewer):
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["gates"]["min_class_share"] = 0.01
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        commit(folder, "A lower gate")
    script = str(ROOT / "deploy/ci/pipeline.sh")
    assert attempt(change, script, "origin/nowhere").returncode == 64
    assert stages_run(run(change, script, "origin/HEAD")) == ["register"]
    comment = (change / "ci-report/comment.md").read_text()
    assert "### Metrics\n\nAs in origin/HEAD.\n" in comment
    assert re.search(r"\| params.yaml \| gates.min_class_share +\| 0.07 +\| 0.01 +\|", comment)
    assert "dvc.lock is out of date" in comment
    assert (change / "ci-report/plots/index.html").is_file()
    run(reviewer, "git", "apply", str(change / "ci-report/results.patch"))
    assert stages_run(run(reviewer, "dvc", "repro", "--pull")) == []
    commit(reviewer, "Its results")
    assert stages_run(run(reviewer, script, "origin/HEAD")) == []
    assert "dvc.lock" not in (reviewer / "ci-report/comment.md").read_text()


@pytest.mark.parametrize(
    ("settings", "absent", "command", "told"),
    [
        ({}, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "pull", "Unable to locate credentials"),
        ({"endpointurl": "http://127.0.0.1:9"}, [], "pull", "Could not connect to the endpoint URL"),
        ({"url": "s3://elsewhere/digits"}, [], "push", "The specified bucket does not exist"),
        ({"url": "s3://dvc/empty"}, [], "pull", "Is your cache up to date?"),
    ],
)
def test_a_remote_that_is_not_as_it_should_be_is_told_as_the_page_says(
    shared, tmp_path, monkeypatch, *, settings, absent, command, told
):
    folder = clone(shared, tmp_path / "clone")
    for name, value in settings.items():
        run(folder, "dvc", "remote", "modify", "--local", "team", name, value)
    if command == "push":
        run(folder, "dvc", "config", "--local", "cache.dir", str(shared / ".dvc/cache"))
    for name in absent:
        monkeypatch.delenv(name)
    done = attempt(folder, "dvc", command)
    assert done.returncode != 0
    assert told in " ".join(done.stderr.split())
    assert f"`{told}`" in (ROOT / "docs/team-server.md").read_text()
    assert run(folder, "git", "status", "--porcelain") == ""


def test_an_evaluation_parameter_does_not_retrain_and_the_model_is_the_same_in_mlflow(workspace):
    from mlflow import MlflowClient

    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("num_samples: 200", "num_samples: 150"))
    again = stages_run(run(workspace, "dvc", "repro"))
    assert "evaluate" in again
    assert "train" not in again
    assert "export" not in again
    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    assert len(client.search_model_versions("name='tiny-generator'")) == 1
