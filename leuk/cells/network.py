"""The classifier of single cells: a small residual network that also knows how large the cell is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leuk.models.network import GroupNorm
from leuk.models.reader import Block


class CellNetwork(nn.Module):
    """Residual network with GroupNorm for crops of one cell each.

    Each crop's optical densities are brought to mean 0 and variance 1, channel by channel, which takes out the depth
    of the stain, brightness and white balance. The cell's size, which scaling every cell to one diameter takes out of
    the crop, comes back as a number: in red cells' diameters, so that neither lens nor camera matters.

    Parameters
    ----------
    classes : int
        Number of classes.
    widths : sequence of int
        Channels of the stem and of the stages at strides 4, 8 and 16.
    dropout : float
        Before the last layer, 0 … 1.

    Notes
    -----
    Input: optical densities, float (N, 3, S, S), 0 outside the cell, S a multiple of 16; sizes, float (N,), NaN where
    unknown. Output: logits (N, classes).
    """

    def __init__(
        self, classes: int, widths: tuple[int, int, int, int] = (32, 48, 96, 160), dropout: float = 0.2
    ) -> None:
        super().__init__()
        stem, *stages = widths
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 5, 2, 2, bias=False), GroupNorm(8, stem), nn.ReLU())
        layers: list[nn.Module] = []
        inputs = stem
        for outputs in stages:
            layers.append(Block(inputs, outputs, 2))
            inputs = outputs
        self.stages = nn.Sequential(*layers)
        self.features = inputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.Linear(inputs + 2, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, density: Tensor, sizes: Tensor) -> Tensor:
        """Return logits, (N, classes)."""
        return self.judge(self.describe(density), sizes)

    def describe(self, density: Tensor) -> Tensor:
        """Return what the network sees in crops, size apart: (N, `features`)."""
        mean = density.mean(dim=(2, 3), keepdim=True)
        x = (density - mean) / (density.var(dim=(2, 3), keepdim=True) + 1e-4).sqrt()
        features: Tensor = self.stages(self.stem(x)).mean(dim=(2, 3))
        return features

    def judge(self, features: Tensor, sizes: Tensor) -> Tensor:
        """Return the logits, (N, classes), of what `describe` returned and the cells' sizes."""
        known = torch.isfinite(sizes).float()
        size = torch.where(known > 0, sizes.clamp(0.2, 6).log2(), torch.zeros_like(sizes))
        logits: Tensor = self.head(torch.cat([self.dropout(features), known[:, None], size[:, None]], dim=1))
        return logits
