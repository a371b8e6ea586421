"""`dcgan`: digits from a trained generator on the command line, and its run; only few commands need the extra `train`.

What needs numpy or ONNX Runtime is imported inside the commands, which keeps `--help` fast.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcgan.system.errors import UnavailableError
from dcgan.system.exit import new_app, run_app

if TYPE_CHECKING:
    from dcgan.inference.generator import ModelInfo

app = new_app("Draw handwritten digits with a trained generator.")

TRAINED_HERE = Path("models/generator.onnx")
PRETRAINED = Path(__file__).parent / "inference/pretrained.onnx"

_DEFAULT = f"[default: {TRAINED_HERE} if it is here, else the one that came with the package]"
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help=f"The generator's ONNX file. {_DEFAULT}")
]


def main() -> None:
    """Run the command line and end the process."""
    run_app(app)


def default_model() -> Path:
    """The generator that was trained in this folder, else the one that came with the package."""
    return TRAINED_HERE if TRAINED_HERE.exists() or not PRETRAINED.exists() else PRETRAINED


@app.command()
def generate(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="What to write: .png (one grid), .npy or .npz.")],
    model: ModelOption = None,
    count: Annotated[int, typer.Option("--count", metavar="N", help="How many digits, 1 to 100,000.")] = 64,
    digits: Annotated[
        list[int] | None,
        typer.Option("--digit", metavar="D", help="Digit to draw; repeat for several in turn. [default: 0 to 9]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed draws the same digits.")] = 0,
    truncation: Annotated[
        float, typer.Option("--truncation", metavar="T", help="Up to 1; less draws more typical, less varied digits.")
    ] = 1.0,
) -> None:
    """Draw digits into a file."""
    from dcgan.inference.generator import Generator
    from dcgan.inference.encoding import Samples, writer_for
    from dcgan.system.files import write_atomically

    write, model = writer_for(out), model or default_model()
    # Always the CPU: it starts at once and draws the same bytes on every machine.
    generator = Generator.load(model, providers="cpu")
    latents = generator.latents_for(count, seed=seed, truncation=truncation)
    labels = generator.labels_for(count, digits=digits or None)
    # Drawing inside the write tries the output's folder before the work, not after it.
    write_atomically(
        out,
        lambda file: write(
            file,
            Samples(
                pixels=generator.draw(latents, labels),
                labels=labels,
                seed=seed,
                truncation=truncation,
                model_sha256=generator.info.sha256,
            ),
        ),
    )
    print(f"{out}: {count:,} digit{'s' if count > 1 else ''} from seed {seed}, drawn by {model}")


@app.command()
def evaluate(
    *,
    model: ModelOption = None,
    classifier: Annotated[
        Path, typer.Option("--classifier", metavar="FILE", help="The judge, as the stage train_classifier wrote it.")
    ] = Path("models/classifier.safetensors"),
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write all figures, as JSON.")] = None,
) -> None:
    """Judge any generator of the ONNX contract by the workspace's data set, classifier and params.yaml."""
    try:
        from dcgan.commands.evaluate import evaluate_model
    except ModuleNotFoundError as error:
        raise UnavailableError(f"dcgan evaluate needs {error.name}; install dcgan-mnist[train]") from error
    evaluate_model(model or default_model(), classifier_path=classifier, out=out)


