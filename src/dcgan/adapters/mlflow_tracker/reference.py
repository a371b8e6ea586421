"""models/run.json: which run trained the model beside it. It travels with the model through DVC's cache."""

import re
from dataclasses import dataclass
from pathlib import Path

from dcgan.adapters.mlflow_tracker.run import MlflowRun
from dcgan.errors import BadDataError
from dcgan.files import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class RunReference:
    """Names a run without saying where the store is, which may hold secrets and differs between machines."""

    run_id: str
    experiment: str


def save_run_reference(path: Path, run: MlflowRun) -> None:
    """Write the id and the experiment of `run`, atomically."""
    write_json(path, {"run_id": run.run_id, "experiment": run.experiment})


def load_run_reference(path: Path) -> RunReference:
    """What `save_run_reference` wrote.

    Raises:
        BadDataError: the file is missing or names no run.
    """
    content = read_json(path, made_by="train")
    run_id, experiment = content.get("run_id"), content.get("experiment")
    if not (isinstance(run_id, str) and re.fullmatch(r"[\w-]+", run_id) and isinstance(experiment, str)):
        raise BadDataError(f"{path}: names no run; delete it and run `dvc repro train`")
    return RunReference(run_id=run_id, experiment=experiment)
