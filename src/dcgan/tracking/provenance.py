"""Where a model comes from: parameters, and as tags the code's revision, inputs' digests, versions and the machine.

A training leaves it in `run.json`, beside its checkpoints and then in reports/; git and DVC ignore that file.
"""

import getpass
import hashlib
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dcgan
from dcgan.config import workspace
from dcgan.config.schema import GanConfig, Params, flatten
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of, write_json
from dcgan.tracking.naming import BASELINE, EXPERIMENT, run_name

RUN = "run.json"
TRAINING_ID, GENERATOR_SHA256 = "training_id", "generator_sha256"
"""The tags that a run is found by; the first one because a training that runs has no weights to be named by."""
DATASET_SHA256, HISTORY_SHA256 = "dataset_sha256", "history_sha256"
Run = Mapping[str, Mapping[str, str]]
"""The `tags` and `params` of a run; neither the store's address, which may hold secrets, nor the run's id there."""

REPOSITORY = Path(dcgan.__file__).resolve().parents[2]
"""The repository that holds the code; the workspace may be another one."""
UNKNOWN = "unknown"
SOURCES = ("src", "pipeline", "pyproject.toml", "requirements", "dvc.yaml")
"""The code that a result depends on. Not params.yaml, which an experiment changes and which is recorded whole, and not
dvc.lock, which DVC rewrites while the pipeline runs."""

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "onnx", "onnxruntime", "onnxruntime-gpu", "mlflow", "dvc")
GIT_SECONDS = 10


def describe_training(folder: Path, *, params: Params, config: GanConfig) -> None:
    """Write the `run.json` of a training that starts, or that goes on and stays the run that it was.

    Args:
        folder: of its checkpoints.
        params: those of the workspace.
        config: the same with every `auto` resolved.
    """
    import torch

    before = load_run(folder)
    tags = {
        TRAINING_ID: before["tags"][TRAINING_ID] if before else uuid.uuid4().hex,
        **_page_tags(params, note=config.summary),
        **{name: os.environ[name] for name in (EXPERIMENT, BASELINE) if name in os.environ},
        **source_tags(REPOSITORY),
        **input_tags(workspace.training_inputs(config.train)),
        **version_tags(),
        **machine_tags(device=config.train.device, threads=torch.get_num_threads()),
        "precision": config.train.precision,
    }
    write_json(folder / RUN, {"tags": tags, "params": _as_text(params)})


def note_weights(folder: Path) -> None:
    """Let the `run.json` of a training name the weights and the history that came of it, and copy it to reports/."""
    if run := load_run(folder):
        made = {GENERATOR_SHA256: sha256_of(workspace.GENERATOR), HISTORY_SHA256: sha256_of(workspace.HISTORY)}
        tags = {**run["tags"], **made}
        for each in (folder, workspace.REPORTS):
            write_json(each / RUN, {**run, "tags": tags})


def load_run(folder: Path) -> Run | None:
    """What `run.json` in `folder` holds; None where there is none, or a damaged one."""
    try:
        run = read_json(folder / RUN, made_by="train")
        return run if run["params"] and run["tags"][TRAINING_ID].isalnum() else None
    except (BadDataError, LookupError, TypeError, AttributeError):
        return None


def run_of_model(params: Params, sha256: str) -> Run:
    """Of the workspace's model, by its weights' SHA-256; of a restored one nothing tells where it was trained."""
    run = load_run(workspace.REPORTS)
    if run and run["tags"].get(GENERATOR_SHA256) == sha256:
        return run
    note = "Restored from DVC's cache: it was trained earlier, or on another machine."
    inputs = input_tags(path for path in workspace.TRAINING_INPUTS if path.is_file())
    tags = {GENERATOR_SHA256: sha256, **_page_tags(params, note=note), **inputs}
    return {"tags": tags, "params": _as_text(params)}


def validated_dataset() -> dict[str, Any]:
    """The `name`, `sha256` and number of training `images` of the workspace's data set; empty if there is none."""
    if not workspace.VALIDATION.is_file():
        return {}
    report = read_json(workspace.VALIDATION, made_by="validate")
    images = report["splits"]["train"]["images"]
    return {"name": report["dataset"], "sha256": report["dataset_sha256"], "images": images}


def source_tags(root: Path) -> dict[str, str]:
    """The commit that the sources under `root` are at, with `-dirty` if any of SOURCES differs from it.

    `unknown` where that cannot be told: no git, no commit yet, or `root` is not the top of a work tree (an unpacked
    archive inside somebody else's repository). MLflow's pages have their own name for the commit.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    if top is None or Path(top).resolve() != root.resolve() or commit is None or changes is None:
        return {"source_revision": UNKNOWN, "source_dirty": UNKNOWN}
    return {
        "source_revision": f"{commit}-dirty" if changes else commit,
        "source_dirty": str(bool(changes)).lower(),
        "mlflow.source.git.commit": commit,
    }


def input_tags(paths: Iterable[Path]) -> dict[str, str]:
    """The MD5, which is DVC's name for it, of each of a stage's input files, as `md5.<path>`.

    Read from the files: while a stage runs, dvc.lock still holds the digests of its last run.
    """
    return {f"md5.{path.as_posix()}": _md5(path) for path in paths}


def version_tags() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on, as `version.<name>`; imports none of them."""
    tags = {"version.python": platform.python_version()}
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return tags


def machine_tags(*, device: str, threads: int) -> dict[str, str]:
    """Where training runs.

    Args:
        device: as PyTorch writes it, `cpu` or `cuda:0`.
        threads: CPU threads of one operation; bit-identical results need equal ones.
    """
    return {
        "device": device,
        "device_name": _device_name(device),
        "threads": str(threads),
        "platform": platform.platform(),
    }


def _page_tags(params: Params, *, note: str) -> dict[str, str]:
    """The tags by which MLflow's pages show a run's name, description, data set, user and script."""
    return {
        "mlflow.runName": run_name(params, repository=REPOSITORY),
        "mlflow.note.content": note,
        DATASET_SHA256: validated_dataset().get("sha256", ""),
        **caller_tags(),
    }


def caller_tags() -> dict[str, str]:
    """Who runs which script or command."""
    tags = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _as_text(params: Params) -> dict[str, str]:
    """Every parameter as MLflow shows it, unaltered: params.yaml may hold no secret."""
    return {key: str(value) for key, value in flatten(params).items()}


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None if it fails or is not there."""
    # A hook's GIT_DIR would redirect git; optional locks would disturb a git that runs beside us.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 the arguments are ours
            ["git", "-C", str(root), *arguments],  # noqa: S607 whichever git the user has
            env=inherited | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _device_name(device: str) -> str:
    """The graphics card, or the processor's model where Linux tells it, else its architecture."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
