"""ResNet-152 V2, whose blocks normalize and activate before they convolve, under the head of Resnet152v2ALL."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from leuk.models.network import Network

BLOCKS = (3, 8, 36, 3)
_EPS = 1.001e-5


class PreActivation(nn.Module):
    """A bottleneck in which batch normalization and ReLU come before each convolution.

    Parameters
    ----------
    inputs, width : int
        Channels of the input and of the inner convolutions; the output has 4 x width.
    stride : int
        Of the 3 x 3 convolution; the shortcut takes every n-th pixel.
    projection : bool
        Whether the shortcut is a 1 x 1 convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs, eps=_EPS, momentum=0.01)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width, eps=_EPS, momentum=0.01)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(width, eps=_EPS, momentum=0.01)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.projection = nn.Conv2d(inputs, 4 * width, 1, stride) if projection else None
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, (N, 4 width, H / stride, W / stride)."""
        active = functional.relu(self.norm1(x))
        if self.projection is not None:
            x = self.projection(active)
        elif self.stride > 1:
            x = functional.max_pool2d(x, 1, self.stride)
        y = functional.relu(self.norm2(self.conv1(active)))
        y = functional.relu(self.norm3(self.conv2(y)))
        result: Tensor = x + self.conv3(y)
        return result


class ResNet152V2(Network):
    """Pre-activation ResNet-152, flattened into two dense layers with batch normalization and dropout.

    Parameters
    ----------
    classes : int
    size : int
        Side in pixels of the image, on which the first dense layer depends.
    blocks : sequence of int
        Blocks of the four stages.
    width : int
        Channels of the first stage's inner convolutions.

    Notes
    -----
    Input: float (N, 3, size, size), RGB, 0 … 1. Output: logits (N, classes). As in Keras, the last block of a stage
    carries its stride, and the network scales pixels to -1 … 1 itself.

    References
    ----------
    K. He et al., Identity mappings in deep residual networks, ECCV 2016. Maruf et al., arXiv 2508.17216.
    """

    def __init__(self, classes: int = 4, size: int = 224, blocks: tuple[int, ...] = BLOCKS, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 7, 2, 3), nn.MaxPool2d(3, 2, 1))
        stages, inputs = [], width
        for number, count in enumerate(blocks):
            layers: list[nn.Module] = []
            inner = width * 2**number
            for index in range(count):
                stride = 2 if index == count - 1 and number < len(blocks) - 1 else 1
                layers.append(PreActivation(inputs, inner, stride, projection=not index))
                inputs = 4 * inner
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.norm = nn.BatchNorm2d(inputs, eps=_EPS, momentum=0.01)
        side = size
        for _ in range(len(blocks) + 1):
            side = (side + 1) // 2
        self.dense1, self.norm1 = nn.Linear(inputs * side**2, 128), nn.BatchNorm1d(128, eps=1e-3, momentum=0.01)
        self.dense2, self.norm2 = nn.Linear(128, 156), nn.BatchNorm1d(156, eps=1e-3, momentum=0.01)
        self.dropout1, self.dropout2 = nn.Dropout(0.5), nn.Dropout(0.4)
        self.head = nn.Linear(156, classes)

    def penalty(self) -> Tensor:
        """Return the head's L2 penalty, which training adds to the loss."""
        return 1e-3 * self.dense1.weight.square().sum() + 1e-2 * self.dense2.weight.square().sum()

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations of the first stage and the last ones, normalized and cut at 0."""
        middle = self.stages[0](self.stem(2 * x - 1))
        last = middle
        for stage in list(self.stages)[1:]:
            last = stage(last)
        return middle, functional.relu(self.norm(last))

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last activations."""
        x = self.dropout1(self.norm1(functional.relu(self.dense1(features.flatten(1)))))
        x = self.dropout2(self.norm2(functional.relu(self.dense2(x))))
        logits: Tensor = self.head(x)
        return logits
