"""The search space of a sweep: parameters by their dotted names, each with choices or a range, checked before use.

base:                                        # of all trials, in place of params.yaml's values
  train.epochs: 3
space:
  train.generator_learning_rate: {low: 5.0e-4, high: 1.0e-2, log: true}
  model.latent_dim: {low: 32, high: 128}     # whole numbers, both ends included
  model.conditional: [true, false]
"""

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan.config.params_file import LIKENESS, changed
from dcgan.config.schema import WITHOUT_EFFECT, GanConfig, Params, flatten
from dcgan.system.errors import UsageError
from dcgan.system.redaction import redacted

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SECTIONS = ("base", "space")
MOST_COMBINATIONS = 2_000
"""Of ends and choices, that are tried out; of a larger space, so many of them."""
DIGITS = 4
"""Significant digits of a number that is drawn from a range: what people would write into params.yaml."""
TRAINED = tuple(flatten(GanConfig()))
"""Every parameter that training reads, by its dotted name."""

Value = bool | int | float | str | None
Values = Mapping[str, Value]
"""Values of parameters by their dotted name."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A parameter that takes one of several values."""

    options: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """What stands for all its values when they are checked."""
        return self.options

    @property
    def distribution(self) -> "BaseDistribution":
        """As Optuna draws it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.options)

    def __contains__(self, value: Value) -> bool:
        return value in self.options

    def __str__(self) -> str:
        return ", ".join(map(str, self.options))

    def rounded(self, value: Value) -> Value:
        """The value itself."""
        return value

    def place(self, value: Value) -> float:
        """Where a value is between the first and the last option, 0 to 1."""
        return self.options.index(value) / max(1, len(self.options) - 1)


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number between two ends, both included."""

    low: float
    high: float
    log: bool = False
    """Whether its logarithm is drawn evenly."""

    @property
    def ends(self) -> tuple[Value, ...]:
        """What stands for all its values when they are checked."""
        return (self.low, self.high)

    @property
    def distribution(self) -> "BaseDistribution":
        """As Optuna draws it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def __contains__(self, value: Value) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}{' (log)' if self.log else ''}"

    def rounded(self, value: Value) -> Value:
        """The number with four significant digits, unless that leaves the range."""
        if not isinstance(value, float):
            return value
        short = float(f"{value:.{DIGITS}g}")
        return short if short in self else value

    def place(self, value: Value) -> float:
        """Where a value is between both ends, 0 to 1."""
        assert isinstance(value, int | float)
        low, here, high = (math.log(each) if self.log else each for each in (self.low, value, self.high))
        return (here - low) / (high - low)


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a sweep searches, and what all its trials have other than params.yaml."""

    base: Values
    domains: Mapping[str, Choice | Range]
    content: Mapping[str, Any]
    """Of the file that describes it."""

    @property
    def distributions(self) -> "dict[str, BaseDistribution]":
        """As Optuna draws them."""
        return {name: domain.distribution for name, domain in self.domains.items()}

    def rounded(self, values: Values) -> Values:
        """Values that were drawn, as a trial takes them."""
        return {name: domain.rounded(values[name]) for name, domain in self.domains.items()}

    def values_of(self, params: Params) -> Values | None:
        """The values that `params` has of what is searched; None if the space does not hold them."""
        flat = flatten(params)
        values = {name: flat[name] for name in self.domains}
        return values if all(values[name] in domain for name, domain in self.domains.items()) else None

    def combinations(self) -> Iterator[Values]:
        """Ends and choices: each with the first of all others, then all with all, as far as MOST_COMBINATIONS."""
        first = {name: domain.ends[0] for name, domain in self.domains.items()}
        for name, domain in self.domains.items():
            yield from (first | {name: end} for end in domain.ends)
        product = itertools.product(*(domain.ends for domain in self.domains.values()))
        for values in itertools.islice(product, MOST_COMBINATIONS):
            yield dict(zip(self.domains, values, strict=True))


