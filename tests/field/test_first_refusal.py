"""What a later stage would refuse is refused by the first one, before anything is computed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dcgan.config.params_file import load_params
from dcgan.system.errors import UsageError
from support import ROOT
from tiny_workspace import new_workspace, run_stage


def written(folder: Path, **sections: dict) -> Path:
    """The repository's params.yaml, with other values."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in sections.items():
        content[section] = {**(content.get(section) or {}), **values}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


LATE = {
    "another data set, as the comment in params.yaml offers": (
        {"data": {"name": "digits"}},
        "evaluate.num_samples: 10,000 is more than the 1,442 training images of digits; lower it",
    ),
    "a file that evaluate reads": (
        {"evaluate": {"inception_weights": "weights.pth"}},
        "evaluate.inception_weights: weights.pth: no such file; correct it, or set it to null",
    ),
    "a graph without a GPU": (
        {"train": {"cuda_graph": "on", "device": "cpu"}},
        "train.cuda_graph: on needs a GPU, but train.device is cpu; set one of them to auto",
    ),
    "a graph with dropout": (
        {"train": {"cuda_graph": "on"}, "model": {"discriminator_dropout": 0.1}},
        "train.cuda_graph: dropout is random, and a graph would repeat it; set model.discriminator_dropout: 0, or",
    ),
}


@pytest.mark.parametrize("what", LATE)
def test_the_first_stage_that_reads_the_parameters_refuses(tmp_path, what):
    sections, told = LATE[what]
    with pytest.raises(UsageError, match=re.escape(told)):
        load_params(written(tmp_path, **sections))


def test_a_subset_with_too_few_images_is_refused_by_the_first_stage(tmp_path):
    changes = {"data": {"name": "digits", "classes": [3, 5, 8]}, "evaluate": {"num_samples": 1000}}
    written(tmp_path, **changes)
    done = run_stage("download", tmp_path)
    told = "error: evaluate.num_samples: 1,000 is more than the 433 training images of the classes chosen; lower it\n"
    assert (done.returncode, done.stderr, [path.name for path in tmp_path.iterdir()]) == (64, told, ["params.yaml"])


def test_a_file_that_is_there_is_accepted_relative_to_the_parameters(tmp_path):
    (tmp_path / "weights.pth").touch()
    path = written(tmp_path, evaluate={"inception_weights": "weights.pth"})
    assert load_params(path).evaluate.inception_weights == "weights.pth"


@pytest.mark.slow
def test_what_the_training_of_the_gan_needs_is_asked_before_a_classifier_is_trained(tmp_path):
    done = run_stage("train_classifier", new_workspace(tmp_path, train={"cuda_graph": "on", "device": "auto"}))
    assert (done.returncode, done.stderr) == (
        64,
        "error: train.cuda_graph: on cannot be: there is no GPU in use (cpu)\n",
    )


@pytest.mark.parametrize(("root", "stays"), [(".", True), ("..", False)])
def test_a_value_that_dvc_leaves_in_the_file_is_told_to_stay_there(tmp_path, monkeypatch, root, stays):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, train={"epoch": 1})
    monkeypatch.setenv("DVC_ROOT", str((tmp_path / root).resolve()))
    monkeypatch.setenv("DVC_EXP_NAME", "agile-hens")
    told = "params.yaml: unknown parameter train.epoch; did you mean train.epochs?"
    with pytest.raises(UsageError, match=re.escape(told)) as refused:
        load_params(Path("params.yaml"))
    assert (" (it stays in params.yaml until you take it out)" in str(refused.value)) is stays


def test_a_suggestion_has_to_be_like_the_word(tmp_path):
    with pytest.raises(UsageError) as refused:
        load_params(written(tmp_path, model={"architecture": "stylegan"}))
    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize("script", ["preset.py fast", pytest.param("ablation.py", marks=pytest.mark.slow)])
def test_a_script_in_another_folder_says_where_it_belongs(tmp_path, script):
    name, *arguments = script.split()
    command = [sys.executable, ROOT / "experiments" / name, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = f"error: params.yaml: missing in {tmp_path}; run from the folder that holds it\n"
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (64, told, [])
