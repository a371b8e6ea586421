"""`dcgan` as typed, in this process."""

import sys
from collections.abc import Callable

import pytest

from dcgan import cli
from dvc_workspace import Ended

Dcgan = Callable[..., Ended]


@pytest.fixture
def dcgan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dcgan:
    """Run a command."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dcgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code, *capfd.readouterr())

    return run
