"""What a report tells besides the evaluation: the checks of the data, the training and the export, from their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dcgan.config import workspace
from dcgan.config.schema import Params
from dcgan.figures.report.pictures import Picture, load_grid
from dcgan.system.advice import rerun, run
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.tracking.history import read_history
from dcgan.tracking.jsonl import grids_in, read_events, step_of

MAX_GRIDS = 6
"""Grids of a training that are shown: the first, the last, and others at equal distances between them."""


@dataclass(frozen=True, kw_only=True)
class SplitChecks:
    """What `validate` found of one split."""

    images: int
    mean: float
    """Of all pixels, in [0, 1]."""
    std: float
    class_counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class DataChecks:
    """The report of the stage `validate`."""

    sha256: str
    splits: Mapping[str, SplitChecks]
    expectations: Sequence[tuple[str, bool]]
    """Each in words, and whether it holds."""

    @classmethod
    def load(cls) -> Self:
        """Read reports/validation.json; BadDataError if it is missing or damaged."""
        report = read_json(workspace.VALIDATION, made_by="validate")
        try:
            return cls(
                sha256=str(report["dataset_sha256"]),
                splits={name: _split(report["splits"][name]) for name in ("train", "test")},
                expectations=[(str(each["description"]), bool(each["success"])) for each in report["expectations"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadDataError(f"{workspace.VALIDATION}: {_told(error)}; {rerun('validate')}") from error


@dataclass(frozen=True, kw_only=True)
class ExportChecks:
    """The report of the stage `export`."""

    opset: int
    num_bytes: int
    sha256: str
    num_latents: int
    max_difference: float
    """Largest difference from PyTorch's images, in [-1, 1]."""

    @classmethod
    def load(cls, generator_sha256: str) -> Self | None:
        """Read reports/export.json; None if the weights of that SHA-256 are not exported, BadDataError if damaged."""
        if not workspace.EXPORT.is_file():
            return None
        report = read_json(workspace.EXPORT, made_by="export")
        if report.get("generator_sha256") != generator_sha256:
            return None
        try:
            return cls(
                opset=int(report["opset"]),
                num_bytes=int(report["bytes"]),
                sha256=str(report["onnx_sha256"]),
                num_latents=int(report["parity"]["latents"]),
                max_difference=float(report["parity"]["max_difference"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadDataError(f"{workspace.EXPORT}: {_told(error)}; {rerun('export')}") from error


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """All of it."""

    params: Params
    data: DataChecks
    history: Sequence[Mapping[str, float]]
    events: Mapping[str, str]
    """What happened in the training, as `rollback`, in words."""
    grids: Sequence[Picture]
    """Samples of the same latents over the training."""
    export: ExportChecks | None
    """None if the model is not exported."""

    @classmethod
    def load(cls, params: Params) -> Self:
        """Read the files of the current workspace, before anything is measured.

        Raises:
            BadDataError: a file is missing or damaged; the message names the stage that writes it.
        """
        if not workspace.HISTORY.is_file():
            raise BadDataError(f"{workspace.HISTORY}: missing; {run('train')}")
        paths = _spread_out(grids_in(workspace.REPORTS))
        if not paths:
            raise BadDataError(f"{workspace.SAMPLES}: holds no grid of samples; {run('train')}")
        return cls(
            params=params,
            data=DataChecks.load(),
            history=read_history(workspace.HISTORY),
            events=read_events(workspace.REPORTS),
            grids=[_grid(path) for path in paths],
            export=ExportChecks.load(sha256_of(workspace.GENERATOR)),
        )


def _split(report: Mapping[str, Any]) -> SplitChecks:
    return SplitChecks(
        images=int(report["images"]),
        mean=float(report["mean"]),
        std=float(report["std"]),
        class_counts=tuple(int(count) for count in report["class_counts"]),
    )


def _spread_out(paths: Sequence[Path]) -> list[Path]:
    """At most MAX_GRIDS of the paths, the first and the last among them."""
    last, count = len(paths) - 1, min(len(paths), MAX_GRIDS)
    return [paths[round(place * last / max(count - 1, 1))] for place in range(count)]


def _grid(path: Path) -> Picture:
    step = f"step {step_of(path):,}"
    return load_grid(path, made_by="train", alt=f"Samples of the same latents after {step}", caption=step)


def _told(error: Exception) -> str:
    """What is wrong in a report, in words."""
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
