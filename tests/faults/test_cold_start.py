"""Processes that find no MLflow store yet, many at once or one after another that was killed while it created it."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dcgan.tracking import store
from tiny_workspace import stage_environment

KILLS = 50
PREAMBLE = """
import os, sys, time
import mlflow.store.tracking.sqlalchemy_store  # once, before the processes part: it takes seconds
from dcgan.tracking.record import RunRecord
from dcgan.tracking.store import open_store
from dcgan.tracking.sync import sync_run

def start_training(number):
    tags = {"training_id": f"{number}", "mlflow.runName": f"{number}"}
    record = RunRecord(tags=tags, params={"train.seed": number}, dataset={}, status="RUNNING", points=[], grids=[])
    with open_store() as client:
        sync_run(client, record, experiment="digits")

def part(number, folder):
    os.makedirs(folder, exist_ok=True)
    os.environ["DVC_ROOT"] = folder
    child = os.fork()
    if child == 0:
        try:
            start_training(number)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child
"""
TOGETHER = """
children = [part(number, os.getcwd()) for number in range(int(sys.argv[1]))]
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""
KILLED = """
import random, signal
rng = random.Random(0)

def wait_for(child):
    return os.waitpid(child, 0)[1]

started = time.monotonic()
assert wait_for(part(0, os.path.abspath("untroubled"))) == 0
longest = time.monotonic() - started

killed = broken = 0
for trial in range(int(sys.argv[1])):
    folder = os.path.abspath(str(trial))
    child = part(0, folder)
    time.sleep(rng.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    killed += wait_for(child) == signal.SIGKILL
    broken += wait_for(part(1, folder)) != 0
print(killed, broken)
"""


def run_script(script: str, folder: Path, *arguments: int) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + script, *map(str, arguments)],
        cwd=folder,
        env=stage_environment(folder) | store.SETTINGS,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_sound(database: Path, *, runs: set[str]) -> None:
    """The store is whole, and holds these runs in one experiment."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = connection.execute(
            "SELECT runs.name FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = 'digits'"
        )
        assert runs <= {name for (name,) in found}
        assert connection.execute("SELECT count(*) FROM experiments WHERE name = 'digits'").fetchone() == (1,)


@pytest.mark.parametrize(
    ("rounds", "processes"), [(1, 4), pytest.param(20, 16, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_trainings_that_start_together_all_get_their_run_every_time(tmp_path, rounds, processes):
    for folder in (tmp_path / str(number) for number in range(rounds)):
        folder.mkdir()
        done = run_script(TOGETHER, folder, processes)
        assert (done.returncode, done.stderr) == (0, "")
        assert_sound(folder / "mlflow.db", runs={str(number) for number in range(processes)})
        assert not list(folder.glob("mlflow.db.new*"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whenever_the_creation_of_the_store_is_killed_the_next_start_succeeds(tmp_path):
    done = run_script(KILLED, tmp_path, KILLS)
    assert (done.returncode, done.stderr) == (0, "")
    killed, broken = map(int, done.stdout.split())
    print(f"{killed} of {KILLS} starts were killed before their end; {broken} starts after them failed")
    assert killed >= KILLS / 2
    assert broken == 0
    for number in range(KILLS):
        assert_sound(tmp_path / f"{number}/mlflow.db", runs={"1"})
