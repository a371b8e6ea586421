"""The tables of a report: every figure as text, beside the figure of real images and with its number of samples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dcgan.config.schema import Params, flatten
from dcgan.figures.pixels import COLUMNS, LIMIT, STATISTICS, shown, stands_out
from dcgan.figures.report.inputs import DataChecks, ExportChecks

Evaluation = Mapping[str, Any]
"""As in reports/evaluation.json."""
NONE = "–"
NOT_SHOWN = ("gates.", "tracking.", "data.mirrors")
"""Parameters that change neither the model nor its figures; mirrors may be folders of one machine."""


class Metric(NamedTuple):
    """A metric of the samples."""

    key: str
    title: str
    meaning: str
    better: str
    real: str
    """The images that stand in the samples' place beside it."""
    sizes: Callable[[Evaluation], str]
    form: Callable[[float], str]


class Table(NamedTuple):
    """A table of text."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """The first cell of each names it."""
    numeric: Sequence[int] = ()
    """Columns of numbers."""
    marked: Sequence[int] = ()
    """Rows that stand out."""


class Row(NamedTuple):
    """A metric in a table."""

    metric: Metric
    value: str
    spread: str
    """Over the sampling seeds; empty if there was one."""
    floor: str
    sizes: str


def number(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def percent(value: float | None) -> str:
    """A share, to a tenth of a percent."""
    return NONE if value is None else f"{100 * value:.1f} %"


def _of_seeds(evaluation: Evaluation) -> str:
    seeds = evaluation["num_seeds"]
    return f"{evaluation['num_samples']:,}" + (f" × {seeds} seeds" if seeds > 1 else "")


def _of_first_seed(evaluation: Evaluation) -> str:
    return f"{evaluation['num_samples']:,}"


def _two_sample_sizes(evaluation: Evaluation) -> str:
    learnt, told = evaluation["num_two_sample"], evaluation["num_samples"]
    return f"{learnt:,} to learn from, {told:,} to tell from {evaluation['num_test_images']:,} test images"


def _train_on_fake_sizes(evaluation: Evaluation) -> str:
    return f"{evaluation['num_train_on_fake']:,}"


def _neighbour_sizes(evaluation: Evaluation) -> str:
    return f"{evaluation['memorisation']['features']['num_queries']:,}"


TRAINING, TEST = "training images", "test images"
METRICS = (
    Metric("fcd", "Fréchet classifier distance",
           "between the features of samples and of test images, by the project’s own classifier", "lower",
           TRAINING, _of_seeds, number),
    Metric("witness_fcd", "Fréchet distance by the witness",
           "the same by a second classifier, of another architecture", "lower", TRAINING, _of_first_seed, number),
    Metric("two_sample_accuracy", "Two-sample test",
           "share of samples and test images that a fresh network tells right; 50 % is chance", "50 %",
           "real images against real images", _two_sample_sizes, percent),
    Metric("precision", "Precision", "share of samples within the manifold of real images", "higher",
           TRAINING, _of_seeds, number),
    Metric("recall", "Recall", "share of real images within the manifold of the samples", "higher",
           TRAINING, _of_seeds, number),
    Metric("label_accuracy", "Label accuracy", "share of samples that the classifier predicts as their label",
           "higher", TEST, _of_seeds, percent),
    Metric("train_on_fake", "Train on fake, test on real",
           "test accuracy of a classifier that was trained on samples alone", "higher",
           "as many real images", _train_on_fake_sizes, percent),
    Metric("authenticity", "Authenticity",
           "share further from the nearest training image than that image is from its own nearest neighbour",
           "near real images’", TEST, _neighbour_sizes, number),
    Metric("density", "Density", "precision with less weight on outliers", "higher", TRAINING, _of_seeds, number),
    Metric("coverage", "Coverage", "recall with less weight on outliers", "higher", TRAINING, _of_seeds, number),
    Metric("kcd", "Kernel classifier distance", "squared maximum mean discrepancy of the features", "lower",
           TRAINING, _of_seeds, number),
    Metric("two_sample_auc", "Two-sample test, area under the ROC curve", "0.5 is chance", "0.5",
           "real images against real images", _two_sample_sizes, number),
    Metric("classifier_score", "Classifier score", "the form of the Inception score, at most the count of classes",
           "higher", TEST, _of_seeds, number),
    Metric("class_divergence", "Divergence of the classes", "from equal shares, in nats", "lower",
           TEST, _of_seeds, number),
    Metric("fid", "Fréchet Inception distance", "on Inception-v3 features", "lower",
           TRAINING, _of_first_seed, number),
)  # fmt: skip
"""Those that a reader asks for first stand first."""


def metric_rows(evaluation: Evaluation) -> list[Row]:
    """Every metric that was measured."""
    return [_row(metric, evaluation) for metric in METRICS if evaluation.get(metric.key) is not None]


def _row(metric: Metric, evaluation: Evaluation) -> Row:
    floor, spread = (evaluation.get(f"{metric.key}_{end}") for end in ("floor", "spread"))
    return Row(
        metric=metric,
        value=metric.form(evaluation[metric.key]),
        spread="" if spread is None else metric.form(spread),
        floor=NONE if floor is None else metric.form(floor),
        sizes=metric.sizes(evaluation),
    )


def metric_table(evaluation: Evaluation) -> Table:
    """All metrics with floors, spreads and sizes."""
    rows = [
        [f"{metric.title}: {metric.meaning}", metric.better, value, spread or NONE, floor, metric.real, sizes]
        for metric, value, spread, floor, sizes in metric_rows(evaluation)
    ]
    columns = ["metric", "better", "samples", "spread", "real images", "which are", "number of samples"]
    return Table("Metrics of the samples", columns, rows, numeric=range(2, 5))


def class_table(evaluation: Evaluation, data: DataChecks) -> Table | None:
    """Of each class: its images, share, label accuracy, and fcd and recall beside training images'; None of one class.

    Its rows are as many as there are classes, of which a data set may have a hundred.
    """
    names = evaluation["class_names"]
    if len(names) == 1:
        return None
    counts = [data.splits[split].class_counts for split in ("train", "test")]
    accuracies = evaluation["label_accuracy_per_class"] or [None] * len(names)
    figures = [evaluation[f"{name}_per_class{end}"] for name in ("fcd", "recall") for end in ("", "_floor")]
    rows = [
        [
            name,
            *(f"{split[label]:,}" for split in counts),
            *(percent(shares[label]) for shares in (evaluation["class_shares"], accuracies)),
            *(number(values[label]) for values in figures),
        ]
        for label, name in enumerate(names)
    ]
    columns = ["class", "training images", "test images", "share of samples", "label accuracy"]
    columns += ["fcd", "fcd, real", "recall", "recall, real"]
    return Table("Each class, of the first sampling seed", columns, rows)


def pixel_table(evaluation: Evaluation) -> Table:
    """The pixel statistics of samples and real images."""
    rows = pixel_rows(evaluation)
    marked = [index for index, (_, _, stands_out) in enumerate(rows) if stands_out]
    caption = f"Pixels; red: more than {LIMIT} times as far from the test images as the training images are"
    columns, cells = ["statistic", *COLUMNS.values()], [[words, *values] for words, values, _ in rows]
    return Table(caption, columns, cells, numeric=range(1, 4), marked=marked)


def pixel_rows(evaluation: Evaluation) -> list[tuple[str, list[str], bool]]:
    """Of each pixel statistic: its words, its value of samples, test and training images, whether samples stand out."""
    rows = []
    for name, (words, unit) in STATISTICS.items():
        values = [evaluation["pixels"][column][name] for column in COLUMNS]
        rows.append((words, [shown(value, *unit) for value in values], stands_out(*values, scale=unit[0])))
    return rows


def discriminator_table(evaluation: Evaluation) -> Table:
    """The discriminator's figures; those without a meaning under its loss are left out."""
    found = evaluation["discriminator"]
    figures = [
        ("Accuracy", percent, "accuracy", "share on the right side of logit 0; 50 % when it cannot tell them apart"),
        ("Area under the ROC curve", number, "roc_auc", "0.5 when it cannot tell them apart"),
        ("Calibration error", number, "calibration_error", "of σ(logit) as the probability of being real; 0 is best"),
        ("Brier score", number, "brier_score", "0.25 for a constant ½"),
        ("Generalisation gap", number, "generalization_gap",
         "mean logit of training images less that of test images; large if it knows the training images by heart"),
    ]  # fmt: skip
    rows = [[name, meaning, form(found[key])] for name, form, key, meaning in figures if found[key] is not None]
    caption = f"Discriminator, on {found['num_images']:,} test images and as many samples"
    return Table(caption, ["figure", "meaning", "value"], rows, numeric=[2])


