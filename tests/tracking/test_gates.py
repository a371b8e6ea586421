import dataclasses
import math

import pytest

from dcgan.config.schema import GatesConfig
from dcgan.system.errors import BadDataError
from dcgan.tracking.gates import Champion, Judgement, apply_gates, decide

GATES = GatesConfig(
    fcd_over_floor=6, label_accuracy=0.98, min_class_share=0.07, precision_over_floor=0.8, recall_over_floor=0.8
)
OFF = GatesConfig(**dict.fromkeys(vars(GATES)))
REPORT = {
    "fcd": 0.12,
    "fcd_floor": 0.04,
    "precision": 0.72,
    "precision_floor": 0.8,
    "recall": 0.81,
    "recall_floor": 0.9,
    "num_samples": 10_000,
    "label_accuracy": 0.99,
    "class_shares": [0.08, 0.12, *[0.1] * 8],
    "dataset_sha256": "d" * 64,
    "classifier_sha256": "c" * 64,
    "discriminator": {"accuracy": 0.6},
}


def judgement(**changes: object) -> Judgement:
    return Judgement.from_report({**REPORT, **changes}, path="evaluation.json")


def champion(**changes: object) -> Champion:
    present = Champion(version="3", fcd=0.2, yardstick=judgement().yardstick)
    return dataclasses.replace(present, **changes)


def values_and_verdicts(judged: Judgement, gates: GatesConfig = GATES) -> dict[str, tuple[float, bool]]:
    return {gate.name: (pytest.approx(gate.value), gate.holds) for gate in apply_gates(gates, judged)}


def test_a_good_model_holds_every_gate():
    assert values_and_verdicts(judgement()) == {
        "fcd_over_floor": (3.0, True),
        "precision_over_floor": (0.9, True),
        "recall_over_floor": (0.9, True),
        "label_accuracy": (0.99, True),
        "min_class_share": (0.08, True),
    }


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"fcd": 0.2401}, "fcd_over_floor"),
        ({"precision": 0.6399}, "precision_over_floor"),
        ({"recall": 0.7199}, "recall_over_floor"),
        ({"label_accuracy": 0.9799}, "label_accuracy"),
        ({"class_shares": [0.0699, *[0.1] * 9]}, "min_class_share"),
        ({"collapse": "4 of 10 digits drawn"}, "collapse"),
    ],
)
def test_each_gate_fails_alone_just_beyond_its_bound(changes, failing):
    assert [gate.name for gate in apply_gates(GATES, judgement(**changes)) if not gate.holds] == [failing]


def test_a_value_on_its_bound_holds():
    on_bounds = judgement(
        fcd=0.5, fcd_floor=0.25, label_accuracy=0.98, class_shares=[0.07, *[0.1] * 9],
        precision=0.4, precision_floor=0.5, recall=0.4, recall_floor=0.5,
    )  # fmt: skip
    assert all(gate.holds for gate in apply_gates(dataclasses.replace(GATES, fcd_over_floor=2), on_bounds))


def test_a_constant_generator_fails_the_class_gate():
    shares = [gate for gate in apply_gates(GATES, judgement(class_shares=[1.0, *[0.0] * 9])) if not gate.holds]
    assert [(gate.name, gate.value) for gate in shares] == [("min_class_share", 0.0)]


def test_a_gate_that_is_off_or_does_not_apply_is_not_listed():
    only_classes = dataclasses.replace(OFF, label_accuracy=0.98, min_class_share=0.07)
    assert list(values_and_verdicts(judgement(label_accuracy=None), only_classes)) == ["min_class_share"]
    assert apply_gates(OFF, judgement()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fcd": math.nan}, "not finite"),
        ({"label_accuracy": math.inf}, "not finite"),
        ({"class_shares": [math.nan] * 10}, "not finite"),
        ({"class_shares": []}, "not finite"),
        ({"fcd_floor": 0.0}, "floor is not above 0"),
        ({"recall_floor": 0.0}, "floor is not above 0"),
        ({"precision": math.nan}, "not finite"),
        ({"fcd": "good"}, "could not convert"),
        ({"num_samples": None}, "NoneType"),
    ],
)
def test_a_report_without_usable_figures_is_refused(changes, message):
    with pytest.raises(BadDataError, match=rf"^evaluation\.json: .*{message}.*run"):
        judgement(**changes)


def test_a_missing_figure_is_named():
    report = {key: value for key, value in REPORT.items() if key != "classifier_sha256"}
    with pytest.raises(BadDataError, match=r"evaluation\.json: classifier_sha256 is missing; run the stage `evaluate`"):
        Judgement.from_report(report, path="evaluation.json")


def verdict(judged: Judgement, present: Champion | None) -> tuple[str, bool]:
    decided = decide(apply_gates(GATES, judged), judged, present, version="4")
    return decided.alias, decided.promoted


def test_the_first_model_that_holds_every_gate_is_champion():
    assert verdict(judgement(), None) == ("champion", True)


def test_a_model_that_fails_a_gate_never_becomes_champion():
    failing = judgement(label_accuracy=0.5)
    assert verdict(failing, None) == ("challenger", False)
    assert verdict(failing, champion(fcd=99.0)) == ("challenger", False)
    reason = decide(apply_gates(GATES, failing), failing, None, version="4").reason
    assert reason == "fails a gate: label_accuracy is 0.5, bound 0.98"


@pytest.mark.parametrize(("present_fcd", "expected"), [(0.1201, "champion"), (0.12, "challenger"), (0.1, "challenger")])
def test_only_a_lower_distance_beats_the_champion(present_fcd, expected):
    assert verdict(judgement(), champion(fcd=present_fcd)) == (expected, expected == "champion")


@pytest.mark.parametrize(
    "changes", [{"dataset_sha256": "e" * 64}, {"classifier_sha256": "e" * 64}, {"num_samples": 1000}]
)
def test_distances_by_another_yardstick_do_not_compare(changes):
    judged = judgement(fcd=0.05, **changes)
    decided = decide(apply_gates(GATES, judged), judged, champion(), version="4")
    assert (decided.alias, decided.promoted) == ("challenger", False)
    assert "version 3" in decided.reason
    assert "set the alias champion on it by hand" in decided.reason


def test_a_champion_without_figures_does_not_compare():
    assert verdict(judgement(), champion(fcd=None)) == ("challenger", False)
    assert verdict(judgement(), champion(yardstick=(None, None, None))) == ("challenger", False)


def test_the_champion_itself_stays_and_is_not_promoted_again():
    assert verdict(judgement(), champion(version="4", fcd=0.12)) == ("champion", False)
    failing = judgement(label_accuracy=0.5)
    decided = decide(apply_gates(GATES, failing), failing, champion(version="4"), version="4")
    assert decided.alias == "champion"
    assert decided.reason.startswith("is the champion already, but fails a gate now: label_accuracy")
