"""What every test may need: a small configuration, tiny data, a tiny generator and its service, a tracked folder."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime
import pytest

from dcgan import cli
from dcgan.config.schema import GanConfig, ModelConfig
from dcgan.data.dataset import LabelledImages
from dvc_workspace import Ended
from running_service import Running
from service_client import Service
from small_gan import CONFIG
from small_gan import striped_images as new_striped_images
from stage_server import StageServer
from tiny_onnx import write_model
from tiny_workspace import write_dataset, write_params
from tracking_store import use_new_store


def pytest_configure() -> None:
    """Under nohup, outlive a hangup by a handler: what the tests start would inherit that it is ignored."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The rooms whose files take longest come first, so that two processes end together."""
    first = ("pipeline", "faults")
    items.sort(key=lambda item: first.index(room) if (room := item.path.parent.name) in first else len(first))


@pytest.fixture(scope="session")
def gan_config() -> GanConfig:
    return CONFIG


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    return CONFIG.model


@pytest.fixture(scope="session")
def striped_images() -> LabelledImages:
    return new_striped_images()


@pytest.fixture(scope="session")
def stages() -> Iterator[StageServer]:
    """Runs stages and commands without waiting for their imports, and without MLflow."""
    with StageServer() as server:
        yield server


@pytest.fixture
def dcgan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command of `dcgan` as typed, in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dcgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as ONNX Runtime is given a model."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime saw the model"))


@pytest.fixture
def service(model: Path) -> Iterator[Service]:
    with Service(model) as client:
        yield client


@pytest.fixture
def running(tmp_path: Path, model: Path) -> Iterator[Running]:
    """`dcgan serve` with that generator, in a process of its own."""
    with Running(tmp_path, model) as service:
        yield service


@pytest.fixture
def tracked_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with parameters, a data set and an empty MLflow store."""
    use_new_store(tmp_path, monkeypatch)
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    return tmp_path
