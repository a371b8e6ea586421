"""Checkpoints of a training: plain tensors in safetensors files, each with its SHA-256 beside it."""

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from dcgan.checkpoints.file import check_hash, checkpoint_path, checkpoints_in, hash_path, step_of
from dcgan.checkpoints.tensors import Resumable, State
from dcgan.config.schema import Kept
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, remove_leftovers, sha256_of, write_bytes, write_json

Recipe = Mapping[str, str]
"""All that trained weights depend on, by name."""

KEPT_CHECKPOINTS = 2
RECIPE, FINISHED = "recipe.json", ".finished"
UNREADABLE = (BadDataError, SafetensorError, OSError, KeyError, RuntimeError, ValueError)
"""What a damaged checkpoint can raise."""


class CheckpointFolder:
    """The checkpoints of one training, newest last; a training by another recipe has another folder beside it."""

    def __init__(self, parent: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        digest = hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()
        self.path = parent / digest[:16]

    def save(self, state: Resumable) -> None:
        """Write the state's SHA-256, then the state beside it, then drop all but the newest checkpoints and the best.

        In this order, and in the opposite one when dropping, a kill in between leaves no checkpoint without its hash.

        Raises:
            CannotCreateError, StorageError: the older checkpoints are as they were.
        """
        if not (self.path / RECIPE).is_file():
            write_json(self.path / RECIPE, self.recipe)
        path = checkpoint_path(self.path, step=state.step, rollbacks=state.rollbacks)
        content = safetensors.torch.save({name: each.cpu().contiguous() for name, each in state.tensors().items()})
        write_bytes(hash_path(path), f"{hashlib.sha256(content).hexdigest()}\n".encode())
        write_bytes(path, content)
        for old in checkpoints_in(self.path)[KEPT_CHECKPOINTS:]:
            if step_of(old) != state.best_step:
                _drop(old)

    def choose(self, state: Resumable, kept: Kept) -> None:
        """Make the last state the one that training hands on: itself, or the best on the way to it, which is told.

        Raises:
            BadDataError: the best is damaged or gone.
        """
        if kept == "best" and state.best_step:
            best = next((path for path in checkpoints_in(self.path) if step_of(path) == state.best_step), None)
            if best is None:
                raise BadDataError(
                    f"{self.path}: the best, of step {state.best_step}, is gone; delete it to train afresh"
                )
            _load(best, state, repair=f"; delete {self.path} to train afresh")
            print(f"{best}: kept, the best of the run, after step {state.step}")

    def restore(self, state: State) -> State:
        """Load the newest valid checkpoint into `state`, if there is one; warn of newer ones that are damaged.

        Where there is none, unfinished trainings by other recipes are named, with what they differ in.

        Returns:
            The same state.

        Raises:
            BadDataError: there are checkpoints, but all of them are damaged.
        """
        remove_leftovers(self.path)
        for finished in self.path.parent.glob(f"*{FINISHED}"):
            shutil.rmtree(finished)
        damaged: dict[Path, str] = {}
        for path in checkpoints_in(self.path):
            try:
                _load(path, state)
            except BadDataError as error:
                damaged[path] = str(error)
                print(f"warning: passed over a damaged checkpoint, {error}", file=sys.stderr)
            else:
                print(f"{path}: going on after step {state.step}")
                for passed_over in damaged:  # else they would count as the newest, and new ones be dropped for them
                    _drop(passed_over)
                return state
        if damaged:
            reasons = "; ".join(damaged.values())
            raise BadDataError(f"every checkpoint is damaged: {reasons}; delete {self.path} to start afresh")
        for line in self._others():
            print(line, file=sys.stderr)
        return state

    def remove(self) -> None:
        """Delete the folder and all that is in it: the training is finished and its results are written.

        It goes as a whole: a kill in between leaves nothing that looks like a training to go on with.
        """
        shutil.rmtree(self.path.rename(self.path.with_suffix(FINISHED)))

    def _others(self) -> Iterator[str]:
        """A line for each unfinished training of the same stage that cannot be gone on with."""
        for path in sorted(set(self.path.parent.glob(f"*/{RECIPE}")) - {self.path / RECIPE}):
            try:
                recipe = read_json(path, made_by=self.recipe["stage"])
            except BadDataError:
                continue
            if recipe.get("stage") == self.recipe["stage"]:
                differences = _differences(recipe, self.recipe)
                yield (
                    f"note: {path.parent} holds an unfinished training that differs in {differences}; it is left alone,"
                    " and this one starts afresh; delete the folder if it is not wanted"
                )


def recipe_of(stage: str, config: Any, inputs: Iterable[Path], *, device: torch.device) -> Recipe:
    """All that the weights depend on: parameters, input files, code of the core, PyTorch's version, device, threads.

    Args:
        stage: which training this is.
        config: a dataclass of parameters, with every `auto` resolved.
        inputs: the files that it reads.
        device: where it computes.
    """
    code = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):  # the modules that the caller has imported
        if name.startswith(("dcgan.config", "dcgan.data", "dcgan.classifier", "dcgan.gan")) and module.__file__:
            code.update(Path(module.__file__).read_bytes())
    return {
        "stage": stage,
        **dict(_flat(dataclasses.asdict(config))),
        **{path.as_posix(): sha256_of(path) for path in inputs},
        "code": code.hexdigest(),
        "torch": torch.__version__,
        "device": device.type,
        "threads": str(torch.get_num_threads()),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _differences(theirs: Mapping[str, Any], ours: Recipe) -> str:
    """As `train.seed (0, now 1), threads (2, now 1)`; long values are digests, of which eight digits tell enough."""
    names = [name for name in ours if theirs.get(name) != ours[name]]
    return ", ".join(f"{name} ({str(theirs.get(name))[:8]}, now {ours[name][:8]})" for name in names) or "nothing known"


def _drop(path: Path) -> None:
    path.unlink()
    hash_path(path).unlink(missing_ok=True)


def _load(path: Path, state: Resumable, *, repair: str = "") -> None:
    """Make `state` the one in `path`.

    Raises:
        BadDataError: the file is damaged.
    """
    try:
        check_hash(path)
        state.load(safetensors.torch.load_file(path))
    except UNREADABLE as error:
        raise BadDataError(f"{path}: {error}{repair}") from error
