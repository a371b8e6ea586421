"""Where a generator is loaded from: a file, or MLflow's registry."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError

REGISTRY = "models:/"


def load_generator(source: str) -> Generator:
    """The generator in an ONNX file, or behind an address such as models:/dcgan-generator@champion.

    Raises:
        BadDataError: there is no such model, or it does not keep the contract.
        UnavailableError: MLflow is needed, but not installed or not reached.
    """
    if not source.startswith(REGISTRY):
        return Generator.load(source)
    from dcgan.tracking.download import download_model

    with TemporaryDirectory() as folder:
        path = download_model(source, Path(folder))
        try:
            generator = Generator.load(path)
        except BadDataError as error:  # the file that it names is gone by the time anyone reads of it
            raise BadDataError(str(error).replace(str(path), source)) from error
    generator.info = dataclasses.replace(generator.info, path=Path(source))
    return generator