def load_space(path: Path, params: Params) -> Space:
    """The search space in a YAML file, checked for trials that are otherwise as `params`.

    Raises:
        UsageError: the file is missing or not as it should be, a parameter is unknown or not read by training, a range
            is empty, or a value or a combination is one that a stage would refuse; the message names it.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; name a search space with --space") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a search space with --space") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML: {redacted(' '.join(str(error).split()))}") from error
    try:
        return parse_space(content, params)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_space(content: object, params: Params) -> Space:
    """The search space that the content of a YAML file describes; raises as `load_space`."""
    if not isinstance(content, Mapping) or not isinstance(content.get("space"), Mapping) or not content["space"]:
        raise UsageError("expected `space:` with at least one parameter below it, as experiments/sweep.yaml has it")
    for section in content:
        if section not in SECTIONS:
            raise UsageError(f"unknown section {section}{_nearest(section, SECTIONS)}; known are {', '.join(SECTIONS)}")
    base = content.get("base") or {}
    if not isinstance(base, Mapping):
        raise UsageError("base: expected parameters and their values")
    for name in (*base, *content["space"]):
        _require_trained(name)
    if both := base.keys() & content["space"].keys():
        raise UsageError(f"{both.pop()}: stands in both base and space; take it out of one")
    for name in content["space"]:
        _refuse_searched(name)
    params = changed(params, base)
    space = Space(
        content=content,
        base={name: flatten(params)[name] for name in base},
        domains={name: _domain(name, described, params) for name, described in content["space"].items()},
    )
    for values in space.combinations():
        try:
            changed(params, values)
        except UsageError as error:
            shown = ", ".join(f"{name}={value}" for name, value in values.items())
            raise UsageError(f"space: {error} (in the combination {shown})") from error
    return space


def _require_trained(name: object) -> None:
    """Raise UsageError unless training reads the parameter of that name."""
    if name in TRAINED:
        return
    if name in flatten(Params()):
        raise UsageError(f"{name}: training does not read it; a trial can change model, loss, penalties and train")
    raise UsageError(
        f"unknown parameter {name}{_nearest(name, TRAINED) or '; src/dcgan/config/schema.py has them all'}"
    )


def _refuse_searched(name: str) -> None:
    """Raise UsageError if a search for the best value of a parameter makes no sense."""
    if name == "train.seed":
        raise UsageError("space: train.seed: a seed is not searched; `--seeds 3` repeats the best with other seeds")
    if name.rpartition(".")[2] in WITHOUT_EFFECT:
        raise UsageError(f"space: {name}: does not change what is trained; set it in params.yaml or under base")


def _nearest(word: object, known: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(str(word), known, n=1, cutoff=LIKENESS)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _domain(name: str, described: object, params: Params) -> Choice | Range:
    """The choices or the range that a parameter has in the file."""
    if isinstance(described, list):
        return _choice(name, described, params)
    if isinstance(described, Mapping):
        return _range(name, described, params)
    raise UsageError(f"space: {name}: expected a list of choices or {{low: …, high: …}}, found {described!r}")


def _choice(name: str, options: list[Any], params: Params) -> Choice:
    values = tuple(_value(name, option, params) for option in options)
    if not values:
        raise UsageError(f"space: {name}: the list of choices is empty; name at least one")
    if len(set(values)) < len(values):
        raise UsageError(f"space: {name}: a value stands twice among the choices {', '.join(map(str, values))}")
    return Choice(options=values)


def _range(name: str, described: Mapping[Any, Any], params: Params) -> Range:
    known = ("low", "high", "log")
    for key in described:
        if key not in known:
            raise UsageError(f"space: {name}: unknown key {key}{_nearest(key, known)}; a range has {', '.join(known)}")
    if missing := [key for key in ("low", "high") if key not in described]:
        raise UsageError(f"space: {name}: {missing[0]} is missing; a range has low and high")
    low, high = (_value(name, described[key], params) for key in ("low", "high"))
    log = described.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"space: {name}: log: expected true or false, found {log!r}")
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float):
            raise UsageError(f"space: {name}: {end!r} is no number; write a list of choices")
    if not low < high:
        raise UsageError(f"space: {name}: the range from {low} to {high} is empty; low must be less than high")
    if log and low <= 0:
        raise UsageError(f"space: {name}: low: {low} has no logarithm; take more than 0, or log: false")
    return Range(low=low, high=high, log=log)


def _value(name: str, value: object, params: Params) -> Any:
    """A value as params.yaml would hold it; UsageError if its type or its bounds are not the parameter's."""
    section, _, field = name.partition(".")
    kind = type(getattr(params, section))
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"space: {name}: {value} is not a finite number")
    try:
        return flatten(changed(kind(), {field: value}))[field]
    except UsageError as error:
        raise UsageError(f"space: {section}.{error}") from error
    except KeyError:
        raise UsageError(f"space: {name}: expected a list of plain values, found {value!r}") from None
