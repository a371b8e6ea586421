"""Answers other than 200, with one line of JSON that says why: `{"error": …}`, as the v2 protocol has it."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

HEADERS = {401: {"www-authenticate": "Bearer"}, 408: {"connection": "close"}, 429: {"retry-after": "1"}}
"""That belong to a status; after 408 the rest of the body is not waited for."""


class RequestError(Exception):
    """A request that is answered with `status` and `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message.encode("utf-8", "replace").decode()  # names from JSON may hold lone surrogates

    def answer(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        """The response, with `headers` besides those of its status."""
        headers = HEADERS.get(self.status, {}) | dict(headers or {})
        return JSONResponse({"error": self.message}, status_code=self.status, headers=headers)
