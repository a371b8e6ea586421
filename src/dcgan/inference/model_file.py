"""A model file, read once and refused if it is damaged or not one self-contained ONNX model of standard operators.

ONNX Runtime follows a tensor's `external_data` to any file of the machine, so the protobuf bytes are looked through
before it sees them. Only what can lead to a tensor or an operator is entered; the layout is that of onnx.proto.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from dcgan.inference.checksum import has_valid_checksum
from dcgan.system.advice import repair, run
from dcgan.system.errors import BadDataError

EXPORTED = Path("models/generator.onnx")
"""What the stage `export` writes in a workspace."""
MAX_BYTES = 512 * 2**20
MAX_PARTS = 1_000_000

LAYOUT: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 8: "OperatorSetIdProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 9: "OperatorSetIdProto", 11: "AttributeProto"},
    "OperatorSetIdProto": {},
    "TensorProto": {},
}
"""Message → number of a field → message in that field."""

DOMAIN_FIELD = {"OperatorSetIdProto": 1, "NodeProto": 7}
STANDARD_DOMAINS = ("", "ai.onnx")
EXTERNAL_DATA_FIELDS = (13, 14)  # of TensorProto: external_data and data_location

_VARINT, _BYTES = 0, 2
_SIZES = {1: 8, 5: 4}
"""Bytes of a value of fixed size, by the kind of its field."""


def read_model(path: Path) -> bytes:
    """The bytes of a self-contained ONNX model; what is checked is what is returned, whatever happens to the file.

    Raises:
        BadDataError: the file is missing, empty, no regular file, larger than 512 MB, truncated or not ONNX, its
            bytes are not those of its checksum, or it refers to other files or to operators outside ONNX's own.
    """
    content = _read(path)
    try:
        has_valid_checksum(content)
        _check_model(content)
    except ValueError as error:
        raise BadDataError(f"{path}: {error}; {way_out(path)}") from error
    return content


def way_out(path: Path, *, is_missing: bool = False) -> str:
    """What to do about a file that is no usable model: a workspace makes its own again, elsewhere there is no DVC."""
    is_made_here = Path("dvc.yaml").is_file() and path.absolute() == EXPORTED.absolute()
    if not is_made_here:
        return "choose another model; the package comes with one"
    return run("export") if is_missing else repair("export")


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadDataError(f"{path}: not a file; {way_out(path)}")
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size / 2**20:,.0f} MB"
            raise BadDataError(f"{path}: {size} is more than the {MAX_BYTES // 2**20} MB that a generator may have")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise BadDataError(f"{path}: missing; {way_out(path, is_missing=True)}") from None
    except OSError as error:
        raise BadDataError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if not content:
        raise BadDataError(f"{path}: empty; {way_out(path)}")
    return content


def _check_model(content: bytes) -> None:
    """Refuse what no message of the model must hold; ValueError says why."""
    num_parts, waiting = 0, [("ModelProto", memoryview(content))]
    while waiting:
        message, part = waiting.pop()
        for number, value in _fields(part):
            num_parts += 1
            if num_parts > MAX_PARTS:
                raise ValueError("has more parts than any generator")
            if message == "TensorProto" and number in EXTERNAL_DATA_FIELDS and value != 0:
                raise ValueError("keeps weights in another file (external data), which is never read")
            if number == DOMAIN_FIELD.get(message) and (shown := _text(value)) not in STANDARD_DOMAINS:
                raise ValueError(f"uses operators outside ONNX's own: domain {shown!r}")
            inner = LAYOUT[message].get(number)
            if inner is not None and isinstance(value, memoryview):
                waiting.append((inner, value))


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message: number, and the value of a varint or the bytes of anything else."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if not 0 < number < 2**29 or kind not in (_VARINT, *_SIZES, _BYTES):
            raise ValueError("not an ONNX file")
        if kind == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        length, position = (_SIZES[kind], position) if kind in _SIZES else _varint(content, position)
        if length > len(content) - position:
            raise ValueError("truncated, or not an ONNX file")
        yield number, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """The little-endian number, seven bits a byte, at `position`, and the position after it."""
    number = 0
    for index, byte in enumerate(content[position : position + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError("truncated, or not an ONNX file")


def _text(value: int | memoryview) -> str:
    """The start of a text as text, whatever is in its place."""
    return bytes(value[:60]).decode(errors="replace") if isinstance(value, memoryview) else str(value)
