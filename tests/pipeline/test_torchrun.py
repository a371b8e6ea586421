"""One training by two processes, as torchrun starts them."""

import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from support import ROOT, free_port
from tiny_workspace import new_workspace, stage_environment, weights_in

SCRIPT = ROOT / "pipeline/train.py"
LONG = {"epochs": 100, "max_steps": 150, "checkpoint_every": 10, "report_every": 10, "evaluate_every": 50}


def train_together(stages, folder, *, size):
    """The ends of `size` processes that train in one folder; what the later ones print is dropped."""
    port, started = free_port(), []
    for rank in range(size):
        number, address = str(rank), {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        variables = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": str(size), **address}
        silence = "for number in (1, 2): os.dup2(os.open(os.devnull, os.O_WRONLY), number)" if rank else ""
        planted = f"import os\nos.environ |= {variables}\n{silence}"
        started.append(stages.start("train", folder, planted=planted))
    return [stage.wait() for stage in started]


def test_two_processes_train_what_one_does_where_no_batch_normalisation_sees_but_a_share(stages, tmp_path):
    sections = {"model": {"architecture": "mlp"}, "train": {"precision": "fp32"}}
    found = []
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
        workspace = new_workspace(tmp_path / name, **sections)
        ends = train_together(stages, workspace, size=2) if name == "together" else [stages.run("train", workspace)]
        assert [end.returncode for end in ends] == [0] * len(ends), ends
        found.append(load_file(workspace / "models/generator.safetensors"))
    assert not all(torch.equal(*pair) for pair in zip(found[0].values(), found[1].values(), strict=True))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused(stages, tmp_path):
    ended = train_together(stages, new_workspace(tmp_path), size=3)[0]
    assert ended.returncode == 64
    assert "train.batch_size: 16 cannot be shared by 3 processes" in ended.stderr


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_the_training_ends_in_the_same_bytes(tmp_path):
    weights = {}
    for name in ("straight", "killed"):
        (tmp_path / name).mkdir()
        workspace = new_workspace(tmp_path / name, train=LONG)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1"]
        environment = stage_environment(workspace) | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([*torchrun, "--nproc-per-node=2", SCRIPT], cwd=workspace, env=environment)
        if name == "killed":
            while not list(workspace.glob(".checkpoints/*/step-*.safetensors")):
                assert process.poll() is None
                time.sleep(0.05)
            members = [each for each in psutil.Process(process.pid).children() if "train.py" in str(each.cmdline())]
            members[1].kill()
        assert process.wait() == 0
        weights[name] = weights_in(workspace), (workspace / "reports/training/history.jsonl").read_bytes()
    assert weights["killed"] == weights["straight"]
