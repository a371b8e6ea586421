"""Bounds of parameters, written as annotations (`epochs: Count = 9`), and the dataclass base that enforces them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args


@dataclasses.dataclass(frozen=True)
class Bound:
    """The values that a parameter may have."""

    holds: Callable[[Any], bool]
    expected: str
    """The same in words."""


Count = Annotated[int, Bound(lambda value: value >= 1, "1 or more")]
Natural = Annotated[int, Bound(lambda value: value >= 0, "0 or more")]
Seed = Annotated[int, Bound(lambda value: 0 <= value < 2**63, "0 to 2^63 - 1")]
Positive = Annotated[float, Bound(lambda value: value > 0, "more than 0")]
NonNegative = Annotated[float, Bound(lambda value: value >= 0, "0 or more")]
Share = Annotated[float, Bound(lambda value: 0 <= value <= 1, "0 to 1")]
BelowOne = Annotated[float, Bound(lambda value: 0 <= value < 1, "0 or more and less than 1")]


def between(low: int, high: int) -> Bound:
    """Whole numbers from `low` to `high`, both included."""
    return Bound(lambda value: low <= value <= high, f"{low} to {high}")


def bounds_in(kind: Any) -> Iterator[Bound]:
    """The bounds that an annotation holds; of `Count | None`, those of `Count`."""
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
