import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from dcgan.data.dataset_file import load_dataset, save_dataset
from dcgan.system.errors import BadDataError, CannotCreateError
from tiny_data import tiny_arrays


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    """A data set and the report that lets it through."""
    path, report_path = tmp_path / "dataset.safetensors", tmp_path / "validation.json"
    sha256 = save_dataset(path, name="digits", **tiny_arrays())
    report_path.write_text(json.dumps({"dataset": "digits", "dataset_sha256": sha256}))
    return path, report_path


def test_what_was_saved_is_loaded(saved: tuple[Path, Path]) -> None:
    path, report_path = saved
    dataset = load_dataset(path, report_path=report_path)
    arrays = tiny_arrays()
    assert dataset.name == "digits"
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for split in ("train", "test"):
        images, labels = getattr(dataset, split).images.numpy(), getattr(dataset, split).labels.numpy()
        np.testing.assert_array_equal(images, arrays[f"{split}_images"])
        np.testing.assert_array_equal(labels, arrays[f"{split}_labels"])
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_equal_data_gives_equal_bytes_and_the_file_names_its_data_set(saved: tuple[Path, Path], tmp_path: Path) -> None:
    path, _ = saved
    again = tmp_path / "again.safetensors"
    non_contiguous = {key: np.repeat(array, 2, axis=0)[::2] for key, array in tiny_arrays().items()}
    save_dataset(again, name="digits", **non_contiguous)
    assert again.read_bytes() == path.read_bytes()
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"name": "digits"}


def test_one_flipped_bit_is_refused_with_both_hashes_and_the_repair(saved: tuple[Path, Path]) -> None:
    path, report_path = saved
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadDataError) as caught:
        load_dataset(path, report_path=report_path)
    found = hashlib.sha256(content).hexdigest()
    message = str(caught.value)
    assert message.startswith(f"{path}: expected sha256 {expected}, found {found}; run `dcgan doctor --repair`, then")


def test_missing_files_name_the_stage_to_run(saved: tuple[Path, Path]) -> None:
    path, report_path = saved
    path.unlink()
    with pytest.raises(BadDataError, match=r"dataset\.safetensors: missing; run the stage `validate` first"):
        load_dataset(path, report_path=report_path)
    report_path.unlink()
    with pytest.raises(BadDataError, match=r"validation\.json: missing; run the stage `validate` first"):
        load_dataset(path, report_path=report_path)


def test_a_report_of_failure_lets_nothing_through(saved: tuple[Path, Path]) -> None:
    path, report_path = saved
    report_path.write_text(json.dumps({"dataset": "digits", "dataset_sha256": None}))
    with pytest.raises(BadDataError, match="the data was not accepted"):
        load_dataset(path, report_path=report_path)


def test_an_output_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(CannotCreateError, match=r"data/dataset\.safetensors: cannot be written"):
        save_dataset(tmp_path / "data" / "dataset.safetensors", name="digits", **tiny_arrays())
