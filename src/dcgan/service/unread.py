"""What waits for clients to read it: answers on their way, and those in the connections' buffers."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcgan.service.errors import RequestError
from dcgan.service.middleware import is_free


class Bounded:
    """Sends an answer only if there is room for it beside those that are not read yet; plain ASGI, inside `Guarded`.

    A client that asks for much and reads little is cut off in time, but what waits for it until then, over all
    connections, must not outgrow the machine. One answer has room whatever its size where nothing else waits.
    """

    def __init__(self, app: ASGIApp, *, most: int, unread: Callable[[], int]) -> None:
        self._app, self._most, self._unread = app, most, unread
        self._sending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if there is room, and its answer if there still is."""
        if scope["type"] != "http" or is_free(scope["path"]):
            await self._app(scope, receive, send)
            return
        num_bytes, refused = 0, not self._has_room(0)

        async def send_if_room(message: Message) -> None:
            nonlocal num_bytes, refused
            if message["type"] == "http.response.start":
                length = int(Headers(raw=message["headers"]).get("content-length", 0))
                refused = not self._has_room(length)
                num_bytes = 0 if refused else length
                self._sending += num_bytes
            if not refused:
                await send(message)

        try:
            if not refused:
                await self._app(scope, receive, send_if_room)
        finally:
            self._sending -= num_bytes
        if refused:
            error = RequestError(429, "too many answers are waiting to be read; try again in a second")
            await error.answer()(scope, receive, send)

    def _has_room(self, num_bytes: int) -> bool:
        held = self._sending + self._unread()
        return held + num_bytes <= self._most or not held
