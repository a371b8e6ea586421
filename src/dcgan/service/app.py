"""The HTTP application: routes, and what each kind of error is answered with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from dcgan import __version__
from dcgan.inference.encoding import Samples, encode_npy
from dcgan.service import images, v2
from dcgan.service.errors import RequestError
from dcgan.service.limits import Limits
from dcgan.service.metrics import CONTENT_TYPE, Metrics
from dcgan.service.middleware import Guarded, Recorded
from dcgan.service.model import ServedModel
from dcgan.service.unread import Bounded
from dcgan.system.errors import UsageError

PAGE = Path(__file__).parent / "page"
ERROR_SCHEMA = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def build_app(
    model: ServedModel,
    *,
    limits: Limits,
    metrics: Metrics,
    keys: Collection[str] = (),
    unread: Callable[[], int] = lambda: 0,
) -> FastAPI:
    """The application around a loaded model; while its `state.draining` is true, it says that it is not ready.

    One of the `keys` is needed for all but the page and health; without any, everybody is let in. `unread` counts the
    bytes of answers that clients have not read yet.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        model.close()

    app = FastAPI(
        title="dcgan-mnist",
        version=__version__,
        summary="Handwritten digits from a trained generator.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
        responses={
            status: {"description": text, "content": {"application/json": {"schema": ERROR_SCHEMA}}}
            for status, text in _STATUSES.items()
        },
    )
    app.state.draining = False
    _add_errors(app)
    _add_images(app, model, limits)
    _add_v2(app, model, limits)
    _add_page(app)

    @app.get("/metrics", response_class=Response, tags=["operation"])
    async def _metrics() -> Response:
        """Counters and histograms for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app.add_middleware(Bounded, most=limits.max_unread_bytes, unread=unread)
    app.add_middleware(Guarded, limits=limits, keys=keys)
    app.add_middleware(Recorded, metrics=metrics)
    return app


def _add_images(app: FastAPI, model: ServedModel, limits: Limits) -> None:
    content: dict[str, dict[str, Any]] = {media_type: {} for media_type in images.MEDIA_TYPES}
    content["application/json"]["schema"] = {"type": "object"}
    described = {200: {"content": content, "description": "As the Accept header asks; a PNG grid by default."}}

    async def answer(request: images.ImagesRequest | images.InterpolationRequest, accept: str) -> Response:
        batcher = model.batcher
        latents, labels = request.inputs(batcher.generator, most=limits.max_images)
        media_type, encode = images.encoder_for(accept)
        drawn = await batcher.draw(latents, labels)
        samples = Samples(
            pixels=drawn.pixels,
            labels=labels,
            seed=request.seed,
            truncation=request.truncation,
            model_sha256=batcher.generator.info.sha256,
        )
        encoded = encode(samples) if encode is encode_npy else await asyncio.to_thread(encode, samples)
        return Response(encoded, media_type=media_type, headers={"x-model-sha256": samples.model_sha256})

    @app.post("/v1/images", responses=described, response_class=Response, tags=["digits"])  # type: ignore[arg-type]
    async def _images(request: images.ImagesRequest, accept: Annotated[str, Header()] = "*/*") -> Response:
        """Draw digits."""
        return await answer(request, accept)

    @app.post("/v1/walks", responses=described, response_class=Response, tags=["digits"])  # type: ignore[arg-type]
    async def _interpolations(
        request: images.InterpolationRequest, accept: Annotated[str, Header()] = "*/*"
    ) -> Response:
        """Draw the interpolation between the digits of two seeds."""
        return await answer(request, accept)


def _add_v2(app: FastAPI, model: ServedModel, limits: Limits) -> None:
    @app.get("/v2", tags=["Open Inference Protocol"])
    async def _server() -> dict[str, Any]:
        """What this server is."""
        return {"name": "dcgan-mnist", "version": __version__, "extensions": []}

    @app.get("/v2/health/live", tags=["Open Inference Protocol"])
    async def _live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["Open Inference Protocol"])
    async def _ready() -> JSONResponse:
        """Whether it takes new requests; 503 while it drains."""
        draining = app.state.draining
        return JSONResponse({"ready": not draining}, status_code=503 if draining else 200)

    def require_known(name: str, model_version: str) -> None:
        if (name, model_version) != (v2.NAME, v2.VERSION):
            raise RequestError(404, f"unknown model; this server has {v2.NAME}, version {v2.VERSION}")

    @app.get("/v2/models/{name}/versions/{model_version}", tags=["Open Inference Protocol"])
    @app.get("/v2/models/{name}", tags=["Open Inference Protocol"])
    async def _model(name: str, model_version: str = v2.VERSION) -> dict[str, Any]:
        """What the model takes and gives."""
        require_known(name, model_version)
        return v2.model_metadata(model.generator.info.contract)

    @app.get("/v2/models/{name}/versions/{model_version}/ready", tags=["Open Inference Protocol"])
    @app.get("/v2/models/{name}/ready", tags=["Open Inference Protocol"])
    async def _model_ready(name: str, model_version: str = v2.VERSION) -> dict[str, Any]:
        """Whether the model can be asked; it always can once the server answers."""
        require_known(name, model_version)
        return {"name": v2.NAME, "ready": True}

    @app.post("/v2/models/{name}/versions/{model_version}/infer", tags=["Open Inference Protocol"])
    @app.post("/v2/models/{name}/infer", tags=["Open Inference Protocol"])
    async def _infer(name: str, request: v2.InferRequest, model_version: str = v2.VERSION) -> Response:
        """Draw from latents and labels of the client's own."""
        require_known(name, model_version)
        batcher = model.batcher
        latents, labels = v2.read_inputs(request, batcher.generator.info.contract, most=limits.max_images)
        names = v2.wanted_outputs(request)
        drawn = await batcher.draw(latents, labels, with_images=True)
        encoded = await asyncio.to_thread(v2.infer_response, request, drawn, names)
        return Response(encoded, media_type="application/json")


def _add_page(app: FastAPI) -> None:
    index = (PAGE / "index.html").read_bytes()
    docs = (PAGE / "docs.html").read_bytes()

    @app.get("/", include_in_schema=False)
    async def _index() -> Response:
        return Response(index, media_type="text/html; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def _docs() -> Response:
        return Response(docs, media_type="text/html; charset=utf-8")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


_STATUSES = {
    400: "The request is malformed.",
    401: "A key is needed.",
    404: "There is no such thing.",
    405: "Not that way.",
    406: "None of what is accepted can be answered.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    415: "The body is compressed, or says that it is no JSON.",
    422: "A value is out of range.",
    429: "Too much to do at the moment; Retry-After says when to come again.",
}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def _refused(_request: Request, error: RequestError) -> Response:
        return error.answer()

    @app.exception_handler(UsageError)
    async def _usage(_request: Request, error: UsageError) -> Response:
        return RequestError(422, str(error)).answer()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return RequestError(422, _described(error)).answer()

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return RequestError(error.status_code, str(error.detail)).answer(error.headers)


def _described(error: RequestValidationError) -> str:
    """The first few findings as `place: what`, without the values, which may be anything."""
    findings = error.errors()[:3]
    places = [".".join(str(part)[:40] for part in each["loc"] if part != "body") or "body" for each in findings]
    lines = [f"{place}: {each['msg']}" for place, each in zip(places, findings, strict=True)]
    return "; ".join(dict.fromkeys(lines))
