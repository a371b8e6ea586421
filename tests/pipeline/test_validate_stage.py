"""The stages `download` and `validate` on the embedded digits, as `dvc repro` runs them."""

import hashlib
import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dcgan.config.workspace import DATA_DOCS, DATASET, RAW, VALIDATION
from dcgan.data.dataset_file import load_dataset
from dcgan.data.files.idx import read_idx, write_idx
from dcgan.system.errors import BadDataError
from support import ROOT

LABELS, IMAGES = RAW / "train-labels-idx1-ubyte.gz", RAW / "train-images-idx3-ubyte.gz"


@pytest.fixture(scope="module")
def stages() -> SimpleNamespace:
    """The main function of each stage script."""
    scripts = {name: runpy.run_path(str(ROOT / "pipeline" / f"{name}.py")) for name in ("download", "validate")}
    return SimpleNamespace(**{name: script["main"] for name, script in scripts.items()})


@pytest.fixture(scope="module")
def finished(stages: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which both stages have run."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "params.yaml").write_text("data: {name: digits}\nevaluate: {num_samples: 1000}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stages.download()
        stages.validate()
    return folder


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil; it is the current folder."""
    folder = tmp_path / "workspace"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def blank_out(*indices: int) -> None:
    """Take the ink off some training images."""
    images = read_idx(IMAGES, shape=(1442, 28, 28)).copy()
    images[list(indices)] = 0
    write_idx(IMAGES, images)


def test_the_digits_pass_and_their_report_names_the_file(workspace):
    report = json.loads(VALIDATION.read_text())
    assert report["dataset"] == "digits"
    assert report["success"] is True
    assert report["dataset_sha256"] == hashlib.sha256(DATASET.read_bytes()).hexdigest()
    assert report["splits"]["train"]["images"] == 1442
    assert sum(report["splits"]["test"]["class_counts"]) == 355
    assert all(finding["success"] for finding in report["expectations"])
    assert (DATA_DOCS / "index.html").is_file()


def test_the_written_file_holds_the_raw_images(workspace):
    dataset = load_dataset(DATASET, report_path=VALIDATION)
    np.testing.assert_array_equal(dataset.train.images.numpy(), read_idx(IMAGES, shape=(1442, 28, 28)))
    np.testing.assert_array_equal(dataset.train.labels.numpy(), read_idx(LABELS, shape=(1442,)))


def test_running_again_changes_no_byte(workspace, stages):
    before = {path: path.read_bytes() for path in (DATASET, VALIDATION, IMAGES, LABELS)}
    stages.download()
    stages.validate()
    assert {path: path.read_bytes() for path in before} == before


def test_data_that_fails_leaves_a_report_and_a_table_but_no_data_set(workspace, stages, capsys):
    blank_out(4, 7)
    with pytest.raises(BadDataError, match=r"data/raw: \d+ of \d+ expectations of digits failed; see reports/valid"):
        stages.validate()
    assert not DATASET.exists()
    report = json.loads(VALIDATION.read_text())
    assert (report["success"], report["dataset_sha256"]) == (False, None)
    (blank,) = [each for each in report["expectations"] if each["description"] == "no image is blank"]
    assert [(row["split"], row["index"]) for row in blank["examples"]] == [("train", 4), ("train", 7)]
    table = capsys.readouterr().out
    assert "no image is blank" in table
    assert "otherwise in 2 images (0.111%)" in table
    assert "train 4: ink_max = 0" in table
    with pytest.raises(BadDataError, match="the data was not accepted"):
        load_dataset(DATASET, report_path=VALIDATION)


def test_damaged_data_stops_before_the_gate(workspace, stages):
    IMAGES.write_bytes(IMAGES.read_bytes()[:5000])
    with pytest.raises(BadDataError, match=r"train-images-idx3-ubyte\.gz: expected a whole gzip file"):
        stages.validate()


def test_files_of_another_data_set_are_refused(workspace, stages):
    Path("params.yaml").write_text("data: {name: mnist}")
    with pytest.raises(BadDataError, match=r"train-images-idx3-ubyte\.gz: expected sha256 440fcabf"):
        stages.validate()
