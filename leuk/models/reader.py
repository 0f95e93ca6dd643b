"""Leuk's own reader: a compact residual network with GroupNorm, trained from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        self.norm1 = nn.GroupNorm(8, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's activations, (N, outputs, H / stride, W / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class Reader(nn.Module):
    """Leuk's reader.

    GroupNorm instead of BatchNorm, because statistics learnt in one laboratory mislead in the next; no depth-wise
    convolutions, because processors run them poorly; global average pooling, because a field has any size.

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
    standardize : str
        "density": each image's channels become optical densities, brought to mean 0 and variance 1, which takes out
        brightness, white balance and gamma; "intensity": the same without the logarithm; "none": 0 … 1 becomes -2 … 2.

    Notes
    -----
    Input: float (N, 3, H, W), RGB, 0 … 1, H and W multiples of 16 (224 in training). Output: logits (N, classes).

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
        standardize: str = "density",
        shallow: bool = False,
    ) -> None:
        super().__init__()
        self.standardize = standardize
        stem, *stages = widths
        kernel, stride, padding = (7, 4, 2) if shallow else (5, 2, 2)
        self.stem = nn.Sequential(nn.Conv2d(6 if standardize == "both" else 3, stem, kernel, stride, padding, bias=False), nn.GroupNorm(8, stem), nn.ReLU())
        layers: list[nn.Module] = []
        inputs = stem
        for outputs, count in zip(stages, blocks, strict=True):
            for index in range(count):
                first = index == 0 and not (shallow and not layers)
                layers.append(Block(inputs, outputs, 2 if first else 1))
                inputs = outputs
        self.stages = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the last stage's activations, (N, C, H / 16, W / 16)."""
        features: Tensor = self.stages(self.stem(self.normalize(x)))
        return features

    def normalize(self, x: Tensor) -> Tensor:
        """Return the image as the first convolution sees it, float32 (N, 3 or 6, H, W)."""
        if self.standardize == "none":
            return (x - 0.5) * 4
        x = x.float()
        if self.standardize != "intensity":
            x = -(x + 4 / 255).log()
        mean = x.mean(dim=(2, 3), keepdim=True)
        # The floor keeps an almost even picture from being blown up into noise.
        even = (x - mean) / (x.var(dim=(2, 3), keepdim=True) + 1e-3).sqrt()
        if self.standardize != "both":
            return even
        flat = x.detach().flatten(2)
        white = flat.kthvalue(max(1, flat.shape[2] // 20), dim=2).values[..., None, None]
        return torch.cat([even, (x - white) * 2 - 1], dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the pooled activations, (N, C), which the last layer reads."""
        return self.features(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (N, classes)."""
        logits: Tensor = self.head(self.dropout(self.embed(x)))
        return logits


