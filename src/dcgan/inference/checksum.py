"""The checksum of a generator.onnx: the SHA-256 of the whole file in its own metadata, so that a flipped bit is found.

The metadata entry `content_sha256` holds 64 hexadecimal digits: the hash of the file with zeros in their place. The
entry is looked for in the raw bytes, so that no damage to what surrounds it can hide it. Damage to the entry itself is
found by `params_sha256`, which every exported file has and no generator from elsewhere needs: one without the other is
refused. It protects against accidents, not against people: whoever writes a file can compute its checksum.
"""

import hashlib
import re

KEY = "content_sha256"
BLANK = "0" * 64
"""What the entry holds while the file is hashed."""

COMPANION = "params_sha256"

# A StringStringEntryProto in ModelProto.metadata_props (field 14): its length, the key (field 1), the value (field 2).
_START = b"\x0a%c%s\x12\x40" % (len(KEY), KEY.encode())
_START = b"\x72%c%s" % (len(_START) + len(BLANK), _START)


def add_checksum(content: bytes) -> bytes:
    """The bytes of an ONNX file with its checksum in its entry `content_sha256`, which must be there and blank."""
    assert content.count(_START + BLANK.encode()) == 1, f"one blank {KEY} must be there to be filled"
    assert COMPANION.encode() in content, f"without {COMPANION} a lost checksum would not be missed"
    start, checksum = _checksum(content)
    return content[:start] + checksum + content[start + len(BLANK) :]


def has_valid_checksum(content: bytes) -> bool:
    """Whether the bytes of an ONNX file are those of its checksum; False: it comes from elsewhere and has none.

    Raises:
        ValueError: the bytes are other ones, or the checksum is missing or damaged itself.
    """
    if not any(name.encode() in content for name in (KEY, COMPANION)):
        return False
    if (count := content.count(_START)) != 1:
        actual = hashlib.sha256(content).hexdigest()
        raise ValueError(f"damaged: expected one entry {KEY}, found {count} in a file of SHA-256 {actual}")
    start, checksum = _checksum(content)
    found = content[start : start + len(BLANK)]
    if found != checksum:
        shown = re.sub(r"[^0-9A-Za-z]", "?", found.decode("ascii", "replace"))  # control characters among them
        raise ValueError(f"damaged: expected SHA-256 {shown} of its content, found {checksum.decode()}")
    return True


def _checksum(content: bytes) -> tuple[int, bytes]:
    """Where the 64 digits of the only entry begin, and what they should be: the hash with zeros in their place."""
    view, start = memoryview(content), content.index(_START) + len(_START)
    digest = hashlib.sha256(view[:start])
    digest.update(BLANK.encode())
    digest.update(view[start + len(BLANK) :])
    return start, digest.hexdigest().encode()
