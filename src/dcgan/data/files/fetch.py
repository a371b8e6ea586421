"""A file's bytes from a folder or a base URL: whole, checked and in time, or the reason why not."""

import contextlib
import io
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcgan.system.redaction import redacted

IDLE_LIMIT_S = 15.0
"""Without a connection, or without a byte on it."""
TOTAL_LIMIT_S = 180.0
"""All that one source may take for one file: name resolution, retries and every slow byte."""
ATTEMPTS = 3
RETRY_PAUSE_S = 1.0
"""Before the second attempt; twice as long before the third."""
MAX_BYTES = 64 * 2**20
"""A source that sends more is cut off."""

BUSY_STATUSES = {408, 425, 429, 500, 502, 503, 504}

Check = Callable[[io.BytesIO], str | None]
"""Tells how some content differs from what is wanted; None: it does not."""


class SourceError(Exception):
    """A source did not deliver; the message is the reason, without secrets."""

    def __init__(self, reason: str, *, is_passing: bool = False) -> None:
        super().__init__(redacted(reason))
        self.is_passing = is_passing


class WrongBytesError(SourceError):
    """A source delivered something else."""


def place_of(source: str, name: str) -> str:
    """The path or the URL of the file `name` at `source`, a folder or a base URL, whose query it keeps."""
    if "://" not in source:
        return str(Path(source).expanduser() / name)
    base, mark, query = source.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def fetch(source: str, name: str, *, difference: Check) -> bytes:
    """The bytes of the file `name` at `source`, at most MAX_BYTES, within TOTAL_LIMIT_S.

    Raises:
        WrongBytesError: `difference` objects to them.
        SourceError: the source cannot be reached, is too slow, breaks off or answers with a web page.
    """
    place = place_of(source, name)
    get = _download_patiently if "://" in source else _read
    content = _in_time(lambda: get(place), seconds=TOTAL_LIMIT_S)
    objection = difference(io.BytesIO(content))
    if objection and content.lstrip()[:1] == b"<":
        raise SourceError("answers with a web page instead of the file")
    if objection:
        raise WrongBytesError(objection)
    return content


def _in_time(work: Callable[[], bytes], *, seconds: float) -> bytes:
    """What `work` returns or raises, if it does so within `seconds`; after that it is left alone in its thread.

    The libraries' own timeouts cover neither name resolution nor a server that sends a byte now and then.
    """
    answers: queue.Queue[bytes | Exception] = queue.Queue(1)

    def answer() -> None:
        try:
            answers.put(work())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        result = answers.get(timeout=seconds)
    except queue.Empty:
        raise SourceError(f"not delivered within {seconds:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = _Bounded()
            content.write(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error
    return content.getvalue()


def _download_patiently(url: str) -> bytes:
    """Download, with pauses and further attempts where the trouble may pass."""
    for attempt in range(1, ATTEMPTS):
        try:
            return _download(url)
        except SourceError as error:
            if not error.is_passing:
                raise
        time.sleep(RETRY_PAUSE_S * attempt)
    return _download(url)


def _download(url: str) -> bytes:
    import pooch
    import requests
    from tqdm import tqdm

    if not url.startswith(("http://", "https://")):
        raise SourceError("neither a folder nor an http:// or https:// address")
    content = _Bounded()
    # pooch asks whether the bar is true, which needs a total until the server has told it.
    bar = tqdm(
        desc=url.partition("?")[0].rpartition("/")[2], total=1, unit="B", unit_scale=True, leave=False, disable=None
    )
    with bar, contextlib.ExitStack() as responses:

        def keep(response: "requests.Response", **_: Any) -> None:
            responses.callback(response.close)
            # Some servers call a .gz file's own packing a content encoding, and requests would unpack it.
            response.raw.headers.pop("Content-Encoding", None)

        download = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=2**16,
            timeout=IDLE_LIMIT_S,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": keep},
        )
        try:
            download(url, output_file=content, pooch=None)
        except requests.RequestException as error:
            raise _source_error(error) from error
    return content.getvalue()


def _source_error(error: Exception) -> SourceError:
    """The reason behind an error of requests, without its layers."""
    import requests

    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return SourceError(f"HTTP {status} {error.response.reason}", is_passing=status in BUSY_STATUSES)
    cause: BaseException = error
    while cause.__context__:
        cause = cause.__context__
    if isinstance(cause, TimeoutError) or isinstance(error, requests.Timeout):
        return SourceError(f"no answer within {IDLE_LIMIT_S:g} s")
    is_passing = isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
    return SourceError(getattr(cause, "strerror", None) or str(cause), is_passing=is_passing)


class _Bounded(io.BytesIO):
    """A buffer that refuses to grow beyond MAX_BYTES."""

    def write(self, chunk: Any) -> int:
        if self.tell() + len(chunk) > MAX_BYTES:
            raise WrongBytesError(f"sends more than {MAX_BYTES:,} bytes")
        return super().write(chunk)
