"""`dcgan project`, as typed, in a workspace with a generator that has learnt nothing."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan.checkpoints.weights import restored, save_weights
from dcgan.commands.pictures import read_picture
from dcgan.commands.project import interpolation
from dcgan.config.params_file import load_params
from dcgan.data.batches import to_pixels
from dcgan.gan.inversion import project
from dcgan.gan.networks import build_generator
from dcgan.gan.sampling import sample_from_seed
from stage_server import Ended
from tiny_workspace import new_workspace


@pytest.fixture
def workspace(tmp_path):
    folder = new_workspace(tmp_path)
    model = load_params(folder / "params.yaml").model
    torch.manual_seed(0)
    save_weights(folder / "models", generator=build_generator(model))
    generator = restored(build_generator(model), folder / "models/generator.safetensors", device=torch.device("cpu"))
    pictures = folder / "pictures"
    pictures.mkdir()
    images, _ = sample_from_seed(generator, model, count=3, seed=1)
    for number, pixels in enumerate(to_pixels(images).numpy()):
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    return folder


@pytest.fixture
def run(stages, workspace) -> Callable[..., Ended]:
    """Runs the command in that workspace."""
    return partial(stages.run, "dcgan", workspace, "project")


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def test_a_folder_of_pictures_leaves_latents_figures_and_pictures_in_place_of_earlier_ones(run, workspace):
    (workspace / "found").mkdir()
    (workspace / "found/interpolation.png").write_bytes(b"of another pair")
    done = run("--image", "pictures", "--out", "found", "--steps", 60, "--restarts", 1)
    assert done.returncode == 0, done.stderr
    found = workspace / "found"
    rows = json.loads((found / "projections.json").read_text())["projections"]
    assert [row["image"] for row in rows] == [f"pictures/{number}.png" for number in range(3)]
    assert all(row["psnr"] > 20 for row in rows)
    assert f"3 found, median PSNR {np.median([row['psnr'] for row in rows]):.1f} dB" in done.stdout
    with np.load(found / "latents.npz") as arrays:
        assert arrays["latents"].shape == (3, 16)
        assert arrays["labels"].tolist() == [row["digit"] for row in rows]
    assert size_of(found / "projections.png") == (3 * (3 * 30 + 2), 3 * (3 * 30 + 2))
    assert (found / "curves.png").stat().st_size > 0
    assert not (found / "interpolation.png").exists()


def test_two_pictures_have_an_interpolation_between_them(run, workspace):
    pictures = ("--image", "pictures/0.png", "--image", "pictures/1.png")
    done = run(*pictures, "--out", "found", "--steps", 5, "--restarts", 1, "--digit", 4, "--digit", 5)
    assert done.returncode == 0, done.stderr
    assert size_of(workspace / "found/interpolation.png") == (3 * (12 * 30 + 2), 3 * (30 + 2))


def test_an_interpolation_begins_and_ends_at_the_images_found(workspace):
    model = load_params(workspace / "params.yaml").model
    weights = workspace / "models/generator.safetensors"
    generator = restored(build_generator(model), weights, device=torch.device("cpu"))
    targets = [read_picture(workspace / f"pictures/{number}.png") for number in (0, 1)]
    ends = [
        project(generator, model, target, label=label, steps=5) for target, label in zip(targets, (4, 5), strict=True)
    ]
    grid = interpolation(ends[0], ends[1], generator, model)
    first, last = grid[2:30, 2:30], grid[2:30, -30:-2]
    for cell, end in ((first, ends[0]), (last, ends[1])):
        drawn = to_pixels(end.found.unsqueeze(0))[0].numpy()
        assert np.abs(cell.astype(int) - drawn.astype(int)).max() <= 1


def test_a_folder_that_cannot_be_created_is_told_before_the_search(run, workspace):
    done = run("--image", "pictures", "--out", "params.yaml")
    assert done.returncode == 73
    assert "params.yaml" in done.stderr
    assert "PSNR" not in done.stdout


def test_a_picture_in_greys_is_read_whatever_its_mode(tmp_path):
    for mode in ("L", "P", "RGB"):
        Image.new("L", (28, 28), 77).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_picture(tmp_path / f"{mode}.png").mean().item() == pytest.approx(77 / 127.5 - 1)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--image", "missing.png"], 65, "missing.png: missing"),
        (["--image", "empty"], 65, "empty: holds no picture"),
        (["--image", "wide.png"], 65, "wide.png: has 30x28 pixels"),
        (["--image", "colour.png"], 65, "colour.png: has colours"),
        (["--image", "colours.png"], 65, "colours.png: has colours"),
        (["--image", "clear.png"], 65, "clear.png: is partly transparent"),
        (["--image", "text.png"], 65, "text.png"),
        (["--image", "pictures", "--model", "models/generator.onnx"], 64, "generator.onnx"),
        (["--image", "pictures", "--model", "nothing.safetensors"], 65, "nothing.safetensors: missing"),
        (["--image", "pictures", "--digit", 1, "--digit", 2], 64, "2 given for 3 pictures"),
        (["--image", "pictures", "--digit", 11], 64, "11"),
        (["--image", "pictures", "--seed", -1], 64, "seed: -1 is out of range; expected 0 to 2^63 - 1"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(run, workspace, arguments, exit_code, message):
    (workspace / "empty").mkdir()
    Image.new("L", (30, 28)).save(workspace / "wide.png")
    Image.new("RGB", (28, 28), (200, 10, 10)).save(workspace / "colour.png")
    Image.new("RGB", (28, 28), (200, 10, 10)).quantize().save(workspace / "colours.png")
    Image.new("LA", (28, 28)).save(workspace / "clear.png")
    (workspace / "text.png").write_text("no picture")
    done = run(*arguments, "--out", "found")
    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (workspace / "found").exists()
