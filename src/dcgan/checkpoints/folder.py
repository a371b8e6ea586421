"""The checkpoints of a training that is not finished yet."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcgan.checkpoints.file import checkpoint_path, checkpoints_in, step_of
from dcgan.checkpoints.fingerprint import Fingerprint
from dcgan.checkpoints.tensors import Resumable, State, from_arrays, to_arrays
from dcgan.config.schema import Kept
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, write_json
from dcgan.system.tensors_file import read_arrays, save_arrays

KEPT_CHECKPOINTS = 2
FINGERPRINT, FINISHED, DAMAGED = "fingerprint.json", ".finished", ".damaged"


class CheckpointFolder:
    """The checkpoints of one training, as `step-00000500-rollback-1.safetensors`.

    A training with another fingerprint has another folder beside it.
    """

    def __init__(self, parent: Path, fingerprint: Fingerprint) -> None:
        self.fingerprint = fingerprint
        digest = hashlib.sha256(repr(sorted(fingerprint.items())).encode()).hexdigest()
        self.path = parent / digest[:16]

    def save(self, state: Resumable) -> None:
        """Write the state, then drop all but the newest checkpoints and the best.

        Raises:
            CannotCreateError, StorageError: the older checkpoints are as they were.
        """
        if not (self.path / FINGERPRINT).is_file():
            write_json(self.path / FINGERPRINT, self.fingerprint)
        progress = state.progress()
        path = checkpoint_path(self.path, step=state.step, rollbacks=progress.get("rollbacks", 0))
        save_arrays(path, to_arrays(state.tensors()), {"progress": json.dumps(progress)})
        for old in checkpoints_in(self.path)[KEPT_CHECKPOINTS:]:
            if step_of(old) != progress.get("best_step"):
                old.unlink()

    def choose(self, state: Resumable, kept: Kept) -> None:
        """Make the last state the one whose weights are saved: with `best`, the best checkpoint is loaded and printed.

        Raises:
            BadDataError: the best is damaged or gone.
        """
        best_step = state.progress()["best_step"]
        if kept == "last" or not best_step:
            return
        best = next((path for path in checkpoints_in(self.path) if step_of(path) == best_step), None)
        if best is None:
            raise BadDataError(f"{self.path}: the best, of step {best_step}, is gone; delete the folder to train again")
        try:
            _load(best, state)
        except BadDataError as error:
            raise BadDataError(f"{error}; delete {self.path} to train again") from error
        print(f"{best}: kept, the best of the run, after step {state.step}")

    def restore(self, state: State) -> State:
        """Load the newest whole checkpoint into `state`, if there is one.

        Newer ones that are damaged are named in a warning and renamed, so that they do not count as the newest. Where
        there is no checkpoint, unfinished trainings with other fingerprints are named, with what they differ in.

        Returns:
            The same state.

        Raises:
            BadDataError: there are checkpoints, but all of them are damaged.
            StorageError, RuntimeError: one cannot be read or loaded now; all are left as they are.
        """
        for finished in self.path.parent.glob(f"*{FINISHED}"):
            shutil.rmtree(finished)
        damaged: dict[Path, str] = {}
        for path in checkpoints_in(self.path):
            try:
                _load(path, state)
            except BadDataError as error:
                damaged[path] = str(error)
                continue
            for each, reason in damaged.items():
                print(f"warning: passed over a damaged checkpoint, {reason}", file=sys.stderr)
                each.rename(each.with_name(each.name + DAMAGED))
            print(f"{path}: going on after step {state.step}")
            return state
        if damaged:
            reasons = "; ".join(damaged.values())
            raise BadDataError(f"every checkpoint is damaged: {reasons}; delete {self.path} to train again")
        for line in self._others():
            print(line, file=sys.stderr)
        return state

    def remove(self) -> None:
        """Delete the folder and all that is in it: the training is finished and its results are written.

        It goes as a whole: a kill in between leaves nothing that looks like a training to go on with.
        """
        shutil.rmtree(self.path.rename(self.path.with_suffix(FINISHED)))

    def _others(self) -> Iterator[str]:
        """A line for each unfinished training of the same stage that cannot be resumed."""
        for folder, theirs in _unfinished(self.path.parent, stage=self.fingerprint["stage"]):
            if folder != self.path:
                names = [name for name, ours in self.fingerprint.items() if theirs.get(name) != ours]
                # Long values are digests, of which eight digits tell enough.
                values = {name: (str(theirs.get(name))[:8], self.fingerprint[name][:8]) for name in names}
                differences = ", ".join(f"{name} ({was}, now {now})" for name, (was, now) in values.items())
                yield (
                    f"note: {folder} holds an unfinished training that differs in {differences or 'nothing known'}"
                    "; it is left alone, and this one starts at step 0; put these values back to go on with that one,"
                    " or delete the folder if it is not wanted"
                )


def threads_of_unfinished(parent: Path, *, stage: str) -> int | None:
    """How many threads the newest unfinished training of a stage computes with: with others, it could not go on."""
    found = {
        (folder / FINGERPRINT).stat().st_mtime: int(fingerprint["threads"])
        for folder, fingerprint in _unfinished(parent, stage=stage)
        if str(fingerprint.get("threads")).isdigit()  # else damaged: it is not gone on with
    }
    return found[max(found)] if found else None


def _unfinished(parent: Path, *, stage: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of a stage's unfinished trainings, with their fingerprints; damaged ones are passed over."""
    for path in sorted(parent.glob(f"*/{FINGERPRINT}")):
        with suppress(BadDataError):
            fingerprint = read_json(path, made_by=stage)
            if fingerprint.get("stage") == stage:
                yield path.parent, fingerprint


def _load(path: Path, state: Resumable) -> None:
    """Make `state` the one in `path`; BadDataError if the file is damaged, any other error if it only fails now."""
    arrays, metadata = read_arrays(path)
    if "progress" not in metadata:
        raise BadDataError(f"{path}: not a checkpoint")
    state.load(from_arrays(arrays), json.loads(metadata["progress"]))
