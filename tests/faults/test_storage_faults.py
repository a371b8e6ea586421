"""A full disk or a folder that cannot be written: one line, the old files intact, and on again once there is room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_workspace import new_workspace, weights_in

TRAIN = {"max_steps": 24, "checkpoint_every": 4, "evaluate_every": 24, "sample_every": 24}
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        not IS_ROOT
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def straight(stages, tmp_path_factory) -> dict[str, bytes]:
    workspace = new_workspace(tmp_path_factory.mktemp("straight"), train=TRAIN)
    assert stages.run("train", workspace).returncode == 0
    return weights_in(workspace)


def fill(folder: Path, *, leave: int) -> Path:
    """Write a file that leaves so many bytes free."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    filler = folder / "filler"
    filler.write_bytes(bytes(max(0, free - leave)))
    return filler


FILL_AT_STEP_10 = """
import os
from dcgan.gan import graph
genuine = graph.gan_step

def step(state, *args, **kwargs):
    if state.step == 10:
        free = os.statvfs(".").f_bavail * os.statvfs(".").f_bsize
        with open("filler", "wb") as file:
            file.write(bytes(free - 20_000))
    return genuine(state, *args, **kwargs)

graph.gan_step = step
"""


def test_a_disk_that_fills_during_training_ends_it_with_the_last_checkpoint_whole(stages, small_disk, straight):
    workspace = new_workspace(small_disk, train=TRAIN)
    ended = stages.run("train", workspace, planted=FILL_AT_STEP_10)
    assert ended.returncode == 74, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert "step-00000012.safetensors: no space left on the device; free some and run again (it takes" in line
    assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in workspace.glob(".checkpoints/*/step-*.safetensors")) == [
        "step-00000004.safetensors",
        "step-00000008.safetensors",
    ]
    assert not list(workspace.rglob("*.tmp"))
    (workspace / "filler").unlink()
    resumed = stages.run("train", workspace)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after step 8" in resumed.stdout
    assert weights_in(workspace) == straight


@pytest.fixture(scope="module")
def finished(stages, tmp_path_factory) -> Path:
    """A workspace in which everything up to `export` has run."""
    workspace = new_workspace(tmp_path_factory.mktemp("finished"), train=TRAIN)
    for stage in ("train_classifier", "train", "evaluate", "export"):
        done = stages.run(stage, workspace)
        assert done.returncode == 0, done.stderr
    return workspace


@pytest.mark.parametrize("stage", ["train_classifier", "evaluate", "export"])
def test_a_full_disk_leaves_what_a_stage_wrote_before(stages, small_disk, finished, stage):
    workspace = Path(shutil.copytree(finished, small_disk, dirs_exist_ok=True))
    paths = [*workspace.glob("models/*"), *workspace.glob("reports/*.json")]
    before = {path: path.read_bytes() for path in paths}
    fill(workspace, leave=0)
    done = stages.run(stage, workspace)
    assert done.returncode == 74, done.stderr
    assert "no space left on the device" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not list(workspace.rglob("*.tmp"))


NO_STEP = """
from dcgan.gan import graph
def step(*args, **kwargs):
    raise AssertionError("a step was made")
graph.gan_step = step
"""


@pytest.mark.parametrize("folder", ["models", "reports", ".checkpoints"])
def test_outputs_that_cannot_be_written_are_refused_before_the_first_step(stages, tmp_path, folder):
    """Root may write anywhere: a file in the folder's place, or a read-only mount, is what stops everybody."""
    workspace = new_workspace(tmp_path, train=TRAIN)
    place = workspace / folder
    place.mkdir(exist_ok=True)
    if IS_ROOT:
        if subprocess.run(["mount", "--bind", place, place], check=False).returncode:
            pytest.skip("mounting a folder needs more rights than this root has")
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    else:
        place.chmod(0o555)
    try:
        ended = stages.run("train", workspace, planted=NO_STEP)
    finally:
        if IS_ROOT:
            subprocess.run(["umount", "--lazy", place], check=True)
        else:
            place.chmod(0o755)
    assert ended.returncode == 73, ended.stderr
    assert f"error: {folder}/" in ended.stderr
    assert "check the folder and its permissions" in ended.stderr
