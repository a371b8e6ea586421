"""A checkpoint on disk: its name tells its age, its SHA-256 lies beside it. Light: the doctor reads checkpoints too."""

import re
from pathlib import Path

from dcgan.system.errors import BadDataError
from dcgan.system.files import sha256_of

_NAME = re.compile(r"step-(\d+)(?:-rollback-(\d+))?\.safetensors")


def checkpoint_path(folder: Path, *, step: int, rollbacks: int) -> Path:
    """Where the checkpoint of a step is, as `step-00000500-rollback-1.safetensors`."""
    attempt = f"-rollback-{rollbacks}" if rollbacks else ""
    return folder / f"step-{step:08d}{attempt}.safetensors"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first: what was saved after a rollback is newer, whatever its step."""
    return sorted((path for path in folder.glob("*") if _NAME.fullmatch(path.name)), key=_age, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The step that one of `checkpoints_in` was saved after."""
    return _age(checkpoint)[1]


def hash_path(checkpoint: Path) -> Path:
    """The file that holds a checkpoint's SHA-256."""
    return checkpoint.with_suffix(".sha256")


def check_hash(checkpoint: Path) -> None:
    """Compare a checkpoint with its SHA-256.

    Raises:
        BadDataError: they differ, or there is no SHA-256.
    """
    try:
        expected = hash_path(checkpoint).read_text(errors="replace").strip()
    except FileNotFoundError:
        raise BadDataError("its sha256 is missing") from None
    if (found := sha256_of(checkpoint)) != expected:
        raise BadDataError(f"sha256 expected {expected}, found {found}")


def _age(checkpoint: Path) -> tuple[int, int]:
    name = _NAME.fullmatch(checkpoint.name)
    assert name, checkpoint
    return int(name[2] or 0), int(name[1])
