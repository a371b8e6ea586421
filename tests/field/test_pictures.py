"""Pictures as tools write them, for `dcgan project`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan.commands.pictures import pictures_in, read_picture
from dcgan.data.batches import to_pixels
from dcgan.system.errors import BadDataError

DIGIT = np.zeros((28, 28), np.uint8)
DIGIT[4:24, 12:17] = np.linspace(60, 255, 20, dtype=np.uint8)[:, None]
DIGIT[4:24, 11] = 30
INK = np.where(DIGIT > 0, 255, 0).astype(np.uint8)
"""The same shape, all of it equally bright."""


def with_alpha(colour: int, alpha: np.ndarray) -> Image.Image:
    return Image.merge("LA", [Image.new("L", (28, 28), colour), Image.fromarray(alpha)])


def grey_palette() -> Image.Image:
    """Indices that are no brightnesses: the palette goes from white to black."""
    picture = Image.fromarray(255 - DIGIT, mode=None).convert("L")
    indexed = Image.frombytes("P", (28, 28), picture.tobytes())
    indexed.putpalette([255 - index // 3 for index in range(768)])
    return indexed


TOOLS = {
    "grey": (Image.fromarray(DIGIT), None),
    "RGB": (Image.fromarray(DIGIT).convert("RGB"), None),
    "RGBA, opaque": (Image.fromarray(DIGIT).convert("RGBA"), None),
    "16 bits": (Image.fromarray(DIGIT.astype(np.uint16) * 257), "scaled to 8"),
    "16 bits, 8 used": (Image.fromarray(DIGIT.astype(np.uint16)), "of which it uses 8"),
    "32 bits": (Image.fromarray(DIGIT.astype(np.int32)), "of which it uses 8"),
    "palette": (grey_palette(), None),
    "dark on light": (Image.fromarray(255 - DIGIT), "inverted"),
    "dark on light in RGB": (Image.fromarray(255 - DIGIT).convert("RGB"), "inverted"),
    "dark on light in 16 bits": (Image.fromarray((255 - DIGIT).astype(np.uint16) * 257), "scaled to 8; dark ink"),
    "black on nothing": (with_alpha(0, DIGIT), "opaque pixels taken as ink"),
    "white on nothing": (with_alpha(255, DIGIT), "opaque pixels taken as ink"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_unambiguous_is_converted_and_told(tmp_path, capsys, tool):
    picture, told = TOOLS[tool]
    path = tmp_path / "3.tiff"  # which keeps every mode
    picture.save(path)
    assert np.array_equal(to_pixels(read_picture(path).unsqueeze(0))[0].numpy(), DIGIT)
    printed = capsys.readouterr().out
    assert (told in printed and printed.startswith(f"note: {path}: ")) if told else printed == ""


@pytest.mark.parametrize("tool", ["16 bits", "RGBA, opaque", "dark on light", "black on nothing"])
def test_a_png_is_read_alike(tmp_path, tool):
    TOOLS[tool][0].save(tmp_path / "3.png")
    assert np.array_equal(to_pixels(read_picture(tmp_path / "3.png").unsqueeze(0))[0].numpy(), DIGIT)


def test_a_bilevel_picture_on_paper_is_inverted(tmp_path):
    Image.fromarray(255 - INK).convert("1").save(tmp_path / "3.png")
    assert np.array_equal(to_pixels(read_picture(tmp_path / "3.png").unsqueeze(0))[0].numpy(), INK)


def test_a_grey_jpeg_in_colour_channels_is_grey(tmp_path):
    Image.fromarray(DIGIT).convert("RGB").save(tmp_path / "3.jpg", quality=95)
    found = to_pixels(read_picture(tmp_path / "3.jpg").unsqueeze(0))[0].numpy()
    assert np.abs(found.astype(int) - DIGIT).max() < 40


def turned(path: Path) -> None:
    picture = Image.fromarray(np.rot90(DIGIT).copy())
    exif = picture.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to show it
    picture.save(path, exif=exif)


def test_a_picture_is_turned_as_its_tag_says(tmp_path):
    turned(tmp_path / "3.png")
    assert np.array_equal(to_pixels(read_picture(tmp_path / "3.png").unsqueeze(0))[0].numpy(), DIGIT)


AMBIGUOUS = {
    "in colour": (Image.new("RGB", (28, 28), (200, 10, 10)), "has colours"),
    "of another size": (Image.fromarray(DIGIT).resize((32, 30)), "has 32x30 pixels"),
    "grey behind transparency": (Image.merge("LA", [Image.fromarray(DIGIT), Image.fromarray(INK)]), "partly transpar"),
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_what_is_ambiguous_is_refused_with_the_option_that_converts_it(tmp_path, kind):
    picture, problem = AMBIGUOUS[kind]
    picture.save(tmp_path / "3.png")
    with pytest.raises(BadDataError, match=f"3.png: .*{problem}.*; 28x28 pixels in grey are needed.* --convert "):
        read_picture(tmp_path / "3.png")
    assert read_picture(tmp_path / "3.png", convert=True).shape == (1, 28, 28)


def test_frames_are_refused_and_the_first_is_taken_if_asked_for(tmp_path):
    Image.fromarray(INK).save(tmp_path / "3.gif", save_all=True, append_images=[Image.fromarray(255 - INK)])
    with pytest.raises(BadDataError, match=r"has 2 frames.*--convert"):
        read_picture(tmp_path / "3.gif")
    assert np.array_equal(to_pixels(read_picture(tmp_path / "3.gif", convert=True).unsqueeze(0))[0].numpy(), INK)


def test_a_large_scan_on_paper_is_inverted_and_scaled(tmp_path):
    Image.fromarray(255 - INK).resize((280, 280), Image.Resampling.NEAREST).save(tmp_path / "scan.png")
    found = to_pixels(read_picture(tmp_path / "scan.png", convert=True).unsqueeze(0))[0].numpy()
    assert np.abs(found.astype(int) - INK).mean() < 20


def test_a_folder_is_searched_for_every_kind_but_not_for_hidden_files(tmp_path):
    for name in ("1.tif", "2.WEBP", "._1.png"):
        Image.fromarray(DIGIT).save(tmp_path / name, format="PNG")
    assert [path.name for path in pictures_in([tmp_path])] == ["1.tif", "2.WEBP"]
