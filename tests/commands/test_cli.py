"""`dcgan` as typed: its table of commands, and those that need production's packages alone."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from absent import hiding
from dcgan import __version__, cli
from dcgan.config.workspace import ONNX_GENERATOR
from dcgan.inference.generator import PRETRAINED, Generator
from dvc_workspace import Ended
from support import ROOT
from tiny_onnx import FOREIGN, METADATA, build_model, write_model

MAIN = "from dcgan.cli import main; main()"


Dcgan = Callable[..., Ended]


@pytest.fixture
def workspace(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing in it but the model."""
    monkeypatch.chdir(model.parent)
    return model.parent


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# The table


def test_help_names_every_command_in_whole_lines(dcgan: Dcgan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = dcgan("--help")
    assert told.exit_code == 0
    lines = told.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == list(cli.COMMANDS), "one line each"
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "..." in line]


def test_without_a_command_the_help_is_shown(dcgan: Dcgan) -> None:
    assert dcgan() == dcgan("--help")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(dcgan: Dcgan, command: str) -> None:
    told = dcgan(command, "--help")
    assert (told.exit_code, told.err) == (0, "")
    assert "--help" in told.out
    assert "Raises" not in told.out
    assert "<int" not in told.out
    assert "<str" not in told.out, "Python's types say nothing of what is meant"


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (120, 120), (200, 120)])
def test_help_takes_the_columns_of_the_terminal_as_far_as_people_read(
    dcgan: Dcgan, monkeypatch: pytest.MonkeyPatch, columns: int, widest: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ("generate", "serve"):
        longest = max(map(len, dcgan(command, "--help").out.splitlines()))
        assert widest - 20 < longest <= widest


def test_an_unknown_command_is_64(dcgan: Dcgan) -> None:
    outcome = dcgan("genrate")
    assert (outcome.exit_code, outcome.err.count("\n")) == (64, 1)
    assert "genrate" in outcome.err


def test_version_is_the_packages_and_in_the_changelog(dcgan: Dcgan) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert dcgan("--version") == (0, f"{__version__}\n", "")
    assert __version__ == project["version"]
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


PRODUCTION_LACKS = ["mlflow", "tqdm", "torch", "scipy", "matplotlib", "yaml", "safetensors", "onnx"]


@pytest.mark.parametrize(
    ("arguments", "absent", "told"),
    [
        (["evaluate"], ["torch"], "needs torch; run `pip install '.[train]'` in the repository"),
        (["serve"], ["uvicorn"], "needs uvicorn; run `pip install '.[serve-cpu]'` in the repository"),
        (["info"], ["onnxruntime"], "needs onnxruntime; run `pip install '.[serve-cpu]'` in the repository"),
        (["serve", "--model", "models:/g@champion"], PRODUCTION_LACKS, "mlflow"),
    ],
)
def test_a_package_that_is_missing_is_named_in_one_line_with_its_extra(arguments, absent, told) -> None:
    script = f"{hiding(absent)}\nsys.argv = ['dcgan', *{arguments!r}]\n{MAIN}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
    assert told in done.stderr


def test_commands_import_no_more_than_they_need(model: Path) -> None:
    heavy = ["numpy", "onnxruntime", "PIL", "torch", "dcgan.inference"]
    assert imported_by("--help", among=heavy) == []
    pipeline = ["torch", "onnx", "scipy", "matplotlib", "dcgan.gan", "dcgan.evaluation", "dcgan.tracking"]
    wanted = ["generate", "--model", model, "--out", model.with_name("samples.png")]
    assert imported_by(*wanted, among=["onnxruntime", *pipeline]) == ["onnxruntime"]


def imported_by(*arguments: object, among: list[str]) -> list[str]:
    """Which of the modules `among` a command has imported when it ends."""
    code = f"import atexit, sys; atexit.register(lambda: print([m for m in {among} if m in sys.modules])); {MAIN}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


def test_commands_start_at_once(model: Path) -> None:
    """Of the processor's time, which other processes hardly change; on an idle machine it is the time that passes."""
    assert min(cpu_seconds("--help") for _ in range(3)) < 0.3
    generate = ["generate", "--model", model, "--out", model.with_name("samples.png")]
    assert min(cpu_seconds(*generate) for _ in range(3)) < 1.0


def cpu_seconds(*arguments: object) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", MAIN, *map(str, arguments)], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


# generate


@pytest.mark.parametrize("extension", ["png", "npy", "npz"])
def test_the_same_request_gives_the_same_bytes(dcgan: Dcgan, model: Path, tmp_path: Path, extension: str) -> None:
    first, again, other = (tmp_path / f"new/{name}.{extension}" for name in ("first", "again", "other"))
    for out, seed in ((first, 1), (again, 1), (other, 2)):
        told = dcgan("generate", "--model", model, "--seed", seed, "--out", out)
        assert told == (0, f"{out}: 64 digits from seed {seed}, drawn by {model}\n", "")
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_the_file_holds_what_was_asked_for(dcgan: Dcgan, model: Path, tmp_path: Path) -> None:
    asked = ["--count", 5, "--digit", 3, "--digit", 8, "--seed", 4, "--truncation", 0.5]
    for name in ("s.NPY", "s.png"):
        assert dcgan("generate", "--model", model, *asked, "--out", tmp_path / name).exit_code == 0
    generator = Generator.load(model)
    expected = generator.sample(5, digits=[3, 8], seed=4, truncation=0.5)
    np.testing.assert_array_equal(np.load(tmp_path / "s.NPY"), expected)
    origin = {"seed": "4", "digits": "3 8", "truncation": "0.5", "model_sha256": generator.info.sha256}
    assert Image.open(tmp_path / "s.png").text == origin


@pytest.mark.parametrize(
    ("arguments", "exit_code", "named"),
    [
        (["--out", "samples.gif"], 64, "samples.gif"),
        (["--out", "samples"], 64, "samples"),
        (["--out", "new/s.png", "--digit", 12], 64, "digit: 12"),
        (["--out", "new/s.png", "--count", 0], 64, "count: 0"),
        (["--out", "new/s.png", "--seed", -1], 64, "seed: -1"),
        (["--out", "new/s.png", "--truncation", 2], 64, "truncation: 2"),
        (["--out", "new/s.png", "--count", "many"], 64, "--count"),
        ([], 64, "--out"),
        (["--out", "new/s.png", "--model", "absent.onnx"], 65, "absent.onnx"),
        (["--out", "generator.onnx/s.png"], 73, "generator.onnx"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_mistakes_are_told_in_one_line_before_the_work_and_leave_nothing(
    dcgan, monkeypatch, arguments, exit_code, named
):
    monkeypatch.setattr(Generator, "draw", lambda *_: pytest.fail("the work was done first"))
    outcome = dcgan("generate", "--model", "generator.onnx", *arguments)
    assert (outcome.exit_code, outcome.err.count("\n")) == (exit_code, 1)
    assert outcome.err.startswith("error: ")
    assert named in outcome.err
    assert names_in(Path()) == ["generator.onnx"]


def test_a_failure_of_the_work_keeps_the_old_file_and_is_not_told_of_it(dcgan, model, tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise IsADirectoryError(21, "Is a directory", "params.yaml")

    out = tmp_path / "s.png"
    out.write_bytes(b"old")
    monkeypatch.setattr(Generator, "draw", fail)
    outcome = dcgan("generate", "--model", model, "--out", out)
    assert outcome.exit_code == 74
    assert "params.yaml" in outcome.err
    assert "s.png" not in outcome.err
    assert out.read_bytes() == b"old"
    assert names_in(tmp_path) == ["generator.onnx", "s.png"]


def test_without_a_model_of_its_own_a_folder_draws_with_the_one_in_the_package(tmp_path, monkeypatch, dcgan):
    monkeypatch.chdir(tmp_path)
    done = dcgan("generate", "--out", "digits.npy", "--count", 10)
    assert done.exit_code == 0, done.err
    assert str(PRETRAINED) in done.out
    packaged = Generator.load(PRETRAINED)
    assert np.array_equal(np.load("digits.npy"), packaged.sample(10))
    assert packaged.info.metadata["dataset"] == "mnist"
    assert packaged.info.has_checksum
    assert PRETRAINED.stat().st_size <= 4_000_000


def test_a_model_that_was_trained_here_comes_before_the_one_in_the_package(workspace, model, dcgan):
    (workspace / "models").mkdir()
    model.rename(workspace / ONNX_GENERATOR)
    for command in (["generate", "--out", "digits.npy"], ["info"]):
        assert str(ONNX_GENERATOR) in dcgan(*command).out


# info and export-triton


def test_info_shows_the_contract_and_the_origin(dcgan: Dcgan, tmp_path: Path) -> None:
    model = write_model(tmp_path / "generator.onnx", build_model(dataset="\x1b[31mred"))
    outcome = dcgan("info", "--model", model)
    assert (outcome.exit_code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert len({line.index(line.split()[1], len(line.split()[0])) for line in lines}) == 1, "values are aligned"
    told = [tuple(line.split(maxsplit=1)) for line in lines]
    info = Generator.load(model).info
    file = {("model", str(model)), ("sha256", info.sha256), ("checksum", "valid")}
    inputs = {("input", "latents: float32 [batch, 4]"), ("input", "labels: int64 [batch]")}
    outputs = {("output", "images: float32 [batch, 1, 28, 28]"), ("output", "pixels: uint8 [batch, 28, 28]")}
    assert file | inputs | outputs | {*(METADATA | {"dataset": "?[31mred"}).items()} <= {*told}


def test_info_tells_of_a_generator_without_a_checksum(dcgan: Dcgan, tmp_path: Path) -> None:
    outcome = dcgan("info", "--model", write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN)))
    assert outcome.exit_code == 0
    assert "valid" not in outcome.out


def test_a_repository_for_triton_is_written(workspace, model, dcgan):
    done = dcgan("export-triton", "repository", "--model", model)
    assert done.exit_code == 0, done.err
    assert done.out.startswith("repository/dcgan-generator/1/model.onnx: ")
