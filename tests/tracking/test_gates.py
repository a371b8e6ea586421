import dataclasses
import math
import re

import pytest

from dcgan.config.schema import GatesConfig
from dcgan.system.errors import BadDataError
from dcgan.tracking.gates import Champion, EvaluationFigures, apply_gates, decide
from tracking_store import EVALUATION

GATES = GatesConfig(
    fcd_over_floor=6, label_accuracy=0.98, min_class_share=0.07, precision_over_floor=0.8, recall_over_floor=0.8,
    witness_fcd_over_floor=8, two_sample_accuracy=0.9,
)  # fmt: skip
OFF = GatesConfig(**dict.fromkeys(vars(GATES).keys() - {"on_failure"}))


def figures(**changes: object) -> EvaluationFigures:
    return EvaluationFigures.from_report(EVALUATION | changes, path="evaluation.json")


def champion(**changes: object) -> Champion:
    present = Champion(version="3", fcd=0.2, fcd_spread=0.01, reference=figures().reference)
    return dataclasses.replace(present, **changes)


def test_a_good_model_passes_every_gate():
    assert {gate.name: (pytest.approx(gate.value), gate.passed) for gate in apply_gates(GATES, figures())} == {
        "fcd_over_floor": (3.0, True),
        "witness_fcd_over_floor": (2.0, True),
        "two_sample_accuracy": (0.8, True),
        "precision_over_floor": (0.9375, True),
        "recall_over_floor": (0.85 / 0.9, True),
        "label_accuracy": (0.99, True),
        "min_class_share": (0.1, True),
    }


@pytest.mark.parametrize(
    ("changes", "failing", "value"),
    [
        ({"fcd": 0.2401}, "fcd_over_floor", 0.2401 / 0.04),
        ({"witness_fcd_over_floor": 8.01}, "witness_fcd_over_floor", 8.01),
        ({"two_sample_accuracy": 0.9001}, "two_sample_accuracy", 0.9001),
        ({"precision": 0.6399}, "precision_over_floor", 0.6399 / 0.8),
        ({"recall": 0.7199}, "recall_over_floor", 0.7199 / 0.9),
        ({"label_accuracy": 0.9799}, "label_accuracy", 0.9799),
        ({"class_shares": [0.0699, *[0.1] * 9]}, "min_class_share", 0.0699),
        ({"class_shares": [1.0, *[0.0] * 9]}, "min_class_share", 0.0),  # a constant generator
        ({"collapse": "4 of 10 digits drawn"}, "collapse", 1),
    ],
)
def test_each_gate_fails_alone_just_beyond_its_bound(changes, failing, value):
    failed = [(gate.name, gate.value) for gate in apply_gates(GATES, figures(**changes)) if not gate.passed]
    assert failed == [(failing, pytest.approx(value))]


def test_a_value_on_its_bound_passes():
    on_bounds = figures(
        fcd=0.5, fcd_floor=0.25, label_accuracy=0.98, class_shares=[0.07, *[0.1] * 9],
        precision=0.4, precision_floor=0.5, recall=0.4, recall_floor=0.5, witness_fcd_over_floor=8,
        two_sample_accuracy=0.9,
    )  # fmt: skip
    assert all(gate.passed for gate in apply_gates(dataclasses.replace(GATES, fcd_over_floor=2), on_bounds))


