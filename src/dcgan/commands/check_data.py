"""`dcgan check-data`: new images, held against the data set that the models were trained on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer

from dcgan.classifier.network import load_classifier
from dcgan.config import workspace
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.config.schema import DatasetName
from dcgan.data.dataset import Dataset
from dcgan.data.dataset_file import load_dataset
from dcgan.data.expectations import Finding, check_images
from dcgan.data.files import Delivery, read_delivery
from dcgan.data.findings_table import print_failures
from dcgan.data.image_table import split_table
from dcgan.data.reference import read_reference
from dcgan.data.specs import KNOWN_DATA
from dcgan.evaluation.drift import MIN_COMPARED, Drift, DriftTest, measure_drift
from dcgan.figures.report.delivery import render_delivery
from dcgan.system.errors import BadDataError
from dcgan.system.files import require_writable, sha256_of, write_bytes, write_json
from dcgan.system.progress import heartbeat


@heartbeat("check-data")
def check_data(
    source: Annotated[Path, typer.Argument(metavar="PATH", help="IDX files, a folder of pictures, or a .npz.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where all figures go, as JSON.")] = (
        workspace.DELIVERY
    ),
    page: Annotated[Path, typer.Option("--page", metavar="FILE", help="Where the report goes, as HTML.")] = (
        workspace.DELIVERY_PAGE
    ),
) -> None:
    """Hold new images against the data set: what is expected of each image, and drift of all of them.

    The current folder is a workspace: params.yaml, the data set and the classifier are read from it.

    Raises:
        BadDataError: an expectation fails or the images have drifted, after both reports are written; or they cannot be
            read, are fewer than can be compared, or have a class that the data set lacks; or a file of the workspace is
            missing or damaged.
        CannotCreateError: a report cannot be written; found before the work.
        UsageError: params.yaml is not as it should be.
    """
    for path in (out, page):
        require_writable(path.parent)
    params = load_params(workspace.PARAMS)
    dataset = load_dataset()
    name = cast("DatasetName", dataset.name)
    facts = read_reference(workspace.REFERENCE) if name == "images" else KNOWN_DATA[name]
    classifier = load_classifier(
        workspace.CLASSIFIER, device=prepare_device(params.train), num_classes=dataset.num_classes
    )
    delivery = read_delivery(source, dataset.class_names)
    if (count := len(delivery.images)) < MIN_COMPARED:
        raise BadDataError(f"{source}: {count} images; at least {MIN_COMPARED} are needed to tell drift from chance")

    labels = np.zeros(count, np.int64) if delivery.labels is None else delivery.labels
    findings = check_images(split_table("delivery", delivery.images, labels), facts)
    drift = measure_drift(*delivery, dataset, classifier, seed=params.evaluate.seed)
    report = report_of(source, delivery, dataset, findings, drift)
    write_json(out, report)
    write_bytes(page, render_delivery(report, delivery, dataset, findings, drift))
    failed = [finding for finding in findings if not finding.success]
    if failed:
        print_failures(findings)
    print_drift(drift.tests)
    if not report["success"]:
        drifted = sum(test.drifted for test in drift.tests)
        counts = f"{len(failed)} of {len(findings)} expectations and {drifted} of {len(drift.tests)} drift tests failed"
        raise BadDataError(f"{source}: {counts}; see {page} and {out}")
    print(f"{source}: {count:,} images like those of {dataset.name}; see {page}")


def report_of(
    source: Path, delivery: Delivery, dataset: Dataset, findings: list[Finding], drift: Drift
) -> dict[str, Any]:
    """The content of the JSON file."""
    counts = None
    if delivery.labels is not None:
        counts = np.bincount(delivery.labels, minlength=dataset.num_classes).tolist()
    return {
        "delivery": str(source),
        "success": all(finding.success for finding in findings) and not any(test.drifted for test in drift.tests),
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "classifier_sha256": sha256_of(workspace.CLASSIFIER),
        "num_images": len(delivery.images),
        "num_compared": len(drift.delivery),
        "class_counts": counts,
        "expectations": [dataclasses.asdict(finding) for finding in findings],
        "drift": [test._asdict() | {"drifted": test.drifted} for test in drift.tests],
    }


def print_drift(tests: Sequence[DriftTest]) -> None:
    """A table of all drift tests."""
    print(f"{'compared':<20}{'distance':>10}{'threshold':>11}{'real images':>13}")
    for test in tests:
        row = f"{test.name:<20}{test.statistic:>10.4f}{test.threshold:>11.4f}{test.real_mean:>13.4f}"
        print(f"{row}  drifted" if test.drifted else row)
