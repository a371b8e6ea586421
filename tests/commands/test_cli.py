"""`dcgan generate`, `info` and `--version`, as typed."""

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from absent import hiding
from dcgan import cli
from dcgan.inference.encoding import grid_columns, to_grid
from dcgan.inference.generator import Generator
from tiny_onnx import FOREIGN, METADATA, build_model, write_model

MAIN = "from dcgan.cli import main; main()"
IN_TURN = np.arange(100_000) % 10


class Outcome(NamedTuple):
    """What a command left."""

    exit_code: int
    out: str
    err: str


Dcgan = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def workspace(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing in it but the model."""
    monkeypatch.chdir(model.parent)
    return model.parent


@pytest.fixture
def dcgan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dcgan:
    """Run `dcgan` in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["dcgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Outcome(ended.value.code, *capfd.readouterr())

    return run


def test_png_is_one_grid_that_tells_its_origin(dcgan: Dcgan, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "samples.png"
    told = dcgan("generate", "--model", model, "--count", 20, "--seed", 7, "--truncation", 0.5, "--out", out)
    assert told == (0, f"{out}: 20 digits from seed 7, drawn by {model}\n", "")
    generator = Generator.load(model)
    image = Image.open(out)
    assert (image.mode, image.size) == ("L", (10 * 30 + 2, 2 * 30 + 2))
    np.testing.assert_array_equal(image, to_grid(generator.sample(20, seed=7, truncation=0.5), columns=10))
    origin = {"seed": "7", "digits": "0 1 2 3 4 5 6 7 8 9", "truncation": "0.5"}
    assert image.text == origin | {"model_sha256": generator.info.sha256}


@pytest.mark.parametrize("extension", ["png", "npy", "npz"])
def test_the_same_request_gives_the_same_bytes(dcgan: Dcgan, model: Path, tmp_path: Path, extension: str) -> None:
    first, again, other = (tmp_path / f"{name}.{extension}" for name in ("first", "again", "other"))
    for out, seed in ((first, 1), (again, 1), (other, 2)):
        assert dcgan("generate", "--model", model, "--seed", seed, "--out", out).exit_code == 0
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_arrays_hold_the_digits_asked_for(dcgan: Dcgan, model: Path, tmp_path: Path) -> None:
    wanted = ["--model", model, "--count", 5, "--digit", 3, "--digit", 8, "--seed", 4]
    assert dcgan("generate", *wanted, "--out", tmp_path / "samples.NPY").exit_code == 0
    assert dcgan("generate", *wanted, "--out", tmp_path / "samples.npz").exit_code == 0
    generator = Generator.load(model)
    expected = generator.sample(5, digits=[3, 8], seed=4)
    np.testing.assert_array_equal(np.load(tmp_path / "samples.NPY"), expected)
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], expected)
        assert arrays["labels"].tolist() == [3, 8, 3, 8, 3]
        assert (int(arrays["seed"]), float(arrays["truncation"])) == (4, 1.0)
        assert str(arrays["model_sha256"]) == generator.info.sha256
    years = {entry.date_time[0] for entry in zipfile.ZipFile(tmp_path / "samples.npz").infolist()}
    assert years == {1980}, "the time of writing would make the bytes differ"


def test_an_unconditional_models_samples_have_no_labels(dcgan: Dcgan, tmp_path: Path) -> None:
    model = write_model(tmp_path / "free.onnx", build_model(conditional=False))
    assert dcgan("generate", "--model", model, "--count", 5, "--out", tmp_path / "s.npz").exit_code == 0
    assert "labels" not in np.load(tmp_path / "s.npz")
    assert dcgan("generate", "--model", model, "--count", 5, "--out", tmp_path / "s.png").exit_code == 0
    image = Image.open(tmp_path / "s.png")
    assert image.size == (3 * 30 + 2, 2 * 30 + 2)
    assert "digits" not in image.text


def test_one_digit_is_not_many(dcgan: Dcgan, model: Path, tmp_path: Path) -> None:
    told = dcgan("generate", "--model", model, "--count", 1, "--digit", 3, "--out", tmp_path / "s.png")
    assert told.out.endswith("s.png: 1 digit from seed 0, drawn by " + f"{model}\n")
    assert Image.open(tmp_path / "s.png").text["digits"] == "3"


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


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--out", "samples.gif"], 64, "samples.gif: unknown kind of file; let its name end in .png, .npy or .npz"),
        (["--out", "samples"], 64, "samples: unknown kind of file"),
        (["--out", "new/s.png", "--digit", 12], 64, "digit: 12 is out of range; expected 0 to 9"),
        (["--out", "new/s.png", "--count", 0], 64, "count: 0 is out of range; expected 1 to 100,000"),
        (["--out", "new/s.png", "--seed", -1], 64, "seed: -1 is out of range"),
        (["--out", "new/s.png", "--truncation", 2], 64, "truncation: 2.0 is out of range"),
        (["--out", "new/s.png", "--count", "many"], 64, "Invalid value for '--count'"),
        ([], 64, "Missing option '--out'"),
        (["--out", "new/s.png", "--model", "absent.onnx"], 65, "absent.onnx: missing; run `dvc repro export`"),
        (["--out", "generator.onnx/s.png"], 73, "generator.onnx/s.png: cannot be written"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(
    dcgan: Dcgan, workspace: Path, arguments: list, exit_code: int, message: str
) -> None:
    outcome = dcgan("generate", "--model", "generator.onnx", *arguments)
    assert outcome.exit_code == exit_code
    assert outcome.err.startswith(f"error: {message}")
    assert outcome.err.count("\n") == 1
    assert names_in(workspace) == ["generator.onnx"]


def test_an_output_that_cannot_be_created_is_told_before_the_work(dcgan: Dcgan, model: Path, monkeypatch) -> None:
    monkeypatch.setattr(Generator, "draw", lambda *_: pytest.fail("the work was done first"))
    outcome = dcgan("generate", "--model", model, "--out", model / "s.png")
    assert (outcome.exit_code, outcome.err.count("\n")) == (73, 1)


def test_a_failure_keeps_the_old_file(dcgan: Dcgan, model: Path, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "s.png"
    out.write_bytes(b"old")
    monkeypatch.setattr(Generator, "draw", fail)
    assert dcgan("generate", "--model", model, "--out", out).exit_code == 74
    assert out.read_bytes() == b"old"
    assert names_in(tmp_path) == ["generator.onnx", "s.png"]


def test_info_shows_the_contract_and_the_origin(dcgan: Dcgan, tmp_path: Path) -> None:
    model = write_model(tmp_path / "generator.onnx", build_model(source_revision="\x1b[31mred"))
    outcome = dcgan("info", "--model", model)
    assert (outcome.exit_code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert len({line.index(line.split()[1], len(line.split()[0])) for line in lines}) == 1, "values are aligned"
    told = [line.split(maxsplit=1) for line in lines]
    assert told[:4] == [
        ["model", str(model)],
        ["size", f"{model.stat().st_size:,} bytes"],
        ["sha256", Generator.load(model).info.sha256],
        ["seal", "holds"],
    ]
    assert [value for name, value in told if name == "input"] == [
        "latents: float32 [batch, 4]",
        "labels: int64 [batch]",
    ]
    assert ["output", "images: float32 [batch, 1, 28, 28]"] in told
    assert ["output", "pixels: uint8 [batch, 28, 28]"] in told
    metadata = METADATA | {"source_revision": "?[31mred"}
    assert [pair for pair in told if pair[0] in metadata] == [[key, metadata[key]] for key in sorted(metadata)]


def test_info_tells_of_a_generator_without_a_seal(dcgan: Dcgan, tmp_path: Path) -> None:
    outcome = dcgan("info", "--model", write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN)))
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert ["seal", "none: from elsewhere"] in [line.split(maxsplit=1) for line in outcome.out.splitlines()]


def test_version_is_the_packages(dcgan: Dcgan) -> None:
    assert dcgan("--version") == (0, version("dcgan-mnist") + "\n", "")


def test_help_imports_nothing_heavy() -> None:
    assert imported_by("--help", among=["numpy", "onnxruntime", "PIL", "torch", "dcgan.inference"]) == []


def test_generating_imports_no_pytorch(model: Path) -> None:
    out = model.with_name("samples.png")
    watched = ["onnxruntime", "torch", "onnx", "scipy", "matplotlib", "dcgan.gan", "dcgan.evaluation", "dcgan.tracking"]
    assert imported_by("generate", "--model", model, "--out", out, among=watched) == ["onnxruntime"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def imported_by(*arguments: object, among: list[str]) -> list[str]:
    """Which of the modules `among` a command has imported when it ends."""
    code = f"import atexit, sys; atexit.register(lambda: print([m for m in {among} if m in sys.modules])); {MAIN}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


def test_commands_start_at_once(model: Path) -> None:
    """0.3 s and 1 s where Python itself starts in 0.02 s; longer only as far as it starts slower here and now."""
    assert is_ever_faster_than(0.3, "--help")
    assert is_ever_faster_than(1.0, "generate", "--model", model, "--out", model.with_name("samples.png"))


def is_ever_faster_than(limit: float, *arguments: object) -> bool:
    """Whether one of ten runs takes less than `limit` seconds; other processes disturb some of them."""
    slowness = max(1.0, min(seconds("pass") for _ in range(10)) / 0.02)
    return any(seconds(MAIN, *arguments) < limit * slowness for _ in range(10))


def seconds(code: str, *arguments: object) -> float:
    """The wall time of a Python program from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def test_without_a_model_of_its_own_a_folder_draws_with_the_one_in_the_package(tmp_path, monkeypatch, dcgan):
    monkeypatch.chdir(tmp_path)
    done = dcgan("generate", "--out", "digits.npy", "--count", 10)
    assert done.exit_code == 0, done.err
    assert f"drawn by {cli.PRETRAINED}" in done.out
    packaged = Generator.load(cli.PRETRAINED)
    assert np.array_equal(np.load("digits.npy"), packaged.sample(10))
    assert packaged.metadata["dataset"] == "mnist"
    assert packaged.info.sealed
    assert cli.PRETRAINED.stat().st_size <= 4_000_000


def test_a_model_that_was_trained_here_comes_before_the_one_in_the_package(workspace, model, dcgan):
    (workspace / "models").mkdir()
    model.rename(workspace / cli.TRAINED_HERE)
    assert f"drawn by {cli.TRAINED_HERE}" in dcgan("generate", "--out", "digits.npy").out
    assert str(cli.TRAINED_HERE) in dcgan("info").out


def test_a_repository_for_triton_is_written(workspace, model, dcgan):
    done = dcgan("export-triton", "repository", "--model", model)
    assert done.exit_code == 0, done.err
    assert done.out.startswith("repository/dcgan-generator/1/model.onnx: ready for `tritonserver")


def test_an_address_of_the_registry_is_refused_in_one_line_where_only_production_is_installed() -> None:
    absent = ["mlflow", "tqdm", "torch", "scipy", "matplotlib", "yaml", "safetensors", "onnx"]
    script = f"""{hiding(absent)}
from dcgan.cli import main
sys.argv = ["dcgan", "serve", "--model", "models:/dcgan-generator@champion"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 69, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: MLflow cannot be imported (No module named 'mlflow'): install the extra `train`")
