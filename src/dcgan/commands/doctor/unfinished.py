"""What the stages themselves left: the validated data set, checkpoints of unfinished trainings, temporary files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dcgan.checkpoints.file import checkpoints_in
from dcgan.commands.doctor.finding import Finding, deleting, deletion
from dcgan.commands.doctor.locks import CHECKPOINTS
from dcgan.system.errors import BadDataError
from dcgan.system.files import is_alive, read_json, sha256_of
from dcgan.system.tensors_file import verify

VALIDATED = DATASET, REPORT = Path("data/dataset.safetensors"), Path("reports/validation.json")
FOLDERS = ("data", "models", "reports", ".checkpoints")

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def with_dataset(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, and whether the data set is the one that `validate` let through: no stage reads another."""
    mismatch = _mismatch()
    if mismatch and any(finding.path in VALIDATED for finding in findings):
        return [replace(finding, damage=finding.damage or finding.path in VALIDATED) for finding in findings]
    return [*findings, mismatch] if mismatch else list(findings)


def examine_checkpoints() -> Iterator[Finding]:
    """Trainings that were killed or interrupted; none may be running."""
    for folder in sorted(path for path in CHECKPOINTS.glob("*") if path.is_dir() and not path.suffix):
        problems = {path: _problem(path) for path in checkpoints_in(folder)}
        for path, problem in problems.items():
            if problem:
                repair = deletion(path, left="dvc repro")
                yield Finding(path=path, problem=problem, command=f"{deleting(path)} && dvc repro", repair=repair)
        whole = [path.stem for path, problem in problems.items() if not problem]
        stopped = f"stopped after {whole[0]}" if whole else "stopped before its first checkpoint"
        problem = f"a training that {stopped}{_last_holder()}; it goes on unless its parameters or data have changed"
        yield Finding(path=folder, problem=problem, command="dvc repro", damage=False)


def examine_leftovers() -> Iterator[Finding]:
    """Temporary files of processes that are gone."""
    for folder in FOLDERS:
        for path in sorted(Path(folder).rglob(".*.tmp")):
            name = _TEMPORARY.fullmatch(path.name)
            if name and not is_alive(int(name[1])):
                problem = f"left by pid {name[1]}, which is gone"
                yield Finding(path=path, problem=problem, command=deleting(path), damage=False, repair=deletion(path))


def _mismatch() -> Finding | None:
    command = "dvc repro --force --single-item validate"
    if not (DATASET.is_file() and REPORT.is_file()):
        return None
    try:
        expected = read_json(REPORT, made_by="validate").get("dataset_sha256")
    except BadDataError:
        return Finding(path=REPORT, problem="not valid JSON", command=command)
    if expected is None or (found := sha256_of(DATASET)) == expected:
        return None
    return Finding(path=DATASET, problem=f"sha256 expected {expected} by {REPORT}, found {found}", command=command)


def _problem(checkpoint: Path) -> str | None:
    try:
        verify(checkpoint)
    except BadDataError as error:
        return str(error).removeprefix(f"{checkpoint}: ")
    return None


def _last_holder() -> str:
    """Whose the lock was, which is free: its file stays."""
    lock = CHECKPOINTS / "lock"
    return f" (the lock, of pid {lock.read_text()}, is free)" if lock.is_file() else ""
