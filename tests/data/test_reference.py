"""The reference of images of a user's own: made once, reviewed by a person, and what later images are held against."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from dcgan.data.expectations import check_expectations
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.reference import reference_of
from dcgan.data.specs import DataFacts
from dcgan.system.errors import BadDataError
from own_images import SHAPES, shapes

NAMES = tuple(SHAPES)
Arrays = dict[str, np.ndarray]


def delivery(*, seed: int = 0, per_class: int = 60) -> Arrays:
    arrays = {}
    for split, count in (("train", per_class), ("test", per_class // 3)):
        arrays[f"{split}_images"] = np.concatenate([shapes(name, count, seed=seed + len(split)) for name in NAMES])
        arrays[f"{split}_labels"] = np.arange(4).repeat(count)
    return arrays


def facts_of(arrays: Arrays, path: Path, names: tuple[str, ...] = NAMES) -> DataFacts:
    table = image_table(arrays)
    return reference_of(table, summarise_splits(table, num_classes=len(names)), names, path=path)


def failures(arrays: Arrays, facts: DataFacts, folder: Path) -> list[str]:
    table = image_table(arrays)
    found = check_expectations(table, summarise_splits(table, num_classes=4), facts, data_docs=folder)
    return [each.description for each in found if not each.success]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("workspace") / "data/reference/bounds.yaml"
    facts_of(delivery(), path)
    return path


def test_the_first_images_keep_their_own_bounds_which_are_told_once_and_written_the_same(path, tmp_path, capsys):
    first = facts_of(delivery(), tmp_path / "bounds.yaml")
    assert "bounds.yaml: new, the bounds that these images show; review and commit it" in capsys.readouterr().out
    assert (tmp_path / "bounds.yaml").read_bytes() == path.read_bytes()
    assert facts_of(delivery(), path) == first
    assert capsys.readouterr().out == ""
    assert failures(delivery(), first, tmp_path) == []


def test_other_images_of_the_same_kind_pass_and_may_be_a_few_more(path, tmp_path):
    for seed, per_class in ((5, 40), (6, 60), (7, 100)):
        assert failures(delivery(seed=seed, per_class=per_class), facts_of(delivery(), path), tmp_path) == []


def test_of_few_images_the_bounds_leave_room_for_chance(tmp_path):
    few = facts_of(delivery(per_class=15), tmp_path / "bounds.yaml")
    for seed in range(20, 26):
        assert failures(delivery(seed=seed, per_class=15), few, tmp_path) == []


def shifted(arrays: Arrays) -> None:
    arrays["train_images"] = np.roll(arrays["train_images"], 6, axis=1)


def inverted(arrays: Arrays) -> None:
    for split in ("train", "test"):
        arrays[f"{split}_images"] = 255 - arrays[f"{split}_images"]


def faint(arrays: Arrays) -> None:
    arrays["test_images"] = arrays["test_images"] // 2


def noisy(arrays: Arrays) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, arrays["train_images"].shape)
    arrays["train_images"] = np.clip(arrays["train_images"] + noise, 0, 255).astype(np.uint8)


def relabelled(arrays: Arrays) -> None:
    arrays["train_labels"] = np.where(arrays["train_labels"] == 3, 0, arrays["train_labels"])


def shared(arrays: Arrays) -> None:
    arrays["test_images"][:3] = arrays["train_images"][:3]


def blank(arrays: Arrays) -> None:
    arrays["train_images"][7] = 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (shifted, "centre_y is between"),
        (inverted, "train: mean of all pixels is between"),
        (faint, "ink_max is between"),
        (noisy, "ink_share is between"),
        (relabelled, "train: share of class 3 is between 0.175 and 0.325"),
        (shared, "at most 0 images have a copy in the other split"),
        (blank, "no image is blank"),
    ],
)
def test_a_delivery_of_another_kind_fails_with_what_differs(path, tmp_path, change, told):
    arrays = delivery(seed=5)
    change(arrays)
    found = failures(arrays, facts_of(delivery(), path), tmp_path)
    assert [each for each in found if each.startswith(told)], found


def test_what_a_person_changed_counts(path, tmp_path):
    content = yaml.safe_load(path.read_text())
    content["train"]["mean"] = [0.5, 0.6]
    (tmp_path / "bounds.yaml").write_text(yaml.safe_dump(content))
    facts = facts_of(delivery(), tmp_path / "bounds.yaml")
    assert failures(delivery(), facts, tmp_path) == ["train: mean of all pixels is between 0.5 and 0.6"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop("test"), r"'test' is missing"),
        (lambda content: content["train"]["shares"].pop("disc"), r"'disc' is missing"),
        (lambda content: content["images"].update(ink_mean=[1, 0]), r"images\.ink_mean: expected \[lowest, highest\]"),
        (lambda content: content["images"].update(ink=[0, 1]), r"images\.ink is unknown"),
        (lambda content: content.update(mostly="all"), r"could not convert"),
        (lambda content: content.update(classes=["a"]), r"'a' is missing"),
        (lambda content: content.clear(), r"'train' is missing|'classes' is missing"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_with_the_way_out(path, tmp_path, change, told):
    content = yaml.safe_load(path.read_text())
    change(content)
    (tmp_path / "bounds.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        BadDataError, match=rf"bounds\.yaml: .*({told}).*correct it, or delete it: the next `dvc repro`"
    ):
        facts_of(delivery(), tmp_path / "bounds.yaml")


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\xff"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "bounds.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadDataError, match="not the bounds that validate writes"):
        facts_of(delivery(per_class=6), tmp_path / "bounds.yaml")


def test_images_of_other_classes_are_refused_by_their_names(path):
    with pytest.raises(BadDataError, match="is of the classes cross, disc, ring, square; the images have a, b, c, d"):
        facts_of(delivery(), path, ("a", "b", "c", "d"))
