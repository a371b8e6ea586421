"""The benchmarks of training run to their end; what they measure depends on the machine."""

import subprocess
import sys

import pytest

from support import ROOT
from tiny_workspace import write_params


@pytest.mark.parametrize(
    ("script", "options", "expected"),
    [
        ("training", ["--steps", "1", "--repetitions", "1"], "| 16 | bf16 | "),
        ("checkpoints", ["--steps", "2", "--saves", "2"], "every 4 steps: "),
    ],
)
def test_a_benchmark_measures_the_configuration_in_params_yaml(tmp_path, script, options, expected):
    write_params(tmp_path)
    command = [sys.executable, ROOT / f"benchmarks/{script}.py", "--device", "cpu", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
