"""Checkpoints of a training: plain tensors in safetensors files, each with its SHA-256 beside it."""

import hashlib
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from dcgan.core.config import GanConfig, Kept
from dcgan.core.state import GanState, load_tensors, tensors_of
from dcgan.errors import BadDataError
from dcgan.files import sha256_of, write_bytes

KEPT_CHECKPOINTS = 2
UNREADABLE = (BadDataError, SafetensorError, OSError, KeyError, RuntimeError, ValueError)
"""What a damaged checkpoint can raise."""


class CheckpointFolder:
    """The checkpoints of one training run, newest last; a run with another fingerprint has another folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, state: GanState) -> None:
        """Write the state, then its SHA-256 beside it, then drop all but the newest checkpoints and the best."""
        path = self._path_of(state.step)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors_of(state).items()}
        content = safetensors.torch.save(tensors)
        write_bytes(path, content)
        write_bytes(_hash_path(path), f"{hashlib.sha256(content).hexdigest()}\n".encode())
        for old in self._newest_first()[KEPT_CHECKPOINTS:]:
            if old != self._path_of(state.best_step):
                _hash_path(old).unlink(missing_ok=True)
                old.unlink()

    def choose(self, state: GanState, kept: Kept) -> None:
        """Make the last state the one that training hands on: itself, or the best on the way to it, which is told.

        Raises:
            BadDataError: the best is damaged.
        """
        best = self._path_of(state.best_step)
        if kept == "best" and state.best_step:
            try:
                _load(best, state)
            except UNREADABLE as error:
                raise BadDataError(f"{best}: {error}; delete {self.path} to train afresh") from error
            print(f"{best}: kept, the best of the run, after step {state.step}")

    def restore(self, state: GanState) -> GanState:
        """Load the newest valid checkpoint into `state`, if there is one; warn of newer ones that are damaged.

        Returns:
            The same state.

        Raises:
            BadDataError: there are checkpoints, but all of them are damaged.
        """
        damaged = []
        for path in self._newest_first():
            try:
                _load(path, state)
            except UNREADABLE as error:
                damaged.append(f"{path}: {error}")
                print(f"warning: passed over a damaged checkpoint, {damaged[-1]}", file=sys.stderr)
            else:
                print(f"{path}: going on after step {state.step}")
                return state
        if damaged:
            raise BadDataError(f"every checkpoint is damaged: {'; '.join(damaged)}; delete {self.path} to start afresh")
        return state

    def remove(self) -> None:
        """Delete the folder and all that is in it: the training is finished and its results are written."""
        shutil.rmtree(self.path)

    def _path_of(self, step: int) -> Path:
        return self.path / f"step-{step:08d}.safetensors"

    def _newest_first(self) -> list[Path]:
        return sorted(self.path.glob("step-*.safetensors"), reverse=True)


def run_fingerprint(config: GanConfig, inputs: Iterable[Path]) -> str:
    """A short name for all that the weights depend on: parameters, input files, code of the core, PyTorch, threads.

    The code is that of every module of `dcgan.core` that the caller has imported.
    """
    digest = hashlib.sha256(
        f"{config}{list(map(sha256_of, inputs))}{torch.__version__}{torch.get_num_threads()}".encode()
    )
    for name, module in sorted(sys.modules.items()):
        if name.startswith("dcgan.core") and module.__file__:
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


def _load(path: Path, state: GanState) -> None:
    _check_hash(path)
    load_tensors(state, safetensors.torch.load_file(path))


def _check_hash(path: Path) -> None:
    hash_path = _hash_path(path)
    if not hash_path.is_file():
        raise BadDataError("its sha256 is missing")
    expected, found = hash_path.read_text().strip(), sha256_of(path)
    if found != expected:
        raise BadDataError(f"sha256 is {found}, expected {expected}")


def _hash_path(path: Path) -> Path:
    return path.with_suffix(".sha256")
