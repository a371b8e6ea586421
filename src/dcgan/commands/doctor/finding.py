"""One line of `dcgan doctor`: what is wrong with a file, and the command that repairs it."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A file that is not as it should be."""

    path: Path
    problem: str
    delete: tuple[Path, ...] = ()
    """What `--repair` deletes; nothing is lost that a stage does not make again."""
    restore: Callable[[], object] | None = None
    """What `--repair` does after that, for which there is no command."""
    then: str = ""
    """The command that is left to run."""
    is_damage: bool = True
    """False: only worth knowing."""

    @property
    def command(self) -> str:
        """What repairs it, typed in the workspace."""
        if self.restore:
            return "dcgan doctor --repair"
        deletion = shlex.join(["rm", "-rf", *map(str, self.delete)]) if self.delete else ""
        return " && ".join(command for command in (deletion, self.then) if command)

    def __str__(self) -> str:
        kind = "damaged" if self.is_damage else "note"
        return f"{kind}: {self.path}: {self.problem}; run `{self.command}`"

    def repair(self) -> None:
        """Do what loses nothing."""
        for path in self.delete:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if self.restore:
            self.restore()
