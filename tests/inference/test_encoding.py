"""Samples as PNG grids and as arrays."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from dcgan.inference.encoding import Samples, encode_npy, encode_npz, encode_png, grid_columns, to_grid

IN_TURN = np.arange(100_000) % 10


def samples(count: int, *, labels: list[int] | None) -> Samples:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    chosen = None if labels is None else np.resize(np.array(labels, np.int64), count)
    return Samples(pixels=pixels, labels=chosen, seed=4, truncation=0.5, model_sha256="a" * 64)


def test_a_png_holds_the_grid_and_its_origin():
    drawn = samples(20, labels=[*range(10)])
    image = Image.open(io.BytesIO(encode_png(drawn)))
    assert (image.mode, image.size) == ("L", (10 * 30 + 2, 2 * 30 + 2))
    np.testing.assert_array_equal(image, to_grid(drawn.pixels, columns=10))
    origin = {"seed": "4", "digits": "0 1 2 3 4 5 6 7 8 9", "truncation": "0.5", "model_sha256": "a" * 64}
    assert image.text == origin


def test_arrays_hold_pixels_labels_and_origin_and_no_time():
    drawn = samples(5, labels=[3, 8])
    np.testing.assert_array_equal(np.load(io.BytesIO(encode_npy(drawn))), drawn.pixels)
    content = encode_npz(drawn)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], drawn.pixels)
        assert arrays["labels"].tolist() == [3, 8, 3, 8, 3]
        told = int(arrays["seed"]), float(arrays["truncation"]), str(arrays["model_sha256"])
    assert told == (4, 0.5, "a" * 64)
    assert {entry.date_time[0] for entry in zipfile.ZipFile(io.BytesIO(content)).infolist()} == {1980}


def test_an_unconditional_models_samples_have_no_labels():
    drawn = samples(5, labels=None)
    assert "labels" not in np.load(io.BytesIO(encode_npz(drawn)))
    image = Image.open(io.BytesIO(encode_png(drawn)))
    assert image.size == (3 * 30 + 2, 2 * 30 + 2)
    assert "digits" not in image.text


@pytest.mark.parametrize(
    ("labels", "count", "columns"),
    [
        (IN_TURN, 64, 10),
        (IN_TURN, 100, 10),
        (IN_TURN, 1000, 30),
        (IN_TURN, 100_000, 320),
        (IN_TURN, 4, 4),
        (None, 64, 8),
        (None, 65, 9),
        (None, 1, 1),
        (np.full(64, 3), 64, 8),
    ],
)
def test_a_grid_is_near_square_unless_digits_come_in_turn(labels, count: int, columns: int) -> None:
    assert grid_columns(None if labels is None else labels[:count], count) == columns


def test_a_grid_is_filled_row_by_row_with_gaps_of_two() -> None:
    pixels = np.arange(1, 6, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    grid = to_grid(pixels, columns=3)
    assert grid.shape == (62, 92)
    for index, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        top, left = 2 + 30 * row, 2 + 30 * column
        assert np.all(grid[top : top + 28, left : left + 28] == index + 1)
        grid[top : top + 28, left : left + 28] = 0
    assert not grid.any()


@pytest.mark.parametrize(("count", "columns"), [(100, 26), (26 * 26, 26), (5, 5)])
def test_all_classes_in_turn_keep_to_their_columns_whatever_their_number(count, columns):
    assert grid_columns(np.arange(count) % 26, count, num_classes=26) == columns
