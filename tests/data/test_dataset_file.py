from pathlib import Path

import numpy as np
import pytest

from damage import flip_bit
from dcgan.data.dataset_file import load_dataset, save_dataset
from dcgan.system.errors import BadDataError
from dcgan.system.files import sha256_of, write_json
from dcgan.system.tensors_file import load_arrays
from tiny_data import tiny_arrays


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data/dataset.safetensors"


@pytest.fixture
def report(tmp_path: Path, path: Path) -> Path:
    """The report that lets the data set in `path` through."""
    sha256 = save_dataset(path, tiny_arrays(), name="digits")
    write_json(tmp_path / "validation.json", {"dataset": "digits", "dataset_sha256": sha256})
    return tmp_path / "validation.json"


def test_what_was_saved_is_loaded(path: Path, report: Path) -> None:
    dataset, arrays = load_dataset(path, report_path=report), tiny_arrays()
    assert (dataset.name, dataset.sha256) == ("digits", sha256_of(path))
    for split in ("train", "test"):
        images, labels = getattr(dataset, split).images.numpy(), getattr(dataset, split).labels.numpy()
        np.testing.assert_array_equal(images, arrays[f"{split}_images"], strict=True)
        np.testing.assert_array_equal(labels, arrays[f"{split}_labels"].astype(np.int64), strict=True)


def test_equal_data_gives_equal_bytes(path: Path, report: Path) -> None:
    before = path.read_bytes()
    non_contiguous = {key: np.repeat(array, 2, axis=0)[::2] for key, array in tiny_arrays().items()}
    save_dataset(path, non_contiguous, name="digits")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: flip_bit(path, -1), "damaged"),
        (lambda path: save_dataset(path, tiny_arrays(per_class=5), name="digits"), r"validation\.json"),
    ],
    ids=["one flipped bit", "a whole file that was not validated"],
)
def test_another_file_than_the_validated_one_is_refused_with_the_repair(path: Path, report: Path, spoil, told) -> None:
    spoil(path)
    with pytest.raises(
        BadDataError, match=rf"dataset\.safetensors: .*{told}.* `dvc repro --force --single-item validate`"
    ):
        load_dataset(path, report_path=report)


def test_missing_files_name_the_stage_to_run(path: Path, report: Path) -> None:
    for missing in (path, report):
        missing.unlink()
        with pytest.raises(BadDataError, match=rf"{missing.name}: missing; run .*validate"):
            load_dataset(path, report_path=report)


def test_a_report_of_failure_lets_nothing_through(path: Path, report: Path) -> None:
    write_json(report, {"dataset": "digits", "dataset_sha256": None})
    with pytest.raises(BadDataError, match=r"validation\.json: .*not accepted"):
        load_dataset(path, report_path=report)


def test_the_names_of_classes_are_kept_and_ten_digits_need_none(path: Path, tmp_path: Path) -> None:
    names = ("three", "f\u00fcnf")
    for class_names in (names, tuple("0123456789")):
        sha256 = save_dataset(path, tiny_arrays(), name="digits", class_names=class_names)
        write_json(tmp_path / "validation.json", {"dataset": "digits", "dataset_sha256": sha256})
        dataset = load_dataset(path, report_path=tmp_path / "validation.json")
        assert (dataset.class_names, dataset.num_classes) == (class_names, len(class_names))
    assert load_arrays(path, made_by="validate").metadata == {"name": "digits"}
