"""`dcgan check-data`, as typed: clean deliveries end with 0, others with 65, and both reports say why."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.dataset import LabelledImages
from dcgan.data.dataset_file import save_dataset
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.reference import reference_of
from dcgan.system.files import write_json
from own_images import SHAPES, shapes, write_shapes
from tiny_workspace import write_params

NAMES = tuple(SHAPES)
PER_CLASS = 40


def drawn(*, seed: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.concatenate([shapes(name, PER_CLASS, seed=seed) for name in NAMES])
    return images, np.repeat(np.arange(len(NAMES)), PER_CLASS).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace of shapes with its reference, its data set and its classifier."""
    folder = tmp_path_factory.mktemp("shapes")
    write_params(folder, data={"name": "images"}, model={"num_classes": len(NAMES)})
    arrays = {}
    for split, seed in (("train", 0), ("test", 1)):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = drawn(seed=seed)
    table = image_table(arrays)
    reference_of(
        table, summarise_splits(table, num_classes=len(NAMES)), NAMES, path=folder / "data/reference/bounds.yaml"
    )
    sha256 = save_dataset(folder / "data/dataset.safetensors", arrays, name="images", class_names=NAMES)
    write_json(folder / "reports/validation.json", {"dataset_sha256": sha256})
    images, labels = drawn(seed=0)
    split = LabelledImages(torch.from_numpy(images), torch.from_numpy(labels).long())
    config = ClassifierConfig(epochs=8, batch_size=8)
    classifier = trained_classifier(split, config, device=torch.device("cpu"), num_classes=len(NAMES))
    save_weights(folder / "models", classifier=classifier)
    return folder


@pytest.fixture
def run(dcgan, trained, monkeypatch):
    """Runs the command in that workspace."""
    monkeypatch.chdir(trained)
    return partial(dcgan, "check-data")


def reports(folder: Path) -> tuple[dict, str]:
    return json.loads((folder / "reports/delivery.json").read_text()), (folder / "reports/delivery.html").read_text()


def test_pictures_of_the_same_kind_pass(run, trained, tmp_path):
    done = run(write_shapes(tmp_path / "new", per_class=30, seed=2))
    assert done.exit_code == 0, done.out + done.err
    assert "120 images like those of images; see reports/delivery.html" in done.out
    report, page = reports(trained)
    assert report["success"]
    assert (report["num_images"], report["num_compared"], report["class_counts"]) == (120, 120, [30] * 4)
    assert not any(test["drifted"] for test in report["drift"])
    assert all(expectation["success"] for expectation in report["expectations"])
    assert "they are like its images" in page
    assert 'class="marked"' not in page


def test_images_that_differ_end_with_65_and_both_reports_say_in_what(run, trained, tmp_path):
    images, labels = drawn(seed=2)
    np.savez(tmp_path / "new.npz", images=255 - images, labels=labels)
    done = run(tmp_path / "new.npz", "--out", tmp_path / "found.json", "--page", tmp_path / "pages/found.html")
    assert done.exit_code == 65
    counts = r"[1-9]\d* of \d+ expectations and [1-9]\d* of 13 drift tests failed"
    assert re.search(rf"new.npz: {counts}; see \S+found.html and \S+found.json\n$", done.err)
    assert "Traceback" not in done.err
    report = json.loads((tmp_path / "found.json").read_text())
    assert not report["success"]
    assert {"ink_mean", "features"} <= {test["name"] for test in report["drift"] if test["drifted"]}
    assert any(each["column"] == "ink_mean" and not each["success"] for each in report["expectations"])
    page = (tmp_path / "pages/found.html").read_text()
    assert "they are not like its images" in page
    assert 'class="marked"' in page


def test_wrong_labels_are_shown(run, trained, tmp_path):
    images, labels = drawn(seed=2)
    np.savez(tmp_path / "new.npz", images=images, labels=np.where(np.arange(len(labels)) % 5 == 0, 3 - labels, labels))
    assert run(tmp_path / "new.npz").exit_code == 65
    report, page = reports(trained)
    assert {test["name"] for test in report["drift"] if test["drifted"]} == {"label_errors"}
    assert "predicts as another class than their label, sorted by label" in page


def test_images_without_labels_are_compared_without_them(run, trained, tmp_path):
    np.savez(tmp_path / "new.npz", images=drawn(seed=2)[0])
    assert run(tmp_path / "new.npz").exit_code == 0
    report, page = reports(trained)
    assert report["class_counts"] is None
    assert not {"labels", "label_errors"} & {test["name"] for test in report["drift"]}
    assert "Labels were not checked" in page


def test_copies_and_a_blank_image_fail_an_expectation(run, trained, tmp_path):
    images, _ = drawn(seed=2)
    images[80:] = images[:80]
    images[0] = 0
    np.savez(tmp_path / "new.npz", images=images)
    done = run(tmp_path / "new.npz")
    assert done.exit_code == 65
    assert "delivery 0: ink_max = 0" in done.out
    failed = {each["description"] for each in reports(trained)[0]["expectations"] if not each["success"]}
    assert failed == {"no image is blank", "at least 99.5% of the images are distinct"}


@pytest.mark.parametrize(
    ("count", "complaint"), [(49, "49 images; at least 50 are needed"), (0, "holds no image")]
)  # fmt: skip
def test_too_few_images_are_refused_in_a_line_before_anything_is_written(run, trained, tmp_path, count, complaint):
    np.savez(tmp_path / "new.npz", images=drawn(seed=2)[0][:count])
    before = reports(trained) if (trained / "reports/delivery.json").exists() else None
    done = run(tmp_path / "new.npz")
    assert done.exit_code == 65
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert before is None or reports(trained) == before


def test_a_workspace_without_a_data_set_says_what_to_run(stages, tmp_path):
    write_params(tmp_path)
    done = stages.run("dcgan", tmp_path, "check-data", "anything")
    assert done.returncode == 65
    assert "run `dvc repro validate`" in done.stderr
