"""Presets, ablation rows and members of the zoo fit the parameters that there are."""

import csv
from pathlib import Path

import pytest
import yaml

from dcgan.config.params_file import load_params, params_sha256
from dcgan.config.schema import flatten
from dcgan.system.errors import UsageError
from recipe_changes import changed_params, write_changed

ROOT = Path(__file__).parents[2]
ABLATION = yaml.safe_load((ROOT / "experiments/ablation.yaml").read_text())
ZOO = yaml.safe_load((ROOT / "experiments/zoo.yaml").read_text())
PRESETS = yaml.safe_load((ROOT / "experiments/presets.yaml").read_text())


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("row", ABLATION["rows"])
def test_every_row_of_the_ablation_is_a_recipe_of_its_own(row):
    changes = ABLATION["base"] | ABLATION["rows"][row]
    assert (changed_params(changes) == changed_params(ABLATION["base"])) == (row == "default")


@pytest.mark.parametrize("member", ZOO["members"])
def test_every_member_of_the_zoo_fits_and_is_told_about(member):
    params = ZOO["members"][member]["params"]
    flat = flatten(changed_params(ZOO["base"] | params))
    assert {name: flat[name] for name in params} == params
    assert all(ZOO["members"][member][text] for text in ("idea", "source", "expect"))


def test_the_page_of_the_zoo_shows_every_member_as_it_was_measured():
    """The table and the pictures are of these very recipes: a changed member has to be trained again."""
    page = (ROOT / "docs/zoo.md").read_text()
    with (ROOT / "experiments/zoo.csv").open(newline="") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    for name, member in ZOO["members"].items():
        params = changed_params(ZOO["base"] | member["params"])
        assert rows[name]["recipe"] == params_sha256(params)[:8], name
        assert f"| [{name}](#{name}) | {float(rows[name]['fcd']):.2f} |" in page
        assert (ROOT / f"docs/images/zoo/{name}.png").is_file()
        assert member["idea"] in page


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_and_says_what_to_expect(preset):
    flat = flatten(changed_params(PRESETS[preset]["params"]))
    assert {name: flat[name] for name in PRESETS[preset]["params"]} == PRESETS[preset]["params"]
    assert PRESETS[preset]["expects"]


def test_presets_replace_each_other_wholly_and_the_default_is_params_yaml():
    assert len({frozenset(preset["params"]) for preset in PRESETS.values()}) == 1
    assert changed_params(PRESETS["default"]["params"]) == load_params(ROOT / "params.yaml")


def test_changed_params_keep_their_comments_and_everything_else(tmp_path):
    write_changed({"train.epochs": 99}, tmp_path / "params.yaml")
    before, after = Path("params.yaml").read_text(), (tmp_path / "params.yaml").read_text()
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert changed == ["  epochs: 99"]
    assert load_params(tmp_path / "params.yaml").train.epochs == 99


def test_an_unknown_parameter_is_answered_by_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"unknown parameter train\.epoch; did you mean train\.epochs\?"):
        write_changed({"train.epoch": 9}, tmp_path / "params.yaml")
    assert not (tmp_path / "params.yaml").exists()
