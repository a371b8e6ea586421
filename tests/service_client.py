"""A client of the service's application, in this process; what the tests of the service share."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from dcgan.inference.generator import Generator
from dcgan.service.app import build_app
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.service.model import ServedModel
from tiny_onnx import LATENT_DIM

LIMITS = Limits(max_body_bytes=50_000, max_images=100)


class Service(TestClient):
    """A client of an application, with the application's parts."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        load: Callable[[], Generator] | None = None,
        limits: Limits = LIMITS,
        **options: Any,
    ) -> None:
        """Of the model in the file `path`, or of what `load` loads."""
        self.metrics = Metrics()
        load = load or (lambda: Generator.load(str(path), providers="cpu"))
        self.served = ServedModel(load, limits, self.metrics, threads=2)
        app = build_app(self.served, limits=limits, metrics=self.metrics, **options)
        super().__init__(app, raise_server_exceptions=False)

    @property
    def generator(self) -> Generator:
        return self.served.generator

    def images(self, accept: str = "*/*", **request: Any) -> Any:
        return self.post("/v1/images", json=request, headers={"accept": accept})

    def infer(self, **request: Any) -> Any:
        return self.post("/v2/models/generator/infer", json=request)


class HeldDrawing:
    """The next calls of the model wait until they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._released, draw_batch = Event(), Event(), Generator.draw_batch

        def draw_when_released(*batch: Any, **options: Any) -> Any:
            self._begun.set()
            assert self._released.wait(20)
            return draw_batch(*batch, **options)

        monkeypatch.setattr(Generator, "draw_batch", draw_when_released)

    def await_begin(self) -> None:
        assert self._begun.wait(20)

    def release(self) -> None:
        self._released.set()


def tensor(name: str, datatype: str, values: Any, shape: list[int] | None = None) -> dict[str, Any]:
    array = np.asarray(values)
    return {"name": name, "datatype": datatype, "shape": shape or list(array.shape), "data": array.ravel().tolist()}


def inputs(count: int = 3, **changes: dict[str, Any]) -> list[dict[str, Any]]:
    latents = np.random.default_rng(0).normal(size=(count, LATENT_DIM))
    both = {"latents": tensor("latents", "FP32", latents), "labels": tensor("labels", "INT64", np.arange(count))}
    return [each | changes.get(name, {}) for name, each in both.items()]
