"""The report of a delivery that was held against the data set, in the style of the report of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dcgan.config.schema import DatasetName
from dcgan.data.dataset import Dataset
from dcgan.data.expectations import Finding
from dcgan.data.files import Delivery
from dcgan.data.findings_table import shown_observation, shown_row
from dcgan.evaluation.drift import Drift
from dcgan.figures.report.data_sets import CARDS
from dcgan.figures.report.pictures import Picture, chart, grid
from dcgan.figures.report.tables import Table, number
from dcgan.figures.report.templates import environment
from dcgan.gan.sampling import image_grid

GRID_COLUMNS, GRID_ROWS = 20, 4
NUM_BINS = 40
WORDS = {
    "ink_mean": "mean of an image’s pixels, in [0, 1]",
    "ink_std": "their standard deviation",
    "ink_min": "darkest pixel, of 255",
    "ink_max": "brightest pixel, of 255",
    "ink_share": "share of pixels with ink",
    "centre_y": "centre of mass: row",
    "centre_x": "centre of mass: column",
    "box_height": "height of the ink’s bounding box",
    "box_width": "width of the ink’s bounding box",
    "features": "the classifier’s features",
    "predicted_classes": "classes that the classifier predicts",
    "labels": "labels",
    "label_errors": "images that the classifier predicts as another class than their label",
}
"""What each drift test compares."""


def render_delivery(
    report: Mapping[str, Any], delivery: Delivery, dataset: Dataset, findings: Sequence[Finding], drift: Drift
) -> bytes:
    """The page of a delivery whose JSON report is `report`; equal arguments give equal bytes."""
    page = (
        environment()
        .get_template("delivery.html")
        .render(
            title=f"Delivery {report['delivery'].rstrip('/').rsplit('/')[-1]}",
            data=CARDS[cast("DatasetName", dataset.name)],
            report=report,
            labelled=delivery.labels is not None,
            num_held=sum(finding.success for finding in findings),
            num_near=sum(not test.drifted for test in drift.tests),
            pictures=pictures_of(delivery, dataset, drift),
            tests=drift_table(drift),
            expectations=expectation_table(findings),
            identity=Table(
                "Identity",
                ["file", "SHA-256"],
                [["data set", report["dataset_sha256"]], ["classifier", report["classifier_sha256"]]],
            ),
        )
    )
    return page.encode()


def pictures_of(delivery: Delivery, dataset: Dataset, drift: Drift) -> dict[str, Picture]:
    """Images of the delivery and of the data set, their distributions, and images whose label is doubtful."""
    count = GRID_COLUMNS * GRID_ROWS
    pictures = {
        "delivered": grid(
            image_grid(_spread(torch.from_numpy(delivery.images), count), columns=GRID_COLUMNS),
            alt="Images of the delivery",
            caption="Images of the delivery, at equal distances in it.",
        ),
        "real": grid(
            image_grid(_spread(dataset.test.images, count), columns=GRID_COLUMNS),
            alt="Test images of the data set",
            caption="Test images of the data set, at equal distances in it.",
        ),
        "distributions": chart(
            draw_distributions(drift),
            alt="Histograms of each column: the delivery beside the test images",
            caption="Each quantity of the images, as a share of them: red where the delivery has drifted.",
        ),
    }
    rows = doubtful_rows(drift)
    if len(rows):
        pictures["doubtful"] = grid(
            image_grid(_spread(torch.from_numpy(delivery.images[rows]), count), columns=GRID_COLUMNS),
            alt="Images that the classifier predicts as another class than their label",
            caption="Images that the classifier predicts as another class than their label, sorted by label.",
        )
    return pictures


def doubtful_rows(drift: Drift) -> NDArray[np.int64]:
    """The images of the delivery, of those compared, that are predicted as another class than their label."""
    labels, predicted = drift.delivery.labels, drift.delivery.predicted
    if labels is None or not any(test.name == "label_errors" for test in drift.tests):
        return np.zeros(0, np.int64)
    wrong = np.flatnonzero(predicted != labels)
    return drift.rows[wrong[np.argsort(labels[wrong], kind="stable")]]


def _spread(images: torch.Tensor, count: int) -> torch.Tensor:
    return images[torch.linspace(0, len(images) - 1, min(count, len(images))).long()]


def draw_distributions(drift: Drift) -> Figure:
    """A histogram of each column, the delivery's beside that of the test images."""
    drifted = {test.name for test in drift.tests if test.drifted}
    columns = drift.delivery.columns
    figure = Figure(figsize=(10, 2.3 * (len(columns) // 3)), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(len(columns) // 3, 3).flat, columns.items(), strict=True):
        both = {"test images": drift.reference.columns[name], "delivery": values}
        edges = np.histogram_bin_edges(np.concatenate(list(both.values())), NUM_BINS)
        colors = ("tab:blue", "tab:red" if name in drifted else "black")
        for (label, each), color in zip(both.items(), colors, strict=True):
            axes.hist(each, edges, weights=np.full(len(each), 1 / len(each)), histtype="step", color=color, label=label)
        axes.set_title(WORDS[name], fontsize=9, color="firebrick" if name in drifted else "black")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8)
    return figure


def drift_table(drift: Drift) -> Table:
    """Every drift test."""
    tests = drift.tests
    rows = [
        [WORDS[test.name], test.kind, *map(number, (test.statistic, test.threshold, test.real_mean, test.real_std))]
        for test in tests
    ]
    marked = [index for index, test in enumerate(tests) if test.drifted]
    columns = ["compared", "distance", "delivery", "threshold", "real images", "their spread"]
    return Table("Drift; red: further away than real images are", columns, rows, numeric=range(2, 6), marked=marked)


def expectation_table(findings: Sequence[Finding]) -> Table:
    """Every expectation, and of those that fail what was found, with examples."""
    rows = [
        [
            finding.description,
            "holds" if finding.success else "fails",
            "" if finding.success else shown_observation(finding),
            "; ".join(map(shown_row, finding.examples)),
        ]
        for finding in findings
    ]
    marked = [index for index, finding in enumerate(findings) if not finding.success]
    return Table("Expectations", ["expectation", "result", "found", "examples"], rows, marked=marked)
