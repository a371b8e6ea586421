"""A checkout that was moved or copied: `make` builds its .venv anew, and the demo in it runs this code, not the old."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dcgan.commands import new
from support import ROOT
from tiny_workspace import write_params


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What the target `setup` reads, in a folder where it has been made."""
    folder = tmp_path / "before it"
    (folder / "requirements").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements/dev.txt", "requirements/build.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    make(folder, "--touch", "setup")
    return folder


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_the_venv_of_another_folder_is_made_anew(checkout, tmp_path, move):
    assert make(checkout, "--question", "setup").returncode == 0
    move(checkout, tmp_path / "after")
    assert make(tmp_path / "after", "--question", "setup").returncode == 1
    assert "rm -rf .venv" in make(tmp_path / "after", "--dry-run", "setup").stdout


def test_a_venv_that_was_half_made_is_made_anew_and_one_with_new_requirements_is_kept(checkout):
    environment = checkout / ".venv"
    commands = make(checkout, "--dry-run", "--always-make", "setup").stdout
    (removal,) = [line for line in commands.splitlines() if line.endswith("|| rm -rf .venv")]
    subprocess.run(removal, shell=True, cwd=checkout, check=True)
    assert environment.exists(), "it was made here"
    for ready in environment.iterdir():
        ready.unlink()
    subprocess.run(removal, shell=True, cwd=checkout, check=True)
    assert not environment.exists(), "it was interrupted"


def test_the_links_of_a_workspace_in_the_checkout_move_with_it(tmp_path, monkeypatch):
    before, after = tmp_path / "before", tmp_path / "after"
    for name in new.LINKED:
        shutil.copytree(ROOT / name, before / name)
    for name in new.COPIED:
        shutil.copy(ROOT / name, before)
    for name in new.DEPENDED_ON:
        (before / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, before / name)
    write_params(before)
    monkeypatch.setattr(new, "CHECKOUT", before)
    monkeypatch.setattr(new, "_init_repositories", lambda _: None)  # it takes seconds
    new.new_workspace(before / "demo/run")
    before.rename(after)
    for name in new.LINKED:
        assert (after / "demo/run" / name).resolve() == after / name
