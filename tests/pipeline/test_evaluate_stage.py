"""The stage `evaluate` and the command `dcgan evaluate` as a user runs them."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dcgan.commands.evaluate import sampler_from
from dcgan.config import workspace as files
from dcgan.evaluation.report import HEADLINES, PIXEL_HEADLINES
from dcgan.evaluation.samples import generate_samples
from dcgan.inference.generator import Generator
from running_service import Running
from stage_server import Ended
from support import free_port
from tiny_onnx import FOREIGN, LATENT_DIM, build_model, write_model
from tiny_workspace import new_workspace, write_params

TRAINING = {"epochs": 5, "max_steps": 20, "report_every": 10}
HISTORY = [{"step": 10, "discriminator/loss": 1.0}, {"step": 12, "train/quick_fcd": 3.0, "train/quick_fcd_floor": 0.1}]
PICTURES = {
    "by_digit", "calibration", "closest_pairs", "confusion", "interpolations", "per_digit", "pixels", "probes", "roc",
    "samples", "training", "two_sample",
}  # fmt: skip
TABLES = {"calibration", "confusion", "pixels", "quick_fcd", "roc", "training"}


@pytest.fixture(scope="module")
def trained(stages, tmp_path_factory) -> Path:
    """A workspace in which everything up to `evaluate` has run."""
    workspace = new_workspace(tmp_path_factory.mktemp("trained"), train=TRAINING)
    for stage in ("train_classifier", "train_witness", "train", "export", "evaluate"):
        if stage == "evaluate":
            history = workspace / files.HISTORY
            history.parent.mkdir(parents=True, exist_ok=True)
            history.write_text("".join(f"{json.dumps(row)}\n" for row in HISTORY))
        done = stages.run(stage, workspace)
        assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture
def evaluate(stages) -> Callable[..., Ended]:
    """Runs the command in a folder."""
    return lambda folder, *arguments: stages.run("dcgan", folder, "evaluate", *arguments)


@pytest.fixture
def workspace(trained, tmp_path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def assert_refused(done: Ended | subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line
    assert "Traceback" not in done.stderr


def names_in(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in (folder / files.EVALUATION_FIGURES).glob(f"*{suffix}")}


def test_the_stage_writes_report_headlines_and_figures(trained):
    report = json.loads((trained / files.EVALUATION).read_text())
    assert (report["num_samples"], report["num_seeds"], report["num_train_on_fake"]) == (100, 2, 100)
    assert report["fid"] is None
    assert report["discriminator"]["num_images"] == 100
    assert set(report["discriminator"]["probes"]) == {"200", "100"}
    metrics = json.loads((trained / files.METRICS).read_text())
    assert list(metrics) == [*HEADLINES, *PIXEL_HEADLINES]
    assert metrics.items() <= (report | report["pixels"]["samples"]).items()
    assert (names_in(trained, ".png"), names_in(trained, ".csv")) == (PICTURES, TABLES)


def test_equal_inputs_give_equal_bytes_and_progress_is_on_stderr(stages, trained, workspace):
    done = stages.run("evaluate", workspace)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("evaluate: ") > 5
    figures, places = done.stdout.splitlines()
    assert figures.startswith("fcd ")
    assert all(str(path) in places for path in (files.REPORT, files.EVALUATION))
    for path in [*(trained / "reports").rglob("*"), trained / files.MODEL_CARD]:
        if path.is_file():
            assert path.read_bytes() == (workspace / path.relative_to(trained)).read_bytes(), path


def test_the_report_and_the_card_tell_the_same_figures_and_know_the_exported_file(trained):
    page, card = ((trained / path).read_text() for path in files.REPORT_FILES)
    report, export = (json.loads((trained / path).read_text()) for path in (files.EVALUATION, files.EXPORT))
    for text in (page, card):
        assert report["generator_sha256"] in text
        assert export["onnx_sha256"] in text
        assert f"{report['fcd']:#.3g}" in text
        assert str(trained) not in text
    assert "<summary>All parameters</summary>" in page
    assert "two_sample_epochs" in page


def test_a_missing_piece_is_refused_before_the_work_and_names_its_stage(stages, workspace):
    shutil.rmtree(workspace / files.SAMPLES)
    before = {path: path.read_bytes() for path in map(workspace.joinpath, (*files.REPORT_FILES, files.EVALUATION))}
    done = stages.run("evaluate", workspace)
    assert_refused(done, 65, str(files.SAMPLES), "dvc repro train")
    assert "evaluate: " not in done.stderr
    assert {path: path.read_bytes() for path in before} == before


def examples_in(workspace: Path) -> list[tuple[str, str]]:
    """Language and text of each block of code in the report, which are the card's too."""
    page = (workspace / files.REPORT).read_text()
    found = re.findall(r'<pre><code class="language-(\w+)">(.*?)</code></pre>', page, re.DOTALL)
    examples = [(language, html.unescape(code)) for language, code in found]
    card = (workspace / files.MODEL_CARD).read_text()
    assert re.findall(r"```(\w+)\n(.*?)\n```", card, re.DOTALL) == examples
    return examples


