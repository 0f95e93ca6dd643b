"""Leuk's cell reader: a compact residual network that is shown white cells, one at a time, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from leuk.models.network import GroupNorm, Network
from leuk.models.preprocessing import CORNER_X, CORNER_Y
from leuk.models.reader import stages

SIDE = 48
"""Side in pixels of a cell's tile."""
ZOOM = 1.2
"""Pixels of a tile for each pixel of the training fields."""
SMALLEST = 80
"""Pixels of the training fields below which an outline is no cell that can be read."""
# A tile's densities travel as bytes: from -2 (nothing is thinner than two spreads below a field's mean) to 8.2.
_LOWEST, _STEPS = -2.0, 25.0
_DENSITY = -np.log(np.arange(256, dtype=np.float32) / 255 + 4 / 255)
_AROUND = np.ones((5, 5), np.uint8)


def field_density(pixels: np.ndarray) -> np.ndarray:
    """Return optical densities of which each channel has mean 0 and variance 1 over the field.

    That takes out brightness, white balance and gamma; what a cell's depth of stain is compared with is its own field.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    numpy.ndarray
        float32, (H, W, 3).
    """
    density = _DENSITY[pixels]
    mean, variance = density.mean(axis=(0, 1)), density.var(axis=(0, 1))
    # The floor keeps an almost even picture from being blown up into noise.
    return ((density - mean) / np.sqrt(variance + 1e-3)).astype(np.float32)


def spots(labels: np.ndarray) -> list[tuple[int, float, float]]:
    """Return label and centre (x, y in pixels) of each cell that is large enough to read, in the order of the labels.

    Cells centred in the corner that may hold a scale bar are left out: what is shown there is not theirs, see
    `leuk.models.preprocessing.hide_corner`.

    Parameters
    ----------
    labels : numpy.ndarray
        Integers, (H, W), 0 outside, at the scale of the training fields.
    """
    ys, xs = np.nonzero(labels)
    owner = labels[ys, xs]
    area = np.bincount(owner)
    large = np.flatnonzero(area >= SMALLEST)
    x, y = np.bincount(owner, xs), np.bincount(owner, ys)
    found = [(int(one), float(x[one] / area[one]), float(y[one] / area[one])) for one in large]
    height, width = labels.shape
    return [one for one in found if one[1] < width * CORNER_X or one[2] < height * CORNER_Y]


def cell_tile(
    density: np.ndarray, own: np.ndarray, center: tuple[float, float], turn: np.ndarray | None = None
) -> np.ndarray:
    """Cut one cell out of a field and leave out what is not the cell.

    Parameters
    ----------
    density : numpy.ndarray
        float32, (H, W, 3), as `field_density` returns it.
    own : numpy.ndarray
        bool, (H, W): the cell.
    center : tuple of float
        x, y in pixels, which come to lie in the middle.
    turn : numpy.ndarray, optional
        float, (2, 2): by which offsets from the centre are multiplied; `ZOOM` times the identity by default.

    Returns
    -------
    numpy.ndarray
        uint8, (SIDE, SIDE, 4): the three densities as bytes, 0 density outside the cell; and the cell, 0 … 255, two
        pixels wider than its outline.
    """
    turn = np.eye(2) * ZOOM if turn is None else turn
    warp = np.column_stack([turn, np.full(2, SIDE / 2 - 0.5) - turn @ np.array(center)])
    size = (SIDE, SIDE)
    shown = cv2.warpAffine(density, warp, size, flags=cv2.INTER_LINEAR)
    mask = cv2.dilate(cv2.warpAffine(own.astype(np.float32), warp, size, flags=cv2.INTER_LINEAR), _AROUND)
    bytes_of = (shown * mask[..., None] - _LOWEST) * _STEPS
    return np.clip(np.dstack([bytes_of, mask * 255]) + 0.5, 0, 255).astype(np.uint8)


def no_cell() -> np.ndarray:
    """Return the tile of a field without a cell, uint8 (SIDE, SIDE, 4)."""
    return np.dstack([np.full((SIDE, SIDE, 3), -_LOWEST * _STEPS), np.zeros((SIDE, SIDE))]).astype(np.uint8)


class CellReader(Network):
    """Leuk's cell reader.

    A field's logits are the mean of its cells' logits, so that each cell's share in the score is known exactly, the
    number of cells tells nothing, and neither do background, red cells or light. Trained on fields: which of a
    field's cells speak for its class is nowhere written down.

    Parameters
    ----------
    classes : int
    widths : sequence of int
        Channels of the stem and of the three stages at strides 4, 8 and 16.
    blocks : sequence of int
        Residual blocks in each of the three stages.
    dropout : float
        Before the last layer, 0 … 1.

    Notes
    -----
    Input: float (N, 4, 48, 48), 0 … 1, as `cell_tile` makes them, a cell each. Output: logits (N, classes).

    References
    ----------
    The mean over instances: M. Ilse et al., Attention-based deep multiple instance learning, ICML 2018, of which it is
    the plain form.
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
        self.stem = nn.Sequential(nn.Conv2d(4, stem, 5, 2, 2, bias=False), GroupNorm(8, stem), nn.ReLU(inplace=True))
        self.stages = stages(widths, blocks)
        self.first, self.last = blocks[0], len(self.stages) - blocks[-1]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations of the middle stage, (N, C', 6, 6), and the last, (N, C, 3, 3)."""
        middle: Tensor = self.stages[self.first : self.last](self.fine(x))
        return middle, self.stages[self.last :](middle)

    def fine(self, x: Tensor) -> Tensor:
        """Return the first stage's activations, (N, C, 12, 12); as of the reader, only these have places."""
        density = x[:, :3] * (255 / _STEPS) + _LOWEST
        first: Tensor = self.stages[: self.first](self.stem(torch.cat([density, x[:, 3:]], dim=1)))
        return first

    def read_fine(self, fine: Tensor) -> Tensor:
        """Return logits, (N, classes), from the first stage's activations."""
        return self.read(self.stages[self.first :](fine))

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last activations."""
        logits: Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits
