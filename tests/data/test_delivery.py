"""A delivery of new images in each form that is taken, its labels numbered as the data set's, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dcgan.data.files import read_delivery
from dcgan.data.files.delivery import Delivery
from dcgan.data.files.idx import write_idx
from dcgan.system.errors import BadDataError
from own_images import SHAPES, shapes, write_shapes

DIGITS = tuple(map(str, range(10)))
NAMES = tuple(SHAPES)
IMAGES = shapes("disc", 6)
LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)


def refusal(source: Path, class_names=DIGITS) -> str:
    with pytest.raises(BadDataError) as refused:
        read_delivery(source, class_names)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def assert_is_labelled(found: Delivery) -> None:
    np.testing.assert_array_equal(found.images, IMAGES)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize("name", ["train", "t10k", "emnist-letters-test"])
def test_idx_files_of_any_name_are_found_with_their_labels(tmp_path, name):
    write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", LABELS)
    assert_is_labelled(read_delivery(tmp_path, DIGITS))
    assert_is_labelled(read_delivery(tmp_path / f"{name}-images-idx3-ubyte.gz", DIGITS))


def test_both_pairs_of_a_folder_are_one_delivery(tmp_path):
    for name in ("train", "t10k"):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", IMAGES)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", LABELS)
    assert read_delivery(tmp_path, DIGITS).labels.tolist() == [*LABELS, *LABELS]


def test_images_alone_are_a_delivery_without_labels(tmp_path):
    write_idx(tmp_path / "images-idx3-ubyte", IMAGES)
    np.savez(tmp_path / "images.npz", images=IMAGES)
    flat = write_shapes(tmp_path / "folder", per_class=6, names=("disc",)) / "disc"
    for source in (tmp_path / "images-idx3-ubyte", tmp_path / "images.npz", flat):
        found = read_delivery(source, DIGITS)
        assert found.labels is None
        np.testing.assert_array_equal(found.images, IMAGES)


def test_arrays_in_a_file_are_labelled(tmp_path):
    np.savez(tmp_path / "both.npz", images=IMAGES, labels=LABELS)
    np.savez(tmp_path / "keras.NPZ.npz", x_train=IMAGES[:2], y_train=LABELS[:2], x_test=IMAGES[2:], y_test=LABELS[2:])
    assert_is_labelled(read_delivery(tmp_path / "both.npz", DIGITS))
    assert_is_labelled(read_delivery(tmp_path / "keras.NPZ.npz", DIGITS))


def test_folders_are_the_classes_of_their_names_whatever_is_missing(tmp_path):
    folder = write_shapes(tmp_path / "new", per_class=2, names=("square", "disc"))
    assert read_delivery(folder, NAMES).labels.tolist() == [1, 1, 3, 3]


def test_numbers_are_classes_by_name_or_count_from_the_first_class_without_one(tmp_path):
    np.savez(tmp_path / "new.npz", images=IMAGES, labels=np.array([3, 3, 0, 2, 1, 1]))
    assert read_delivery(tmp_path / "new.npz", ("3", "2", "0", "1")).labels.tolist() == [0, 0, 2, 1, 3, 3]
    assert read_delivery(tmp_path / "new.npz", NAMES).labels.tolist() == [3, 3, 0, 2, 1, 1]


def test_a_class_that_the_data_set_lacks_is_refused_by_name(tmp_path):
    np.savez(tmp_path / "new.npz", images=IMAGES, labels=np.array([3, 3, 0, 2, 1, 17]))
    assert "classes that the data set lacks: 17; its classes are 0, 1, 2, 3, 4, …" in refusal(tmp_path / "new.npz")
    assert "lacks: 0, 1, 2, 17; its classes are 3, 5" in refusal(tmp_path / "new.npz", ("3", "5"))
    folder = write_shapes(tmp_path / "new", per_class=1)
    assert "lacks: ring; its" in refusal(folder, ("cross", "disc", "square"))


def test_what_is_no_delivery_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("three")
    assert "none of IDX files, a folder of pictures, or a .npz" in refusal(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    assert "holds no image" in refusal(tmp_path / "empty")
    np.savez(tmp_path / "wide.npz", images=np.zeros((3, 32, 32), np.uint8))
    assert "images are 28x28" in refusal(tmp_path / "wide.npz")
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", LABELS[:5])
    assert "one for each of 6 images" in refusal(tmp_path / "t10k-images-idx3-ubyte.gz")


def test_labels_of_some_images_only_are_refused(tmp_path):
    write_idx(tmp_path / "a-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "a-labels-idx1-ubyte.gz", LABELS)
    shutil.copy(tmp_path / "a-images-idx3-ubyte.gz", tmp_path / "b-images-idx3-ubyte.gz")
    assert "b-images-idx3-ubyte.gz: has no labels beside it" in refusal(tmp_path)