def probe_table(evaluation: Evaluation) -> Table:
    """Accuracy of linear probes by number of labels: of the discriminator's maps, an untrained one's, and pixels."""
    probes: Mapping[str, Mapping[str, float]] = evaluation["discriminator"]["probes"]
    columns = ("discriminator", "untrained", "pixels")
    rows = [[f"{int(labels):,}", *(percent(found[name]) for name in columns)] for labels, found in probes.items()]
    caption = "Test accuracy of linear probes: what the discriminator’s features know of the classes"
    return Table(caption, ["labels", "its features", "untrained network", "raw pixels"], rows, numeric=range(4))


def data_table(data: DataChecks) -> Table:
    """Size and brightness of both splits."""
    rows = [[name, f"{split.images:,}", number(split.mean), number(split.std)] for name, split in data.splits.items()]
    return Table("Images, and their pixels in [0, 1]", ["split", "images", "mean", "std"], rows)


def expectation_table(data: DataChecks) -> Table:
    """Every expectation of the data."""
    rows = [[words, "holds" if holds else "fails"] for words, holds in data.expectations]
    marked = [index for index, (_, holds) in enumerate(data.expectations) if not holds]
    return Table("Expectations", ["expectation", "result"], rows, marked=marked)


def export_table(export: ExportChecks) -> Table:
    """The exported file."""
    rows = [
        ["size", f"{export.num_bytes:,} bytes"],
        ["opset", str(export.opset)],
        ["SHA-256", export.sha256],
        [
            f"largest difference from PyTorch’s images, of {export.num_latents:,} in [-1, 1]",
            f"{export.max_difference:.1e}",
        ],
    ]
    return Table("The exported file", ["what", "value"], rows)


