"""The state before the first step, with random weights or those of an earlier training: `train.init_from`."""

from pathlib import Path

import torch
from torch import nn

from dcgan.checkpoints.tensors import from_arrays
from dcgan.config.schema import GanConfig
from dcgan.config.workspace import NETWORKS
from dcgan.gan.state import GanState, build_state
from dcgan.system.errors import BadDataError
from dcgan.system.tensors_file import read_arrays


def build_start(config: GanConfig, *, device: torch.device) -> GanState:
    """The state before the first step; generator and averaged generator start from the same file.

    Raises:
        BadDataError: a file of `train.init_from` is damaged, or of networks of other shapes; the tensor is named.
    """
    state = build_state(config, device=device)
    if config.train.init_from is not None:
        generator, discriminator = (Path(config.train.init_from) / path.name for path in NETWORKS)
        _load(generator, state.generator, state.generator_ema)
        _load(discriminator, state.discriminator)
    return state


def _load(path: Path, *networks: nn.Module) -> None:
    tensors = from_arrays(read_arrays(path).arrays)
    for network in networks:
        for name, tensor in network.state_dict().items():
            found = list(tensors[name].shape) if name in tensors else "missing"
            if found != list(tensor.shape):
                raise BadDataError(
                    f"{path}: {name} is {found}, and {list(tensor.shape)} by params.yaml; train.init_from needs weights"
                    " of the same model and penalties.spectral_norm"
                )
        if unknown := tensors.keys() - network.state_dict().keys():
            raise BadDataError(
                f"{path}: {min(unknown)} is no tensor of the networks in params.yaml; train.init_from needs weights of"
                " the same model and penalties.spectral_norm"
            )
        network.load_state_dict(tensors)
