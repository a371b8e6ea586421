"""Answers other than 200, with one line of JSON that says why: `{"error": …}`, as the v2 protocol has it."""

from dcgan.service.limits import RETRY_AFTER_SECONDS


class RequestError(Exception):
    """A request that is answered with `status` and `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message.encode("utf-8", "replace").decode()  # names from JSON may hold lone surrogates

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the status."""
        if self.status == 429:
            return {"retry-after": str(RETRY_AFTER_SECONDS)}
        if self.status == 408:
            return {"connection": "close"}  # the rest of the body is not waited for
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}
