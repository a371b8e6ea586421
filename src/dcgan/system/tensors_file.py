"""Files of named arrays that hold their own SHA-256: the data set, weights and checkpoints.

The format is safetensors with one entry of metadata, because it writes several in an order that changes: `sha256`, or,
where a file has metadata of ours, `remarks`, a JSON object with these and `sha256`. The digest covers our metadata, and
the name, type, shape and bytes of every array.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dcgan.system.advice import repair, run
from dcgan.system.errors import BadDataError, StorageError
from dcgan.system.files import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


class Content(NamedTuple):
    """What a file holds."""

    arrays: "dict[str, NDArray[Any]]"
    """Writable, in memory of their own."""
    metadata: dict[str, str]


def save_arrays(path: Path, arrays: "Arrays", metadata: Mapping[str, str] | None = None) -> None:
    """Write C-contiguous arrays and metadata (the name `sha256` is taken), atomically; equal content gives equal bytes.

    Raises:
        CannotCreateError, StorageError: the file is as it was.
    """
    from safetensors.numpy import save

    entries = {**(metadata or {}), "sha256": _digest(arrays, metadata or {})}
    entry = {"remarks": json.dumps(entries, sort_keys=True, ensure_ascii=False)} if metadata else entries
    write_bytes(path, save(dict(arrays), metadata=entry))


def read_arrays(path: Path) -> Content:
    """What `save_arrays` wrote, if it is whole.

    Raises:
        BadDataError: the file is damaged, or not in this format.
        FileNotFoundError: it is missing.
        StorageError: it cannot be read now.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror or error}); check the disk, run again") from error
    try:
        arrays, metadata = _parse(content)
    except ValueError as error:
        raise BadDataError(f"{path}: not a safetensors file ({error})") from error
    expected = metadata.pop("sha256", None)
    if (found := _digest(arrays, metadata)) != expected:
        raise BadDataError(f"{path}: damaged: sha256 of its tensors is {found}, expected {expected}")
    return Content(arrays, metadata)


def load_arrays(path: Path, *, made_by: str) -> Content:
    """As `read_arrays`, of a file that the stage `made_by` writes; errors name the command that repairs it.

    Raises:
        BadDataError: the file is missing, damaged, or not in this format.
        StorageError: it cannot be read now.
    """
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {run(made_by)}") from None
    except BadDataError as error:
        raise BadDataError(f"{error}; {repair(made_by)}") from error


def _parse(content: bytes) -> Content:
    """Arrays, and metadata with the digest; ValueError if the bytes are not in this format."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")  # safetensors: a length, so many bytes of JSON, the arrays
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        return Content(arrays, dict(json.loads(metadata["remarks"]) if "remarks" in metadata else metadata))
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _digest(arrays: "Arrays", metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256("".join(f"{name}: {text}\n" for name, text in sorted(metadata.items())).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} torch.{array.dtype.name} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
