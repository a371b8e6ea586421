"""`dcgan export-triton`: a generator in a model repository of NVIDIA Triton."""

from pathlib import Path
from typing import Annotated

import typer

from dcgan.commands.model_source import ModelOption, default_model


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
