"""One line of `dcgan doctor`: what is wrong with a file, and what repairs it."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ONE_COMMAND = "dcgan doctor --repair"


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What `--repair` does about a finding; nothing is lost that a stage does not make again."""

    did: str
    """What to say after it."""

    act: Callable[[], object]
    left: str | None = None
    """The command that is left to run."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A file that is not as it should be."""

    path: Path
    problem: str
    command: str
    """What repairs it, typed in the workspace."""

    damage: bool = True
    """Whether it is damage, or only worth knowing."""

    repair: Repair | None = None

    def __str__(self) -> str:
        kind = "damaged" if self.damage else "note"
        return f"{kind}: {self.path}: {self.problem}; run `{self.command}`"


def deleting(*paths: Path) -> str:
    """The command that deletes files."""
    return shlex.join(["rm", "-f", *map(str, paths)])


def deletion(*paths: Path, left: str | None = None) -> Repair:
    """The repair that deletes files."""

    def act() -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    return Repair(did=f"deleted {', '.join(map(str, paths))}", act=act, left=left)
