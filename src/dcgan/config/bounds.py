"""Bounds of parameters, written as annotations (`epochs: Epochs = 9`), and the dataclass base that enforces them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args


@dataclasses.dataclass(frozen=True)
class Bound:
    """The values that a parameter may have."""

    holds: Callable[[Any], bool]
    expected: str
    """The same in words."""


def between(low: float, high: float, reason: str = "") -> Bound:
    """Numbers from `low` to `high`, both included, and why not more."""
    expected = f"{low:,} to {high:,}" if high < LARGE else f"{low:,} to {high:g}"
    return Bound(lambda value: low <= value <= high, f"{expected} ({reason})" if reason else expected)


def above_zero(high: float, reason: str = "") -> Bound:
    """Numbers above 0, up to `high`, and why not more."""
    expected = f"more than 0, at most {high:g}"
    return Bound(lambda value: 0 < value <= high, f"{expected} ({reason})" if reason else expected)


LARGE = 1e15
LARGEST = 1e30
OVERFLOW = "float32 ends at 3.4e38, which sums must not reach"

Steps = Annotated[int, between(1, 10**9, "longer than any training")]
Epochs = Annotated[int, between(1, 100_000, "longer than any training")]
Channels = Annotated[int, between(1, 1024, "the weights grow with its square")]
Seed = Annotated[int, Bound(lambda value: 0 <= value < 2**63, "0 to 2^63 - 1 (a signed 64-bit number)")]
Positive = Annotated[float, above_zero(LARGEST, OVERFLOW)]
NonNegative = Annotated[float, between(0, LARGEST, OVERFLOW)]
Share = Annotated[float, between(0, 1)]
BelowOne = Annotated[float, Bound(lambda value: 0 <= value < 1, "0 or more and less than 1")]


def bounds_in(kind: Any) -> Iterator[Bound]:
    """The bounds that an annotation holds; of `Steps | None`, those of `Steps`."""
    for part in get_args(kind):
        if isinstance(part, Bound):
            yield part
        else:
            yield from bounds_in(part)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Base of the config dataclasses; a value outside its bounds raises ValueError, naming its field."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for bound in bounds_in(field.type):
                if value is not None and not bound.holds(value):
                    raise ValueError(f"{field.name}: {value!r} is out of range; expected {bound.expected}")
