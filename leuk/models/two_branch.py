"""The two-branch network: one branch sees the field, the other its segmented twin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leuk.models.backbones import halves
from leuk.models.network import Network


class TwoBranch(Network):
    """Two backbones of one kind whose last maps are concatenated, global average pooling, and two dense layers.

    Parameters
    ----------
    classes : int
    name : str
        One of `leuk.models.backbones.BACKBONES`.
    hidden : int
        Width of the first dense layer.
    dropout : float
        After it, 0 … 1.
    pretrained : bool
        Begin with ImageNet weights.

    Notes
    -----
    Input: float (N, 6, H, W), 0 … 1: RGB of the field, then of the segmented image. Output: logits (N, classes). The
    paper gives no widths for its classifier; these are ours.

    References
    ----------
    M. Ghaderzadeh et al., Int J Intell Syst 2022;37:5113, doi 10.1002/int.22753.
    """

    pretrained_on = "ImageNet-1k"
    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        classes: int = 4,
        name: str = "densenet201",
        hidden: int = 256,
        dropout: float = 0.5,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.early, self.late, channels = halves(name, pretrained)
        self.segmented_early, self.segmented_late, _ = halves(name, pretrained)
        self.head = nn.Sequential(
            nn.Linear(2 * channels, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the field's branch at its cut, and the last activations of both branches."""
        field, segmented = ((part - self.mean) / self.spread for part in (x[:, :3], x[:, 3:]))
        middle: Tensor = self.early(field)
        return middle, torch.cat([self.late(middle), self.segmented_late(self.segmented_early(segmented))], dim=1)

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from both branches' last activations."""
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits
