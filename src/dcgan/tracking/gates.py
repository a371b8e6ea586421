"""Gates: the bounds that a model must keep to become champion, and when it beats the present one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from dcgan.config.schema import NUM_CLASSES, GatesConfig
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

_UPPER_LIMITS = {"collapse", "fcd_over_floor", "witness_fcd_over_floor", "two_sample_accuracy"}
_NUMBERS = (
    "fcd", "fcd_floor", "precision", "precision_floor", "recall", "recall_floor",
    "witness_fcd_over_floor", "two_sample_accuracy",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate applied to one model."""

    name: str
    """As in params.yaml, or `collapse`."""
    value: float
    bound: float
    passed: bool

    def __str__(self) -> str:
        """As `fcd_over_floor is 4.94 (at most 2.2)`, with as many digits as tell the value from the bound."""
        limit = "at most" if self.name in _UPPER_LIMITS else "at least"
        digits = next((few for few in (4, 6, 10) if f"{self.value:.{few}g}" != f"{self.bound:.{few}g}"), 4)
        return f"{self.name} is {self.value:.{digits}g} ({limit} {self.bound:.{digits}g})"


@dataclass(frozen=True, kw_only=True)
class EvaluationFigures:
    """The figures of an evaluation that gates and promotion read."""

    fcd: float
    fcd_floor: float
    precision: float
    precision_floor: float
    recall: float
    recall_floor: float
    witness_fcd_over_floor: float
    two_sample_accuracy: float
    fcd_spread: float | None
    """Largest less smallest fcd of the sampling seeds; None where there was one seed only."""
    num_samples: int
    dataset_sha256: str
    classifier_sha256: str
    label_accuracy: float | None
    """None for an unconditional model."""
    class_shares: tuple[float, ...]
    collapse: str | None = None
    """How the generator or the discriminator had collapsed when training ended, if one had."""

    @classmethod
    def from_report(cls, report: Mapping[str, Any], *, path: object) -> Self:
        """The figures in the report that `evaluate` wrote to `path`.

        Raises:
            BadDataError: a figure is missing or not finite, or a floor is not above 0.
        """
        try:
            figures = cls(
                **{name: float(report[name]) for name in _NUMBERS},
                fcd_spread=float(report["fcd_spread"]) if report["num_seeds"] > 1 else None,
                num_samples=int(report["num_samples"]),
                dataset_sha256=str(report["dataset_sha256"]),
                classifier_sha256=str(report["classifier_sha256"]),
                label_accuracy=None if report["label_accuracy"] is None else float(report["label_accuracy"]),
                class_shares=tuple(map(float, report["class_shares"])),
                collapse=report.get("collapse"),
            )
        except KeyError as error:
            raise BadDataError(f"{path}: {error.args[0]} is missing; {rerun('evaluate')}") from None
        except (TypeError, ValueError) as error:
            raise BadDataError(f"{path}: {error}; {rerun('evaluate')}") from error
        if not figures._is_measured():
            raise BadDataError(f"{path}: a figure is not finite, or a floor is not above 0; {rerun('evaluate')}")
        return figures

    def _is_measured(self) -> bool:
        floors = [self.fcd_floor, self.precision_floor, self.recall_floor]
        optional = [self.label_accuracy or 0.0, self.fcd_spread or 0.0]
        others = [self.witness_fcd_over_floor, self.two_sample_accuracy]
        figures = [self.fcd, self.precision, self.recall, *others, *optional, *floors, *self.class_shares]
        return all(map(math.isfinite, figures)) and min(floors) > 0 and len(self.class_shares) > 0

    @property
    def reference(self) -> tuple[str, str, str]:
        """Data set, classifier and number of samples: two Fréchet distances compare only if these are the same."""
        return self.dataset_sha256, self.classifier_sha256, str(self.num_samples)


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model that holds the alias now; a figure is None if its version in the registry does not tell it."""

    version: str
    fcd: float | None
    fcd_spread: float | None
    reference: tuple[str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The alias that a model gets, and why."""

    alias: Literal["champion", "challenger"]
    reason: str


