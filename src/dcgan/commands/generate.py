"""`dcgan generate`: digits drawn into a file, or into shards by the million."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from dcgan.commands.model_source import ModelOption, default_model
from dcgan.system.errors import UsageError

SHARD_OPTIONS = {
    "shard_format": "--format",
    "shard_size": "--shard-size",
    "device": "--device",
    "workers": "--workers",
    "address": "--address",
    "only": "--only",
    "jobs": "--jobs",
    "verify": "--verify",
}
"""Parameters of `generate` that say how shards are made."""
JOB_INDEX = "JOB_COMPLETION_INDEX"
"""The environment variable that numbers the pods of a Kubernetes Indexed Job."""


def generate(
    *,
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="What to write: .png (one grid), .npy or .npz.")
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option("--shards", metavar="DIR", help="Instead of --out: a folder, or s3://bucket/prefix, for shards."),
    ] = None,
    model: ModelOption = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", help="How many digits, 1 to 100,000; in shards to 10^10.")
    ] = 64,
    digits: Annotated[
        list[int] | None,
        typer.Option("--digit", metavar="D", help="Digit to draw; repeat for several in turn. [default: all]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed draws the same digits.")] = 0,
    truncation: Annotated[
        float, typer.Option("--truncation", metavar="T", help="Up to 1; less draws more typical, less varied digits.")
    ] = 1.0,
    shard_format: Annotated[
        str, typer.Option("--format", metavar="F", help="Of shards: parquet, webdataset or npy.")
    ] = "parquet",
    shard_size: Annotated[
        int | None, typer.Option(metavar="N", help="Digits in a shard. [default: 10,000; above 10^8 digits more]")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What draws shards; auto: CUDA where there is a GPU.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Shards drawn at a time. [default: as many as cores]")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ray cluster that makes shards: HOST:PORT, auto, or local for processes of this machine. "
            "[default: RAY_ADDRESS, else threads of this process]",
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="I/N", help="Make part I, from 0, of the shards in N parts.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"As --only I/N, where {JOB_INDEX} is I (Kubernetes).")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the shards that are there, and check digests.")
    ] = False,
) -> None:
    """Draw digits, which depend on the options and the model alone, and write them.

    The same command again makes only those shards that are missing or damaged.
    """
    if (out is None) == (shards is None):
        raise UsageError("give --out FILE for up to 100,000 digits, or --shards DIR for any number")
    model = model or default_model()
    if out is not None:
        for name, option in SHARD_OPTIONS.items():
            if _is_given(ctx, name):
                raise UsageError(f"{option}: goes with --shards, not with --out")
        generate_file(out, model, count=count, digits=digits or None, seed=seed, truncation=truncation)
        return
    from dcgan.commands.shards import generate_shards

    generate_shards(
        shards or "",
        model,
        count=count,
        digits=digits or None,
        seed=seed,
        truncation=truncation,
        format_name=shard_format,
        shard_size=shard_size,
        device=device,
        workers=workers,
        address=address or os.environ.get("RAY_ADDRESS") or None,
        part=chosen_part(only, jobs),
        verify=verify,
    )


def generate_file(
    out: Path, model: Path, *, count: int, digits: list[int] | None, seed: int, truncation: float
) -> None:
    """Draw digits into one file, whose kind its name tells."""
    from dcgan.inference.encoding import Samples, encoder_of
    from dcgan.inference.generator import Generator
    from dcgan.system.files import require_writable, write_bytes

    encode = encoder_of(out)
    generator = Generator.load(model, providers="cpu")  # it starts at once and draws the same bytes on every machine
    latents = generator.latents_for(count, seed=seed, truncation=truncation)
    labels = generator.labels_for(count, digits=digits)
    require_writable(out.parent)
    pixels, sha256 = generator.draw(latents, labels), generator.info.sha256
    samples = Samples(
        pixels=pixels,
        labels=labels,
        seed=seed,
        truncation=truncation,
        model_sha256=sha256,
        num_classes=generator.info.contract.num_classes,
    )
    write_bytes(out, encode(samples))
    print(f"{out}: {count:,} digit{'s' if count > 1 else ''} from seed {seed}, drawn by {model}")


def chosen_part(only: str | None, jobs: int | None) -> tuple[int, int]:
    """Which of how many parts of the shards to make: index and number.

    Raises:
        UsageError: the options are no part, or both are given, or the index of a job is missing.
    """
    if jobs is not None:
        if only is not None:
            raise UsageError("--only and --jobs exclude each other")
        if (index := os.environ.get(JOB_INDEX)) is None:
            raise UsageError(
                f"--jobs: {JOB_INDEX}, which a Kubernetes Indexed Job sets, is missing; give --only I/{jobs}"
            )
        only = f"{index}/{jobs}"
    index, _, num_parts = (only or "0/1").partition("/")
    if not (index.isdecimal() and num_parts.isdecimal() and int(index) < int(num_parts)):
        raise UsageError(
            f"{'--jobs' if jobs else '--only'}: {only} is not a part; expected I/N, with I from 0 to N - 1"
        )
    return int(index), int(num_parts)


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
