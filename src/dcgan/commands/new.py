"""`dcgan new`: a workspace anywhere, with parameters, results and history of its own and the code of this checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

import dcgan
from dcgan.config.params_file import load_params
from dcgan.config.schema import DataConfig
from dcgan.config.workspace import PARAMS
from dcgan.scale.params_patch import write_values
from dcgan.system.errors import UsageError
from dcgan.system.files import storage_error

CHECKOUT = Path(dcgan.__file__).parents[2]
COPIED = ("dvc.yaml", ".dvcignore", ".gitignore")
LINKED = ("pipeline", "src")
DEPENDED_ON = ("data/own/README.md", "data/reference/README.md")
"""What keeps folders in being that dvc.yaml depends on."""
IGNORED = """
# Links to the checkout. Git keeps a link, which is no folder; without these lines, DVC would commit the files behind it
# with every experiment, and applying one would delete the link.
/pipeline/
/src/
"""
DVC = (sys.executable, "-m", "dvc")
COMMIT = ("-c", "user.name=dcgan", "-c", "user.email=dcgan@localhost", "commit", "--quiet", "--message")


def new_workspace(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where: a new or an empty folder.")],
    *,
    params: Annotated[
        Path | None,
        typer.Option("--params", metavar="FILE", help="A params.yaml to start from. [default: the checkout's]"),
    ] = None,
) -> None:
    """Make a workspace in a new or empty folder: a git repository (where git is installed) and a DVC repository.

    The stages' scripts and the package are linked, not copied: a change of the code is seen by every workspace.

    Raises:
        UsageError: the folder is not empty, `params` is not as it should be, or there is no checkout.
        CannotCreateError, StorageError: the folder cannot be written.
    """
    if not (CHECKOUT / "dvc.yaml").is_file():
        raise UsageError(f"{CHECKOUT}: no dvc.yaml; `dcgan new` needs the repository, installed by `make setup`")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not empty; name a new folder")
    params = params or CHECKOUT / PARAMS
    load_params(params, needs_files=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            shutil.copy(CHECKOUT / name, folder)
        with (folder / ".gitignore").open("a", encoding="utf-8") as file:
            file.write(IGNORED)
        shutil.copy(params, folder / PARAMS)
        complete(folder)
        for name in LINKED:
            (folder / name).symlink_to(_link_target(folder, CHECKOUT / name))
    except OSError as error:
        raise storage_error(error, folder) from error
    _init_repositories(folder)
    print(f"{folder}: a new workspace; `cd {folder}`, then `dvc repro`")


def complete(folder: Path) -> None:
    """Give a workspace, which may be older than the checkout's dvc.yaml, what this depends on."""
    for name in DEPENDED_ON:
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    content = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    if "path" not in (content.get("data") or {}):
        write_values({"data.path": DataConfig().path}, folder / PARAMS)


def _link_target(folder: Path, source: Path) -> Path:
    """Where a link in `folder` leads; relative within the checkout, so that both can be moved or copied together."""
    is_inside = folder.resolve().is_relative_to(CHECKOUT)
    return Path(os.path.relpath(source, folder.resolve())) if is_inside else source


def _init_repositories(folder: Path) -> None:
    has_git = shutil.which("git") is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment, check=True)  # noqa: S603 our own words

    if has_git:
        run("git", "init", "--quiet")
    run(*DVC, "init", "--quiet", *([] if has_git else ["--no-scm"]))
    run(*DVC, "config", "core.analytics", "false")
    if has_git:
        run("git", "add", "--all")
        run("git", *COMMIT, "A new workspace")
