"""Packages that only some uses need."""

from collections.abc import Iterator
from contextlib import contextmanager

from dcgan.system.errors import UnavailableError


@contextmanager
def required(purpose: str, *, extra: str) -> Iterator[None]:
    """Around code that imports: a package that is not installed is named in one line, with the extra that installs it.

    Raises:
        UnavailableError: it is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "dcgan":
            raise
        install = f"pip install '.[{extra}]'"
        raise UnavailableError(f"{purpose} needs {error.name}; run `{install}` in the repository") from error
