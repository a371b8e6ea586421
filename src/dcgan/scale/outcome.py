"""How a trial ended, as a file in its folder."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dcgan.scale.sweep_folder import OUTCOME, read_record
from dcgan.system.files import write_json


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended."""

    kind: Literal["finished", "stopped", "failed"]
    """`stopped`: by the scheduler, because others were better after as many images."""
    message: str = ""
    """Why it failed."""
    generator_sha256: str = ""
    """Of the generator of a trial that finished."""
    ended_ms: int = 0

    def save(self, folder: Path) -> None:
        """Write it into the folder of its trial."""
        write_json(folder / OUTCOME, asdict(self) | {"ended_ms": self.ended_ms or time.time_ns() // 1_000_000})


def load_outcome(folder: Path) -> Outcome | None:
    """The outcome in the folder of a trial; None if it has not ended.

    Raises:
        BadDataError: the file is damaged.
    """
    return Outcome(**read_record(folder / OUTCOME)) if (folder / OUTCOME).is_file() else None


def training_in(folder: Path) -> Path:
    """Where the training of a trial keeps checkpoints and history; one that is not there if it has not begun."""
    return next(iter(sorted(path for path in folder.glob("*") if path.is_dir())), folder / "training")
