"""Where shards lie: a local folder or an S3 address. What is written is whole and as it was meant, or absent."""

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from dcgan.system.errors import BusyError, StorageError, UsageError
from dcgan.system.files import sha256_of, storage_error, write_atomically


class Written(NamedTuple):
    """What a file holds."""

    num_bytes: int
    sha256: str


class Storage(Protocol):
    """A folder, which may be missing until something is written; names may have one folder in front."""

    address: str
    """What `open_storage` takes on any machine that sees the same files."""

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The bytes of each file in the folder, or in one below it."""

    def read(self, name: str) -> bytes | None:
        """What a file holds; None: there is none."""

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> Written:
        """Create or replace a file with what `write` puts into the open one; on any failure it is as it was."""

    def sha256(self, name: str) -> str:
        """The digest of a file that is there."""

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it, as far as that is possible."""

    def locked(self, folder: str, name: str) -> AbstractContextManager[None]:
        """Hold the lock `name` in a folder below, while nobody holds one that ends otherwise; BusyError if not."""


def open_storage(address: str) -> Storage:
    """The storage at a path, or at s3://bucket/prefix.

    Raises:
        UsageError: an address of another kind.
        UnavailableError: S3 needs a package that is not installed.
    """
    if address.startswith("s3://"):
        from dcgan.scale.shards.s3 import S3Folder

        return S3Folder(address)
    if "://" in address:
        raise UsageError(f"shards: {address}: unknown kind of address; give a folder or s3://bucket/prefix")
    return LocalFolder(Path(address))


def write_bytes(storage: Storage, name: str, content: bytes) -> None:
    """Create or replace a file."""
    storage.write(name, lambda file: file.write(content))


class DigestingFile(io.RawIOBase):
    """A file that is written to another one, and digested on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._num_bytes = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any, /) -> int:
        """Write all of it."""
        self._file.write(content)
        self._digest.update(content)
        self._num_bytes += (size := memoryview(content).nbytes)
        return size

    @property
    def written(self) -> Written:
        """What was written until now."""
        return Written(self._num_bytes, self._digest.hexdigest())


class LocalFolder:
    """A folder of this machine, or of a file system that several machines share."""

    def __init__(self, path: Path) -> None:
        self.path, self.address = path, str(path.absolute())

    def __str__(self) -> str:
        return str(self.path)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """As Storage has it."""
        try:
            with os.scandir(self.path / folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, self.path / folder) from error

    def read(self, name: str) -> bytes | None:
        """As Storage has it."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, self.path / name) from error

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> Written:
        """As Storage has it: beside under a temporary name, read back, synced, renamed."""
        seen: list[Written] = []

        def write_and_check(file: BinaryIO) -> None:
            digesting = DigestingFile(file)
            write(digesting)  # type: ignore[arg-type]  # typeshed has BinaryIO for files alone
            file.flush()
            seen.append(digesting.written)
            if sha256_of(Path(file.name)) != seen[0].sha256:
                raise StorageError(f"{self.path / name}: reads back differently from what was written; check the disk")

        write_atomically(self.path / name, write_and_check)
        return seen[0]

    def sha256(self, name: str) -> str:
        """As Storage has it."""
        return sha256_of(self.path / name)

    def remove(self, name: str) -> None:
        """As Storage has it."""
        with suppress(OSError):
            (self.path / name).unlink()
        shutil.rmtree(self.path / name, ignore_errors=True)

    def locked(self, folder: str, name: str) -> AbstractContextManager[None]:
        """As Storage has it; without `filelock`, which production does not install, there are no locks."""
        try:
            return self._locked(self.path / folder, name)
        except ModuleNotFoundError:
            return nullcontext()

    def _locked(self, folder: Path, name: str) -> AbstractContextManager[None]:
        from dcgan.system.locks import exclusive, holder_of

        @contextmanager
        def alone() -> Iterator[None]:
            with exclusive(folder / name):
                ending = name.partition("-")[2]
                for other in folder.glob("*.lock"):
                    if not other.name.endswith(ending) and (pid := holder_of(other)):
                        raise BusyError(f"{other}: locked by pid {pid}; wait until it ends, or stop it")
                yield

        return alone()