def test_a_gate_that_is_off_or_does_not_apply_is_not_listed():
    only_classes = dataclasses.replace(OFF, label_accuracy=0.98, min_class_share=0.07)
    assert [gate.name for gate in apply_gates(only_classes, figures(label_accuracy=None))] == ["min_class_share"]
    assert apply_gates(OFF, figures()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fcd": math.nan}, "not finite"),
        ({"label_accuracy": math.inf}, "not finite"),
        ({"two_sample_accuracy": math.nan}, "not finite"),
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
    report = {key: value for key, value in EVALUATION.items() if key != "classifier_sha256"}
    with pytest.raises(
        BadDataError,
        match=r"evaluation\.json: classifier_sha256 is missing; run `dvc repro --force --single-item evaluate`",
    ):
        EvaluationFigures.from_report(report, path="evaluation.json")


BAD = {"label_accuracy": 0.5}
FAILS = r"fails 1 of 7 gates: label_accuracy is 0.5 \(at least 0.98\)"
BETTER = "is below .*, by more than the spread"
NOT_BETTER = "is below .*, by no more than the spread"
OTHER = "the champion, version 3, was measured on other data.*`dcgan promote 4` makes it champion$"
SINGLE = {"fcd": 0.01, "num_seeds": 1, "fcd_spread": None}


@pytest.mark.parametrize(
    ("changes", "present", "alias", "reason"),
    [
        ({}, None, "champion", "the first model that passes every gate"),
        (SINGLE, None, "champion", "the first model that passes every gate"),
        (BAD, None, "challenger", f"^{FAILS}$"),
        (BAD, {"fcd": 99.0}, "challenger", f"^{FAILS}$"),
        ({}, {"fcd": 0.1301}, "champion", BETTER),
        ({}, {"fcd": 0.1299}, "challenger", NOT_BETTER),
        ({"fcd_spread": 0.0}, {"fcd": 0.1299}, "challenger", NOT_BETTER),  # than the champion's
        # A version of former times does not tell it.
        ({"fcd_spread": 0.0}, {"fcd": 0.1299, "fcd_spread": None}, "champion", BETTER),
        ({"fcd_spread": 0.0}, {"fcd": 0.12}, "challenger", "is not below"),
        ({"fcd_spread": 0.0}, {"fcd": 0.1}, "challenger", "is not below"),
        (SINGLE, {}, "challenger", "evaluate.num_seeds"),
        ({"fcd": 0.05, "dataset_sha256": "e" * 64}, {}, "challenger", OTHER),
        ({"fcd": 0.05, "classifier_sha256": "e" * 64}, {}, "challenger", OTHER),
        ({"fcd": 0.05, "num_samples": 1000}, {}, "challenger", OTHER),
        ({}, {"fcd": None}, "challenger", OTHER),
        ({}, {"reference": (None, None, None)}, "challenger", OTHER),
        ({}, {"version": "4", "fcd": 0.12}, "champion", "^is the champion already$"),
        (BAD, {"version": "4"}, "champion", f"^is the champion already, but now {FAILS}$"),
    ],
)
def test_a_model_becomes_champion_if_it_passes_every_gate_and_is_clearly_better(changes, present, alias, reason):
    found = figures(**changes)
    holder = None if present is None else champion(**present)
    decision = decide(apply_gates(GATES, found), found, holder, version="4")
    assert decision.alias == alias
    assert re.search(reason, decision.reason), decision.reason


@pytest.mark.parametrize(("share", "passes"), [(0.0269, False), (0.027, True)])
def test_the_rarest_class_may_be_as_much_rarer_than_the_others_whatever_their_number(share, passes):
    only = dataclasses.replace(OFF, min_class_share=0.07)
    (gate,) = apply_gates(only, figures(class_shares=[share, *[(1 - share) / 25] * 25]))
    assert (gate.bound, gate.passed) == (pytest.approx(0.07 * 10 / 26), passes)


ROLLED_BACK = "^was rolled back; `dcgan promote 4` makes it champion$"


@pytest.mark.parametrize(
    ("changes", "present", "alias", "reason"),
    [
        ({}, {"fcd": 99.0}, "challenger", ROLLED_BACK),
        ({}, None, "challenger", ROLLED_BACK),
        (BAD, {"fcd": 99.0}, "challenger", f"^{FAILS}$"),
        ({}, {"version": "4"}, "champion", "^is the champion already$"),  # somebody set the alias by hand
    ],
)
def test_a_model_that_was_rolled_back_does_not_become_champion_by_itself(changes, present, alias, reason):
    found = figures(**changes)
    holder = None if present is None else champion(**present)
    decision = decide(apply_gates(GATES, found), found, holder, version="4", was_rolled_back=True)
    assert decision.alias == alias
    assert re.search(reason, decision.reason), decision.reason


# The default bounds

PUBLISHED = {
    # docs/experiments.md: fcd, witness, test, labels, precision, recall; None: not measured.
    "seed 0, Intel, bf16": (1.68, 1.64, 0.811, 0.9920, 0.957, 0.939),
    "seed 0, Intel, bf16, one thread": (1.70, 1.64, 0.795, 0.9935, 0.967, 0.940),
    "seed 0, AMD, float32": (1.68, 1.56, 0.808, 0.9926, 0.968, 0.939),
    "seed 0, AMD, bf16": (1.63, 1.56, 0.796, 0.9937, 0.964, 0.944),
    "seed 0, AMD, bf16, one thread": (1.78, 1.56, 0.800, 0.9945, 0.958, 0.935),
    "seed 1, AMD, bf16, one thread": (1.60, 1.48, 0.836, 0.9946, 0.958, 0.945),
    "seed 2, AMD, bf16, one thread": (1.67, 1.46, 0.816, 0.9953, 0.951, 0.936),
    "seed 1, AMD, bf16": (1.50, None, None, 0.9942, 0.958, 0.942),
    "seed 2, AMD, bf16": (1.57, None, None, 0.9942, 0.958, 0.940),
}
SHORTER = {
    "one epoch": (4.59, None, None, None, None, None),
    "one epoch of a former recipe": (4.94, None, None, None, None, None),
    "two epochs, as the preset fast": (2.71, None, 0.957, 0.9889, 0.914, 0.903),
}
WORST = (1.78, 1.64, 0.836, 0.9920, 0.947, 0.930)
"""Of all seeds and machines, figure by figure."""


def measured(*values: float | None) -> EvaluationFigures:
    """Figures in the order of `PUBLISHED`; the default recipe's worst stand for those that were not measured."""
    both = zip(values, WORST, strict=True)
    fcd, witness, test, labels, precision, recall = (worst if value is None else value for value, worst in both)
    return figures(
        fcd=fcd, fcd_floor=1.0, witness_fcd_over_floor=witness, two_sample_accuracy=test, label_accuracy=labels,
        precision=precision, precision_floor=1.0, recall=recall, recall_floor=1.0, class_shares=[0.09, *[0.1] * 9],
    )  # fmt: skip


@pytest.mark.parametrize("values", [*PUBLISHED.values(), WORST], ids=[*PUBLISHED, "the worst of all"])
def test_the_default_recipe_passes_the_default_gates_for_every_seed_and_on_every_machine(values):
    assert [str(gate) for gate in apply_gates(GatesConfig(), measured(*values)) if not gate.passed] == []


@pytest.mark.parametrize("values", SHORTER.values(), ids=SHORTER)
def test_a_shorter_training_does_not_pass_the_default_gates(values):
    failed = [gate.name for gate in apply_gates(GatesConfig(), measured(*values)) if not gate.passed]
    assert failed == (["fcd_over_floor"] if values[2] is None else ["fcd_over_floor", "two_sample_accuracy"])


def test_a_gate_tells_value_and_bound_with_as_many_digits_as_differ():
    config = dataclasses.replace(OFF, fcd_over_floor=2.2, label_accuracy=0.985)
    told = [str(gate) for gate in apply_gates(config, measured(2.20004, None, None, 0.9, None, None))]
    assert told == ["fcd_over_floor is 2.20004 (at most 2.2)", "label_accuracy is 0.9 (at least 0.985)"]
