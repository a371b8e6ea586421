"""Shards of the tiny generator, made by the command as typed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dcgan.system import progress
from dvc_workspace import Ended
from small_shards import SMALL


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of progress come after five seconds, which a first import of pyarrow may take on a busy machine."""
    monkeypatch.setattr(progress, "FIRST_S", 1e9)


@pytest.fixture
def shards(dcgan: Callable[..., Ended], model: Path) -> Callable[..., Ended]:
    """Make a small set of shards in npy, unless other options are given."""

    def run(folder: object, *options: object) -> Ended:
        return dcgan("generate", "--shards", folder, "--model", model, *SMALL, "--format", "npy", *options)

    return run
