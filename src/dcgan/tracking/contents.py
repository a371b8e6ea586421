"""What of a training's record MLflow's pages show as parameters, tags and metrics; the rest is in files of the run."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from dcgan.config.schema import Params, flatten
from dcgan.evaluation.numbers import numbers_in
from dcgan.evaluation.report import HEADLINES, PIXEL_HEADLINES
from dcgan.tracking.naming import UNNAMED

PARAMETERS = {
    "data.name", "model.architecture", "model.conditional", "loss.name", "penalties.r1", "train.seed", "train.epochs",
    "train.batch_size", "train.generator_learning_rate", "train.discriminator_learning_rate",
    "train.ema_halflife_kimg",
}  # fmt: skip
"""Parameters that every run has, so that runs are searched and compared by them; of the others that shape a model, a
run has those that differ from the defaults."""
OF_A_MODEL = ("data.classes", "model.", "loss.", "penalties.", "train.")
IN_FILES = ("md5.", "version.", "platform", "source_dirty", "history_sha256")
"""The beginnings of tags that are in the run's `run.json` only."""
PREFIX = "evaluation"


def shown_parameters(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters that a run's page lists, and that the captions of its images repeat."""
    defaults = {path: str(default) for path, default in flatten(Params()).items()}
    return {
        path: value
        for path, value in params.items()
        if path in PARAMETERS or (_is_of_a_model(path) and value != defaults.get(path))
    }


def _is_of_a_model(path: str) -> bool:
    """Whether a parameter makes a model another one."""
    return path.startswith(OF_A_MODEL) and path.removeprefix("train.") not in UNNAMED


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that a run is found by, or that a person reads."""
    return {key: value for key, value in tags.items() if not key.startswith(IN_FILES)}


def headline_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures that people sort runs by, those of reports/metrics.json, by their keys: `evaluation/fcd`."""
    pixels = report.get("pixels", {}).get("samples", {})
    values = {name: report.get(name) for name in (*HEADLINES, "fcd_over_floor")}
    values |= {name: pixels.get(name) for name in PIXEL_HEADLINES}
    return {f"{PREFIX}/{name}": float(value) for name, value in values.items() if isinstance(value, int | float)}


def figures_table(report: Mapping[str, Any]) -> str:
    """Every number of a report as CSV: the figure, its value, and real images' beside it where it was measured."""
    numbers = numbers_in(report, prefix="")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["figure", "value", "floor"])
    for path, value in numbers.items():
        if _path(path, floor=False) not in numbers or not _is_floor(path):
            floor = "" if _is_floor(path) else numbers.get(_path(path, floor=True), "")
            writer.writerow([path.lstrip("/"), value, floor])
    return table.getvalue()


def _is_floor(path: str) -> bool:
    return path.split("/")[1].endswith("_floor")


def _path(path: str, *, floor: bool) -> str:
    """The path of a figure's floor, or that of the figure, from that of either: `/recall_floor/3`."""
    _, name, *index = path.split("/")
    plain = name.removesuffix("_floor")
    return "/".join(["", f"{plain}_floor" if floor else plain, *index])
