"""What the pipeline says at its end."""

from pathlib import Path

import pytest

from dcgan.system.advice import browse, print_next_steps


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("MAKELEVEL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_results_and_how_to_look_at_them_are_told_in_two_lines(here, capsys):
    print_next_steps([Path("reports/report.html"), Path("models/generator.onnx")], store=f"sqlite:///{here}/mlflow.db")
    assert capsys.readouterr().out == (
        "results: reports/report.html models/generator.onnx\n"
        "look: `mlflow ui` (runs), `dcgan generate --out digits.png`, `dcgan serve`\n"
    )


def test_under_make_which_tells_it_itself_nothing_is_told(here, capsys, monkeypatch):
    monkeypatch.setenv("MAKELEVEL", "1")
    print_next_steps([Path("reports/report.html")], store=f"sqlite:///{here}/mlflow.db")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("http://mlflow.example.org:5000", "http://mlflow.example.org:5000"),
        ("https://me:secret-word@mlflow.example.org", "https://***@mlflow.example.org"),
        ("sqlite:////srv/my runs/mlflow.db", "`mlflow ui --backend-store-uri 'sqlite:////srv/my runs/mlflow.db'`"),
        ("postgresql://me:secret-word@db/runs", '`mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"`'),
    ],
)
def test_runs_in_another_store_are_looked_at_there(store, told, monkeypatch):
    """Whatever MLFLOW_TRACKING_URI says: MLflow itself sets it when a model is registered."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert browse(store) == told


def test_the_workspaces_own_store_is_known_also_when_mlflow_has_set_the_variable(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    assert browse(f"sqlite:///{here}/mlflow.db") == "`mlflow ui`"
