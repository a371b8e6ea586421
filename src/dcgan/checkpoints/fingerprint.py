"""What trained weights depend on: a training is resumed only by one with the same fingerprint."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from dcgan.config.schema import WITHOUT_EFFECT, flatten
from dcgan.system.files import sha256_of

Fingerprint = Mapping[str, str]
"""Every value that the weights depend on, by name."""


def fingerprint_of(
    stage: str, config: Any, inputs: Iterable[Path], *, rooms: Iterable[str], device: torch.device
) -> Fingerprint:
    """All that the weights depend on: parameters, input files, code, PyTorch's version, device, threads and processes.

    Parameters `WITHOUT_EFFECT` are left out. `evaluate_every` and `stop_when` are in: the best state and the end of the
    training depend on them.

    Args:
        stage: which training this is.
        config: a dataclass of parameters, with every `auto` resolved.
        inputs: the files that it reads.
        rooms: the packages in `dcgan` whose code it runs, as dvc.yaml lists them.
        device: where it computes.
    """
    parameters = {
        path: str(value) for path, value in flatten(config).items() if path.rpartition(".")[2] not in WITHOUT_EFFECT
    }
    return {
        "stage": stage,
        **parameters,
        **{path.as_posix(): sha256_of(path) for path in inputs},
        "code": _code_sha256(rooms),
        "torch": torch.__version__,
        "device": device.type,
        "threads": str(torch.get_num_threads()),
        "processes": os.environ.get("WORLD_SIZE", "1"),  # as torchrun says
    }


def _code_sha256(rooms: Iterable[str]) -> str:
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for room in sorted(rooms):
        for path in sorted((package / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
