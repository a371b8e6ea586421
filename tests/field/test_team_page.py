"""docs/team.md between clones of a repository that has this dvc.yaml, with stages that write anything at once."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dcgan.commands import new
from dvc_workspace import CONFIG, in_shell, type_in
from support import ROOT

PAGE = (ROOT / "docs/team.md").read_text()
REMOTE, PUSH, PULL, CACHE = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:4]
STAGE = """
import json, pathlib, sys, yaml
stage = yaml.safe_load(open("dvc.yaml"))["stages"][pathlib.Path(sys.argv[0]).stem]
for out in stage["outs"] + stage.get("metrics", []):
    path = pathlib.Path(out if isinstance(out, str) else next(iter(out)))
    if not path.suffix:
        path = path / "part"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"written as": str(path)}))
"""
IDENTITY = "git config user.name a && git config user.email a@localhost"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A clone in which the pipeline has run, and nothing was shared."""
    folder = tmp_path / "first"
    type_in(tmp_path, f"git init --quiet --bare origin.git && git clone --quiet origin.git {folder}")
    for name in ("dvc.yaml", "params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for path in {dep for stage in stages.values() for dep in stage["deps"] if dep.startswith(("src/", "pipeline/"))}:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(STAGE)
    for name in new.DEPENDED_ON:
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text(CONFIG.replace("    no_scm = true\n", ""))
    type_in(folder, f"{IDENTITY} && dvc repro --quiet")
    return folder


def clone(folder: Path) -> Path:
    type_in(folder.parent, f"git clone --quiet origin.git {folder.name}")
    return folder


def on_this_machine(block: str, tmp_path: Path) -> str:
    return " && ".join(block.replace("/mnt/team", str(tmp_path / "team")).splitlines())


def test_what_one_clone_pushes_another_pulls_and_only_registers(first, tmp_path):
    type_in(first, on_this_machine(REMOTE, tmp_path))
    pushed = in_shell(first, on_this_machine(PUSH, tmp_path).replace("git push", "git push --quiet"))
    assert pushed.exit_code == 0, pushed
    assert "files pushed" in pushed.out
    second = clone(tmp_path / "second")
    pulled = in_shell(second, on_this_machine(PULL, tmp_path))
    assert pulled.exit_code == 0, pulled
    assert "files fetched" in pulled.out
    assert (second / "models/generator.onnx").is_file()
    assert re.findall(r"Running stage '(\w+)'", in_shell(second, "dvc repro").out) == ["register"]
    assert in_shell(second, "git status --porcelain").out == ""


def test_a_shared_cache_gives_a_clone_what_another_has_made(first, tmp_path):
    type_in(first, on_this_machine(CACHE.replace("dvc checkout", "dvc commit --quiet"), tmp_path))
    type_in(first, "git add --all && git commit --quiet --message results && git push --quiet")
    second = clone(tmp_path / "second")
    in_shell(second, on_this_machine(CACHE, tmp_path))  # ends with 1: the registration is in no cache
    assert (second / "models/generator.onnx").is_symlink()
    assert (second / "models/generator.onnx").read_bytes() == (first / "models/generator.onnx").read_bytes()
    assert in_shell(second, "git status --porcelain").out == ""
