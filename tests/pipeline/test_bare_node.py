"""Training, evaluation and export on a machine without MLflow, DVC, Great Expectations and pydantic."""

import json

from tiny_workspace import new_workspace


def test_fifty_steps_evaluation_and_export_run(stages, tmp_path):
    workspace = new_workspace(tmp_path, train={"epochs": 5, "max_steps": 50, "report_every": 10})
    for stage in ("train_classifier", "train_witness", "train", "export", "evaluate"):
        done = stages.run(stage, workspace)
        assert done.returncode == 0, done.stderr
        assert ("MLflow cannot be imported" in done.stderr) == (stage == "train")
        assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in (workspace / "reports/training/history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "generator/loss" in row] == [10, 20, 30, 40, 50]
    assert [row["step"] for row in rows if "train/quick_fcd" in row] == [0, 12, 24, 36, 48, 50]
    assert (workspace / "models/generator.onnx").stat().st_size > 10_000
    assert json.loads((workspace / "reports/evaluation.json").read_text())["fcd"] > 0
    assert (workspace / "reports/report.html").read_text().endswith("</html>\n")
