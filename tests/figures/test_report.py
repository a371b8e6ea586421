"""The report and the model card, from made-up results of the stages."""

import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from dcgan.config import workspace
from dcgan.figures.report.data_sets import CARDS
from dcgan.figures.report.inputs import ReportInputs
from dcgan.figures.report.limits import limits_of
from dcgan.figures.report.page import render_page
from dcgan.figures.report.tables import METRICS, metric_rows, number, parameter_tables, percent
from dcgan.figures.report.writing import write_report
from dcgan.system.errors import BadDataError
from report_files import evaluation, params_of, write_inputs
from support import ROOT

LARGEST = 3_000_000
HEADINGS = [
    "Contents", "Model", "Data", "Parameters", "Training", "Samples", "Metrics", "Discriminator", "ONNX", "Limits",
    "Licence of the data", "How to run it",
]  # fmt: skip


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in {"h1", "h2", "h3"}:
            self.headings.append((self._inside, data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def _inputs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)


def write(params=None, **figures) -> tuple[str, str]:
    """Write both files, and return their texts."""
    write_report(ReportInputs.load(params or params_of()), evaluation(**figures))
    return workspace.REPORT.read_text(), workspace.MODEL_CARD.read_text()


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_page_needs_nothing_else_and_is_well_formed():
    page = Page(write()[0])
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "video"} == set()
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in page.all("img"))
    assert all(re.fullmatch("#[a-z]+", link["href"]) for link in page.all("a"))
    assert {link["href"].lstrip("#") for link in page.all("a")} == {each["id"] for each in page.all("section")}
    assert not [attributes for _, attributes in page.tags if "style" in attributes or "onload" in attributes]
    assert "default-src 'none'" in page.all("meta")[-1]["content"]
    assert [text for level, text in page.headings if level == "h2"] == HEADINGS
    assert [level for level, _ in page.headings].count("h1") == 1
    assert "url(" not in "".join(write()[0].split("<style>")[1].split("</style>")[0])


def test_equal_inputs_give_equal_bytes_and_no_path(tmp_path, monkeypatch):
    first = write()
    assert write() == first
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    write_inputs(other)
    assert write() == first
    assert str(tmp_path) not in "".join(first)


def test_the_page_stays_small_whatever_the_pictures_show(tmp_path):
    rng = np.random.default_rng(0)
    write_inputs(tmp_path, pixels=rng.integers(0, 256, (604, 604), np.uint8))
    assert len(write()[0]) < LARGEST
    assert len(re.findall("<figcaption>step ", write()[0])) == 6


@pytest.mark.parametrize(("name", "conditional"), list(product(CARDS, (True, False))))
def test_every_data_set_and_an_unconditional_model_have_both(name, conditional):
    sizes = {"digits": {"evaluate__num_samples": 1000}, "images": {"model__num_classes": 10}}.get(name, {})
    params = params_of(data__name=name, model__conditional=conditional, **sizes)
    page, card = write(params, conditional=conditional)
    title = f"{'Conditional' if conditional else 'Unconditional'} dcgan of {CARDS[name].title}"
    assert f"<h1>{title}</h1>" in page
    assert f"\n# {title}\n" in card
    for text in (page, card):
        assert CARDS[name].license in text
        assert CARDS[name].source in text
        assert ("Label accuracy" in text) == ("--digit 3" in text) == conditional
    assert ("Confusion matrix" in page) == conditional
    matter = front_matter(card)
    assert matter["license"] == CARDS[name].license_id
    assert matter.get("datasets") == ([CARDS[name].hub_id] if CARDS[name].hub_id else None)


def test_classes_have_their_names_and_the_examples_a_label_that_there_is():
    classes = {"class_names": ["3", "5", "8"], "class_shares": [0.5, 0.4, 0.1]}
    classes |= {f"{name}_per_class{end}": [0.5] * 3 for name in ("fcd", "recall") for end in ("", "_floor")}
    page, card = write(
        params_of(data__classes=[3, 5, 8], model__num_classes=3), **classes, label_accuracy_per_class=[1.0, 1.0, 0.9]
    )
    for text in (page, card):
        assert "Conditional dcgan of MNIST, classes 3, 5, 8" in text
        assert ("--digit 2" in text, "--digit 3" in text) == (True, False)
        assert "0 to 2" in text
        assert "8 is 10.0 % of the samples" in text
        assert "most often 8, 10.0 %" in text


