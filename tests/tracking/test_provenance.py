import hashlib
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from dcgan.tracking import provenance
from dcgan.tracking.provenance import input_tags, load_run, machine_tags, source_revision, source_tags, version_tags
from tiny_workspace import ROOT, write_dataset, write_params
from tracking_store import start_training


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


def test_a_clean_work_tree_is_its_commit(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert source_revision(repository) == commit
    tags = {"source_revision": commit, "source_dirty": "false", "mlflow.source.git.commit": commit}
    assert source_tags(repository) == tags


@pytest.mark.parametrize("name", ["src/losses.py", "dvc.yaml", "src/new.py", "requirements/a"])
def test_a_change_that_results_depend_on_makes_it_dirty(repository, name):
    path = repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("second\n")
    assert source_revision(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"
    assert source_tags(repository)["source_dirty"] == "true"


@pytest.mark.parametrize("name", ["params.yaml", "dvc.lock", "README.md", "notes.txt"])
def test_other_changes_do_not(repository, name):
    (repository / name).write_text("second\n")
    assert source_revision(repository) == git(repository, "rev-parse", "HEAD")


def test_without_a_work_tree_it_is_unknown(repository, tmp_path):
    assert source_revision(tmp_path) == "unknown"
    inside = repository / "archive"
    shutil.copytree(repository / "src", inside / "src")
    assert source_revision(inside) == "unknown", "an archive unpacked in another repository is not that repository"
    assert source_tags(inside) == {"source_revision": "unknown", "source_dirty": "unknown"}


def test_without_a_commit_it_is_unknown(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert source_revision(tmp_path) == "unknown"


def test_without_git_it_is_unknown(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert source_revision(repository) == "unknown"


def test_a_hook_of_another_repository_does_not_redirect_it(repository, tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet", "other")
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert source_revision(repository) == commit


def test_inputs_are_named_by_the_digest_that_dvc_names_them_by(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/dataset.safetensors").write_bytes(b"pixels")
    tags = input_tags([Path("data/dataset.safetensors")])
    assert tags == {"md5.data/dataset.safetensors": hashlib.md5(b"pixels").hexdigest()}


def test_versions_are_those_installed_and_nothing_is_imported():
    tags = version_tags()
    assert tags["version.python"] == platform.python_version()
    assert tags["version.torch"] == version("torch")
    code = (
        "import sys; from dcgan.tracking.provenance import version_tags; version_tags();"
        "print({'torch', 'mlflow', 'dvc', 'onnx'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "set()"


def test_a_package_that_is_not_installed_has_no_tag(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert set(version_tags()) == {"version.python", "version.numpy"}


def test_the_processor_is_named():
    tags = machine_tags(device="cpu", threads=2)
    assert (tags["device"], tags["threads"], tags["platform"]) == ("cpu", "2", platform.platform())
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert tags["device_name"] in (information + platform.machine())


def test_the_graphics_card_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"card {device}")
    assert machine_tags(device="cuda:1", threads=2)["device_name"] == "card cuda:1"


def test_a_training_is_described_by_the_code_that_runs_and_the_workspace_it_runs_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    write_params(tmp_path)
    write_dataset(tmp_path, per_class=2)
    start_training(Path("checkpoints"))
    tags = load_run(Path("checkpoints"))["tags"]
    assert tags["source_revision"] == source_revision(ROOT)
    assert (
        tags["md5.data/dataset.safetensors"] == hashlib.md5(Path("data/dataset.safetensors").read_bytes()).hexdigest()
    )
    assert {"version.python", "device_name", "threads", "precision", "mlflow.note.content"} <= set(tags)
