"""What a model must hold to become champion, and when it beats the present one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from dcgan.config.schema import GatesConfig
from dcgan.system.errors import BadDataError

_FLOORED = ("fcd", "fcd_floor", "precision", "precision_floor", "recall", "recall_floor")


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate applied to one model."""

    name: str
    """As in params.yaml, or `collapse`."""
    value: float
    bound: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How good a model is, and by which yardstick; two Fréchet distances compare only if measured by the same one."""

    fcd: float
    fcd_floor: float
    precision: float
    precision_floor: float
    recall: float
    recall_floor: float
    num_samples: int
    dataset_sha256: str
    classifier_sha256: str
    label_accuracy: float | None
    """None for an unconditional model."""
    class_shares: tuple[float, ...]
    collapse: str | None = None
    """How the game stood if one player had lost it when training ended."""

    @classmethod
    def from_report(cls, report: Mapping[str, Any], *, path: object) -> Self:
        """The figures in the report that `evaluate` wrote to `path`.

        Raises:
            BadDataError: a figure is missing or not finite, or a floor is not above 0.
        """
        try:
            judgement = cls(
                **{name: float(report[name]) for name in _FLOORED},
                num_samples=int(report["num_samples"]),
                dataset_sha256=str(report["dataset_sha256"]),
                classifier_sha256=str(report["classifier_sha256"]),
                label_accuracy=None if report["label_accuracy"] is None else float(report["label_accuracy"]),
                class_shares=tuple(map(float, report["class_shares"])),
                collapse=report.get("collapse"),
            )
        except KeyError as error:
            raise BadDataError(f"{path}: {error.args[0]} is missing; run the stage `evaluate` again") from None
        except (TypeError, ValueError) as error:
            raise BadDataError(f"{path}: {error}; run the stage `evaluate` again") from error
        if not judgement._is_measured():
            raise BadDataError(f"{path}: a figure is not finite, or a floor is not above 0; run `evaluate` again")
        return judgement

    def _is_measured(self) -> bool:
        floors = [self.fcd_floor, self.precision_floor, self.recall_floor]
        figures = [self.fcd, self.precision, self.recall, self.label_accuracy or 0.0, *floors, *self.class_shares]
        return all(map(math.isfinite, figures)) and min(floors) > 0 and len(self.class_shares) > 0

    @property
    def yardstick(self) -> tuple[str, str, int]:
        """What a Fréchet distance is relative to."""
        return self.dataset_sha256, self.classifier_sha256, self.num_samples


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model that holds the alias now; a figure is None if its entry in the registry does not tell."""

    version: str
    fcd: float | None
    yardstick: tuple[str | None, str | None, int | None]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The alias that a model has earned, and why."""

    alias: Literal["champion", "challenger"]
    promoted: bool
    """Whether it takes the alias champion now."""
    reason: str


def apply_gates(config: GatesConfig, judgement: Judgement) -> list[GateResult]:
    """Every gate that is on and applies to the model; a value that is not a number holds none.

    A model whose training ended with one player having lost fails `collapse`, which has no parameter.
    """
    results = []
    if judgement.collapse is not None:
        results.append(GateResult(name="collapse", value=1, bound=0, holds=False))
    if config.fcd_over_floor is not None:
        ratio = judgement.fcd / judgement.fcd_floor
        results.append(_at_most("fcd_over_floor", ratio, config.fcd_over_floor))
    if config.precision_over_floor is not None:
        ratio = judgement.precision / judgement.precision_floor
        results.append(_at_least("precision_over_floor", ratio, config.precision_over_floor))
    if config.recall_over_floor is not None:
        ratio = judgement.recall / judgement.recall_floor
        results.append(_at_least("recall_over_floor", ratio, config.recall_over_floor))
    if config.label_accuracy is not None and judgement.label_accuracy is not None:
        results.append(_at_least("label_accuracy", judgement.label_accuracy, config.label_accuracy))
    if config.min_class_share is not None:
        results.append(_at_least("min_class_share", min(judgement.class_shares), config.min_class_share))
    return results


def decide(gates: Sequence[GateResult], judgement: Judgement, champion: Champion | None, *, version: str) -> Verdict:
    """Whether the model registered as `version` becomes champion: every gate holds, and it beats the present one."""
    failed = ", ".join(f"{gate.name} is {gate.value:.4g}, bound {gate.bound:.4g}" for gate in gates if not gate.holds)
    if champion is not None and champion.version == version:
        reason = f"is the champion already, but fails a gate now: {failed}" if failed else "is the champion already"
        return Verdict(alias="champion", promoted=False, reason=reason)
    if failed:
        return _challenger(f"fails a gate: {failed}")
    if champion is None:
        return Verdict(alias="champion", promoted=True, reason="the first model that holds every gate")
    rival = f"the champion, version {champion.version}"
    if champion.fcd is None or champion.yardstick != judgement.yardstick:
        return _challenger(
            f"{rival}, was measured on other data, by another classifier or on another number of samples, so that"
            " fcd does not compare; to promote this one, set the alias champion on it by hand in the MLflow UI"
        )
    compared = f"fcd {judgement.fcd:.4g} against {champion.fcd:.4g} of {rival}"
    if judgement.fcd < champion.fcd:
        return Verdict(alias="champion", promoted=True, reason=f"lower {compared}")
    return _challenger(f"no lower {compared}")


def _challenger(reason: str) -> Verdict:
    return Verdict(alias="challenger", promoted=False, reason=reason)


def _at_most(name: str, value: float, bound: float) -> GateResult:
    return GateResult(name=name, value=value, bound=bound, holds=value <= bound)


def _at_least(name: str, value: float, bound: float) -> GateResult:
    return GateResult(name=name, value=value, bound=bound, holds=value >= bound)
