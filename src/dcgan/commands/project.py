"""`dcgan project`: the latents whose images are nearest to given pictures (GAN inversion)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from dcgan.checkpoints.weights import restored
from dcgan.commands.pictures import pictures_in, read_picture
from dcgan.config import workspace
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.config.schema import ModelConfig
from dcgan.data.batches import to_pixels
from dcgan.evaluation.samples import INTERPOLATION_STEPS, interpolate
from dcgan.figures.drawing import save_grid
from dcgan.figures.projection import save_projections
from dcgan.gan.inversion import Projection, project
from dcgan.gan.networks import Generator, build_generator
from dcgan.gan.sampling import image_grid
from dcgan.inference.arguments import require_whole
from dcgan.system.errors import UsageError
from dcgan.system.files import require_writable, write_atomically, write_json
from dcgan.tracking.progress import ProgressBar


def project_images(
    *,
    sources: Annotated[
        list[Path],
        typer.Option("--image", metavar="PATH", help="A grey picture of 28x28 pixels, or a folder; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where pictures and figures go.")],
    weights: Annotated[
        Path,
        typer.Option("--model", metavar="FILE", help="The weights; params.yaml in this folder says what they are of."),
    ] = workspace.GENERATOR,
    labels: Annotated[
        list[int] | None,
        typer.Option("--digit", metavar="D", min=0, help="The picture's digit, or each one's. [default: found]"),
    ] = None,
    convert: Annotated[
        bool, typer.Option("--convert", help="Take pictures in colour and of any size: make them grey and scale them.")
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Steps of the search.")] = 300,
    restarts: Annotated[
        int, typer.Option("--restarts", min=1, metavar="N", help="Starts of the search for each digit.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the starts.")] = 0,
) -> None:
    """Find the latents whose images come nearest to pictures, and write them into the folder --out.

    Writes latents.npz, projections.png (targets, starts, results), curves.png, for exactly two pictures
    interpolation.png from one result to the other, and last projections.json (PSNR in dB and digits).

    Raises:
        UsageError: `weights` is an ONNX file, the seed is out of range, or the labels do not fit.
        BadDataError: a picture is missing, or not 28x28 in grey and not to be converted, or the weights are damaged.
        CannotCreateError, StorageError: nothing can be written in the folder; found before the search.
    """
    if weights.suffix == ".onnx":
        raise UsageError(f"{weights}: an ONNX file has no gradients; give the weights, *.safetensors")
    require_whole("seed", seed, 0, 2**63 - 1, expected="0 to 2^63 - 1")
    params = load_params(workspace.PARAMS, needs_files=False)
    device, model = prepare_device(params.train), params.model
    paths = pictures_in(sources)
    digits = labels_for(paths, labels, model)
    targets = torch.stack([read_picture(path, convert=convert) for path in paths])
    generator = restored(build_generator(model), weights, device=device)
    require_writable(out)
    for name in ("projections.json", "interpolation.png"):  # of an earlier search
        (out / name).unlink(missing_ok=True)
    found = []
    with ProgressBar("project", end=len(paths)) as bar:
        for path, target, digit in zip(paths, targets, digits, strict=True):
            done = project(generator, model, target, label=digit, steps=steps, restarts=restarts, seed=seed)
            found.append(done)
            bar.advance_to(len(found))
            bar.tell(f"{path}: PSNR {done.psnr:.1f} dB" + ("" if done.label is None else f", digit {done.label}"))
    save_projections(out, [str(path) for path in paths], targets, found)
    if len(found) == 2:
        save_grid(out / "interpolation.png", interpolation(found[0], found[1], generator, model), scale=3)
    save_report(out, paths, found)
    median = np.median([each.psnr for each in found])
    print(f"{out}/projections.png: {len(found)} found, median PSNR {median:.1f} dB; latents in {out}/latents.npz")


def labels_for(paths: Sequence[Path], labels: Sequence[int] | None, model: ModelConfig) -> list[int | None]:
    """The digit of each picture."""
    if not labels:
        return [None] * len(paths)
    if not model.conditional:
        raise UsageError("--digit: the generator in params.yaml is unconditional; leave it out")
    if max(labels) >= model.num_classes:
        raise UsageError(f"--digit: {max(labels)} is out of range; expected 0 to {model.num_classes - 1}")
    if len(labels) not in (1, len(paths)):
        raise UsageError(f"--digit: {len(labels)} given for {len(paths)} pictures; give one for each, or one for all")
    return [*labels] if len(labels) == len(paths) else [labels[0]] * len(paths)


def save_report(out: Path, paths: Sequence[Path], found: Sequence[Projection]) -> None:
    """Write latents.npz and projections.json."""
    rows = [
        {"image": str(path), "psnr": each.psnr, "error": float(each.errors[-1]), "digit": each.label}
        for path, each in zip(paths, found, strict=True)
    ]
    arrays: dict[str, Any] = {"latents": torch.stack([each.latents for each in found]).numpy()}
    if found[0].label is not None:
        arrays["labels"] = np.array([each.label for each in found])
    write_atomically(out / "latents.npz", lambda file: np.savez(file, **arrays))
    write_json(out / "projections.json", {"projections": rows})


@torch.no_grad()
def interpolation(start: Projection, end: Projection, generator: Generator, model: ModelConfig) -> NDArray[np.uint8]:
    """A grid of images from one projection to another; where their digits differ, the label is interpolated too."""
    latents = interpolate(start.latents, end.latents, model.latent_distribution)
    if start.label is not None and end.label is not None:
        ends = one_hot(torch.tensor([start.label, end.label]), model.num_classes).float()
        share = torch.linspace(0, 1, INTERPOLATION_STEPS).unsqueeze(1)
        latents = torch.cat([latents, torch.lerp(ends[0], ends[1], share)], dim=1)
    device = next(generator.parameters()).device
    images = generator.upsample(generator.stem(latents.to(device)))
    return image_grid(to_pixels(images), columns=INTERPOLATION_STEPS)
