"""What every test may need: a small configuration, a data set learnt in seconds, a tiny generator and its service."""

from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest

from dcgan.config.schema import GanConfig, ModelConfig
from dcgan.data.dataset import LabelledImages
from running_service import Running
from service_client import Service
from small_gan import CONFIG
from small_gan import striped_images as new_striped_images
from tiny_onnx import write_model


@pytest.fixture(scope="session")
def gan_config() -> GanConfig:
    return CONFIG


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    return CONFIG.model


@pytest.fixture(scope="session")
def striped_images() -> LabelledImages:
    return new_striped_images()


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
