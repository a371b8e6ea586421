import hashlib

import numpy as np
import pytest

from dcgan.data import image_table as module
from dcgan.data.image_table import image_table, summarise_splits
from tiny_data import tiny_arrays


def arrays_of(*images: np.ndarray) -> dict[str, np.ndarray]:
    """The images as training set, and one other image as test set."""
    labels = np.arange(len(images), dtype=np.uint8)
    train = {"train_images": np.stack(images), "train_labels": labels}
    return train | {"test_images": np.full((1, 28, 28), 7, np.uint8), "test_labels": labels[:1]}


def test_two_pixels_give_the_numbers_worked_out_by_hand():
    image = np.zeros((28, 28), np.uint8)
    image[4, 10] = 51
    image[8, 20] = 153
    row = image_table(arrays_of(image)).iloc[0]
    assert row["ink_mean"] == pytest.approx((0.2 + 0.6) / 784)
    assert row["ink_std"] == pytest.approx(((0.2**2 + 0.6**2) / 784 - (0.8 / 784) ** 2) ** 0.5)
    assert row["ink_share"] == pytest.approx(2 / 784)
    assert (row["ink_min"], row["ink_max"]) == (0, 153)
    assert (row["centre_y"], row["centre_x"]) == (7, 17.5)  # three quarters of the way to the brighter pixel
    assert (row["box_height"], row["box_width"]) == (5, 11)
    assert (row["height"], row["width"]) == (28, 28)
    assert row["sha256"] == hashlib.sha256(image.tobytes()).hexdigest()


def test_a_blank_image_has_no_centre_and_an_empty_box():
    row = image_table(arrays_of(np.zeros((28, 28), np.uint8))).iloc[0]
    assert np.isnan(row["centre_y"])
    assert np.isnan(row["centre_x"])
    assert (row["box_height"], row["box_width"], row["ink_max"], row["ink_share"]) == (0, 0, 0, 0)


def test_only_images_with_a_copy_in_the_other_split_are_shared():
    arrays = tiny_arrays()
    arrays["train_images"][3] = arrays["test_images"][5]
    arrays["train_images"][8] = arrays["train_images"][7]
    table = image_table(arrays)
    shared = table[table["is_shared"]]
    assert list(zip(shared["split"], shared["index"], strict=True)) == [("train", 3), ("test", 5)]


def test_chunks_do_not_show(monkeypatch):
    whole = image_table(tiny_arrays())
    monkeypatch.setattr(module, "CHUNK", 7)
    assert image_table(tiny_arrays()).equals(whole)


def test_the_summary_is_that_of_all_pixels():
    arrays = tiny_arrays()
    arrays["train_labels"][0] = 9
    summary = summarise_splits(image_table(arrays))
    pixels = arrays["train_images"] / 255
    assert (summary["train"]["images"], summary["train"]["class_counts"]) == (40, [3, *[4] * 8, 5])
    assert summary["train"]["mean"] == pytest.approx(pixels.mean(), abs=1e-6)
    assert summary["train"]["std"] == pytest.approx(pixels.std(), abs=1e-6)
    assert summary["test"]["class_counts"] == [4] * 10
