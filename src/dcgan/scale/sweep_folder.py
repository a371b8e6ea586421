"""A sweep on disk, in `.sweeps/NAME` of a workspace: what was asked for, and the record of every trial.

    .sweeps/NAME/lock              held by the `dcgan sweep` at work
    .sweeps/NAME/params.yaml       what all trials have in common
    .sweeps/NAME/sweep.json        the search space and what else was asked for
    .sweeps/NAME/trials/ID/        a trial: trial.json, outcome.json, generator.safetensors, and its training's record
    .sweeps/NAME/repeats/SEED/     the best with another seed, likewise
    .sweeps/NAME/results/          tables, pictures and the patch
    .sweeps/NAME/ray/              Ray Tune's own state

Git ignores all of it, and DVC does not know it.
"""

import dataclasses
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from dcgan.config import workspace
from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import Params, flatten
from dcgan.scale.space import Space, Values, parse_space
from dcgan.system.errors import BadDataError, UsageError
from dcgan.system.files import read_json, sha256_of, write_bytes, write_json
from dcgan.tracking.provenance import REPOSITORY, caller_tags, source_tags, version_tags

SWEEPS = Path(".sweeps")
SWEEP, TRIAL, OUTCOME = "sweep.json", "trial.json", "outcome.json"
COMMAND = "sweep"
"""What writes these files, as messages name it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a sweep was asked for, beside its search space."""

    trials: int = 8
    seed: int = 0
    """Of the sampler."""
    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep that has begun."""

    name: str
    id: str
    options: Options
    content: Mapping[str, Any]
    """Of the YAML file with the search space."""
    params: Params
    """What all trials have in common: params.yaml as it was, with the space's base."""
    inputs: Mapping[str, str]
    """The SHA-256 of the data set and of the classifier, by their path."""
    tags: dict[str, str]
    """Of its run in MLflow: who began it, with which code and versions."""

    @property
    def folder(self) -> Path:
        """Where it is, relative to the workspace."""
        return SWEEPS / self.name

    @property
    def lock(self) -> Path:
        """Held by who works on it."""
        return lock_of(self.name)

    @property
    def results(self) -> Path:
        """The folder of what came of it."""
        return self.folder / "results"

    @cached_property
    def space(self) -> Space:
        """What it searches."""
        return parse_space(self.content, self.params)

    def trial_folder(self, trial_id: str) -> Path:
        """Where the record of a trial is, or is to be."""
        return self.folder / "trials" / trial_id

    def repeat_folder(self, seed: int) -> Path:
        """Where the record of the best with another seed is, or is to be."""
        return self.folder / "repeats" / str(seed)

    def params_of(self, values: Values) -> Params:
        """The parameters of a trial, which computes on what the sweep gives it."""
        hardware = {
            "train.threads": self.options.cpus_per_trial,
            "train.device": "cuda" if self.options.gpus_per_trial else "cpu",
        }
        return changed(self.params, {**values, **hardware})

    def refuse_changes(self, params: Params) -> None:
        """Refuse a params.yaml that differs in what the trials have in common: they would not be comparable.

        Raises:
            UsageError: it does; the message names the first difference.
        """
        ours, theirs = flatten(self.params.gan), flatten(params.gan)
        free = self.space.domains.keys() | self.space.base.keys()
        for name in ours.keys() - free:
            if ours[name] != theirs.get(name):
                raise UsageError(
                    f"params.yaml: {name} is {theirs.get(name)}, and was {ours[name]} when the sweep {self.name} began;"
                    " put it back, or take another --name"
                )


def lock_of(name: str) -> Path:
    """The lock of a sweep, which is there before the sweep is."""
    return SWEEPS / name / "lock"


def new_sweep(name: str, *, space: Space, params: Params, options: Options) -> Sweep:
    """Begin a sweep; it counts as begun from here on.

    Raises:
        BadDataError: the data set or the classifier is missing.
    """
    folder = SWEEPS / name
    write_bytes(SWEEPS / ".gitignore", b"*\n")
    shared = changed(params, space.base)
    plain = json.loads(json.dumps(dataclasses.asdict(shared)))  # YAML has no tuples
    write_bytes(folder / workspace.PARAMS, yaml.safe_dump(plain, sort_keys=False).encode())
    about = {
        "id": uuid.uuid4().hex,
        "options": asdict(options),
        "content": json.loads(json.dumps(space.content)),
        "inputs": digests_of_inputs(),
        "tags": {**source_tags(REPOSITORY), **version_tags(), **caller_tags()},
    }
    write_json(folder / SWEEP, about)
    return load_sweep(name)


def has_begun(name: str) -> bool:
    """Whether there is a sweep of that name."""
    return (SWEEPS / name / SWEEP).is_file()


def load_sweep(name: str) -> Sweep:
    """The sweep of that name.

    Raises:
        BadDataError: a file is missing or damaged.
    """
    path = SWEEPS / name / SWEEP
    about = read_record(path)
    try:
        params = load_params(path.with_name(workspace.PARAMS.name), needs_files=False)
        return Sweep(name=name, params=params, **about | {"options": Options(**about["options"])})
    except (TypeError, LookupError, UsageError) as error:
        raise BadDataError(f"{path.parent}: damaged ({error}); delete it, or take another --name") from error


def sweeps() -> Iterator[str]:
    """The names of all sweeps in the workspace."""
    return (path.parent.name for path in sorted(SWEEPS.glob(f"*/{SWEEP}")))


def digests_of_inputs() -> dict[str, str]:
    """The SHA-256 of what every trial reads, by its path.

    Raises:
        BadDataError: a file is missing.
    """
    for path in workspace.TRAINING_INPUTS:
        if not path.is_file():
            raise BadDataError(f"{path}: missing; run `dvc repro train_classifier`")
    return {path.as_posix(): sha256_of(path) for path in workspace.TRAINING_INPUTS}


def read_record(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a sweep.

    Raises:
        BadDataError: the file is missing or damaged; the message names the folder to delete.
    """
    try:
        return read_json(path, made_by=COMMAND)
    except BadDataError as error:
        raise BadDataError(
            f"{path}: missing or damaged; delete {path.parent}, and the sweep makes anew what it lacks"
        ) from error
