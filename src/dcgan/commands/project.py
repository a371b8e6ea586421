"""`dcgan project`: the latents whose images come nearest to given pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch.nn.functional import one_hot

from dcgan.checkpoints.weights import restored
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.config.schema import IMAGE_SIZE, NUM_CLASSES, ModelConfig
from dcgan.config.workspace import GENERATOR
from dcgan.data.batches import to_images, to_pixels
from dcgan.evaluation.samples import INTERPOLATION_STEPS, interpolate, linear_interpolation
from dcgan.figures.drawing import save_grid
from dcgan.figures.projection import save_curves
from dcgan.gan.inversion import Projection, project
from dcgan.gan.networks import Generator, build_generator
from dcgan.gan.sampling import image_grid
from dcgan.system.errors import BadDataError, UsageError
from dcgan.system.files import storage_error, write_atomically, write_json
from dcgan.tracking.progress import ProgressBar

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
COLUMNS = 10
"""Pictures side by side in projections.png."""


def project_images(
    *,
    sources: Annotated[
        list[Path],
        typer.Option("--image", metavar="PATH", help="A picture, 28x28, white on black, or a folder; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where pictures and figures go.")],
    weights: Annotated[
        Path,
        typer.Option("--model", metavar="FILE", help="The weights; params.yaml in this folder says what they are of."),
    ] = GENERATOR,
    labels: Annotated[
        list[int] | None,
        typer.Option("--digit", metavar="D", min=0, max=9, help="The picture's digit, or each one's. [default: found]"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of the search.")] = 300,
    restarts: Annotated[int, typer.Option("--restarts", min=1, help="Starts of the search for each digit.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, metavar="S", help="Of the starts.")] = 0,
) -> None:
    """Project pictures and write what was found into the folder `out`.

    Leaves latents.npz, projections.png (what was given, what the search began with, what it found), curves.png, of
    exactly two pictures walk.png from the one found to the other, and last projections.json (PSNR in dB and digits).

    Args:
        sources: pictures of 28x28, white ink on black, or folders of them.
        weights: generator.safetensors as the stage `train` wrote it, described by params.yaml in the current folder.
        labels: the digit of each picture, or one for all; None: it is found.
        out: a folder; it is created.
        steps: of the search.
        restarts: starts of the search for each digit.
        seed: of the starts.

    Raises:
        UsageError: `weights` is an ONNX file, or the labels do not go with the pictures or the generator.
        BadDataError: a picture is missing, not 28x28 or not grey, or the weights are damaged.
        CannotCreateError, StorageError: the folder cannot be created or written to.
    """
    if weights.suffix == ".onnx":
        raise UsageError(f"{weights}: nothing flows back through ONNX Runtime; give the weights, *.safetensors")
    params = load_params(Path("params.yaml"))
    device, model = prepare_device(params.train), params.model
    paths = pictures_in(sources)
    asked = labels_for(paths, labels, model)
    targets = torch.stack([read_picture(path) for path in paths])
    generator = restored(build_generator(model), weights, device=device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("projections.json", "walk.png"):  # of an earlier search
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, out) from error
    found = []
    with ProgressBar("project", end=len(paths)) as bar:
        for path, target, label in zip(paths, targets, asked, strict=True):
            done = project(generator, model, target, label=label, steps=steps, restarts=restarts, seed=seed)
            found.append(done)
            bar.advance_to(len(found))
            digit = "" if done.label is None else f", digit {done.label}"
            bar.tell(f"{path}: PSNR {done.psnr:.1f} dB{digit}")
    save_pictures(out, paths, targets, found)
    if len(found) == 2:
        save_grid(out / "walk.png", walk(found[0], found[1], generator, model), scale=3)
    save_report(out, paths, found)
    print(f"{out}: median PSNR {np.median([each.psnr for each in found]):.1f} dB of {len(found)}")


def pictures_in(sources: Sequence[Path]) -> list[Path]:
    """The pictures named, and those in the folders named, in order."""
    paths: list[Path] = []
    for source in sources:
        if not source.exists():
            raise BadDataError(f"{source}: missing; name a picture or a folder of them")
        inside = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES) if source.is_dir() else []
        if source.is_dir() and not inside:
            raise BadDataError(f"{source}: holds no picture ({', '.join(SUFFIXES)})")
        paths += inside or [source]
    return paths


def labels_for(paths: Sequence[Path], labels: Sequence[int] | None, model: ModelConfig) -> list[int | None]:
    """The digit of each picture."""
    if not labels:
        return [None] * len(paths)
    if not model.conditional:
        raise UsageError("--digit: the generator in params.yaml is not told digits; leave it out")
    if len(labels) not in (1, len(paths)):
        raise UsageError(f"--digit: {len(labels)} given for {len(paths)} pictures; give one for each, or one for all")
    return [*labels] if len(labels) == len(paths) else [labels[0]] * len(paths)


def read_picture(path: Path) -> torch.Tensor:
    """A picture as an image float32 [1, 28, 28] in [-1, 1].

    Raises:
        BadDataError: it is no picture, not 28x28, or not grey.
    """
    try:
        with Image.open(path) as picture:
            size, mode = picture.size, picture.mode
            pixels = np.asarray(picture.convert("L")) if size == (IMAGE_SIZE, IMAGE_SIZE) else None
            is_grey = mode in ("1", "L") or (mode == "P" and _is_grey(picture))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadDataError(f"{path}: not a picture that can be read ({error})") from error
    if pixels is None or not is_grey:
        wanted = f"{IMAGE_SIZE}x{IMAGE_SIZE} in grey, white ink on black, is needed"
        raise BadDataError(f"{path}: {size[0]}x{size[1]} in mode {mode}; {wanted}")
    return to_images(torch.from_numpy(pixels.copy()).unsqueeze(0))[0]


def _is_grey(picture: Image.Image) -> bool:
    """Whether a picture with a palette has only greys in it."""
    red, green, blue = (np.asarray(channel) for channel in picture.convert("RGB").split())
    return bool((red == green).all() and (green == blue).all())


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


def save_pictures(out: Path, paths: Sequence[Path], targets: torch.Tensor, found: Sequence[Projection]) -> None:
    """Write projections.png and curves.png."""
    images = [targets, torch.stack([each.start for each in found]), torch.stack([each.found for each in found])]
    save_grid(out / "projections.png", before_and_after(*(to_pixels(each) for each in images)), scale=3)
    save_curves(
        out / "curves.png", [(str(path), each.errors.tolist()) for path, each in zip(paths, found, strict=True)]
    )


def before_and_after(given: torch.Tensor, started: torch.Tensor, found: torch.Tensor) -> NDArray[np.uint8]:
    """Blocks of three rows: pictures [N, 28, 28] as given, as drawn at the start, and as found."""
    columns = min(COLUMNS, len(given))
    short = -len(given) % columns
    padded = [torch.nn.functional.pad(each, (0, 0, 0, 0, 0, short)) for each in (given, started, found)]
    blocks = torch.stack([each.reshape(-1, columns, IMAGE_SIZE, IMAGE_SIZE) for each in padded], dim=1)
    return image_grid(blocks.flatten(0, 2), columns=columns)


@torch.no_grad()
def walk(start: Projection, end: Projection, generator: Generator, model: ModelConfig) -> NDArray[np.uint8]:
    """Pictures from one projection to another; where their digits differ, one fades into the other."""
    latents = interpolate(start.latents, end.latents, model.latent_distribution)
    if start.label is not None and end.label is not None:
        ends = one_hot(torch.tensor([start.label, end.label]), NUM_CLASSES).float()
        latents = torch.cat([latents, linear_interpolation(ends[0], ends[1], steps=INTERPOLATION_STEPS)], dim=1)
    device = next(generator.parameters()).device
    images = generator.upsample(generator.stem(latents.to(device)))
    return image_grid(to_pixels(images), columns=INTERPOLATION_STEPS)
