"""Situations that users of the same tools report in public: YAML, DVC, mirrors, MLflow, ONNX Runtime and uvicorn."""

import http.client
import json
import os
import runpy
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import tracking_store as tracked
from dcgan.config.params_file import load_params
from dcgan.data.files.files import download_files
from dcgan.system.errors import UsageError
from dcgan.tracking.download import download_model
from dvc_workspace import CONFIG, in_shell, type_in
from support import ROOT
from tiny_mirror import write_mirror
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment

NAME = "tiny-generator"
register = runpy.run_path(str(ROOT / "pipeline/register.py"))["main"]

# params.yaml


NUMBERS = [
    "10",
    "+3",
    "0x10",
    "0b11",
    "1_0",
    "010",
    "0o10",
    "-010",
    "08",
    "1:30",
    "190:20:30",
    "1e1",
    "1e-06",
    "1.5e+3",
]


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("parameter", ["epochs", "generator_learning_rate"])
def test_a_number_is_what_dvc_takes_it_for_or_refused(tmp_path, parameter, text):
    """Two versions of YAML read `010` and `1:30` differently: DVC recorded 10 epochs, and 8 were trained."""
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{{parameter}: {text}}}\n")
    readings = {YAML(typ="safe", pure=True).load(path.read_text())["train"][parameter]}
    with suppress(UsageError):
        readings.add(getattr(load_params(path).train, parameter))
    assert len(readings) == 1


def test_numbers_as_dvc_writes_them_and_files_as_other_editors_save_them(tmp_path):
    """`dvc exp run -S` writes 0.000001 as `1e-06`, which YAML 1.1 takes for text; Windows adds a mark and returns."""
    path = tmp_path / "params.yaml"
    path.write_bytes("\ufefftrain:\r\n  epochs: 3\r\n  generator_learning_rate: 1e-06\r\n".encode())
    assert (load_params(path).train.epochs, load_params(path).train.generator_learning_rate) == (3, 1e-6)


# DVC


def test_what_editors_and_desktops_leave_changes_no_dependency(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    (tmp_path / ".dvcignore").write_text((ROOT / ".dvcignore").read_text())
    left = [".DS_Store", "._step.py", "step.py~", ".step.py.swp", ".#step.py", "#step.py#", "step.py.orig"]
    left += ["Thumbs.db", "desktop.ini", ".ipynb_checkpoints/step-checkpoint.py", "__pycache__/step.cpython-311.pyc"]
    for name in left:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sources = sorted((ROOT / "src/dcgan").rglob("*.py"))
    names = [*left, *(str(path.relative_to(ROOT)) for path in sources)]
    ended = in_shell(tmp_path, shlex.join(["dvc", "check-ignore", *names]))
    assert ended.out.splitlines() == left


def test_doctor_examines_a_copy_without_git(tmp_path):
    """An archive from a hosting site, or a container without `.git`, for which DVC itself wants another setting."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert in_shell(tmp_path, "dvc status").exit_code != 0
    type_in(tmp_path, "dcgan doctor")


@pytest.mark.slow
def test_stages_run_by_hand_write_no_byte_through_dvcs_links(tmp_path):
    """With `cache.type` hardlink or symlink, the outs that a stage finds are DVC's own objects."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    new_workspace(folder)
    stages = ("train", "evaluate", "export")
    assert [run_stage(stage, folder).returncode for stage in stages] == [0] * len(stages)
    objects = {}
    outs = [path for name in ("data", "models", "reports") for path in sorted((folder / name).rglob("*.*"))]
    for number, path in enumerate(path for path in outs if path.is_file()):
        kept = tmp_path / f"cache/{number}"
        kept.parent.mkdir(exist_ok=True)
        path.rename(kept)
        kept.chmod(0o444)
        objects[kept] = kept.read_bytes()
        (path.symlink_to if number % 2 else path.hardlink_to)(kept)
    assert [run_stage(stage, folder).returncode for stage in stages] == [0] * len(stages)
    assert {path: path.read_bytes() for path in objects} == objects


# Data


def test_a_mirror_may_be_a_file_url(tmp_path, monkeypatch):
    mirror = write_mirror(tmp_path / "with space", monkeypatch)
    monkeypatch.setenv("MNIST_MIRROR", mirror.as_uri())
    download_files("mnist", tmp_path / "raw", mirrors=[])
    names = {path.name for path in mirror.iterdir()}
    assert {path.name for path in (tmp_path / "raw").iterdir()} == names
    monkeypatch.setenv("MNIST_MIRROR", (tmp_path / "missing").as_uri())
    with pytest.raises(UsageError, match="no such folder"):
        download_files("mnist", tmp_path / "again", mirrors=[])


@pytest.mark.slow
def test_the_gate_needs_no_cloud_and_no_home(tmp_path):
    """Credentials of Great Expectations' cloud in the environment would make it the place of the check."""
    folder = new_workspace(tmp_path)
    cloud = {"GX_CLOUD_ACCESS_TOKEN": "token", "GX_CLOUD_ORGANIZATION_ID": "4b2c7a2e-0000-4000-8000-000000000000"}
    for stage in ("download", "validate"):
        environment = stage_environment(folder) | cloud | {"HOME": "/nonexistent"}
        done = subprocess.run(stage_command(stage), cwd=folder, env=environment, check=False)
        assert done.returncode == 0
    assert json.loads((folder / "reports/validation.json").read_text())["success"]


# MLflow and ONNX Runtime


def test_a_registry_of_its_own_gets_the_model_and_is_asked_for_it(tracked_workspace, monkeypatch):
    """MLFLOW_REGISTRY_URI, which MLflow obeys on its own: half of the stage wrote there and half looked elsewhere."""
    from mlflow import MlflowClient

    tracked.write_exported_model()
    registry = f"sqlite:///{tracked_workspace}/registry.db"
    (tracked_workspace / "registry.db").write_bytes(tracked.empty_store())
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", registry)
    register()
    (run,) = tracked.runs()
    assert MlflowClient(registry, registry).get_model_version_by_alias(NAME, "champion").run_id == run.info.run_id
    assert not tracked.client().search_registered_models()
    assert download_model(f"models:/{NAME}@champion", Path("fetched")).suffix == ".onnx"


@pytest.mark.slow
def test_onnx_runtime_keeps_and_sends_nothing_about_its_user(tmp_path):
    code = "from dcgan.tracking.store import prepare; prepare('http://localhost'); import onnxruntime"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.rglob("*onnxruntime*"))


# The service


def test_a_client_that_offers_http_2_is_answered_without_advice_in_the_log(running):
    """Java's client does on every connection; uvicorn answered, and advised each time to install WebSockets."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    headers |= {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.request("POST", "/v1/images", b'{"count": 2}', headers)
    answer = connection.getresponse()
    assert (answer.status, len(json.loads(answer.read())["images"])) == (200, 2)
    connection.close()
    assert running.err_path.read_text().count("\n") == 1
