"""Where a model comes from, as tags: the code's revision, its inputs' digests, versions and the machine."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNKNOWN = "unknown"
SOURCES = ("src", "pipeline", "pyproject.toml", "requirements", ":(glob)**/params.yaml", ":(glob)**/dvc.yaml")
"""What a result depends on. Not dvc.lock: DVC rewrites it while the pipeline runs."""

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "onnx", "onnxruntime", "onnxruntime-gpu", "mlflow", "dvc")
GIT_SECONDS = 10


def training_tags(inputs: Iterable[Path], *, device: str, precision: str) -> dict[str, str]:
    """All tags of a training that runs in the current folder, from its input files, its device and its arithmetic."""
    import torch

    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    machine = machine_tags(device=device, threads=torch.get_num_threads())
    return source_tags(root) | input_tags(inputs) | version_tags() | machine | {"precision": precision}


def source_revision(root: Path) -> str:
    """The commit that the sources under `root` are at, with `-dirty` if any of SOURCES differs from it.

    `unknown` where that cannot be told: no git, no commit yet, or `root` is not the top of a work tree (an unpacked
    archive inside somebody else's repository).
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return UNKNOWN
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    if commit is None or changes is None:
        return UNKNOWN
    return f"{commit}-dirty" if changes else commit


def source_tags(root: Path) -> dict[str, str]:
    """`source_revision` and, apart, whether it is dirty: true, false or unknown."""
    revision = source_revision(root)
    dirty = UNKNOWN if revision == UNKNOWN else str(revision.endswith("-dirty")).lower()
    return {"source_revision": revision, "source_dirty": dirty}


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
        "device_name": _cuda_name(device) if device.startswith("cuda") else _processor_name(),
        "threads": str(threads),
        "platform": platform.platform(),
    }


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


def _cuda_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)


def _processor_name() -> str:
    """The processor's model where Linux tells it, else its architecture."""
    information = Path("/proc/cpuinfo")
    if sys.platform == "linux" and information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
