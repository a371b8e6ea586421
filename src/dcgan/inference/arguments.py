"""Arguments of sampling, checked: each is told by its name, with what was expected and what was given."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.contract import Contract
from dcgan.system.errors import UsageError

LENGTH = 60
"""Characters of a value in a message."""


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise UsageError unless a value is within its range."""
    if not holds:
        raise UsageError(f"{name}: {str(value)[:LENGTH]} is out of range; expected {expected}")


def require_whole(name: str, value: object, low: int, high: int, *, expected: str) -> None:
    """Raise UsageError unless a value is a whole number from `low` to `high`; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise UsageError(f"{name}: {repr(value)[:LENGTH]} is not a whole number; expected {expected}")
    require(bool(low <= value <= high), name, value, expected)


def require_truncation(value: object) -> None:
    """Raise UsageError unless a truncation is a number more than 0 and at most 1."""
    expected = "more than 0, at most 1"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise UsageError(f"truncation: {repr(value)[:LENGTH]} is not a number; expected {expected}")
    require(bool(0 < value <= 1), "truncation", value, expected)


def chosen_digits(digits: object, *, num_classes: int) -> list[int]:
    """The digits asked for, one or several in turn; UsageError if these are no digits."""
    expected = f"0 to {num_classes - 1}"
    if isinstance(digits, np.ndarray):
        digits = digits.tolist()
    if isinstance(digits, str | bytes) or not isinstance(digits, Iterable):
        digits = [digits]
    chosen: list[Any] = list(digits)
    require(len(chosen) > 0, "digits", "an empty list", expected)
    for digit in chosen:
        require_whole("digit", digit, 0, num_classes - 1, expected=expected)
    return chosen


def latents_and_labels(
    contract: Contract, latents: object, labels: object
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Latents and labels in the types that the model takes; UsageError if they do not go with it or each other."""
    wanted = f"numbers of shape [N, {contract.latent_dim}], N at least 1"
    given = _array("latents", latents, wanted)
    if given.dtype.kind not in "fiu" or given.ndim != 2 or given.shape[1] != contract.latent_dim or not len(given):
        raise UsageError(f"latents: {given.dtype} of shape {list(given.shape)}; expected {wanted}")
    with np.errstate(over="ignore"):
        given = given.astype(np.float32, copy=False)
    if not np.isfinite(given).all():
        raise UsageError("latents: some are not finite in float32")
    if not contract.conditional:
        if labels is not None:
            raise UsageError("labels: the model is unconditional and draws any digit; leave them out")
        return given, None
    expected = f"{len(given)} digits from 0 to {contract.num_classes - 1}"
    digits = _array("labels", [] if labels is None else labels, expected)
    if digits.dtype.kind not in "iu" or digits.shape != (len(given),):
        found = "none" if labels is None else f"{digits.dtype} of shape {list(digits.shape)}"
        raise UsageError(f"labels: {found}; expected {expected}")
    wrong = digits[(digits < 0) | (digits >= contract.num_classes)]
    require(not len(wrong), "labels", wrong[:1].tolist(), expected)
    return given, digits.astype(np.int64, copy=False)


def _array(name: str, value: object, expected: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:  # rows of several lengths
        raise UsageError(f"{name}: no array; expected {expected}") from error
