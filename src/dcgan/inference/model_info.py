"""What is known of a loaded model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan.inference.checksum import KEY
from dcgan.inference.contract import Contract, read_contract

ARITHMETIC = "arithmetic"
"""Metadata of a quantised model."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a loaded model."""

    path: Path
    num_bytes: int
    sha256: str
    """Of the bytes that were loaded."""
    contract: Contract
    metadata: Mapping[str, str]
    """All that the file says about itself; ARCHITECTURE's ONNX contract lists the keys."""
    providers: tuple[str, ...]
    """What runs it, as ONNX Runtime reports it, first choice first."""
    version: str | None = None
    """Its number in the registry that it was loaded from; None for a file."""

    @property
    def has_checksum(self) -> bool:
        """Whether the file holds a checksum of itself, which was right; one from elsewhere holds none."""
        return KEY in self.metadata

    @property
    def arithmetic(self) -> str:
        """What its convolutions compute in: float32, or int8 in a file that `dcgan export-int8` wrote."""
        return self.metadata.get(ARITHMETIC, "float32")

    @property
    def device(self) -> str:
        """What runs it, as people call it: CPU or CUDA."""
        return self.providers[0].removesuffix("ExecutionProvider")


def describe(session: Any, content: bytes, path: Path) -> ModelInfo:
    """What a session of the model in `content` tells; ValueError if it does not keep the contract."""
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return ModelInfo(
        path=path,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        contract=read_contract(metadata, inputs=session.get_inputs(), outputs=session.get_outputs()),
        metadata=metadata,
        providers=tuple(session.get_providers()),
    )
