"""Names of checkpoints, which tell their age. Light: the doctor looks for checkpoints without PyTorch."""

import re
from pathlib import Path

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


def _age(checkpoint: Path) -> tuple[int, int]:
    name = _NAME.fullmatch(checkpoint.name)
    assert name, checkpoint
    return int(name[2] or 0), int(name[1])
