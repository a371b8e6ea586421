"""An MLflow 2 server, as hosted services and older company servers run it: a training, its model and its champion."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.commands.model_source import load_generator
from dcgan.config import workspace
from dcgan.system.errors import UnavailableError
from dcgan.system.files import sha256_of, write_bytes
from dcgan.tracking.promotion import promote, roll_back
from dcgan.tracking.record import read_training
from dcgan.tracking.store import open_store
from dcgan.tracking.versions import list_versions
from tiny_workspace import stage_environment
from tracking_server import TrackingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

UV = str(Path(sys.executable).with_name("uv"))
# MLflow 2 came before SQLAlchemy 2.1.
PACKAGES = ("mlflow>=2.22,<3", "sqlalchemy<2.1", "setuptools<81")

CREATE = """
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(sys.argv[1], sys.argv[2])
"""


@pytest.fixture(scope="module")
def mlflow_2(tmp_path_factory) -> str:
    """Its command, in an environment of its own."""
    environment = tmp_path_factory.mktemp("mlflow-2") / "venv"
    for command in (
        ("venv", "--quiet", "--python", sys.executable, str(environment)),
        ("pip", "install", "--quiet", "--python", str(environment / "bin/python"), *PACKAGES),
    ):
        done = subprocess.run([UV, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"MLflow 2 cannot be installed: {done.stderr.strip()[-300:]}")
    return str(environment / "bin/mlflow")


@pytest.fixture
def server(mlflow_2, tmp_path, tracked_workspace, monkeypatch) -> Iterator[TrackingServer]:
    """It runs, on a store of its own schema, and is the workspace's store."""
    server = TrackingServer(tmp_path / "server", mlflow=mlflow_2)
    database = tmp_path / "server/mlflow.db"
    database.unlink()
    command = [str(Path(mlflow_2).with_name("python")), "-c", CREATE, f"sqlite:///{database}", str(tmp_path)]
    subprocess.run(command, env=stage_environment(tmp_path), capture_output=True, check=True)
    try:
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # its first answer may take more than four seconds
        yield server
    finally:
        server.end()


def test_a_run_its_model_and_the_champion_are_complete_once_and_survive_a_deletion(server):
    tracked.write_training([10, 20], weights=None)
    tracked.sync(read_training(tracked.TRAINING, status="RUNNING"))
    tracked.write_exported_model()
    for path in workspace.REPORT_FILES:
        write_bytes(path, b"text")
    for is_sent in (True, False):
        sent, registered = tracked.dcgan_sync()
        assert sent.startswith("sent 0 points, 0 grids and 0 artifacts") != is_sent
        assert registered.startswith("tiny-generator version 1 is champion")
    run = tracked.assert_holds(tracked.model())
    assert {"model.onnx", "report.html", "MODEL_CARD.md"} <= set(tracked.artifacts(run, "generator"))
    champion = "models:/tiny-generator@champion"
    assert load_generator(champion).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    tracked.client().delete_experiment(run.info.experiment_id)
    tracked.client().delete_registered_model("tiny-generator")
    tracked.dcgan_sync()
    tracked.assert_holds(tracked.model())
    assert load_generator(champion).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    assert load_generator(champion).info.version == "1"
    tracked.write_exported_model(b"better", fcd=0.05)
    assert tracked.dcgan_sync()[-1].startswith("tiny-generator version 2 is champion: fcd 0.05 is below")
    with open_store() as client:
        assert roll_back(client, "tiny-generator", reason="sevens")[-1].startswith(
            "tiny-generator version 1 is champion"
        )
    assert tracked.dcgan_sync()[-1].startswith("tiny-generator version 2 is challenger: was rolled back")
    with open_store() as client:
        assert [each.aliases for each in list_versions(client, "tiny-generator")] == [("challenger",), ("champion",)]
        promote(client, "tiny-generator", "2")
    assert load_generator(champion).info.version == "2"
    server.end()
    with pytest.raises(UnavailableError, match="start it, or set MLFLOW_TRACKING_URI"):
        tracked.dcgan_sync()
