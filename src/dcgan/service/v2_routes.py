"""The routes of the Open Inference Protocol, version 2, and those of Triton's extensions that its clients ask."""

import asyncio
from enum import Enum
from functools import partial
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dcgan.inference.generator import Generator
from dcgan.inference.model_info import ModelInfo
from dcgan.service import v2, v2_infer
from dcgan.service.binary import JSON_SIZE, MEDIA_TYPE
from dcgan.service.errors import RequestError
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.service.model import ServedModel, identity_headers

TAGS: Final[list[str | Enum]] = ["Open Inference Protocol"]
OF_MODEL = ("/v2/models/{name}", "/v2/models/{name}/versions/{model_version}")
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {"schema": {"type": "object"}}, MEDIA_TYPE: {}},
        "description": f"JSON; where outputs are wanted as bytes, {JSON_SIZE} bytes of it, and the outputs behind it.",
    }
}


def add_v2(app: FastAPI, model: ServedModel, limits: Limits, metrics: Metrics) -> None:
    """Add the routes to an application."""
    _add_server(app, model, metrics)
    _add_model(app, model, limits, metrics)
    _add_inference(app, model, limits)


def _add_server(app: FastAPI, model: ServedModel, metrics: Metrics) -> None:
    @app.get("/v2", tags=TAGS)
    async def _server() -> dict[str, Any]:
        """What this server is."""
        return v2.server_metadata()

    @app.get("/v2/health/live", tags=TAGS)
    async def _live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=TAGS)
    async def _ready() -> JSONResponse:
        """Whether it takes new requests; 503 while it drains."""
        draining = app.state.draining
        return JSONResponse({"ready": not draining}, status_code=503 if draining else 200)

    @app.get("/v2/models", tags=TAGS)
    async def _models() -> dict[str, list[str]]:
        """The names of all models."""
        return {"models": [v2.NAME]}

    @app.get("/v2/models/stats", tags=TAGS)  # before those of a model, which it could be the name of
    async def _statistics_of_all() -> dict[str, Any]:
        """How much was drawn, and how long it took."""
        return v2.model_statistics(model.generator.info, metrics)

    @app.post("/v2/repository/index", tags=TAGS)
    async def _index() -> list[dict[str, str]]:
        """All models and their states."""
        return v2.repository_index(model.generator.info)

    @app.post("/v2/repository/models/{name}/load", include_in_schema=False)
    @app.post("/v2/repository/models/{name}/unload", include_in_schema=False)
    async def _load(name: str) -> None:
        raise RequestError(400, f"{name[:40]}: not loaded over HTTP; SIGHUP makes the server load its model anew")

    @app.get("/v1/models/{name}", include_in_schema=False)
    @app.post("/v1/models/{name}", include_in_schema=False)
    async def _version_1(name: str) -> None:
        raise RequestError(404, f'{name[:40]}: asked by version 1; use version 2, as RESTConfig(protocol="v2")')


def _add_model(app: FastAPI, model: ServedModel, limits: Limits, metrics: Metrics) -> None:
    async def _metadata(name: str, model_version: str = v2.ANY_VERSION) -> dict[str, Any]:
        """What the model takes and gives."""
        return v2.model_metadata(_known(model.generator, name, model_version))

    async def _ready(name: str, model_version: str = v2.ANY_VERSION) -> dict[str, Any]:
        """Whether the model can be asked; it always can once the server answers."""
        _known(model.generator, name, model_version)
        return {"name": v2.NAME, "ready": True}

    async def _config(name: str, model_version: str = v2.ANY_VERSION) -> dict[str, Any]:
        """How the model is served."""
        return v2.model_config(_known(model.generator, name, model_version), limits)

    async def _statistics(name: str, model_version: str = v2.ANY_VERSION) -> dict[str, Any]:
        """How much was drawn, and how long it took."""
        return v2.model_statistics(_known(model.generator, name, model_version), metrics)

    for path in OF_MODEL:
        for end, route in (("", _metadata), ("/ready", _ready), ("/config", _config), ("/stats", _statistics)):
            app.get(path + end, tags=TAGS)(route)


def _add_inference(app: FastAPI, model: ServedModel, limits: Limits) -> None:
    async def _infer(
        name: str, request: v2_infer.InferRequest, body: Request, model_version: str = v2.ANY_VERSION
    ) -> Response:
        """Draw from latents and labels of the client's own."""
        batcher = model.batcher
        info = _known(batcher.generator, name, model_version)
        latents, labels = v2_infer.read_inputs(request, body.state.tensors, info.contract, most=limits.max_images)
        wanted = v2_infer.wanted_outputs(request)
        drawn = await batcher.draw(latents, labels, with_images=True)
        respond = partial(v2_infer.infer_response, request, drawn, wanted, version=v2.version_of(info))
        content, json_size = await asyncio.to_thread(respond)
        if any(wanted.values()):
            headers = identity_headers(info) | {JSON_SIZE: str(json_size)}
            return Response(content, media_type=MEDIA_TYPE, headers=headers)
        return Response(content, media_type="application/json", headers=identity_headers(info))

    for path in OF_MODEL:
        app.post(path + "/infer", tags=TAGS, responses=ANSWERS, response_class=Response)(_infer)


def _known(generator: Generator, name: str, model_version: str) -> ModelInfo:
    """What is known of the model, if it is the one that is asked for."""
    served = v2.version_of(generator.info)
    if name != v2.NAME or model_version not in {v2.ANY_VERSION, served}:
        raise RequestError(404, f"unknown model; this server has {v2.NAME}, version {served}")
    return generator.info