@app.command()
def project(
    *,
    images: Annotated[
        list[Path],
        typer.Option("--image", metavar="PATH", help="A picture, 28x28, white on black, or a folder; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where pictures and figures go.")],
    model: Annotated[
        Path,
        typer.Option("--model", metavar="FILE", help="The weights; params.yaml in this folder says what they are of."),
    ] = Path("models/generator.safetensors"),
    digits: Annotated[
        list[int] | None,
        typer.Option("--digit", metavar="D", min=0, max=9, help="The picture's digit, or each one's. [default: found]"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of the search.")] = 300,
    restarts: Annotated[int, typer.Option("--restarts", min=1, help="Starts of the search for each digit.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, metavar="S", help="Of the starts.")] = 0,
) -> None:
    """Find the latents whose images come nearest to pictures; of two pictures, also draw the walk between them."""
    try:
        from dcgan.commands.project import project_images
    except ModuleNotFoundError as error:
        raise UnavailableError(f"dcgan project needs {error.name}; install dcgan-mnist[train]") from error
    project_images(images, weights=model, labels=digits, out=out, steps=steps, restarts=restarts, seed=seed)


@app.command()
def doctor(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete or write anew what is damaged; say what is left to run.")
    ] = False,
) -> None:
    """Find what is damaged in this workspace, and the command that repairs it: files, DVC's cache, locks."""
    try:
        from dcgan.commands.doctor import run_doctor

        run_doctor(repair=repair)
    except ModuleNotFoundError as error:
        raise UnavailableError(f"dcgan doctor needs {error.name}; install dcgan-mnist[train]") from error


@app.command()
def sync() -> None:
    """Send MLflow what it missed of the model in this folder; nothing is ever sent twice."""
    try:
        from dcgan.commands.sync import sync_workspace
    except ModuleNotFoundError as error:
        raise UnavailableError(f"dcgan sync needs {error.name}; install dcgan-mnist[train]") from error
    sync_workspace()


@app.command()
def serve(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="FILE", help=f"An ONNX file, or models:/NAME@ALIAS in MLflow's registry. {_DEFAULT}"
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: any free one.")] = 8000,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Batches drawn at once. [default: one a core]")
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="NAME=VALUE", help="As max_images=100; repeat for several. docs/service.md lists them."
        ),
    ] = None,
) -> None:
    """Serve digits over HTTP; DCGAN_API_KEYS=KEY,… lets in only those who send one of the keys."""
    try:
        from dcgan.service.limits import limits_from
        from dcgan.service.server import serve as run
    except ModuleNotFoundError as error:
        raise UnavailableError(f"dcgan serve needs {error.name}; install dcgan-mnist[serve-cpu]") from error
    from dcgan.commands.model_source import load_generator

    keys = [key.strip() for key in os.environ.get("DCGAN_API_KEYS", "").split(",") if key.strip()]
    bounds, source = limits_from(limits or []), model or str(default_model())
    run(lambda: load_generator(source), host=host, port=port, limits=bounds, keys=keys, threads=threads)


@app.command()
def export_triton(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The model repository; it is created, or added to.")],
    *,
    model: ModelOption = None,
) -> None:
    """Write a generator into a model repository for NVIDIA Triton, as its next version."""
    from dcgan.inference.generator import Generator
    from dcgan.inference.triton import write_repository

    written = write_repository(folder, Generator.load(model or default_model(), providers="cpu"))
    print(f"{written}: ready for `tritonserver --model-repository {folder}`")


@app.command()
def info(*, model: ModelOption = None) -> None:
    """Show where a generator comes from and what it takes."""
    from dcgan.inference.generator import Generator

    rows = _rows(Generator.load(model or default_model(), providers="cpu").info)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _rows(about: "ModelInfo") -> list[tuple[str, str]]:
    """Name and value of everything worth showing about a model."""
    inputs = [("input", f"{name}: {kind}") for name, kind in about.contract.inputs.items()]
    outputs = [("output", f"{name}: {kind}") for name, kind in about.contract.outputs.items()]
    metadata = [(name, _printable(value)) for name, value in sorted(about.metadata.items())]
    file = [
        ("model", str(about.path)),
        ("size", f"{about.num_bytes:,} bytes"),
        ("sha256", about.sha256),
        ("seal", "holds" if about.sealed else "none: from elsewhere"),
    ]
    return [*file, *inputs, *outputs, *metadata]


def _printable(value: str) -> str:
    """Text of a file that may come from anywhere, without control characters for the terminal."""
    return "".join(each if each.isprintable() else "?" for each in value)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("dcgan-mnist"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _show_version(wanted=wanted),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Draw handwritten digits with a trained generator."""


if __name__ == "__main__":
    main()
