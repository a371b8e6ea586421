"""Layers that a CPU computes faster than a generator's own, to the same images up to rounding."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

KERNEL, STRIDE, PADDING = (4, 4), (2, 2), (1, 1)
"""Of the transposed convolutions that double the height and width of their maps."""


def use_fast_layers(network: nn.Module) -> None:
    """Replace what is rewritten here in each nn.Sequential of a network in evaluation mode, in place."""
    for each in list(network.modules()):
        if isinstance(each, nn.Sequential):
            _rewrite(each)


def _rewrite(layers: nn.Sequential) -> None:
    """Replace each transposed convolution that doubles its maps, with the BatchNorm and the ReLU after it."""
    for start, (first, second, third) in enumerate(zip(layers, layers[1:], layers[2:], strict=False)):
        if not (isinstance(first, nn.ConvTranspose2d) and _doubles(first)):
            continue
        if isinstance(second, nn.BatchNorm2d) and isinstance(third, nn.ReLU):
            layers[start] = FourConvolutions(fuse_conv_bn_eval(first, second, transpose=True))
            layers[start + 1] = layers[start + 2] = nn.Identity()


def _doubles(layer: nn.ConvTranspose2d) -> bool:
    shape = (layer.kernel_size, layer.stride, layer.padding)
    is_plain = layer.output_padding == (0, 0) and layer.dilation == (1, 1) and layer.groups == 1
    return is_plain and shape == (KERNEL, STRIDE, PADDING)


class FourConvolutions(nn.Module):
    """ReLU of a transposed 4x4 convolution of stride 2: maps [B, I, H, W] to [B, O, 2H, 2W].

    Each row of its output reads two rows of its input: rows 2i the rows i - 1 and i, rows 2i + 1 the rows i and i + 1;
    columns likewise. So even and odd rows and columns are four ordinary 2x2 convolutions (the sub-pixel form of Shi et
    al. 2016, arXiv:1609.05158), which run on all of a processor's vector units where a transposed one does not.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        """Take the weights of a transposed convolution."""
        super().__init__()
        assert layer.bias is not None
        weight = layer.weight.detach().transpose(0, 1)  # [O, I, 4, 4]
        self.kernels = nn.ParameterList(
            weight[:, :, [3 - down, 1 - down]][..., [3 - right, 1 - right]] for down in (0, 1) for right in (0, 1)
        )
        self.bias = layer.bias

    def forward(self, maps: Tensor) -> Tensor:
        """The doubled maps."""
        phases = []
        for number, kernel in enumerate(self.kernels):
            down, right = divmod(number, 2)
            padded = functional.pad(maps, (1 - right, right, 1 - down, down))
            phases.append(functional.relu(functional.conv2d(padded, kernel, self.bias)))
        height, width, channels = maps.shape[2], maps.shape[3], len(self.bias)
        # Channels last, so that the interleaving copies long runs: of the columns first, then of the rows.
        joined = torch.cat(phases, dim=1).permute(0, 2, 3, 1)  # [B, H, W, 2·2·O]
        rows = joined.reshape(-1, height, width, 2, 2 * channels).permute(0, 1, 3, 2, 4)  # [B, H, 2, W, 2·O]
        return rows.reshape(-1, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
