"""Data of a user's own through all stages to a served image: pictures, letters in IDX files, a subset, one class."""

import json
import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest

from dcgan.commands.new import new_workspace
from dcgan.config import workspace
from dcgan.inference.generator import Generator
from dvc_workspace import in_shell
from own_images import SHAPES, write_letters, write_shapes
from service_client import Service
from support import ROOT
from tiny_workspace import write_params
from tracking_store import use_new_store

pytestmark = pytest.mark.timeout(600)
STAGES = ("download", "validate", "train_classifier", "train_witness", "train", "evaluate", "export", "register")
LETTERS = [str(number) for number in range(26)]
CASES = {
    "pictures": ({"name": "images"}, list(SHAPES)),
    "letters": ({"name": "images"}, LETTERS),
    "subset": ({"name": "digits", "classes": [3, 5, 8]}, ["3", "5", "8"]),
    "flat": ({"name": "images"}, ["all"]),
}


def write_own(what: str) -> None:
    if what == "pictures":
        write_shapes(Path("data/own"), per_class=40)
    elif what == "letters":
        write_letters(Path("data/own"), per_class=12)
    elif what == "flat":
        for path in (write_shapes(Path("shapes"), per_class=150, names=("ring",)) / "ring").iterdir():
            Path("data/own").mkdir(parents=True, exist_ok=True)
            path.rename(Path("data/own") / path.name)


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name == "letters" else ()) for name in CASES])
def finished(request, tmp_path, monkeypatch) -> tuple[str, list[str]]:
    """The current folder is a workspace in which every stage has run."""
    data, names = CASES[request.param]
    use_new_store(tmp_path, monkeypatch)
    monkeypatch.syspath_prepend(ROOT / "pipeline")
    model = {"num_classes": len(names), "conditional": len(names) > 1}
    write_params(tmp_path, data=data, model=model, train={"epochs": 1, "batch_size": 32}, classifier={"epochs": 2})
    write_own(request.param)
    for stage in STAGES:
        runpy.run_path(str(ROOT / f"pipeline/{stage}.py"))["main"]()
    return request.param, names


def test_the_data_goes_through_every_stage_to_a_served_image(finished, dcgan):
    what, names = finished
    report = json.loads(workspace.EVALUATION.read_text())
    assert len(report["class_shares"]) == len(names)
    generator = Generator.load(workspace.ONNX_GENERATOR, providers="cpu")
    metadata = {each.key: each.value for each in onnx.load(workspace.ONNX_GENERATOR).metadata_props}
    assert json.loads(metadata["class_names"]) == names
    if what == "flat":
        assert_one_class(generator, report)
        return
    last = len(names) - 1
    assert generator.info.contract.num_classes == len(names)
    assert [len(report[f"{name}_per_class"]) for name in ("fcd", "recall", "label_accuracy")] == [len(names)] * 3
    assert dcgan("generate", "--out", "x.npz", "--count", 60, "--digit", last).exit_code == 0
    drawn = np.load("x.npz")["images"]
    refused = dcgan("generate", "--out", "x.npz", "--digit", last + 1)
    assert (refused.exit_code, refused.err) == (64, f"error: digit: {last + 1} is out of range; expected 0 to {last}\n")
    with Service(workspace.ONNX_GENERATOR) as service:
        answer = service.images("application/x-npy", count=60, digits=last)
        assert np.array_equal(np.frombuffer(answer.content[-60 * 784 :], np.uint8).reshape(60, 28, 28), drawn)
        assert service.images(digits=last + 1).status_code == 422


def assert_one_class(generator: Generator, report: dict) -> None:
    """Nothing that needs classes is told."""
    assert not generator.info.contract.conditional
    nothing = [name for name, value in report.items() if value is None and not name.endswith("_spread")]
    assert set(nothing) >= {"label_accuracy", "fcd_per_class", "label_accuracy_per_class", "witness_accuracy"}
    assert report["fcd"] > 0
    assert report["discriminator"]["probes"] == {}
    for picture in ("per_digit.png", "confusion.png", "probes.png"):
        assert not (workspace.EVALUATION_FIGURES / picture).exists()
    assert generator.sample(3).shape == (3, 28, 28)


def stages_run(folder: Path, command: str = "dvc repro validate") -> list[str]:
    ended = in_shell(folder, command)
    assert ended.exit_code == 0, ended
    return [stage for stage in STAGES if f"Running stage '{stage}'" in ended.out]


@pytest.mark.slow
def test_dvc_sees_changed_images_and_a_changed_reference_and_nothing_else(tmp_path):
    write_params(tmp_path, data={"name": "images"}, model={"num_classes": 4})
    folder, reference = tmp_path / "new", tmp_path / "new" / workspace.REFERENCE
    new_workspace(folder, params=tmp_path / "params.yaml")
    write_shapes(folder / "data/own", per_class=40)
    assert stages_run(folder) == ["download", "validate"]
    made = reference.read_bytes()
    assert stages_run(folder) == []

    write_shapes(folder / "data/own", per_class=41)
    assert stages_run(folder) == ["download", "validate"]
    assert reference.read_bytes() == made

    reference.unlink()
    assert stages_run(folder) == ["validate"]
    assert reference.read_bytes() != made
    assert stages_run(folder) == []

    write_shapes(folder / "data/second", per_class=41, seed=3)
    in_shell(folder, "git add --all && git -c user.name=a -c user.email=a@b commit --quiet --message one")
    assert stages_run(folder, "dvc exp run -S data.path=data/second validate") == ["download", "validate"]
    reference.write_text(reference.read_text().replace("mean: [", "mean: [0.9, 0.95]  # ["))
    refused = in_shell(folder, "dvc repro validate")
    assert "error: data/raw: 3 of 29 expectations of images failed" in refused.err
    assert "if these are images of another kind, delete data/reference/bounds.yaml" in refused.err


@pytest.mark.slow
def test_what_is_wrong_with_the_images_ends_the_first_stage(tmp_path):
    write_params(tmp_path, data={"name": "images"}, model={"num_classes": 4})
    folder = tmp_path / "new"
    new_workspace(folder, params=tmp_path / "params.yaml")
    empty = in_shell(folder, "dvc repro")
    assert "error: data/own: holds no image; put a folder of pictures for each class there" in empty.err
    assert "exited with 65" in empty.err
    write_shapes(folder / "data/own", per_class=40, names=("disc", "ring"))
    other = in_shell(folder, "dvc repro")
    assert "error: model.num_classes: 4, but data/own has 2 classes (disc, ring); set it to 2" in other.err
    assert "exited with 64" in other.err
