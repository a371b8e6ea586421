import dataclasses
import math

import pytest

from dcgan.config.schema import GatesConfig
from dcgan.system.errors import BadDataError
from dcgan.tracking.gates import Champion, EvaluationFigures, apply_gates, decide

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
    "fcd_spread": 0.01,
    "num_seeds": 3,
    "num_samples": 10_000,
    "label_accuracy": 0.99,
    "class_shares": [0.08, 0.12, *[0.1] * 8],
    "dataset_sha256": "d" * 64,
    "classifier_sha256": "c" * 64,
    "discriminator": {"accuracy": 0.6},
}


def figures(**changes: object) -> EvaluationFigures:
    return EvaluationFigures.from_report({**REPORT, **changes}, path="evaluation.json")


def champion(**changes: object) -> Champion:
    present = Champion(version="3", fcd=0.2, fcd_spread=0.01, reference=figures().reference)
    return dataclasses.replace(present, **changes)


def values_and_outcomes(found: EvaluationFigures, gates: GatesConfig = GATES) -> dict[str, tuple[float, bool]]:
    return {gate.name: (pytest.approx(gate.value), gate.passed) for gate in apply_gates(gates, found)}


def test_a_good_model_passes_every_gate():
    assert values_and_outcomes(figures()) == {
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
    assert [gate.name for gate in apply_gates(GATES, figures(**changes)) if not gate.passed] == [failing]


def test_a_value_on_its_bound_passes():
    on_bounds = figures(
        fcd=0.5, fcd_floor=0.25, label_accuracy=0.98, class_shares=[0.07, *[0.1] * 9],
        precision=0.4, precision_floor=0.5, recall=0.4, recall_floor=0.5,
    )  # fmt: skip
    assert all(gate.passed for gate in apply_gates(dataclasses.replace(GATES, fcd_over_floor=2), on_bounds))


def test_a_constant_generator_fails_the_class_gate():
    shares = [gate for gate in apply_gates(GATES, figures(class_shares=[1.0, *[0.0] * 9])) if not gate.passed]
    assert [(gate.name, gate.value) for gate in shares] == [("min_class_share", 0.0)]


def test_a_gate_that_is_off_or_does_not_apply_is_not_listed():
    only_classes = dataclasses.replace(OFF, label_accuracy=0.98, min_class_share=0.07)
    assert list(values_and_outcomes(figures(label_accuracy=None), only_classes)) == ["min_class_share"]
    assert apply_gates(OFF, figures()) == []


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
        figures(**changes)


def test_a_missing_figure_is_named():
    report = {key: value for key, value in REPORT.items() if key != "classifier_sha256"}
    with pytest.raises(BadDataError, match=r"evaluation\.json: classifier_sha256 is missing; run the stage `evaluate`"):
        EvaluationFigures.from_report(report, path="evaluation.json")


def alias(found: EvaluationFigures, present: Champion | None) -> str:
    return decide(apply_gates(GATES, found), found, present, version="4").alias


def test_the_first_model_that_passes_every_gate_is_champion():
    assert alias(figures(), None) == "champion"


def test_a_model_that_fails_a_gate_never_becomes_champion():
    failing = figures(label_accuracy=0.5)
    assert alias(failing, None) == "challenger"
    assert alias(failing, champion(fcd=99.0)) == "challenger"
    reason = decide(apply_gates(GATES, failing), failing, None, version="4").reason
    assert reason == "fails 1 of 5 gates: label_accuracy is 0.5, bound 0.98"


@pytest.mark.parametrize(
    ("present", "spread", "expected"),
    [
        ({"fcd": 0.1301}, 0.01, "champion"),
        ({"fcd": 0.1299}, 0.01, "challenger"),  # within the spread of the sampling seeds
        ({"fcd": 0.1299}, 0.0, "challenger"),  # within that of the champion's
        ({"fcd": 0.1299, "fcd_spread": None}, 0.0, "champion"),  # a version of former times does not tell it
        ({"fcd": 0.12}, 0.0, "challenger"),
        ({"fcd": 0.1}, 0.0, "challenger"),
    ],
)
def test_a_model_beats_the_champion_by_more_than_the_spread_of_the_sampling_seeds(present, spread, expected):
    assert alias(figures(fcd_spread=spread), champion(**present)) == expected


def test_a_single_sampling_seed_promotes_nobody_over_a_champion():
    single = figures(fcd=0.01, num_seeds=1, fcd_spread=None)
    assert single.fcd_spread is None
    assert alias(single, None) == "champion"
    decided = decide(apply_gates(GATES, single), single, champion(), version="4")
    assert decided.alias == "challenger"
    assert "evaluate.num_seeds" in decided.reason


@pytest.mark.parametrize(
    "changes", [{"dataset_sha256": "e" * 64}, {"classifier_sha256": "e" * 64}, {"num_samples": 1000}]
)
def test_distances_relative_to_another_reference_do_not_compare(changes):
    found = figures(fcd=0.05, **changes)
    decided = decide(apply_gates(GATES, found), found, champion(), version="4")
    assert decided.alias == "challenger"
    assert "version 3" in decided.reason
    assert "set the alias champion by hand" in decided.reason


def test_a_champion_without_figures_does_not_compare():
    assert alias(figures(), champion(fcd=None)) == "challenger"
    assert alias(figures(), champion(reference=(None, None, None))) == "challenger"


def test_the_champion_itself_stays():
    assert alias(figures(), champion(version="4", fcd=0.12)) == "champion"
    failing = figures(label_accuracy=0.5)
    decided = decide(apply_gates(GATES, failing), failing, champion(version="4"), version="4")
    assert decided.alias == "champion"
    assert decided.reason.startswith("is the champion already, but now fails 1 of 5 gates: label_accuracy")