def test_what_the_report_says_to_type_works_as_printed(stages, workspace, monkeypatch):
    examples = examples_in(workspace)
    assert [language for language, _ in examples] == ["bash", "python", "bash", "python"]
    for line in examples[0][1].splitlines():
        program, *arguments = shlex.split(line)
        done = stages.run(program, workspace, *arguments)
        assert done.returncode == 0, done.stderr
    assert (workspace / "samples.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.chdir(workspace)
    drawn = []
    for language, code in examples:
        if language == "python":
            names: dict[str, object] = {}
            exec(code, names)
            drawn.append(names["pixels"])
    assert drawn[0].shape == (10, 28, 28)
    assert np.array_equal(*drawn)
    assert shlex.split(examples[2][1]) == ["dcgan", "serve", "--model", str(files.ONNX_GENERATOR)]
    port = str(free_port())
    with Running(workspace, files.ONNX_GENERATOR, options=(), PORT=port) as service:
        assert service.ask("/", body=None, accept="text/html").startswith(b"<!")


def test_a_loss_without_probabilities_has_no_calibration_and_no_stale_picture_of_it(stages, workspace):
    write_params(workspace, train=TRAINING, loss={"name": "relativistic"})
    done = stages.run("evaluate", workspace)
    assert done.returncode == 0, done.stderr
    discriminator = json.loads((workspace / files.EVALUATION).read_text())["discriminator"]
    assert [discriminator[name] for name in ("accuracy", "calibration_error", "brier_score")] == [None] * 3
    assert names_in(workspace, ".png") == PICTURES - {"calibration"}
    assert (workspace / files.EVALUATION_FIGURES / "calibration.csv").read_text() == "confidence,share_real\n"


def test_the_exported_file_is_measured_as_its_network_was_without_its_training(evaluate, trained, workspace):
    """The same latents through ONNX Runtime: rounding moves a grey level here and there, and nothing else."""
    for name in (files.GENERATOR, files.DISCRIMINATOR, files.HISTORY):
        (workspace / name).unlink()
    done = evaluate(workspace, "--out", "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((workspace / "found.json").read_text())
    report = json.loads((trained / files.EVALUATION).read_text())
    for name in (
        "fcd",
        "kcd",
        "precision",
        "recall",
        "classifier_score",
        "label_accuracy",
        "train_on_fake",
        "witness_fcd",
    ):
        assert found[name] == pytest.approx(report[name], rel=0.02, abs=0.02), name
    for name in ("fcd_floor", "classifier_sha256", "witness_fcd_floor", "witness_sha256", "two_sample_accuracy_floor"):
        assert found[name] == report[name], name
    assert len(found["model_sha256"]) == 64
    assert f"{found['fcd']:.4f}" in done.stdout


def test_a_generator_from_elsewhere_is_sampled(tmp_path):
    generator = Generator.load(write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN)))
    samples = generate_samples(sampler_from(generator, num_classes=10), count=100, seed=0)
    assert samples.pixels.shape == (100, 28, 28)
    assert samples.labels.tolist() == list(range(10)) * 10


def test_a_model_of_another_shape_is_refused(evaluate, workspace):
    other = workspace / "other.onnx"
    write_model(other, build_model(names=("noise", "labels", "images", "pixels")))
    assert_refused(evaluate(workspace, "--model", other), 65, "other.onnx", "noise")


def test_a_constant_model_is_refused(evaluate, workspace):
    constant = workspace / "constant.onnx"
    weight = np.zeros((LATENT_DIM, 784), np.float32)
    write_model(constant, build_model(conditional=False, weight=weight, num_classes="0"))
    assert_refused(evaluate(workspace, "--model", constant), 65, "constant.onnx", "same image 100 times")


@pytest.mark.parametrize("name", ["classifier", "witness"])
def test_a_damaged_classifier_is_refused(evaluate, workspace, name):
    damaged = workspace / files.MODELS / f"{name}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    assert_refused(evaluate(workspace), 65, damaged.name, f"dvc repro --force --single-item train_{name}")


def test_an_error_in_reading_names_the_file_that_was_read(evaluate, workspace):
    (workspace / "params.yaml").unlink()
    (workspace / "params.yaml").mkdir()
    done = evaluate(workspace, "--out", "found.json")
    assert done.returncode not in (0, 73)
    assert "params.yaml" in done.stderr
    assert "found.json" not in done.stderr


@pytest.mark.parametrize("out", ["reports", "params.yaml/found.json"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(evaluate, trained, out):
    done = evaluate(trained, "--out", out)
    assert_refused(done, 73, out.partition("/")[0])
    assert "evaluate: " not in done.stderr


def test_outside_a_workspace_it_says_so(evaluate, trained, tmp_path):
    done = evaluate(tmp_path, "--model", trained / files.ONNX_GENERATOR)
    assert_refused(done, 64, "params.yaml: missing")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"model": {"generator_channels": 16}}, 65, ["generator.safetensors", "params.yaml"]),
        ({"evaluate": {"num_samples": 201}}, 64, ["evaluate.num_samples: 201"]),
        ({"evaluate": {"inception_weights": "nowhere.pth"}}, 64, ["nowhere.pth: no such file"]),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_the_work(stages, workspace, changes, code, words):
    write_params(workspace, train=TRAINING, **changes)
    done = stages.run("evaluate", workspace)
    assert_refused(done, code, *words)
    assert "evaluate: samples" not in done.stderr


def test_an_installation_without_pytorch_says_what_is_missing(tmp_path):
    script = "import runpy, sys; sys.modules['torch'] = None; sys.argv = ['dcgan', 'evaluate']; "
    command = [sys.executable, "-c", script + "runpy.run_module('dcgan.cli', run_name='__main__')"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_refused(done, 69, "torch", "pip install '.[train]'")
