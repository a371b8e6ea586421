"""`dcgan generate`: digits drawn into a file."""

from pathlib import Path
from typing import Annotated

import typer

from dcgan.commands.model_source import ModelOption, default_model


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
    """Draw digits, which depend on the options and the model alone, and write them."""
    from dcgan.inference.encoding import Samples, encoder_of
    from dcgan.inference.generator import Generator
    from dcgan.system.files import require_writable, write_bytes

    encode, model = encoder_of(out), model or default_model()
    generator = Generator.load(model, providers="cpu")  # it starts at once and draws the same bytes on every machine
    latents = generator.latents_for(count, seed=seed, truncation=truncation)
    labels = generator.labels_for(count, digits=digits or None)
    require_writable(out.parent)
    pixels, sha256 = generator.draw(latents, labels), generator.info.sha256
    samples = Samples(pixels=pixels, labels=labels, seed=seed, truncation=truncation, model_sha256=sha256)
    write_bytes(out, encode(samples))
    print(f"{out}: {count:,} digit{'s' if count > 1 else ''} from seed {seed}, drawn by {model}")
