"""A generator of random weights, and a service that draws with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service_client import Service
from tiny_onnx import write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def service(model: Path) -> Iterator[Service]:
    with Service(model) as client:
        yield client
