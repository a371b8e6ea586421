"""Images of a user's own in each form that is taken, and everything that is refused, each in one line."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan.config.params_file import changed
from dcgan.config.schema import Params
from dcgan.data.classes import select_classes
from dcgan.data.files import array_files, pictures, read_arrays, read_class_names, read_own, write_own
from dcgan.system.errors import BadDataError, UsageError
from own_images import SHAPES, letters, shapes, write_letters, write_shapes

NAMES = tuple(SHAPES)
OWN = {"data.name": "images", "model.num_classes": 4, "evaluate.num_samples": 100}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shapes(tmp_path / "own", per_class=21)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.copy()


def refusal(source: Path, **asked) -> str:
    with pytest.raises(BadDataError) as refused:
        read_own(source, **asked)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_a_class_gives_labels_by_name_and_every_seventh_image_is_for_testing(folder):
    found = read_own(folder)
    assert found.class_names == NAMES
    assert np.bincount(found.arrays["train_labels"]).tolist() == [18] * 4
    discs = shapes("disc", 21)
    np.testing.assert_array_equal(found.arrays["test_images"][found.arrays["test_labels"] == 1], discs[[6, 13, 20]])
    np.testing.assert_array_equal(found.arrays["train_images"][18:24], discs[:6])


def test_folders_named_train_and_test_are_the_splits(tmp_path):
    write_shapes(tmp_path / "own/train", per_class=10)
    write_shapes(tmp_path / "own/test", per_class=3, seed=1)
    found = read_own(tmp_path / "own")
    assert (len(found.arrays["train_labels"]), len(found.arrays["test_labels"])) == (40, 12)
    np.testing.assert_array_equal(found.arrays["test_images"][:3], shapes("cross", 3, seed=1))


def test_a_path_that_is_not_there_is_refused_by_the_stage_that_reads_it(tmp_path):
    params = changed(Params(), OWN | {"data.path": str(tmp_path / "nowhere")})
    with pytest.raises(UsageError, match=r"data.path: \S*nowhere: no such folder or file; correct it"):
        write_own(params, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_images_without_folders_are_one_class(tmp_path):
    flat = write_shapes(tmp_path, per_class=70, names=("disc",)) / "disc"
    found = read_own(flat)
    assert (found.class_names, set(found.arrays["train_labels"])) == (("all",), {0})


@pytest.mark.parametrize("suffix", sorted(pictures.SUFFIXES))
def test_every_kind_of_picture_holds_the_same_pixels(folder, suffix):
    before = read_own(folder).arrays["train_images"]
    for path in folder.glob("*/*.png"):
        opened(path).save(path.with_suffix(suffix), **({"quality": 100} if "jp" in suffix else {}))
        if suffix != ".png":
            path.unlink()
    after = read_own(folder).arrays["train_images"]
    assert np.abs(after.astype(int) - before).max() <= (3 if "jp" in suffix else 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_grey_in_other_modes_is_grey(folder, mode):
    before = read_own(folder).arrays["train_images"]
    for path in folder.glob("disc/*.png"):
        opened(path).convert(mode).save(path)
    np.testing.assert_array_equal(read_own(folder).arrays["train_images"], before)


def test_what_desktops_leave_beside_images_is_passed_over(folder):
    for name in ("README.md", ".DS_Store", "disc/Thumbs.db", "ring/.hidden.png"):
        (folder / name).write_text("x")
    assert len(read_own(folder).arrays["train_labels"]) == 72


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_taken_packed_or_not(tmp_path, packed):
    write_letters(tmp_path, per_class=12)
    if not packed:
        for path in tmp_path.glob("*.gz"):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    found = read_own(tmp_path)
    assert found.class_names == tuple(map(str, range(26)))
    np.testing.assert_array_equal(found.arrays["train_images"], letters(12, seed=5)[0])


def test_an_npz_is_taken_as_keras_and_as_this_project_write_it(tmp_path):
    images, labels = letters(7)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    assert np.bincount(read_own(tmp_path).arrays["test_labels"]).tolist() == [1] * 26
    np.savez(tmp_path / "a.npz", x_train=images[..., None], y_train=labels[:, None], x_test=images, y_test=labels)
    found = read_own(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.arrays["train_images"], images)
    np.savez(tmp_path / "a.npz", images=images)
    assert read_own(tmp_path).class_names == ("all",)


def spoil(folder: Path, what: str) -> None:  # noqa: PLR0912 a case each
    disc = opened(folder / "disc/0000.png")
    path = folder / "disc/0000.png"
    match what:
        case "size":
            disc.resize((32, 32)).save(path)
        case "colour":
            Image.merge("RGB", (disc, disc, Image.new("L", (28, 28), 90))).save(path)
        case "transparent":
            Image.merge("LA", (disc, Image.new("L", (28, 28), 90))).save(path)
        case "deep":
            Image.fromarray(np.asarray(disc).astype(np.uint16) * 257).save(path)
        case "damaged":
            path.write_bytes(path.read_bytes()[:100])
        case "empty file":
            path.write_bytes(b"")
        case "text":
            (folder / "disc/notes.txt").write_text("x")
        case "beside":
            disc.save(folder / "1.png")
        case "nested":
            (folder / "disc/more").mkdir()
        case "loop":
            (folder / "disc/loop").symlink_to("..")
        case "dead link":
            (folder / "disc/dead.png").symlink_to("nowhere.png")
        case "itself":
            (folder / "disc/self.png").symlink_to("self.png")
        case "few":
            shutil.rmtree(folder / "ring")
            write_shapes(folder, per_class=3, names=("ring",))
        case "no text":
            (folder / "disc").rename(folder / os.fsdecode(b"d\xff"))
        case "line end":
            (folder / "disc").rename(folder / "d\nsc")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("size", "disc/0000.png has 32x32 pixels; images are 28x28 pixels, grey, of 8 bits"),
        ("colour", "disc/0000.png has colours"),
        ("transparent", "disc/0000.png is partly transparent"),
        ("deep", "disc/0000.png has more than 8 bits a pixel"),
        ("damaged", "disc/0000.png cannot be read"),
        ("empty file", "disc/0000.png cannot be read"),
        ("text", "disc/notes.txt is none of .png"),
        ("beside", "has files beside the folders of classes (1.png)"),
        ("nested", "holds folders (more)"),
        ("loop", "holds folders (loop)"),
        ("dead link", "disc/dead.png cannot be read"),
        ("itself", "disc/self.png cannot be read"),
        ("few", "too few images of a class: ring has 3 and 0; each needs 6 for training and 1 for testing"),
        ("no text", r"the name of the folder 'd\udcff' is no plain text"),
        ("line end", r"the name of the folder 'd\nsc' is no plain text"),
    ],
)
def test_what_cannot_be_taken_is_named_with_the_reason(folder, what, told):
    spoil(folder, what)
    message = refusal(folder)
    assert message.startswith(str(folder))
    assert told in message


def test_no_more_than_five_examples_are_named_and_no_more_files_read(folder, monkeypatch):
    for path in folder.glob("*/*.png"):
        opened(path).resize((32, 32)).save(path)
    tried = []
    pixels = pictures._pixels
    monkeypatch.setattr(pictures, "_pixels", lambda path: (tried.append(path), pixels(path)))
    message = refusal(folder)
    assert (message.count("32x32"), len(tried)) == (5, 5)
    assert "perhaps more" in message


def test_of_too_many_files_no_more_are_listed_than_can_be_taken(folder, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_IMAGES", 20)
    assert "holds more than the 20 images that can be taken" in refusal(folder)
    listed = []
    monkeypatch.setattr(
        pictures, "CLUTTER", type("Counting", (set,), {"__contains__": lambda _, name: listed.append(name)})()
    )
    (folder / "flat").mkdir()
    for number in range(1000):
        (folder / f"flat/{number}.png").touch()
    refusal(folder / "flat")
    assert len(listed) < 100


def test_a_folder_without_images_says_what_to_put_there(tmp_path):
    (tmp_path / "README.md").write_text("x")
    assert "holds no image; put a folder of pictures for each class there" in refusal(tmp_path)
    assert "no such" in refusal(tmp_path / "nowhere").lower()
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert "neither a folder nor a .npz" in refusal(tmp_path / "a.zip")


def test_more_than_100_classes_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((707, 28, 28), np.uint8), labels=np.arange(707) % 101)
    assert "has 101 classes; at most 100 can be taken (data.classes)" in refusal(tmp_path)


def test_labels_that_skip_a_number_come_with_the_way_out_which_works(tmp_path):
    images, labels = letters(7)
    np.savez(tmp_path / "a.npz", images=images, labels=labels + 1)
    message = refusal(tmp_path)
    assert "labels skip 0; number them from 0, or take those that are there: data.classes: [1, 2, 3," in message
    found = read_own(tmp_path, classes=list(range(1, 27)))
    arrays, names = select_classes(found.arrays, found.class_names, list(range(1, 27)))
    assert (names[0], names[-1], set(arrays["train_labels"])) == ("1", "26", set(range(26)))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"images": np.zeros((9, 32, 32), np.uint8)}, "uint8 of shape [9, 32, 32]"),
        ({"images": np.zeros((9, 28, 28), np.float32)}, "float32 of shape [9, 28, 28]"),
        ({"images": np.zeros((9, 28, 28), np.uint8), "labels": np.zeros(8, int)}, "labels are int64 of shape [8]"),
        ({"images": np.zeros((9, 28, 28), np.uint8), "labels": np.zeros(9)}, "labels are float64"),
        ({"images": np.zeros((9, 28, 28), np.uint8), "labels": -np.ones(9, int)}, "the label -1 is out of range"),
        ({"pictures": np.zeros(3)}, "holds pictures; x_train and y_train, or images, are needed"),
        ({"images": np.array([object()])}, "not a .npz that can be read"),
    ],
)
def test_an_npz_of_something_else_says_what_it_holds(tmp_path, arrays, told):
    np.savez(tmp_path / "a.npz", **arrays)
    assert told in refusal(tmp_path)


def test_a_damaged_npz_or_idx_file_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "a.npz: not a .npz that can be read" in refusal(tmp_path)
    (tmp_path / "a.npz").unlink()
    write_letters(tmp_path, per_class=7)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    assert "cannot be read" in refusal(tmp_path)
    images.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    assert "142,687 bytes after its header" in refusal(tmp_path)
    images.write_bytes(gzip.compress(b"\0\0\x0d\x03" + bytes(12)))
    assert "not an IDX file of bytes: it starts with 0x00000d03" in refusal(tmp_path)
    images.unlink()
    assert "train-images-idx3-ubyte: missing, beside" in refusal(tmp_path)
    monkeypatch.setattr(array_files, "MAX_IMAGES", 100)
    images.write_bytes(whole)
    assert "at most 100 can be taken" in refusal(tmp_path)


def test_a_bright_ground_is_told_and_taken(folder, capsys):
    read_own(folder)
    assert capsys.readouterr().err == ""
    for path in folder.glob("*/*.png"):
        Image.fromarray(255 - np.asarray(opened(path))).save(path)
    assert read_own(folder).arrays["train_images"].mean() > 128
    assert "the ground is bright" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"model.num_classes": 10},
            r"model\.num_classes: 10, but .*own has 4 classes \(cross, disc, ring, square\); set it to 4",
        ),
        (
            {"model.num_classes": 1, "model.conditional": False, "data.classes": [4]},
            r"data\.classes: 4 is no class of .*own, which has 0 to 3",
        ),
        (
            {"evaluate.num_samples": 5000},
            r"evaluate\.num_samples: 5,000 is more than the 120 training images of images",
        ),
        (
            {"model.num_classes": 2, "data.classes": [0, 2], "train.batch_size": 16},
            r"evaluate\.num_samples: 100 is more than the 60 training images of the classes chosen",
        ),
    ],
)
def test_params_that_do_not_go_with_the_images_are_refused_with_the_value_to_set(tmp_path, changes, told):
    folder = write_shapes(tmp_path / "own", per_class=35)
    params = changed(Params(), OWN | {"data.path": str(folder)} | changes)
    with pytest.raises(UsageError, match=told):
        write_own(params, tmp_path / "raw")


def test_what_is_written_is_read_and_equal_images_give_equal_bytes(tmp_path):
    folder = write_shapes(tmp_path / "own", per_class=35)
    params = changed(Params(), OWN | {"data.path": str(folder)})
    written = []
    for name in ("one", "two"):
        write_own(params, tmp_path / name)
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    arrays = read_arrays("images", tmp_path / "one")
    for key, array in read_own(folder).arrays.items():
        np.testing.assert_array_equal(arrays[key], array)
    assert read_class_names("images", tmp_path / "one") == NAMES


def test_a_subset_of_classes_is_numbered_anew_in_the_order_of_the_old_labels(folder):
    arrays, names = select_classes(*read_own(folder), [3, 1])
    assert names == ("disc", "square")
    np.testing.assert_array_equal(arrays["train_images"][arrays["train_labels"] == 1][:6], shapes("square", 21)[:6])
