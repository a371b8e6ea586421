import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from dcgan.data.expectations import Finding, check_expectations
from dcgan.data.findings_table import print_failures
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.specs import DataFacts
from tiny_data import tiny_arrays, tiny_facts

Findings = list[Finding]


def check(arrays: dict[str, np.ndarray], facts: DataFacts, data_docs: Path) -> Findings:
    table = image_table(arrays)
    return check_expectations(table, summarise_splits(table), facts, data_docs=data_docs)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Path]:
    data_docs = tmp_path_factory.mktemp("reports") / "data_docs"
    return check(tiny_arrays(), tiny_facts(), data_docs), data_docs


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Everything that one data set can have wrong at once."""
    arrays = tiny_arrays()
    arrays["train_images"] = arrays["train_images"][:-1]
    arrays["train_labels"] = arrays["train_labels"][:-1]
    arrays["train_images"][3] = 0
    arrays["train_images"][6] = arrays["test_images"][5]
    arrays["train_labels"][arrays["train_labels"] == 7] = 8
    arrays["test_images"][9] //= 2
    arrays["test_images"][10, 20] = 255
    return check(arrays, tiny_facts(), tmp_path_factory.mktemp("reports"))


def failures_of(findings: Findings) -> list[str]:
    return [each.description for each in findings if not each.success]


def finding(findings: Findings, description: str) -> Finding:
    (found,) = [each for each in findings if each.description == description]
    return found


def test_a_good_data_set_meets_every_expectation(good):
    findings, _ = good
    assert failures_of(findings) == []
    assert finding(findings, "train: 40 images").observed == 40
    mean = finding(findings, "train: mean of all pixels is between 0.05 and 0.08")
    assert mean.observed == pytest.approx((tiny_arrays()["train_images"] / 255).mean(), abs=1e-6)


def test_equal_data_is_judged_equally_to_the_last_byte(good, tmp_path):
    again = check(tiny_arrays(), tiny_facts(), tmp_path)
    first, second = (json.dumps([vars(each) for each in findings], allow_nan=False) for findings in (good[0], again))
    assert first == second


def test_the_html_report_tells_the_expectations_in_words(good):
    _, data_docs = good
    assert (data_docs / "index.html").is_file()
    pages = "".join(page.read_text() for page in data_docs.glob("validations/**/*.html"))
    for words in ("train: 40 images", "no image is blank", "ink_share is between 0.04 and 0.14"):
        assert words in pages


def test_what_is_wrong_fails_and_nothing_else(bad):
    assert failures_of(bad) == [
        "train: 40 images",
        "no image is blank",
        "ink_share is between 0.04 and 0.14",
        "box_height is 8",
        "box_width is between 4 and 13",
        "at most 0 images have a copy in the other split",
        "at least 100.0% of the images are distinct",
        *(f"train: share of class {label} is between 0.098 and 0.102" for label in range(10)),
    ]


def test_a_failure_shows_what_was_observed_and_in_which_rows(bad):
    count = finding(bad, "train: 40 images")
    assert (count.observed, count.expected, count.split) == (39, {"value": 40}, "train")
    shares = [each.observed for each in bad if not each.success and (each.column or "").startswith("share_")]
    assert shares == pytest.approx([4 / 39] * 7 + [0, 8 / 39, 3 / 39], abs=1e-6)
    shared = finding(bad, "at most 0 images have a copy in the other split")
    assert shared.unexpected_count == 2
    assert shared.observed == pytest.approx(2 / 79, abs=1e-6)
    assert shared.observed == round(shared.observed, 6)  # the last digits differ between machines
    assert shared.examples == [
        {"is_shared": True, "split": "train", "index": 6},
        {"is_shared": True, "split": "test", "index": 5},
    ]
    blank = finding(bad, "no image is blank")
    assert blank.examples == [{"ink_max": 0, "split": "train", "index": 3}]


def test_known_copies_may_be_shared(tmp_path):
    arrays = tiny_arrays()
    arrays["train_images"][5] = arrays["test_images"][5]
    facts = dataclasses.replace(tiny_facts(max_shared=2), min_distinct=0.9)
    assert failures_of(check(arrays, facts, tmp_path)) == []


def test_the_table_says_what_failed_by_how_much_and_where(bad, capsys):
    print_failures(bad)
    text = capsys.readouterr().out
    assert text.isascii()
    assert text.strip().startswith("17 of 36 expectations failed")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["train: 40 images", "39", ""] in cells
    assert ["no image is blank", "otherwise in 1 image (1.266%)", "train 3: ink_max = 0"] in cells
    assert ["", "", "test 5: is_shared = True"] in cells
    assert ["train: share of class 8 is between 0.098 and 0.102", "0.205128", ""] in cells
