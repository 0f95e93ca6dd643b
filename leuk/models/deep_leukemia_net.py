"""DeepLeukemiaNet: a residual network of 31 convolutions for small grey images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from leuk.models.network import Network

WIDTHS = ((32, 32, 64), (64, 64, 128), (64, 64, 256))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with bias and the batch normalization that follows it."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut.

    Parameters
    ----------
    inputs : int
        Channels.
    widths : tuple of int
        Channels of the three convolutions.
    stride : int
        Of the first convolution.
    projection : bool
        Whether the shortcut is a 1 x 1 convolution, of the same stride; else it is the input itself.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int], stride: int, projection: bool) -> None:
        super().__init__()
        first, second, third = widths
        self.reduce, self.conv = _conv(inputs, first, 1, stride), _conv(first, second, 3)
        self.expand = _conv(second, third, 1)
        self.shortcut: nn.Module = _conv(inputs, third, 1, stride) if projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations."""
        y = self.expand(functional.relu(self.conv(functional.relu(self.reduce(x)))))
        return functional.relu(y + self.shortcut(x))


class DeepLeukemiaNet(Network):
    """DeepLeukemiaNet: 31 convolutions, 457,538 parameters for one 100 x 100 channel and two classes.

    Parameters
    ----------
    classes : int
    channels : int
        Of the image.
    size : int
        Side in pixels of the image, on which the last layer depends.
    components : int
        Principal components to which the image is reduced before anything else; 0 for none. They are no parameters
        but buffers, fitted on training folds (`leuk.training.selection`).
    vectors, kept : int
        Support vectors and selected features of the machine that replaces the last layer; 0 for none. Buffers too.

    Notes
    -----
    Input: float (N, channels, size, size), 0 … 1. Output: logits (N, classes).

    References
    ----------
    A. Noshad and S. Fallahi, DeepLeukemiaNet, Comput Methods Biomech Biomed Eng Imaging Vis 2022,
    doi 10.1080/21681163.2022.2157748.
    """

    center: Tensor
    basis: Tensor

    def __init__(
        self, classes: int = 2, channels: int = 1, size: int = 100, components: int = 0, vectors: int = 0, kept: int = 0
    ) -> None:
        super().__init__()
        self.components = components
        if components:
            self.register_buffer("center", torch.zeros(channels * size * size))
            self.register_buffer("basis", torch.zeros(components, channels * size * size))
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 64, 7, 2, 3),
            nn.BatchNorm2d(64, eps=1e-3, momentum=0.01),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        stages, inputs = [], 64
        for number, widths in enumerate(WIDTHS):
            blocks: list[nn.Module] = []
            for index in range(3):
                blocks.append(Bottleneck(inputs, widths, 2 if number and not index else 1, projection=not index))
                inputs = widths[-1]
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        side = ((size + 1) // 2 - 3) // 2 + 1
        for _ in WIDTHS[1:]:
            side = (side + 1) // 2
        self.width = inputs * (side // 2) ** 2
        self.machine = SupportVectors(classes, vectors, kept) if vectors else None
        self.head = nn.Linear(self.width, classes)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations of the second stage, 128 channels, and the third, 256 channels."""
        if self.components:
            flat = x.flatten(1) - self.center
            x = (self.center + flat @ self.basis.T @ self.basis).view_as(x)
        middle = self.stages[1](self.stages[0](self.stem(x)))
        return middle, self.stages[2](middle)

    def flatten(self, features: Tensor) -> Tensor:
        """Return the features that the last layer reads, (N, 2304) for 100 pixels."""
        return functional.avg_pool2d(features, 2).flatten(1)

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the third stage's activations."""
        flat = self.flatten(features)
        logits: Tensor = self.head(flat) if self.machine is None else self.machine(flat)
        return logits


class SupportVectors(nn.Module):
    """Support vector machines with a Gaussian kernel on selected features, one class against the rest.

    Parameters
    ----------
    classes : int
    vectors : int
        Support vectors in all.
    kept : int
        Selected features.
    """

    chosen: Tensor
    vectors: Tensor
    weights: Tensor
    offsets: Tensor
    gamma: Tensor

    def __init__(self, classes: int, vectors: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("chosen", torch.zeros(kept, dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(vectors, kept))
        self.register_buffer("weights", torch.zeros(classes, vectors))
        self.register_buffer("offsets", torch.zeros(classes))
        self.register_buffer("gamma", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return each class's decision value, (N, classes), of features (N, D)."""
        x = x[:, self.chosen].float()
        squares = (x**2).sum(1)[:, None] + (self.vectors**2).sum(1)[None] - 2 * x @ self.vectors.T
        near = (-self.gamma * squares.clamp(min=0)).exp()
        return near @ self.weights.T + self.offsets
