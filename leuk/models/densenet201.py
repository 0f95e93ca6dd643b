"""DenseNet-201 with a head of two dense layers, for B-ALL."""

from __future__ import annotations

from torch import Tensor, nn

from leuk.models.backbones import halves
from leuk.models.network import Network


class DenseNet201(Network):
    """DenseNet-201, global average pooling, batch normalization, and two dense layers before the last.

    Parameters
    ----------
    classes : int
    pretrained : bool
        Begin with ImageNet weights.

    Notes
    -----
    Input: float (N, 3, H, W), RGB, 0 … 1, H and W at least 64. Output: logits (N, classes). The second dense layer
    has the 128 units of the system's text; its code later used 64.
    """

    pretrained_on = "ImageNet-1k"

    def __init__(self, classes: int = 4, pretrained: bool = False) -> None:
        super().__init__()
        self.early, self.late, channels = halves("densenet201", pretrained)
        self.head = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.Linear(channels, 128),
            nn.BatchNorm1d(128),
            nn.LeakyReLU(0.01),
            nn.Dropout(0.2),
            nn.Linear(128, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations after the first transition and the last ones."""
        middle: Tensor = self.early(x)
        return middle, self.late(middle)

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last activations."""
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits
