"""Leuk's own reader: a compact residual network with GroupNorm, trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from leuk.models.network import GroupNorm, Network


class Block(nn.Module):
    """Two 3 x 3 convolutions with GroupNorm around a shortcut.

    Parameters
    ----------
    inputs, outputs : int
        Channels, multiples of 8.
    stride : int
        Of the first convolution; the shortcut averages over the same stride before its 1 x 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = GroupNorm(8, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = GroupNorm(8, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, (N, outputs, H / stride, W / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x), inplace=True)


def stages(widths: Sequence[int], blocks: Sequence[int]) -> nn.Sequential:
    """Return residual stages, the first block of each at twice the stride of the one before.

    Parameters
    ----------
    widths : sequence of int
        Channels that come in, and of each stage.
    blocks : sequence of int
        Of each stage, one or more.
    """
    layers = [
        Block(inputs if index == 0 else outputs, outputs, 2 if index == 0 else 1)
        for inputs, outputs, count in zip(widths[:-1], widths[1:], blocks, strict=True)
        for index in range(count)
    ]
    return nn.Sequential(*layers)


class Reader(Network):
    """Leuk's reader.

    Each image's channels become optical densities of mean 0 and variance 1, which takes out brightness, white balance
    and gamma before anything is learnt. GroupNorm instead of BatchNorm, because statistics learnt in one laboratory
    mislead in the next; no depth-wise convolutions, because processors run them poorly; global average pooling, because
    a field has any size.

    Parameters
    ----------
    classes : int
        Number of classes.
    widths : sequence of int
        Channels of the stem and of the three stages at strides 4, 8 and 16.
    blocks : sequence of int
        Residual blocks in each of the three stages.
    dropout : float
        Before the last layer, 0 … 1.

    Notes
    -----
    Input: float (N, 3, H, W), RGB, 0 … 1, H and W multiples of 16 (160 in training). Output: logits (N, classes).

    References
    ----------
    K. He et al., Deep residual learning for image recognition, CVPR 2016. Y. Wu and K. He, Group normalization,
    ECCV 2018.
    """

    def __init__(
        self,
        classes: int = 4,
        widths: tuple[int, int, int, int] = (32, 48, 96, 192),
        blocks: tuple[int, int, int] = (1, 1, 1),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        stem = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 5, 2, 2, bias=False), GroupNorm(8, stem), nn.ReLU(inplace=True))
        self.stages = stages(widths, blocks)
        self.blocks = tuple(blocks)
        self.first, self.last = blocks[0], len(self.stages) - blocks[-1]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations of the middle stage, (N, C', H / 8, W / 8), and the last, (N, C, H / 16, W / 16)."""
        middle: Tensor = self.stages[self.first : self.last](self.fine(x))
        return middle, self.stages[self.last :](middle)

    def fine(self, x: Tensor) -> Tensor:
        """Return the first stage's activations, (N, C, H / 4, W / 4).

        What lies at a place of the last maps has seen half the field: by hiding places one finds that heat drawn there
        says hardly anything of where the score comes from (``benchmarks/heat.py``).
        """
        first: Tensor = self.stages[: self.first](self.stem(self.normalize(x)))
        return first

    def read_fine(self, fine: Tensor) -> Tensor:
        """Return logits, (N, classes), from the first stage's activations."""
        return self.read(self.stages[self.first :](fine))

    def normalize(self, x: Tensor) -> Tensor:
        """Return the image as the first convolution sees it, float32 (N, 3, H, W)."""
        density = -(x.float() + 4 / 255).log()
        mean = density.mean(dim=(2, 3), keepdim=True)
        # The floor keeps an almost even picture from being blown up into noise.
        return (density - mean) / (density.var(dim=(2, 3), keepdim=True) + 1e-3).sqrt()

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last stage's activations."""
        logits: Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits


def grown(weights: Mapping[str, Tensor], blocks: Sequence[int], larger: Reader) -> dict[str, Tensor]:
    """Carry weights over to a reader of more blocks, which begins by reading exactly as the smaller one.

    Added blocks follow those there are, and add nothing until they are trained: the scale of their last norm is 0.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        Of a `Reader`.
    blocks : sequence of int
        Its blocks in each stage.
    larger : Reader
        New, of the same widths and no fewer blocks.

    Returns
    -------
    dict of str to torch.Tensor
        For the larger reader.

    References
    ----------
    T. Chen, I. Goodfellow and J. Shlens, Net2Net: accelerating learning via knowledge transfer, ICLR 2016.
    """
    begun = {
        name: torch.zeros_like(value) if ".norm2." in name else value for name, value in larger.state_dict().items()
    }
    before, after = np.cumsum([0, *blocks]), np.cumsum([0, *larger.blocks])
    for name, value in weights.items():
        head, *rest = name.split(".")
        if head == "stages":
            stage = int(np.searchsorted(before, int(rest[0]), side="right")) - 1
            rest[0] = str(int(rest[0]) - before[stage] + after[stage])
        begun[".".join([head, *rest])] = value
    return begun
