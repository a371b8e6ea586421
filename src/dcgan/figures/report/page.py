"""The report: one HTML page that needs nothing else, from the files of the workspace."""

from pathlib import Path

from dcgan.figures.report import tables
from dcgan.figures.report.card import summary_of, title_of
from dcgan.figures.report.data_sets import CARDS
from dcgan.figures.report.inputs import ReportInputs
from dcgan.figures.report.limits import limits_of
from dcgan.figures.report.pictures import Picture, load_grid, load_picture
from dcgan.figures.report.tables import Evaluation
from dcgan.figures.report.templates import environment
from dcgan.figures.report.usage import examples_for

HEADLINES = ("fcd", "precision", "recall", "label_accuracy", "two_sample_accuracy", "train_on_fake")
GRIDS = {
    "by_digit": (
        "Samples in rows, one a class, from the one the classifier is surest of to the one it is least sure of",
        "One row a class, at equal steps from the surest sample (left) to the least sure (right): failures are there.",
    ),
    "interpolations": (
        "Rows of samples that change gradually from the left end to the right end",
        "Interpolations: each row leads from one latent to another. Gradual changes say that it does not recite.",
    ),
}
"""Alternative text and caption of each grid."""
CHARTS = {
    "training": (
        "Curves over the steps of the training: losses, logits, quick fcd and label error",
        "Losses, mean logits, and the quick evaluation of samples during the training.",
    ),
    "closest_pairs": (
        "Pairs of a sample and the training image nearest to it",
        "The samples nearest to a training image, two a class. Copies would be pairs without a difference.",
    ),
    "two_sample": (
        "Test images that look most real and samples that look most generated",
        "What the two-sample test’s network is surest of: look here for what gives the samples away.",
    ),
    "per_digit": (
        "Bars of fcd and recall of each class beside those of training images",
        "Nearness and variety of each class, beside training images’.",
    ),
    "confusion": (
        "Confusion matrix of the label asked for and the class predicted",
        "Label asked for (rows) against class predicted (columns).",
    ),
    "roc": (
        "ROC curve of the discriminator beside the diagonal of chance",
        "Receiver operating characteristic: test images against samples.",
    ),
    "calibration": (
        "Share of real images by the predicted probability of being real, beside the diagonal",
        "Calibration: is an image that it calls real with 80 % real in 80 % of all cases?",
    ),
}


def render_page(inputs: ReportInputs, evaluation: Evaluation, *, figures: Path) -> bytes:
    """The page for an evaluation whose pictures are in the folder `figures`; equal arguments give equal bytes.

    Raises:
        BadDataError: a picture is missing or damaged.
    """
    params, data = inputs.params, CARDS[inputs.params.data.name]
    names = [*GRIDS, *(name for name in CHARTS if _has(name, evaluation))]
    rows = tables.metric_rows(evaluation)
    changed, parameters = tables.parameter_tables(params)
    page = (
        environment()
        .get_template("report.html")
        .render(
            title=title_of(params),
            summary=summary_of(params),
            data=data,
            inputs=inputs,
            params=params,
            headlines=[row for row in rows if row.metric.key in HEADLINES],
            num_held=sum(holds for _, holds in inputs.data.expectations),
            pictures={name: _load(figures, name) for name in names},
            identity=tables.identity_table(evaluation),
            seeds=tables.seed_table(params),
            splits=tables.data_table(inputs.data),
            expectations=tables.expectation_table(inputs.data),
            changed=changed,
            parameters=parameters,
            metrics=tables.metric_table(evaluation),
            classes=tables.class_table(evaluation, inputs.data),
            pixels=tables.pixel_table(evaluation),
            discriminator=tables.discriminator_table(evaluation),
            probes=tables.probe_table(evaluation),
            export=tables.export_table(inputs.export) if inputs.export else None,
            limits=limits_of(evaluation, params, data),
            examples=examples_for(params.model),
        )
    )
    return page.encode()


def _has(name: str, evaluation: Evaluation) -> bool:
    """Whether a chart has a meaning for the model."""
    if name == "confusion":
        return evaluation["label_accuracy_per_class"] is not None
    if name == "per_digit":
        return evaluation["fcd_per_class"] is not None
    return name != "calibration" or evaluation["discriminator"]["calibration_error"] is not None


def _load(figures: Path, name: str) -> Picture:
    path = figures / f"{name}.png"
    if name in GRIDS:
        alt, caption = GRIDS[name]
        return load_grid(path, made_by="evaluate", alt=alt, caption=caption)
    alt, caption = CHARTS[name]
    return load_picture(path, made_by="evaluate", alt=alt, caption=caption)
