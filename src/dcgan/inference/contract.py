"""What a generator's ONNX file promises: its inputs, its outputs and the metadata that sampling needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

LatentDistribution = Literal["normal", "uniform"]

METADATA = ("latent_dim", "latent_distribution", "num_classes", "dataset", "dataset_sha256")
"""What every generator says about itself. An exported one also has `params_sha256`, `generator_sha256` (of the weights'
file, which names the model) and its checksum, `content_sha256`; where classes are not the ten digits, `class_names`
lists their names in JSON."""

MAX_LATENT_DIM = 65_536
MAX_CLASSES = 1_000
"""What a file may promise: what is drawn and listed for a request is as large as they are."""

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """How to ask a generator for digits."""

    latent_dim: int
    latent_distribution: LatentDistribution
    """Standard normal, or uniform in [-1, 1]."""
    num_classes: int
    """How many digits, or other classes, can be asked for; 0: the generator is unconditional."""

    @property
    def conditional(self) -> bool:
        """Whether the generator takes labels."""
        return self.num_classes > 0

    @property
    def inputs(self) -> dict[str, str]:
        """Name and type of each input."""
        labels = {"labels": "int64 [batch]"} if self.conditional else {}
        return {"latents": f"float32 [batch, {self.latent_dim}]", **labels}

    @property
    def outputs(self) -> dict[str, str]:
        """Name and type of each output."""
        return {"images": "float32 [batch, 1, 28, 28]", "pixels": "uint8 [batch, 28, 28]"}


def read_contract(metadata: Mapping[str, str], *, inputs: Sequence[Any], outputs: Sequence[Any]) -> Contract:
    """The contract in a model's metadata, which its inputs and outputs, as ONNX Runtime lists them, must keep.

    Raises:
        ValueError: naming what is missing or other than promised.
    """
    for key in METADATA:
        if key not in metadata:
            raise ValueError(f"its metadata lacks {key}, so it is not a complete generator of this project")
    contract = Contract(
        latent_dim=_whole_number(metadata, "latent_dim", least=1, most=MAX_LATENT_DIM),
        latent_distribution=_distribution(metadata),
        num_classes=_whole_number(metadata, "num_classes", least=0, most=MAX_CLASSES),
    )
    _compare("input", found=inputs, expected=contract.inputs)
    _compare("output", found=outputs, expected=contract.outputs)
    return contract


def _compare(kind: str, *, found: Sequence[Any], expected: Mapping[str, str]) -> None:
    names = [each.name for each in found]
    if sorted(names) != sorted(expected):
        raise ValueError(f"its {kind}s are {', '.join(names) or 'none'}; expected {', '.join(expected)}")
    for each in found:
        if (described := _described(each)) != expected[each.name]:
            raise ValueError(f"{kind} {each.name} is {described}; expected {expected[each.name]}")


def _described(value: Any) -> str:
    """As `float32 [batch, 100]`; a first dimension of any size is called batch, whatever the file calls it."""
    sizes = ["?" if size is None else str(size) for size in value.shape]
    if value.shape and not isinstance(value.shape[0], int):
        sizes[0] = "batch"
    return f"{_TYPES.get(value.type, value.type)} [{', '.join(sizes)}]"


def _whole_number(metadata: Mapping[str, str], key: str, *, least: int, most: int) -> int:
    text = metadata[key]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise ValueError(f"its metadata {key} is {text[:60]!r}; expected a whole number from {least} to {most:,}")
    return int(text)


def _distribution(metadata: Mapping[str, str]) -> LatentDistribution:
    text = metadata["latent_distribution"]
    if text not in (known := get_args(LatentDistribution)):
        raise ValueError(f"its metadata latent_distribution is {text[:60]!r}; expected {' or '.join(known)}")
    return cast("LatentDistribution", text)
