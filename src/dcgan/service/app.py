"""The HTTP application: routes, and what each kind of error is answered with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from dcgan import __version__
from dcgan.inference.encoding import Samples, encode_npy
from dcgan.service import images
from dcgan.service.binary import BinaryTensors
from dcgan.service.browsers import allow_origins
from dcgan.service.errors import RequestError
from dcgan.service.limits import Limits
from dcgan.service.metrics import CONTENT_TYPE, Metrics
from dcgan.service.middleware import Guarded, Recorded, Trimmed
from dcgan.service.model import ServedModel, identity_headers
from dcgan.service.unread import Bounded
from dcgan.service.v2_routes import add_v2
from dcgan.system.errors import UsageError

PAGE = Path(__file__).parent / "page"
ERROR_SCHEMA = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def build_app(
    model: ServedModel,
    *,
    limits: Limits,
    metrics: Metrics,
    keys: Collection[str] = (),
    origins: Collection[str] = (),
    root_path: str = "",
    unread: Callable[[], int] = lambda: 0,
) -> FastAPI:
    """The application around a loaded model; while its `state.draining` is true, it says that it is not ready.

    One of the `keys` is needed for all but the page and health; without any, everybody is let in. Pages of the
    `origins` may ask too. `root_path` is the path that a proxy in front serves this at. `unread` counts the bytes of
    answers that clients have not read yet.
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
        redirect_slashes=False,  # to an address without the proxy's path
        servers=[{"url": root_path}] if root_path else None,
        responses={
            status: {"description": text, "content": {"application/json": {"schema": ERROR_SCHEMA}}}
            for status, text in _STATUSES.items()
        },
    )
    app.state.draining = False
    _add_errors(app)
    _add_images(app, model, limits)
    add_v2(app, model, limits, metrics)
    _add_page(app, root_path)

    @app.get("/metrics", response_class=Response, tags=["operation"])
    async def _metrics() -> Response:
        """Counters and histograms for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    _let_get_routes_answer_head(app)
    app.add_middleware(BinaryTensors)
    app.add_middleware(Bounded, most=limits.max_unread_bytes, unread=unread)
    app.add_middleware(Guarded, limits=limits, keys=keys, metrics=metrics)
    allow_origins(app, origins)
    app.add_middleware(Recorded, metrics=metrics)
    app.add_middleware(Trimmed, root_path=root_path)
    return app


def _let_get_routes_answer_head(app: FastAPI) -> None:
    """As HTTP wants it, and probes do it."""
    app.openapi()  # described before, so that it need not tell of both
    for route in app.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def _add_images(app: FastAPI, model: ServedModel, limits: Limits) -> None:
    content: dict[str, dict[str, Any]] = {media_type: {} for media_type in images.MEDIA_TYPES}
    content["application/json"]["schema"] = {"type": "object"}
    described = {200: {"content": content, "description": "As the Accept header asks; a PNG grid by default."}}

    async def answer(request: images.ImagesRequest | images.InterpolationRequest, accept: str) -> Response:
        batcher = model.batcher
        info = batcher.generator.info
        latents, labels = request.inputs(batcher.generator, most=limits.max_images)
        media_type, encode = images.encoder_for(accept)
        drawn = await batcher.draw(latents, labels)
        samples = Samples(
            pixels=drawn.pixels,
            labels=labels,
            seed=request.seed,
            truncation=request.truncation,
            model_sha256=info.sha256,
            num_classes=info.contract.num_classes,
        )
        encoded = encode(samples) if encode is encode_npy else await asyncio.to_thread(encode, samples)
        return Response(encoded, media_type=media_type, headers=identity_headers(info))

    @app.post("/v1/images", responses=described, response_class=Response, tags=["digits"])  # type: ignore[arg-type]
    async def _images(
        request: Annotated[images.ImagesRequest, Body(default_factory=images.ImagesRequest)],
        accept: Annotated[str, Header()] = "*/*",
    ) -> Response:
        """Draw digits."""
        return await answer(request, accept)

    @app.post("/v1/walks", responses=described, response_class=Response, tags=["digits"])  # type: ignore[arg-type]
    async def _interpolations(
        request: images.InterpolationRequest, accept: Annotated[str, Header()] = "*/*"
    ) -> Response:
        """Draw the interpolation between the digits of two seeds."""
        return await answer(request, accept)


def _add_page(app: FastAPI, root_path: str) -> None:
    # The pages' addresses are relative to the last slash of their own; a proxy may leave that slash out.
    base = f'<head>\n  <base href="{root_path}/">' if root_path else "<head>"
    pages = ((PAGE / name).read_text(encoding="utf-8") for name in ("index.html", "docs.html"))
    index, docs = (page.replace("<head>", base, 1) for page in pages)

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
    async def _http(request: Request, error: HTTPException) -> Response:
        if request.method == "OPTIONS" and error.status_code == 405:
            return Response(status_code=204, headers=error.headers)  # `Allow` tells what else can be done
        return RequestError(error.status_code, str(error.detail)).answer(error.headers)


def _described(error: RequestValidationError) -> str:
    """The first few findings as `place: what`, without the values, which may be anything."""
    findings = error.errors()[:3]
    places = [".".join(_parts(each["loc"])) or "body" for each in findings]
    lines = [f"{place}: {each['msg']}" for place, each in zip(places, findings, strict=True)]
    return "; ".join(dict.fromkeys(lines))


def _parts(place: tuple[str | int, ...]) -> list[str]:
    """The names and indices in a place, without pydantic's words for the kinds that a field may be of."""
    return [str(part)[:40] for part in place if part != "body" and (isinstance(part, int) or part.isidentifier())]
