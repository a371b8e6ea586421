"""What a set of shards is made of: the options that its bytes depend on, and how they divide it into shards."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.arguments import chosen_digits, require_truncation, require_whole
from dcgan.inference.model_info import ModelInfo
from dcgan.system.errors import UsageError

Format = Literal["parquet", "webdataset", "npy"]

SUFFIXES: dict[Format, str] = {"parquet": ".parquet", "webdataset": ".tar", "npy": ".npy"}
MAX_COUNT = 10**10
MAX_SHARD_SIZE = 1_000_000
DEFAULT_SHARD_SIZE = 10_000
MAX_DEFAULT_SHARDS = 10_000
"""A folder of more files takes a tenth of a second and more to look through, which each write does."""
MAX_SHARDS = 200_000
"""What memory holds easily."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """All that the bytes of a set of shards depend on."""

    count: int
    """Digits in all."""
    shard_size: int
    """Digits in every shard but the last, which may have fewer."""
    format: Format
    seed: int
    digits: tuple[int, ...] | None
    """Digits drawn in turn through the whole set; None: the model is unconditional."""
    truncation: float
    device: str
    """CPU or CUDA: what they draw differs by rounding."""
    model_sha256: str
    """Of the ONNX file."""

    @property
    def num_shards(self) -> int:
        """How many shards hold all digits."""
        return math.ceil(self.count / self.shard_size)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the plan, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()

    def name(self, index: int) -> str:
        """The file name of a shard, as digits-000012.parquet."""
        return f"digits-{index:06d}{SUFFIXES[self.format]}"

    def numbers(self, index: int) -> range:
        """The numbers, from 0 in the whole set, of the digits in a shard."""
        return range(index * self.shard_size, min(self.count, (index + 1) * self.shard_size))

    def labels(self, numbers: range) -> NDArray[np.int64] | None:
        """The digits asked for at these numbers, int64 [N]; None if the model is unconditional."""
        if self.digits is None:
            return None
        turn = np.arange(numbers.start, numbers.stop, dtype=np.int64) % len(self.digits)
        labels: NDArray[np.int64] = np.asarray(self.digits, dtype=np.int64)[turn]
        return labels

    def to_json(self) -> dict[str, Any]:
        """The plan as `from_json` reads it."""
        return asdict(self) | {"digits": None if self.digits is None else list(self.digits)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The plan in a JSON object, which may hold more; KeyError or TypeError if it is none."""
        values = {field.name: content[field.name] for field in fields(cls)}
        digits = values["digits"]
        return cls(**values | {"digits": None if digits is None else tuple(digits)})

    def differences(self, other: Self) -> list[str]:
        """The options in which `other` differs, as `seed (0, now 1)`; the model is no option."""
        names = [field.name for field in fields(self) if field.name != "model_sha256"]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name} ({_shown(mine)}, now {_shown(theirs)})" for name, mine, theirs in pairs if mine != theirs]


def new_plan(
    info: ModelInfo,
    *,
    count: int,
    shard_size: int | None,
    format_name: str,
    seed: int,
    digits: Sequence[int] | None,
    truncation: float,
    device: str,
) -> ShardPlan:
    """The plan of `count` digits by the model `info`; a shard size of None: what makes at most 10,000 shards.

    Raises:
        UsageError: an option is out of range, or digits are given for an unconditional model.
    """
    require_whole("count", count, 1, MAX_COUNT, expected=f"1 to {MAX_COUNT:,}")
    if shard_size is None:
        shard_size = DEFAULT_SHARD_SIZE * math.ceil(count / (DEFAULT_SHARD_SIZE * MAX_DEFAULT_SHARDS))
    require_whole("shard-size", shard_size, 1, MAX_SHARD_SIZE, expected=f"1 to {MAX_SHARD_SIZE:,}")
    require_whole("seed", seed, 0, 2**63 - 1, expected="0 to 2^63 - 1")
    require_truncation(truncation)
    if format_name not in get_args(Format):
        raise UsageError(f"format: {format_name!r} is unknown; expected {', '.join(SUFFIXES)}")
    num_classes = info.contract.num_classes
    if digits is not None and not num_classes:
        raise UsageError("digits: the model is unconditional and draws any digit; leave them out")
    chosen = range(num_classes) if digits is None else chosen_digits(digits, num_classes=num_classes)
    plan = ShardPlan(
        count=count,
        shard_size=shard_size,
        format=cast("Format", format_name),
        seed=seed,
        digits=tuple(chosen) if num_classes else None,
        truncation=truncation,
        device=device,
        model_sha256=info.sha256,
    )
    if plan.num_shards > MAX_SHARDS:
        least = math.ceil(count / MAX_SHARDS)
        raise UsageError(f"shard-size: {shard_size:,} makes {plan.num_shards:,} shards; give {least:,} or more")
    return plan


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
