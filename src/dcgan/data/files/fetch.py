"""A file's bytes from a folder or a base URL: whole, checked and in time, or the reason why not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dcgan.system.progress import ProgressLines
from dcgan.system.redaction import redacted

if TYPE_CHECKING:
    import requests

IDLE_LIMIT_S = 15.0
"""Without a connection, or without a byte on it."""
TOTAL_LIMIT_S = 180.0
"""All that one source may take for one file: name resolution, retries and every slow byte."""
RETRIES = 2
RETRY_PAUSE_S = 1.0
"""Before the second retry; none before the first."""
MAX_BYTES = 64 * 2**20
"""A source that sends more is cut off."""
MAX_REDIRECTS = 3

ABSENT_STATUSES = {404, 410}
BUSY_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class SourceError(Exception):
    """A source did not deliver; the message is the reason, without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(redacted(reason))


class AbsentError(SourceError):
    """A source has no file of that name; it may have it under another."""


class WrongBytesError(SourceError):
    """A source delivered something else."""


def folder_of(source: str) -> Path | None:
    """The folder that `source` names, by its path or as file:///…; None if it is another URL."""
    if source.startswith("file://"):
        return Path(url2pathname(urlsplit(source).path))
    return None if "://" in source else Path(source).expanduser()


def place_of(source: str, name: str) -> str:
    """The path or the URL of the file `name` at `source`, a folder or a base URL, whose query it keeps."""
    if folder := folder_of(source):
        return str(folder / name)
    base, mark, query = source.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def fetch(source: str, name: str, *, check: Callable[[bytes], str | None]) -> bytes:
    """The bytes of the file `name` at `source`, a folder or a base URL: at most MAX_BYTES, within TOTAL_LIMIT_S.

    `check` tells how some content differs from what is wanted; None: it does not.

    Raises:
        WrongBytesError: `check` objects to them.
        AbsentError: the source is there, but no such file.
        SourceError: the source cannot be reached, is too slow, breaks off or answers with a web page.
    """
    place = place_of(source, name)
    content = _in_time(_read if folder_of(source) else _download, place)
    difference = check(content)
    if difference and content.lstrip()[:1] == b"<":
        raise SourceError("answers with a web page instead of the file")
    if difference:
        raise WrongBytesError(difference)
    return content


def _in_time(get: Callable[[str], bytes], place: str) -> bytes:
    """What `get` returns or raises, if it does so within TOTAL_LIMIT_S; after that it is left alone in its thread.

    The timeouts of requests cover neither name resolution nor a server that sends a byte now and then.
    """
    answer: Future[bytes] = Future()

    def run() -> None:
        try:
            answer.set_result(get(place))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(TOTAL_LIMIT_S)
    except TimeoutError:
        raise SourceError(f"not delivered within {TOTAL_LIMIT_S:g} s") from None


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error
    _require_bounded(len(content))
    return content


def _download(url: str) -> bytes:
    """The body at an address; connections that fail, busy servers and bodies that break off are tried again."""
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter

    if not url.startswith(("http://", "https://")):
        raise SourceError("neither a folder nor an http:// or https:// address")
    retry = urllib3.Retry(
        RETRIES,
        backoff_factor=RETRY_PAUSE_S / 2,
        status_forcelist=BUSY_STATUSES,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.mount("https://", HTTPAdapter(max_retries=retry))
        try:
            while True:
                try:
                    return _body(session, url)
                except urllib3.exceptions.ProtocolError as error:  # requests retries all but the body
                    retry = retry.increment("GET", url, error=error)
                    retry.sleep()
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            is_absent = isinstance(error, requests.HTTPError) and error.response.status_code in ABSENT_STATUSES
            raise (AbsentError if is_absent else SourceError)(_reason(error)) from error


def _body(session: "requests.Session", url: str) -> bytes:
    """The body as it is sent: some servers call a .gz file's own packing an encoding, which would be unpacked."""
    from tqdm import tqdm

    name = url.partition("?")[0].rpartition("/")[2]
    bar = tqdm(desc=name, unit="B", unit_scale=True, leave=False, disable=None)
    lines = ProgressLines(name, unit="byte") if bar.disable else None
    headers = {"Accept-Encoding": "identity"}
    with bar, session.get(url, stream=True, timeout=IDLE_LIMIT_S, headers=headers) as response:
        response.raise_for_status()
        size = response.raw.length_remaining
        bar.reset(size)
        content = bytearray()
        for chunk in response.raw.stream(2**16, decode_content=False):
            content += chunk
            bar.update(len(chunk))
            if lines:
                lines.advance_to(len(content), size)
            _require_bounded(len(content))
    return bytes(content)


def _require_bounded(num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        raise WrongBytesError(f"sends more than {MAX_BYTES:,} bytes")


def _reason(error: Exception) -> str:
    """Why a request failed, without the layers of libraries around it."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    cause: BaseException = error
    while cause.__context__:
        cause = cause.__context__
    if isinstance(cause, TimeoutError):
        return f"no answer within {IDLE_LIMIT_S:g} s"
    return getattr(cause, "strerror", None) or str(cause)
