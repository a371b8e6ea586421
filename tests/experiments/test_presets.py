"""`experiments/preset.py`: values of a preset in params.yaml, everything else as it was."""

import subprocess
import sys

import pytest
import yaml

from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import Params
from support import ROOT

PRESETS = yaml.safe_load((ROOT / "experiments/presets.yaml").read_text())
WRITTEN = """\
# mine
data: {name: kmnist}  # not mnist

train:
  epochs: 5  # short
  generator_learning_rate: 2.0e-4
gates: {}
"""


def preset(folder, *arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "experiments/preset.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_presets_set_the_same_parameters_and_say_what_to_expect():
    assert len({frozenset(each["params"]) for each in PRESETS.values()}) == 1
    assert all(each["expects"] for each in PRESETS.values())
    assert changed(Params(), PRESETS["default"]["params"]) == Params()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_written_between_what_stays(tmp_path, name):
    path = tmp_path / "params.yaml"
    path.write_text(WRITTEN)
    before = load_params(path)
    done = preset(tmp_path, name)
    assert done.returncode == 0, done.stderr
    assert load_params(path) == changed(before, PRESETS[name]["params"])
    lines = [" ".join(line.split()) for line in path.read_text().splitlines()]
    kept = [" ".join(line.split()) for line in WRITTEN.replace("5", str(load_params(path).train.epochs)).splitlines()]
    assert [line for line in lines if line in kept] == kept


def test_presets_are_listed(tmp_path):
    done = preset(tmp_path)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == list(PRESETS)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fast", None, "params.yaml: missing in "),
        ("fst", WRITTEN, "fst;"),
        ("fast", "train: {epoch: 3}\n", "train.epoch;"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, text, message):
    path = tmp_path / "params.yaml"
    if text:
        path.write_text(text)
    done = preset(tmp_path, name)
    assert done.returncode == 64
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (path.read_text() if path.exists() else None) == text
