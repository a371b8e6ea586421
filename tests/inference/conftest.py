"""A generator of random weights, and a service that draws with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from running_service import Running
from service_client import Service
from tiny_onnx import write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def service(model: Path) -> Iterator[Service]:
    with Service(model) as client:
        yield client


@pytest.fixture
def running(tmp_path: Path, model: Path) -> Iterator[Running]:
    """`dcgan serve` with that generator, in a process of its own."""
    service = Running(tmp_path, model)
    yield service
    service.process.kill()
    service.process.wait()
