"""Tensors as bytes behind the JSON of a request's body: the binary tensor extension of KServe and Triton.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcgan.service.errors import RequestError

JSON_SIZE = "inference-header-content-length"
"""The header with the number of bytes of JSON; without it, the whole body is JSON."""
MEDIA_TYPE = "application/octet-stream"

INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer\n?")  # the router takes a line's end as well


def takes_tensors(scope: Scope) -> bool:
    """Whether a request's body may have tensors behind its JSON."""
    return scope["method"] == "POST" and INFER.fullmatch(scope["path"]) is not None


class BinaryTensors:
    """Hands the JSON of a body to the route, and the bytes behind it as `state.tensors`; plain ASGI, inside `Guarded`.

    So a body is limited, parsed and validated the same way, whichever way its tensors are written.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if need be with its body cut in two."""
        if scope["type"] != "http" or not takes_tensors(scope):
            await self._app(scope, receive, send)
            return
        body = (await receive())["body"]  # `Guarded` has waited for all of it
        try:
            size = _json_size(Headers(scope=scope).get(JSON_SIZE), len(body))
        except RequestError as error:
            await error.answer()(scope, receive, send)
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        headers["content-type"] = "application/json"
        inner = {**scope, "headers": headers.raw, "state": {**scope.get("state", {}), "tensors": body[size:]}}
        await self._app(inner, replaying(body[:size], receive), send)


def replaying(body: bytes, receive: Receive) -> Receive:
    """Hands out the body once; after it, whatever the connection has to say."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _json_size(told: str | None, num_bytes: int) -> int:
    if told is None:
        return num_bytes
    if not (told.isascii() and told.isdecimal() and len(told) < 20 and int(told) <= num_bytes):
        raise RequestError(400, f"{JSON_SIZE}: {told[:20]} is not the size of the JSON in a body of {num_bytes} bytes")
    return int(told)
