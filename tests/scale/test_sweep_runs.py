"""Whole sweeps on Ray: what is killed goes on to the same bits, and MLflow has a parent and its children."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import yaml

import scale_sweeps as sweeps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def first(folder) -> dict:
    """Trial 1, once it has a checkpoint in the middle of its training."""
    sweeps.wait_for(lambda: sweeps.trials(folder) and sweeps.has_checkpoint(sweeps.trials(folder)[0], from_step=60))
    return sweeps.trials(folder)[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> str:
    """The weights of a first trial that nothing interrupts."""
    folder = sweeps.sweep_workspace(tmp_path_factory.mktemp("straight"), train=sweeps.LONG)
    done = sweeps.run(folder, "--trials", 1)
    assert done.returncode == 0, done.stderr
    (trial,) = sweeps.trials(folder)
    assert trial["kind"] == "finished"
    return trial["generator_sha256"]


def test_a_worker_that_is_killed_is_replaced_and_its_trial_ends_in_the_same_bits(tmp_path, straight):
    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG)
    process = sweeps.start(folder, "--trials", 1)
    worker = sweeps.worker_of(first(folder))
    os.kill(worker, signal.SIGKILL)
    sweeps.wait_for(lambda: sweeps.worker_of(sweeps.trials(folder)[0]) != worker)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    (trial,) = sweeps.trials(folder)
    assert (trial["kind"], trial["generator_sha256"]) == ("finished", straight)
    assert "best: trial 1 of 1" in out
    assert "Traceback" not in err


def test_a_driver_that_is_killed_leaves_no_training_behind_and_the_same_command_goes_on(tmp_path, straight):
    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG)
    process = sweeps.start(folder, "--trials", 2)
    trial = first(folder)
    worker = sweeps.worker_of(trial)
    step = max(path.name for path in trial["folder"].glob("*/step-*.safetensors"))
    process.kill()
    process.communicate()
    sweeps.wait_for(lambda: not sweeps.is_alive(worker), seconds=30)
    done = sweeps.run(folder, "--trials", 2)
    assert done.returncode == 0, done.stderr
    ended = sweeps.trials(folder)
    assert [trial["number"] for trial in ended] == [1, 2]
    assert ended[0]["folder"] == trial["folder"], f"it began anew after {step}"
    assert (ended[0]["kind"], ended[0]["generator_sha256"]) == ("finished", straight)
    again = sweeps.run(folder)
    assert again.returncode == 0
    assert "trial 1 of 2:" not in again.stdout, "nothing was missing"


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sweep_that_is_stopped_says_how_to_go_on_and_does(tmp_path, straight, number, exit_code):
    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG)
    process = sweeps.start(folder, "--trials", 1)
    first(folder)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == exit_code, err
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    done = sweeps.run(folder)
    assert done.returncode == 0, done.stderr
    assert sweeps.trials(folder)[0]["generator_sha256"] == straight


def test_a_stop_that_reaches_all_of_ray_ends_the_sweep_too(tmp_path):
    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG)
    process = sweeps.start(folder, "--trials", 1)
    first(folder)
    sweeps.kill_group(process, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "run the same command again to go on" in err
    assert sweeps.run(folder).returncode == 0


def test_a_second_driver_is_told_of_the_first(tmp_path):
    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG)
    process = sweeps.start(folder, "--trials", 1)
    sweeps.wait_for(lambda: sweeps.trials(folder))
    second = sweeps.run(folder, "--trials", 1)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert second.returncode == 75
    assert f"locked by pid {process.pid}" in second.stderr


def test_trials_that_diverge_are_listed_and_the_best_is_repeated_and_applied(tmp_path):
    rates = {"train.generator_learning_rate": [1e-3, 1e30]}
    folder = sweeps.sweep_workspace(tmp_path, space={"base": {"train.epochs": 3}, "space": rates})
    done = sweeps.run(folder, "--trials", 5, "--seeds", 2, "--apply")
    assert done.returncode == 0, done.stderr
    kinds = {trial["values"]["train.generator_learning_rate"]: trial["kind"] for trial in sweeps.trials(folder)}
    assert kinds[1e30] == "failed"
    assert "failed: training diverged" in done.stdout
    assert "with 2 other seeds: " in done.stdout
    applied = yaml.safe_load((folder / "params.yaml").read_text())["train"]
    assert (applied["generator_learning_rate"], applied["epochs"]) == (1e-3, 2)
    assert_tracked(folder, trials=5, repeats=2)


def test_where_every_trial_diverges_it_is_70(tmp_path):
    folder = sweeps.sweep_workspace(tmp_path, space={"space": {"train.generator_learning_rate": [1e29, 1e30]}})
    done = sweeps.run(folder, "--trials", 2)
    assert done.returncode == 70
    assert "all 2 trials failed; the first: training diverged" in done.stderr
    assert sweeps.run(folder).returncode == 70


def test_a_dead_store_costs_a_warning_and_a_sync_brings_it_up_to_date(tmp_path):
    folder = sweeps.sweep_workspace(tmp_path, train={"epochs": 1})
    done = sweeps.run(folder, "--trials", 2, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: ") == 1
    assert "`dcgan sync` sends what is missing" in done.stderr
    assert "best: trial" in done.stdout
    command = [sys.executable, "-m", "dcgan", "sync"]
    synced = subprocess.run(
        command, cwd=folder, env=sweeps.environment(folder), capture_output=True, text=True, check=False
    )
    assert synced.returncode == 0, synced.stderr
    assert_tracked(folder, trials=2)


def test_two_machines_train_at_the_same_time(tmp_path):
    from ray.cluster_utils import Cluster

    folder = sweeps.sweep_workspace(tmp_path, train=sweeps.LONG | {"epochs": 60})
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        process = sweeps.start(folder, "--trials", 2, "--address", cluster.address)
        both = sweeps.trials

        def has_both() -> bool:
            assert process.poll() is None, process.communicate()
            return len(both(folder)) == 2 and all(map(sweeps.has_checkpoint, both(folder)))

        sweeps.wait_for(has_both)
        raylets = {psutil.Process(sweeps.worker_of(trial)).ppid() for trial in both(folder)}
        _, err = process.communicate(timeout=280)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, err
    assert len(raylets) == 2, "each machine has one core"


def assert_tracked(folder, *, trials: int, repeats: int = 0) -> None:
    """MLflow's store in the folder has a parent run and its children, each with its end."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    (parent,) = (run for run in runs if run.info.run_name == "sweep default")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1 == trials + repeats
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in children} <= {"FINISHED", "FAILED"}
    assert parent.data.metrics["best_fcd_over_floor"] > 0
    assert ("best_fcd_over_floor_mean" in parent.data.metrics) == bool(repeats)
    names = {each.path for each in client.list_artifacts(parent.info.run_id, "sweep")}
    assert {"sweep/trials.csv", "sweep/best.yaml"} <= names
