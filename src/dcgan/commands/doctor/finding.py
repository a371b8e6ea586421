"""One line of `dcgan doctor`: what is wrong with a file, and the command that repairs it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

REPAIR = "dcgan doctor --repair"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A file that is not as it should be."""

    path: Path
    problem: str
    command: str
    """What repairs it, typed in the workspace."""
    delete: tuple[Path, ...] = ()
    """What `--repair` deletes; nothing is lost that a stage does not make again."""
    is_damage: bool = True
    """False: only worth knowing."""

    def __str__(self) -> str:
        kind = "damaged" if self.is_damage else "note"
        return f"{kind}: {self.path}: {self.problem}; run `{self.command}`"


def removing(*paths: Path, then: str | None = None) -> str:
    """The command that deletes files, and runs another after that."""
    deletion = shlex.join(["rm", "-rf", *map(str, paths)])
    return f"{deletion} && {then}" if then else deletion
