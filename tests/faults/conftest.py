"""Fixtures of the tests that break things under the stages."""

from collections.abc import Iterator

import pytest

from stage_server import StageServer


@pytest.fixture(scope="module")
def stages() -> Iterator[StageServer]:
    """Runs `train` and `train_classifier` without waiting for their imports, and without MLflow."""
    with StageServer() as server:
        yield server
