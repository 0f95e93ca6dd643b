"""A plain network of two convolutions, trained on original or on segmented fields."""

from __future__ import annotations

from torch import Tensor, nn

from leuk.models.network import Network


class SimpleCnn(Network):
    """Two convolutions, each halved by max-pooling, then a linear layer of 16 and the last one.

    Parameters
    ----------
    classes : int
    size : int
        Side in pixels of the image, on which the dense layer depends.

    Notes
    -----
    Input: float (N, 3, size, size), RGB, 0 … 1. Output: logits (N, classes). 3,024,788 parameters for 224 pixels. No
    activation follows the layer of 16, as published, so that it and the last one are linear together.
    """

    def __init__(self, classes: int = 4, size: int = 224) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.second = nn.Sequential(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2))
        side = ((size - 2) // 2 - 2) // 2
        self.dense = nn.Linear(64 * side**2, 16)
        self.head = nn.Linear(16, classes)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations after the first and the second pooling, 64 channels each."""
        middle: Tensor = self.first(x)
        return middle, self.second(middle)

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the second pooling's activations."""
        logits: Tensor = self.head(self.dense(features.flatten(1)))
        return logits