def test_a_single_class_has_no_table_and_no_chart_of_classes():
    figures = dict.fromkeys(f"{name}_per_class{end}" for name in ("fcd", "recall") for end in ("", "_floor"))
    params = params_of(data__name="images", model__num_classes=1, model__conditional=False)
    page, _ = write(params, conditional=False, class_names=["all"], class_shares=[1.0], **figures)
    assert "Each class" not in page
    assert "Bars of fcd" not in page


@pytest.mark.parametrize(
    "changes",
    [
        {"loss__name": "relativistic"},
        {"model__architecture": "began", "model__conditional": False, "loss__name": "boundary_equilibrium",
         "penalties__r1": 0, "model__latent_distribution": "uniform"},
        {"model__architecture": "infogan", "model__conditional": False},
    ],
)  # fmt: skip
def test_a_loss_without_probabilities_has_no_calibration(changes):
    params = params_of(**changes)
    conditional = params.model.conditional
    (workspace.EVALUATION_FIGURES / "calibration.png").unlink()
    page, _ = write(params, conditional=conditional, calibrated=False)
    assert "Calibration" not in page
    assert "Brier" not in page
    assert ("rng.random(" in page) == (params.model.latent_distribution == "uniform")


FAULTS = {
    "no picture": (workspace.EVALUATION_FIGURES / "roc.png", None, "dvc repro evaluate"),
    "a damaged picture": (workspace.EVALUATION_FIGURES / "by_digit.png", b"\x89PNG", "--single-item evaluate"),
    "a torn history": (workspace.HISTORY, b'{"step": 1}\n{"st\n{"step": 3}\n', "--single-item train"),
    "no history": (workspace.HISTORY, None, "dvc repro train"),
    "a damaged grid": (workspace.SAMPLES / "step-0000000.png", b"", "--single-item train"),
    "no checks of the data": (workspace.VALIDATION, None, "dvc repro validate"),
    "half of them": (workspace.VALIDATION, b'{"dataset_sha256": "d"}', "--single-item validate"),
    "other classes": (
        workspace.VALIDATION,
        b'{"dataset_sha256": "d", "splits": {"train": {"class_counts": []}}}',
        "--single-item validate",
    ),
    "a damaged export": (workspace.EXPORT, b"{", "--single-item export"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_missing_or_damaged_piece_is_named_with_its_stage_and_nothing_is_written(fault):
    path, content, advice = FAULTS[fault]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadDataError, match=f"^{re.escape(str(path))}: .*{advice}") as caught:
        write()
    assert "\n" not in str(caught.value)
    assert not workspace.REPORT.exists()
    assert not workspace.MODEL_CARD.exists()


def test_a_training_without_grids_is_named():
    for path in workspace.SAMPLES.iterdir():
        path.unlink()
    with pytest.raises(BadDataError, match="reports/training/samples: holds no grid of samples; run `dvc repro train`"):
        write()


@pytest.mark.parametrize("is_stale", [True, False])
def test_a_model_that_is_not_exported_is_reported_as_such(is_stale):
    assert "Not exported" not in "".join(write())
    if is_stale:
        workspace.EXPORT.write_text(
            workspace.EXPORT.read_text().replace('"generator_sha256": "', '"generator_sha256": "0')
        )
    else:
        workspace.EXPORT.unlink()
    assert all("Not exported when this was written" in text for text in write())


def test_what_is_filled_in_is_escaped():
    workspace.HISTORY.with_name("events.json").write_text('{"rollback": "<script>alert(1)</script>"}')
    assert "<strong>rollback</strong>: &lt;script&gt;alert(1)&lt;/script&gt;" in write()[0]


LIMITS = {
    "can be told from real images: a fresh network is right about 81.1 %": {"two_sample_accuracy": 0.51},
    "18.0 % of the samples look like no real image": {"precision": 0.853},
    "17.7 % of the real images look like no sample": {"recall": 0.9},
    "1.68 times as far from the test images": {"fcd_over_floor": 0.9, "witness_fcd_over_floor": 1.0},
    "0.8 % of the samples are not recognised as the label asked for (of test images: 0.6 %); most often 9, 2.0 %": {
        "label_accuracy": 1.0
    },
    "no full substitute for real images: a classifier that learnt from samples alone reaches 98.3 %": {
        "train_on_fake": 0.991
    },
}


@pytest.mark.parametrize("sentence", LIMITS)
def test_a_limit_follows_from_its_figure(sentence):
    params, data = params_of(), CARDS["mnist"]
    assert sentence in " ".join(limits_of(evaluation(), params, data))
    assert sentence not in " ".join(limits_of(evaluation(**LIMITS[sentence]), params, data))


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ({"collapse": "2 digits"}, "The training counts as collapsed: 2 digits."),
        ({"two_sample_accuracy": 0.51}, "The two-sample test finds no difference from real images (51.0 % right"),
        ({"authenticity": 0.5}, "than test images are (authenticity 0.500, test images 0.650)"),
        ({"class_shares": [0.19, *[0.1] * 8, 0.01]}, "9 is 1.0 % of the samples"),
        ({"num_test_images": 355}, "only 355 test images"),
        ({"conditional": False}, "It takes no label"),
    ],
)  # fmt: skip
def test_what_is_rarely_wrong_is_told_when_it_is(figures, sentence):
    params, data = params_of(), CARDS["mnist"]
    assert sentence in " ".join(limits_of(evaluation(**figures), params, data))
    assert sentence not in " ".join(limits_of(evaluation(), params, data))


