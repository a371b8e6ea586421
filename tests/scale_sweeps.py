"""Sweeps for tests: tiny workspaces, `dcgan sweep` as a process, and what it leaves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tiny_workspace import new_workspace, stage_environment

SPACE = {
    "space": {
        "train.generator_learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        "penalties.r1": {"low": 0.005, "high": 0.5, "log": True},
    }
}
LONG = {"epochs": 15, "checkpoint_every": 6, "evaluate_every": 60, "sample_every": 180}
"""Of `train`: 180 steps, long enough to be killed in the middle."""


def sweep_workspace(folder: Path, *, space: dict | None = None, **sections: dict) -> Path:
    """A tiny workspace with a search space; its parameters lie in the space, so that they are those of trial 1."""
    folder.mkdir(exist_ok=True)
    new_workspace(folder, **sections)
    (folder / "experiments").mkdir()
    (folder / "experiments/sweep.yaml").write_text(yaml.safe_dump(space or SPACE))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Of a sweep in `folder`; Ray's workers are as busy as this process, whatever else the machine does."""
    without = {name: value for name, value in stage_environment(folder).items() if name != "RAY_ADDRESS"}
    return without | {"RAY_worker_niceness": "0"}


def start(folder: Path, *options: object, **variables: str) -> subprocess.Popen[str]:
    """`dcgan sweep` in a session of its own."""
    command = [sys.executable, "-m", "dcgan", "sweep", *map(str, options)]
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder) | variables, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, *options: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`dcgan sweep` to its end."""
    process = start(folder, *options, **variables)
    out, err = process.communicate(timeout=280)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(condition: Callable[[], object], *, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def trials(folder: Path, name: str = "default") -> list[dict]:
    """What each trial left, by its number: its record, its outcome, and its folder."""
    found = []
    for path in folder.glob(f".sweeps/{name}/trials/*/trial.json"):
        outcome = path.with_name("outcome.json")
        end = json.loads(outcome.read_text()) if outcome.is_file() else {}
        found.append({**json.loads(path.read_text()), **end, "folder": path.parent})
    return sorted(found, key=lambda trial: trial["number"])


def worker_of(trial: dict) -> int:
    """The process that trains it."""
    return int((trial["folder"] / "lock").read_text())


def has_checkpoint(trial: dict, *, from_step: int = 1) -> bool:
    steps = [int(path.stem.split("-")[1]) for path in trial["folder"].glob("*/step-*.safetensors")]
    return any(step >= from_step for step in steps)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill_group(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a sweep and all of its Ray."""
    os.killpg(process.pid, number)
