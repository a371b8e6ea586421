from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dcgan.data.files import read_arrays, write_digits
from dcgan.data.image_table import image_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_digits(folder)
    return folder


@pytest.fixture(scope="module")
def arrays(folder: Path) -> dict[str, np.ndarray]:
    return read_arrays("digits", folder)


def test_equal_bytes_are_written_again(folder, tmp_path):
    paths = write_digits(tmp_path)
    assert [path.read_bytes() for path in paths] == [(folder / path.name).read_bytes() for path in paths]


def test_a_fifth_of_each_class_is_for_testing(arrays):
    train, test = (np.bincount(arrays[f"{split}_labels"]) for split in ("train", "test"))
    np.testing.assert_array_equal(train + test, np.bincount(load_digits().target))
    np.testing.assert_array_equal(test, (train + test) // 5)


def test_images_lie_in_a_box_of_twenty_around_their_centre_of_mass(arrays):
    table = image_table(arrays)
    assert table[["box_height", "box_width"]].to_numpy().max() == 20
    centres = table[["centre_y", "centre_x"]].to_numpy()
    assert centres.min() >= 13.5
    assert centres.max() <= 14.5


def test_a_digit_keeps_its_ink(arrays):
    digits = load_digits()
    first_zero = digits.images[np.flatnonzero(digits.target == 0)[0]]
    drawn = arrays["train_images"][np.flatnonzero(arrays["train_labels"] == 0)[0]]
    # Scaling by 2.5 in both directions multiplies the ink by 6.25.
    assert drawn.sum() / 255 == pytest.approx(6.25 * first_zero.sum() / 16, rel=0.05)  # bicubic overshoots are cut off
    assert len(np.unique(drawn)) > 50  # smooth strokes: the 17 levels of the original are not just repeated
