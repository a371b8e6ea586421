import hashlib
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from dcgan.tracking import provenance
from dcgan.tracking.provenance import load_run, machine_tags, source_tags, version_tags
from support import ROOT
from tiny_workspace import write_dataset, write_params
from tracking_store import TRAINING, start_training

UNKNOWN = {"source_revision": "unknown", "source_dirty": "unknown"}


def git(folder, *arguments):
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    for name in ("src/losses.py", "params.yaml", "dvc.yaml", "dvc.lock", "README.md", "pyproject.toml"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first\n")
    git(tmp_path, "init", "--quiet", str(root))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


@pytest.mark.parametrize(
    ("changed", "is_dirty"),
    [
        (None, False),
        *((name, True) for name in ("src/losses.py", "dvc.yaml", "src/new.py", "requirements/a")),
        *((name, False) for name in ("params.yaml", "dvc.lock", "README.md", "notes.txt")),
    ],
)
def test_the_code_is_named_by_its_commit_and_dirty_if_results_depend_on_what_has_changed(
    repository, tmp_path, monkeypatch, changed, is_dirty
):
    if changed:
        (repository / changed).parent.mkdir(exist_ok=True)
        (repository / changed).write_text("second\n")
    commit = git(repository, "rev-parse", "HEAD")
    assert len(commit) == 40
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))  # as in a hook of another repository
    assert source_tags(repository) == {
        "source_revision": f"{commit}-dirty" if is_dirty else commit,
        "source_dirty": str(is_dirty).lower(),
        "mlflow.source.git.commit": commit,
    }


def test_without_a_work_tree_of_its_own_a_commit_or_git_it_is_unknown(repository, tmp_path, monkeypatch):
    assert source_tags(tmp_path) == UNKNOWN
    inside = repository / "archive"
    shutil.copytree(repository / "src", inside / "src")
    assert source_tags(inside) == UNKNOWN, "an archive unpacked in another repository is not that repository"
    git(tmp_path, "init", "--quiet")
    assert source_tags(tmp_path) == UNKNOWN
    monkeypatch.setenv("PATH", "/nowhere")
    assert source_tags(repository) == UNKNOWN


def test_versions_are_those_installed_and_nothing_is_imported(monkeypatch):
    code = (
        "import sys; from dcgan.tracking.provenance import version_tags; version_tags();"
        "print({'torch', 'mlflow', 'dvc', 'onnx'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "set()"
    assert version_tags()["version.torch"] == version("torch")
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert version_tags() == {"version.python": platform.python_version(), "version.numpy": version("numpy")}


def test_the_processor_or_the_graphics_card_is_named(monkeypatch):
    tags = machine_tags(device="cpu", threads=2)
    assert (tags["device"], tags["threads"], tags["platform"]) == ("cpu", "2", platform.platform())
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert tags["device_name"] in (information + platform.machine())
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"card {device}")
    assert machine_tags(device="cuda:1", threads=2)["device_name"] == "card cuda:1"


def test_a_training_is_described_by_the_code_that_runs_and_the_workspace_it_runs_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    start_training()
    tags = load_run(TRAINING)["tags"]
    assert tags["source_revision"] == source_tags(ROOT)["source_revision"]
    md5 = hashlib.md5((tmp_path / "data/dataset.safetensors").read_bytes()).hexdigest()
    assert tags["md5.data/dataset.safetensors"] == md5
    assert {"version.python", "device_name", "threads", "precision", "mlflow.note.content"} <= set(tags)
