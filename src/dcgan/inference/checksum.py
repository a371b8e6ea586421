"""The seal of a generator.onnx: the SHA-256 of the whole file in its own metadata, so that a flipped bit is told.

The metadata entry `content_sha256` holds 64 hexadecimal digits: the hash of the file with zeros in their place. The
entry is looked for in the raw bytes, so that no damage to what surrounds it can hide it. Damage to the entry itself is
told by `params_sha256`, which every exported file has and no generator from elsewhere needs: one without the other is
refused. The seal is against accidents, not against people: whoever writes a file can seal it.
"""

import hashlib
import re

KEY = "content_sha256"
BLANK = "0" * 64
"""What the entry holds until the file is sealed, and while the file is hashed."""

COMPANION = "params_sha256"

# A StringStringEntryProto in ModelProto.metadata_props (field 14): its length, the key (field 1), the value (field 2).
_START = b"\x0a%c%s\x12\x40" % (len(KEY), KEY.encode())
_START = b"\x72%c%s" % (len(_START) + len(BLANK), _START)


def add_checksum(content: bytes) -> bytes:
    """The bytes of an ONNX file with its hash in its entry `content_sha256`, which must be there and blank."""
    assert content.count(_START + BLANK.encode()) == 1, f"one blank {KEY} must be there to be filled"
    assert COMPANION.encode() in content, f"without {COMPANION} a lost seal would not be missed"
    place = _place(content)
    return content[: place.start] + _digest(content, place).encode() + content[place.stop :]


def has_valid_checksum(content: bytes) -> bool:
    """Whether the bytes of an ONNX file are sealed; False: they come from elsewhere and make no claim.

    Raises:
        ValueError: the bytes are not those that were sealed, or the seal is missing or damaged itself.
    """
    if not any(name.encode() in content for name in (KEY, COMPANION)):
        return False
    if (count := content.count(_START)) != 1:
        actual = hashlib.sha256(content).hexdigest()
        raise ValueError(
            f"damaged, or exported unsealed: expected one entry {KEY}, found {count} in a file of SHA-256 {actual}"
        )
    place = _place(content)
    expected, actual = content[place], _digest(content, place)
    if expected != actual.encode():
        raise ValueError(f"damaged: expected SHA-256 {_shown(expected)} of its content, found {actual}")
    return True


def _place(content: bytes) -> slice:
    """Where the 64 digits are in a file that has them once."""
    start = content.index(_START) + len(_START)
    return slice(start, start + len(BLANK))


def _digest(content: bytes, place: slice) -> str:
    """SHA-256 of the content with zeros at the place of the digits."""
    view = memoryview(content)
    digest = hashlib.sha256(view[: place.start])
    digest.update(BLANK.encode())
    digest.update(view[place.stop :])
    return digest.hexdigest()


def _shown(digits: bytes) -> str:
    """Digits as text; damaged ones without control characters for the terminal."""
    return re.sub(r"[^0-9A-Za-z]", "?", digits.decode("ascii", "replace"))
