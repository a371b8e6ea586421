"""The report and the model card in MLflow: in the model's run, and beside the ONNX file of its version."""

from types import SimpleNamespace

import pytest

import tracking_store as tracked
from dcgan.config import workspace
from dcgan.config.params_file import load_params
from dcgan.inference.generator import Generator
from dcgan.system.files import sha256_of, write_bytes
from dcgan.tracking.download import download_model
from dcgan.tracking.store import open_store
from dcgan.tracking.upload import send_report

NAME = "tiny-generator"
TEXTS = ["MODEL_CARD.md", "report.html"]

pytestmark = pytest.mark.usefixtures("tracked_workspace")


def write_texts(word: bytes = b"first") -> None:
    write_bytes(workspace.REPORT, b"<p>" + word)
    write_bytes(workspace.MODEL_CARD, b"# " + word)


def beside_the_model(folder) -> dict[str, bytes]:
    """The texts that come with version 1 when it is downloaded, by name."""
    model = download_model(f"models:/{NAME}/1", folder)
    assert Generator.load(model).info.sha256 == sha256_of(workspace.ONNX_GENERATOR)
    return {name: (model.parent / name).read_bytes() for name in TEXTS if (model.parent / name).exists()}


def test_both_are_in_the_run_and_beside_the_version_and_are_sent_once(tmp_path):
    tracked.write_exported_model()
    write_texts()
    sent, _ = tracked.dcgan_sync()
    assert sent.startswith("sent 17 points, 4 grids and 9 artifacts to run ")
    (run,) = tracked.runs()
    assert tracked.artifacts(run, "report") == TEXTS
    assert beside_the_model(tmp_path / "once") == {"MODEL_CARD.md": b"# first", "report.html": b"<p>first"}
    assert tracked.dcgan_sync()[0].startswith("sent 0 points, 0 grids and 0 artifacts")
    with open_store() as mlflow:
        assert send_report(mlflow, NAME, "1") == 0


def test_a_new_evaluation_replaces_them_and_the_version_stays(tmp_path):
    tracked.write_exported_model()
    write_texts()
    tracked.dcgan_sync()
    write_texts(b"second")
    tracked.dcgan_sync()
    assert beside_the_model(tmp_path / "twice") == {"MODEL_CARD.md": b"# second", "report.html": b"<p>second"}
    assert len(tracked.client().search_model_versions(f"name = '{NAME}'")) == 1


def test_what_was_deleted_there_comes_back(tmp_path):
    tracked.write_exported_model()
    write_texts()
    tracked.dcgan_sync()
    for path in (tmp_path / "mlruns").rglob("report.html"):
        path.unlink()
    tracked.dcgan_sync()
    (run,) = tracked.runs()
    assert tracked.artifacts(run, "report") == TEXTS
    assert list(beside_the_model(tmp_path / "again")) == TEXTS


def test_those_of_other_weights_are_not_sent_and_a_model_without_them_is_registered(tmp_path):
    tracked.write_exported_model()
    _, registered = tracked.dcgan_sync()
    assert registered.startswith(f"{NAME} version 1 is champion")
    assert beside_the_model(tmp_path / "without") == {}
    write_texts()
    tracked.write_training(weights=b"retrained, but not evaluated yet")
    assert "report" not in tracked.model().files
    assert load_params(workspace.PARAMS).tracking.registered_model == NAME


@pytest.mark.parametrize("source", ["file:///nowhere/generator", "models:/m-0123", "file:///nowhere"])
def test_a_version_whose_run_or_model_the_store_does_not_have_gets_none(source):
    write_texts()
    with open_store() as mlflow:
        mlflow.create_registered_model(NAME)
        mlflow.create_model_version(NAME, "file:///nowhere", "0" * 32)
        version = SimpleNamespace(source=source, run_id="0" * 32)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mlflow, "get_model_version", lambda *_: version)
            assert send_report(mlflow, NAME, "1") == 0