def test_pixels_that_stand_out_are_red_and_among_the_limits():
    figures = evaluation()
    figures["pixels"]["samples"] = figures["pixels"]["samples"] | {"haze": 0.9}
    told = "pixels from 1 to 4: haze: 90.00 %, real 50.00 %"
    assert told in " ".join(limits_of(figures, params_of(), CARDS["mnist"]))
    page = write(pixels=figures["pixels"])[0]
    assert re.findall(r'<tr class="marked">\s*<th scope="row">(.*)</th>', page) == ["pixels from 1 to 4: haze"]


def test_the_card_has_every_metric_that_was_measured_with_its_floor():
    figures = evaluation()
    (model,) = front_matter(write()[1])["model-index"]
    (result,) = model["results"]
    assert result["dataset"] == {"type": "ylecun/mnist", "name": "MNIST", "split": "test"}
    found = {metric["type"]: metric for metric in result["metrics"]}
    assert list(found) == [metric.key for metric in METRICS if metric.key != "fid"]
    for key, metric in found.items():
        assert metric["value"] == figures[key]
        assert metric["args"]["floor"] == figures[f"{key}_floor"]
        assert metric["args"].get("spread") == figures.get(f"{key}_spread")
        assert "real images: " in metric["name"]


def test_every_metric_stands_in_the_page_beside_its_floor_with_its_size():
    page = write()[0]
    for row in metric_rows(evaluation()):
        cells = [row.metric.better, row.value, row.spread or "–", row.floor, row.metric.real, row.sizes]
        assert r"".join(cells) in re.sub(r"</?t[dr][^>]*>|\n", "", page), row.metric.key


def test_parameters_of_a_machine_a_registry_or_a_gate_are_not_shown_and_defaults_stand_apart():
    params = params_of(
        data__mirrors=("/home/me/mnist",), tracking__experiment="secret", gates__fcd_over_floor=9, train__seed=5
    )
    changed, all_of_them = parameter_tables(params)
    assert changed.rows == [["train.seed", "5", "0"]]
    assert ["penalties.r1", "0.05", "0.05"] in all_of_them.rows
    text = "".join(write(params))
    assert not any(word in text for word in ("/home/me", "secret", "gates."))
    weights = params_of(evaluate__inception_weights="/home/me/weights.pth")
    assert "/home/me" not in "".join(write(weights))
    assert "weights.pth" in write(weights)[0]


def test_dvc_writes_the_report_again_when_a_parameter_that_it_shows_changes():
    known = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["params"]
    _, shown = parameter_tables(params_of())
    assert [row[0] for row in shown.rows if not any(f"{row[0]}.".startswith(f"{name}.") for name in known)] == []


def test_numbers_have_three_digits_and_shares_one():
    assert [number(value) for value in (None, 0.25, 0.0000123, 12.345, 12345.6, 0.0)] == [
        "–", "0.250", "1.23e-05", "12.3", "12,346", "0.00",
    ]  # fmt: skip
    assert [percent(value) for value in (None, 0.9938, 1)] == ["–", "99.4 %", "100.0 %"]


def test_the_pictures_of_a_page_are_in_their_own_pixels(tmp_path):
    page = Page(render_page(ReportInputs.load(params_of()), evaluation(), figures=Path("reports/evaluation")).decode())
    sizes = {image.get("class"): (image["width"], image["height"]) for image in page.all("img")}
    assert sizes == {None: ("56", "28"), "grid": ("28", "14")}
