"""models/run.json: which run trained the model beside it. It travels with the model through DVC's cache."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, write_json
from dcgan.tracking.mlflow.run import MlflowRun


@dataclass(frozen=True, kw_only=True)
class RunReference:
    """Names a run without saying where the store is, which may hold secrets and differs between machines.

    `params` and `tags` are those that the run was opened with, for a store that missed it.
    """

    run_id: str
    experiment: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def save_run_reference(path: Path, run: MlflowRun) -> None:
    """Write what names `run` and what it was opened with, atomically."""
    names = {"run_id": run.run_id, "experiment": run.experiment}
    write_json(path, {**names, "params": dict(run.params), "tags": dict(run.tags)})


def load_run_reference(path: Path) -> RunReference:
    """What `save_run_reference` wrote.

    Raises:
        BadDataError: the file is missing or names no run.
    """
    content = {"params": {}, "tags": {}} | read_json(path, made_by="train")
    run_id, experiment, params, tags = (content.get(key) for key in ("run_id", "experiment", "params", "tags"))
    is_named = isinstance(run_id, str) and re.fullmatch(r"[\w-]+", run_id) and isinstance(experiment, str)
    if not (is_named and _is_text(params) and _is_text(tags)):
        raise BadDataError(f"{path}: names no run; delete it and run `dvc repro train`")
    return RunReference(run_id=str(run_id), experiment=str(experiment), params=params, tags=tags)


def _is_text(values: object) -> TypeGuard[dict[str, str]]:
    """Whether these are texts by name."""
    return isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
