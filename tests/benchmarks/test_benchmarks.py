"""The benchmarks of training run to their end; what they measure depends on the machine."""

import json

import pytest

from support import ROOT
from tiny_workspace import write_params


@pytest.mark.parametrize(
    ("script", "options", "expected"),
    [
        ("training", ["--steps", "1", "--repetitions", "1"], "| 16 | plain | "),
        ("checkpoints", ["--steps", "2", "--saves", "2"], "every 4 steps: "),
    ],
)
def test_a_benchmark_measures_the_configuration_in_params_yaml(stages, tmp_path, script, options, expected):
    write_params(tmp_path)
    done = stages.run(f"{ROOT}/benchmarks/{script}.py", tmp_path, "--device", "cpu", *options)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_the_benchmark_of_shards_compares_each_format_with_raw_onnx_runtime(stages, tmp_path, model):
    options = ["--count", "1000", "--shard-size", "500", "--rounds", "1", "--model", model, "--out", tmp_path]
    done = stages.run(f"{ROOT}/benchmarks/shards.py", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert "| 1 | raw ONNX Runtime | " in done.stdout
    assert "median share of raw ONNX Runtime: parquet " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["generator.onnx"]


@pytest.mark.slow
def test_the_benchmark_of_a_bare_node_runs_on_a_cpu(stages, tmp_path):
    out = tmp_path / "gpu.json"
    done = stages.run(f"{ROOT}/benchmarks/gpu.py", tmp_path, "--device", "cpu", "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["largest_difference_of_20_losses_from_the_cpu"] == 0
    assert found["resumed_equals_straight"] is True
    assert found["ms_a_step_of_64"].keys() == {"plain", "fp32", "bf16"}
    assert found["metrics"]["fcd"] > found["metrics"]["fcd_floor"]
