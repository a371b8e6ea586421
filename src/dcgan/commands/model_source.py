"""Which generator a command uses, and where it is loaded from: a file, or MLflow's registry."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from dcgan.config.workspace import ONNX_GENERATOR
from dcgan.system.errors import BadDataError

if TYPE_CHECKING:
    from dcgan.inference.generator import Generator

REGISTRY = "models:/"

DEFAULT_MODEL = f"[default: {ONNX_GENERATOR} if it is here, else the one that came with the package]"
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help=f"The generator's ONNX file. {DEFAULT_MODEL}")
]


def default_model() -> Path:
    """The generator that was trained in this folder, else the one that came with the package."""
    from dcgan.inference.generator import PRETRAINED

    return ONNX_GENERATOR if ONNX_GENERATOR.exists() or not PRETRAINED.exists() else PRETRAINED


def load_generator(source: str) -> "Generator":
    """The generator in an ONNX file, or behind an address such as models:/dcgan-generator@champion.

    Raises:
        BadDataError: there is no such model, or it does not keep the contract.
        UnavailableError: MLflow is needed, but not installed or not reached.
    """
    from dcgan.inference.generator import Generator

    if not source.startswith(REGISTRY):
        return Generator.load(source)
    from dcgan.tracking.download import at_version, download_model, find_version

    version = find_version(source)  # first, since an alias may move while its model is fetched
    with TemporaryDirectory() as folder:
        path = download_model(source if version is None else at_version(source, version), Path(folder))
        try:
            generator = Generator.load(path)
        except BadDataError as error:  # the file that it names is gone by the time anyone reads of it
            raise BadDataError(str(error).replace(str(path), source)) from error
    generator.info = dataclasses.replace(generator.info, path=Path(source), version=version)
    return generator


def version_at(source: str) -> str | None:
    """The version that an address in MLflow's registry leads to now.

    Raises:
        DcganError: as `load_generator`.
    """
    from dcgan.tracking.download import find_version

    return find_version(source)
