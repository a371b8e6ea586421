"""Shards on S3, or on a server that speaks its protocol (AWS_ENDPOINT_URL).

There is no renaming on S3: an object appears, whole, when its upload is complete, and an upload that is cut off leaves
none. So a shard is made in a temporary file, uploaded, and its size is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO

from dcgan.scale.shards.storage import DigestingFile, Written
from dcgan.system.errors import CannotCreateError, DcganError, StorageError, UnavailableError, UsageError
from dcgan.system.files import storage_error
from dcgan.system.required import required

PART = 8 * 2**20
CONNECT_S, REQUEST_S, ATTEMPTS = 5, 60, 4
REFUSED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE", "CLIENT_TOKEN", "HTTP status 401", "HTTP status 403")
UNREACHED = ("NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE", "SLOW_DOWN")
"""What pyarrow calls the kinds of errors."""


class S3Folder:
    """All objects of a bucket whose keys begin with a prefix."""

    def __init__(self, address: str) -> None:
        with required("S3", extra="scale"):
            from pyarrow import fs
        self.address = address.rstrip("/")
        self._path = self.address.removeprefix("s3://")
        if not self._path.partition("/")[0]:
            raise UsageError(f"shards: {address}: has no bucket; give s3://bucket/prefix")
        scheme, _, host = _endpoint().rpartition("://")
        self._fs = fs.S3FileSystem(
            endpoint_override=host or None,
            scheme=scheme or "https",
            connect_timeout=CONNECT_S,
            request_timeout=REQUEST_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        )
        self._new_selector, self._is_missing = fs.FileSelector, fs.FileType.NotFound

    def __str__(self) -> str:
        return self.address

    def sizes(self, folder: str = "") -> dict[str, int]:
        """As Storage has it."""
        with self._errors(folder):
            found = self._fs.get_file_info(self._new_selector(self._at(folder), allow_not_found=True))
        return {info.base_name: info.size for info in found if info.is_file}

    def read(self, name: str) -> bytes | None:
        """As Storage has it."""
        with self._errors(name):
            try:
                with self._fs.open_input_stream(self._at(name)) as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> Written:
        """As Storage has it."""
        with TemporaryFile() as made:
            digesting = DigestingFile(made)
            try:
                write(digesting)  # type: ignore[arg-type]  # typeshed has BinaryIO for files alone
                made.seek(0)
            except OSError as error:
                raise storage_error(error, Path(gettempdir())) from error
            with self._errors(name):
                with self._fs.open_output_stream(self._at(name)) as file:
                    while part := made.read(PART):
                        file.write(part)
                found = self._fs.get_file_info(self._at(name)).size
        if found != digesting.written.num_bytes:
            expected = f"{digesting.written.num_bytes:,} bytes"
            raise StorageError(f"{self.address}/{name}: {expected} were sent, {found} arrived; run again")
        return digesting.written

    def sha256(self, name: str) -> str:
        """As Storage has it."""
        digest = hashlib.sha256()
        with self._errors(name), self._fs.open_input_stream(self._at(name)) as file:
            while part := file.read(PART):
                digest.update(part)
        return digest.hexdigest()

    def remove(self, name: str) -> None:
        """As Storage has it."""
        for delete in (self._fs.delete_file, self._fs.delete_dir):
            with suppress(OSError):
                delete(self._at(name))

    def locked(self, folder: str, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """None: S3 has no locks. Two that make the same shards write the same bytes."""
        return nullcontext()

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}".rstrip("/")

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _told(error, f"{self.address}/{name}".rstrip("/")) from error


def _endpoint() -> str:
    """The server that is not Amazon's, as http://host:port; empty: Amazon's."""
    return (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")


def _told(error: OSError, address: str) -> DcganError:
    """The project's error for one of pyarrow's, which has its kind in the text alone."""
    text = " ".join(str(error).split())[:300]
    if "NO_SUCH_BUCKET" in text:
        return CannotCreateError(
            f"{address}: there is no such bucket; create it, or check its name and AWS_ENDPOINT_URL"
        )
    if any(kind in text for kind in REFUSED):
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or check what they may do"
        return UnavailableError(f"{address}: access is refused; {advice} ({text})")
    if any(kind in text for kind in UNREACHED):
        return UnavailableError(f"{address}: cannot be reached; check AWS_ENDPOINT_URL and the network ({text})")
    return StorageError(f"{address}: reading or writing failed ({text})")