def apply_gates(config: GatesConfig, figures: EvaluationFigures) -> list[GateResult]:
    """Every gate that is on and applies to the model; a value that is not a number passes none.

    A model whose training ended in a collapse fails the gate `collapse`, which has no parameter.
    """
    values = {
        "fcd_over_floor": figures.fcd / figures.fcd_floor,
        "witness_fcd_over_floor": figures.witness_fcd_over_floor,
        "two_sample_accuracy": figures.two_sample_accuracy,
        "precision_over_floor": figures.precision / figures.precision_floor,
        "recall_over_floor": figures.recall / figures.recall_floor,
        "label_accuracy": figures.label_accuracy,
        "min_class_share": min(figures.class_shares),
    }
    scale = {"min_class_share": NUM_CLASSES / len(figures.class_shares)}
    results = []
    if figures.collapse is not None:
        results.append(GateResult(name="collapse", value=1, bound=0, passed=False))
    for name, value in values.items():
        bound = getattr(config, name)
        if bound is not None and value is not None:
            bound *= scale.get(name, 1)
            passed = value <= bound if name in _UPPER_LIMITS else value >= bound
            results.append(GateResult(name=name, value=value, bound=bound, passed=passed))
    return results


def failed_gates(gates: Sequence[GateResult]) -> str:
    """The gates that are failed, with value and bound; empty if none is."""
    return ", ".join(str(gate) for gate in gates if not gate.passed)


def decide(
    gates: Sequence[GateResult],
    figures: EvaluationFigures,
    champion: Champion | None,
    *,
    version: str,
    was_rolled_back: bool = False,
) -> Decision:
    """Whether the model registered as `version` becomes champion: it passes every gate and beats the present one.

    Its fcd has to be lower by more than the spread of the sampling seeds, of the two models' spreads the larger. One
    that `was_rolled_back`, with these very figures, becomes champion by hand only.
    """
    failed = failed_gates(gates)
    summary = f"fails {sum(not gate.passed for gate in gates)} of {len(gates)} gates: {failed}"
    if champion is not None and champion.version == version:
        reason = f"is the champion already, but now {summary}" if failed else "is the champion already"
        return Decision(alias="champion", reason=reason)
    if failed:
        return Decision(alias="challenger", reason=summary)
    if was_rolled_back:
        return Decision(alias="challenger", reason=f"was rolled back; {_by_hand(version)}")
    if champion is None:
        return Decision(alias="champion", reason="the first model that passes every gate")
    return _compare(figures, champion, version=version)


def _by_hand(version: str) -> str:
    return f"`dcgan promote {version}` makes it champion"


def _compare(figures: EvaluationFigures, champion: Champion, *, version: str) -> Decision:
    """The decision between the present champion and another model that passes every gate."""
    rival = f"the champion, version {champion.version}"
    if champion.fcd is None or champion.reference != figures.reference:
        problem = f"{rival}, was measured on other data, with another classifier or on another number of samples"
        return Decision(alias="challenger", reason=f"{problem}; fcd does not compare; {_by_hand(version)}")
    if figures.fcd_spread is None:
        problem = "one sampling seed does not tell how much fcd varies"
        return Decision(alias="challenger", reason=f"{problem}; set evaluate.num_seeds to 2 or more")
    spread = max(figures.fcd_spread, champion.fcd_spread or 0.0)
    is_lower, is_better = figures.fcd < champion.fcd, champion.fcd - figures.fcd > spread
    compared = f"fcd {figures.fcd:.4g} is {'' if is_lower else 'not '}below {champion.fcd:.4g}, that of {rival}"
    margin = f", by {'more' if is_better else 'no more'} than the spread of the sampling seeds, {spread:.2g}"
    return Decision(alias="champion" if is_better else "challenger", reason=compared + (margin if is_lower else ""))
