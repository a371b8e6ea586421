"""What the stages themselves left: the validated data set, and checkpoints of unfinished trainings."""

from collections.abc import Iterator
from pathlib import Path

from dcgan.checkpoints.file import checkpoints_in
from dcgan.commands.doctor.finding import Finding, removing
from dcgan.config.workspace import CHECKPOINTS, DATASET, VALIDATION
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.system.tensors_file import read_arrays


def examine_dataset() -> Iterator[Finding]:
    """Whether the data set is the one that `validate` let through: no stage reads another."""
    if not (DATASET.is_file() and VALIDATION.is_file()):
        return
    command = "dvc repro --force --single-item validate"
    try:
        expected = read_json(VALIDATION, made_by="validate").get("dataset_sha256")
    except BadDataError:
        yield Finding(path=VALIDATION, problem="not valid JSON", command=command)
        return
    if expected and (found := sha256_of(DATASET)) != expected:
        problem = f"sha256 expected {expected} by {VALIDATION}, found {found}"
        yield Finding(path=DATASET, problem=problem, command=command)


def examine_checkpoints() -> Iterator[Finding]:
    """Trainings that were killed or interrupted; none may be running."""
    for folder in sorted(path for path in CHECKPOINTS.glob("*") if path.is_dir() and not path.suffix):
        problems = {path: _problem(path) for path in checkpoints_in(folder)}
        for path, problem in problems.items():
            if problem:
                command = removing(path, then="dvc repro")
                yield Finding(path=path, problem=problem, command=command, delete=(path,))
        whole = [path.stem for path, problem in problems.items() if not problem]
        stopped = f"stopped after {whole[0]}" if whole else "stopped before its first checkpoint"
        problem = f"a training that {stopped}; it goes on unless its parameters or data have changed"
        yield Finding(path=folder, problem=problem, command="dvc repro", is_damage=False)


def _problem(checkpoint: Path) -> str | None:
    try:
        read_arrays(checkpoint)
    except BadDataError as error:
        return str(error).removeprefix(f"{checkpoint}: ")
    return None
