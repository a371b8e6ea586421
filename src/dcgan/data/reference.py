"""The reference of images of the user's own: bounds that the first delivery showed, for a person to review and keep.

DVC depends on the folder of this file, so that an edited or a deleted one lets `validate` run again. `validate` writes
into it where there is none: DVC records what a stage depends on as it is after the stage.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dcgan.data.specs import MAX_SHARED, MIN_DISTINCT, DataFacts, Range, SplitBounds
from dcgan.system.errors import BadDataError
from dcgan.system.files import write_bytes

if TYPE_CHECKING:
    from pandas import DataFrame

HEADER = """\
# What the images in data.path showed when they were validated first, with room for others of their kind. Every later
# delivery is held against these bounds. Review them, change what is not meant, and commit them; where the file is
# deleted, the next `dvc repro` makes a new one of the images that are there then.
"""
COLUMNS = (
    "ink_min", "ink_mean", "ink_std", "ink_max", "ink_share", "centre_y", "centre_x", "box_height", "box_width",
)  # fmt: skip
"""Of `image_table`, which each image is bounded in."""
MARGIN = 0.05
"""Share of a column's range by which its bounds are wider on both sides."""
MOSTLY = 0.95
"""Share of the images that have to be within the bounds of an image."""
LEVEL = 0.03
"""By which mean and deviation of all pixels may differ: as of KMNIST's test images, of which nobody publishes them."""
ERRORS = 4
"""Standard errors of the difference of two deliveries by which they may differ as well: few images differ more."""
SHARE = 0.3
"""By which a class's share may differ, as a part of it."""
SIZE = 2
"""By which factor a delivery may be smaller or larger."""
DIGITS = 4
"""Decimals in the file."""


def reference_of(
    table: "DataFrame", summary: Mapping[str, Mapping[str, Any]], class_names: Sequence[str], *, path: Path
) -> DataFacts:
    """What holds for the images, by the file `path`; where there is none, it is made of them and told of in a line.

    Raises:
        BadDataError: the file is not as it should be, or of other classes.
    """
    if not path.exists():
        write_bytes(path, (HEADER + _as_yaml(observed_bounds(table, summary, class_names))).encode())
        print(f"{path}: new, the bounds that these images show; review and commit it, later images are held against it")
    return read_reference(path, class_names)


def read_reference(path: Path, class_names: Sequence[str] | None = None) -> DataFacts:
    """What holds for the images, by the file `path`, which must be of those classes if they are given.

    Raises:
        BadDataError: the file is missing, not as it should be, or of other classes.
    """
    way_out = "correct it, or delete it: the next `dvc repro` makes a new one"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        facts, names = _facts(content), list(map(str, content["classes"]))
    except (yaml.YAMLError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise BadDataError(f"{path}: not the bounds that validate writes ({problem}); {way_out}") from error
    if class_names is not None and names != list(class_names):
        shown = [", ".join(each[:10]) + (", …" if len(each) > 10 else "") for each in (names, list(class_names))]
        raise BadDataError(f"{path}: is of the classes {shown[0]}; the images have {shown[1]}; {way_out}")
    return facts


def observed_bounds(
    table: "DataFrame", summary: Mapping[str, Mapping[str, Any]], class_names: Sequence[str]
) -> dict[str, Any]:
    """The content of the file: bounds that these images keep, with room for others of their kind."""
    splits = {
        split: _split_bounds(table[table["split"] == split], numbers, class_names) for split, numbers in summary.items()
    }
    images = {column: _widened(float(table[column].min()), float(table[column].max())) for column in COLUMNS}
    copies = {"max_shared": int(MAX_SHARED * len(table)), "min_distinct": MIN_DISTINCT}
    return {"classes": list(class_names), **splits, "images": images, "mostly": MOSTLY, **copies}


def _split_bounds(rows: "DataFrame", numbers: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    count = numbers["images"]
    errors = {name: float(rows[f"ink_{name}"].std(ddof=0)) * math.sqrt(2 / count) for name in ("mean", "std")}
    shares = [each / count for each in numbers["class_counts"]]
    return {
        "images": [math.ceil(count / SIZE), count * SIZE],
        **{name: _around(numbers[name], max(LEVEL, ERRORS * error)) for name, error in errors.items()},
        "shares": {name: _around(share, SHARE * share) for name, share in zip(class_names, shares, strict=True)},
    }


def _around(value: float, tolerance: float) -> list[float]:
    return [round(max(value - tolerance, 0), DIGITS), round(min(value + tolerance, 1), DIGITS)]


def _widened(low: float, high: float) -> list[float]:
    margin, unit = MARGIN * (high - low), 10**DIGITS
    return [math.floor((low - margin) * unit) / unit, math.ceil((high + margin) * unit) / unit]


def _as_yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _facts(content: Mapping[str, Any]) -> DataFacts:
    """The bounds in the content of a file; what is not as it should be raises one of Python's own errors."""
    splits = {
        split: SplitBounds(
            image_counts=_range(f"{split}.images", content[split]["images"]),
            mean=_range(f"{split}.mean", content[split]["mean"]),
            std=_range(f"{split}.std", content[split]["std"]),
            class_shares=tuple(
                _range(f"{split}.shares.{name}", content[split]["shares"][name]) for name in content["classes"]
            ),
        )
        for split in ("train", "test")
    }
    unknown = set(content["images"]) - set(COLUMNS)
    if unknown:
        raise ValueError(f"images.{min(unknown)} is unknown")
    return DataFacts(
        **splits,
        images={column: _range(f"images.{column}", bounds) for column, bounds in content["images"].items()},
        max_shared=int(content["max_shared"]),
        min_distinct=float(content["min_distinct"]),
        mostly=float(content["mostly"]),
    )


def _range(name: str, bounds: object) -> Range:
    if isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(each, int | float) for each in bounds):
        low, high = bounds
        if low <= high:
            return low, high
    raise ValueError(f"{name}: expected [lowest, highest], found {bounds!r}")
