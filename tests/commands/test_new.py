import shutil
import subprocess
from pathlib import Path

import pytest

from dcgan.commands import new
from dcgan.config.params_file import load_params
from dcgan.config.schema import Params
from dcgan.system.errors import UsageError
from tiny_workspace import ROOT, write_params


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def params(tmp_path) -> Path:
    write_params(tmp_path, train={"epochs": 3})
    return tmp_path / "params.yaml"


def test_a_workspace_is_a_clean_git_and_dvc_repository_of_its_own(tmp_path, params):
    folder = tmp_path / "a/b c"
    new.new_workspace(folder, params=params)
    assert load_params(folder / "params.yaml").train.epochs == 3
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "rev-parse", "--show-toplevel").strip() == str(folder)
    assert {".dvc/config", "dvc.yaml", "params.yaml", "pipeline", "src"} <= set(git(folder, "ls-files").split())
    assert (folder / "pipeline").resolve() == ROOT / "pipeline"


def test_it_works_inside_another_repository_whose_environment_is_set(tmp_path, params, monkeypatch):
    git(tmp_path, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    new.new_workspace(tmp_path / "inside", params=params)
    monkeypatch.delenv("GIT_DIR")
    assert git(tmp_path / "inside", "log", "--oneline").count("\n") == 1


def test_without_git_dvc_goes_without(tmp_path, params, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    new.new_workspace(tmp_path / "plain", params=params)
    assert not (tmp_path / "plain/.git").exists()
    assert "no_scm" in (tmp_path / "plain/.dvc/config").read_text()


@pytest.mark.parametrize("occupied", ["target", "target/mine"])
def test_what_is_there_is_left_alone(tmp_path, params, occupied):
    mine = tmp_path / occupied
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="target"):
        new.new_workspace(tmp_path / "target", params=params)
    assert mine.read_text() == "mine"


def test_bad_parameters_are_refused_before_anything_is_made(tmp_path, params):
    params.write_text("train: {epoch: 3}")
    with pytest.raises(UsageError, match=r"train\.epochs"):
        new.new_workspace(tmp_path / "new", params=params)
    assert not (tmp_path / "new").exists()


def test_an_installed_package_without_a_checkout_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(new, "CHECKOUT", tmp_path)
    with pytest.raises(UsageError, match=r"dvc\.yaml"):
        new.new_workspace(tmp_path / "new")


def test_the_defaults_are_those_of_the_package(tmp_path):
    (tmp_path / "empty.yaml").write_text("{}")
    new.new_workspace(tmp_path / "new", params=tmp_path / "empty.yaml")
    assert load_params(tmp_path / "new/params.yaml") == Params()