def identity_table(evaluation: Evaluation) -> Table:
    """The files that the figures belong to."""
    names = {
        "weights of the generator": "generator",
        "data set": "dataset",
        "classifier": "classifier",
        "witness": "witness",
    }
    rows = [[words, evaluation[f"{name}_sha256"]] for words, name in names.items()]
    return Table("Identity", ["file", "SHA-256"], rows)


def seed_table(params: Params) -> Table:
    """What each seed decides."""
    first, count = params.evaluate.seed, params.evaluate.num_seeds
    rows = [
        ["training of the GAN", str(params.train.seed)],
        ["training of the classifier", str(params.classifier.seed)],
        ["training of the witness", str(params.classifier.seed ^ 1)],
        ["samples that are measured", str(first) if count == 1 else f"{first} to {first + count - 1}"],
    ]
    return Table("Seeds", ["what it decides", "seed"], rows, numeric=[1])


def parameter_tables(params: Params) -> tuple[Table, Table]:
    """The parameters that shape the model or its figures: those that differ from the defaults, and all."""
    values, defaults = flatten(params), flatten(Params())
    if params.evaluate.inception_weights:
        values["evaluate.inception_weights"] = Path(params.evaluate.inception_weights).name
    names = [name for name in values if not name.startswith(NOT_SHOWN)]
    rows = [[name, _as_yaml(values[name]), _as_yaml(defaults[name])] for name in names]
    columns = ["parameter", "value", "default"]
    changed = [row for row in rows if row[1] != row[2]]
    return Table("Parameters that differ from the defaults", columns, changed), Table("All parameters", columns, rows)


def _as_yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
