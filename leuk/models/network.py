"""What every network of Leuk has in common, so that any of them can be read, explained and compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """GroupNorm in single precision, also where the layers around it compute in bfloat16.

    Torch takes four times as long over its gradients in bfloat16 on a processor, which was two fifths of a training
    step of the reader.

    References
    ----------
    Y. Wu and K. He, Group normalization, ECCV 2018.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return activations of the same shape and precision."""
        return super().forward(x.float()).to(x.dtype)


class Network(nn.Module):
    """A network in two halves: up to a middle stage, by which fields are known or foreign, and up to the last maps.

    A network gives `activations` and `read`; the rest follows. Heat maps are drawn on the last maps, so `read` must
    be a function of them alone; those that go place by place are drawn on finer ones where a network gives them too.

    Attributes
    ----------
    pretrained_on : str or None
        What its published starting weights were trained on; None where there are none.
    """

    pretrained_on: str | None = None

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations of a middle stage, (N, C', h', w'), and the last, (N, C, h, w)."""
        raise NotImplementedError

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last activations."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """Return the last activations, (N, C, h, w)."""
        return self.activations(x)[1]

    def fine(self, x: Tensor) -> Tensor:
        """Return the activations on which heat is drawn place by place, (N, C, h, w): the last ones if not finer."""
        return self.features(x)

    def read_fine(self, fine: Tensor) -> Tensor:
        """Return logits, (N, classes), from what `fine` returned."""
        return self.read(fine)

    def describe(self, middle: Tensor) -> Tensor:
        """Return the mean and the spread of each channel of the middle stage's activations, (N, 2 C').

        By these a field is compared with the training fields. The middle stage still holds the look of stain and
        camera, which the last stage has learnt to overlook; and the spread tells apart what the mean alone confuses.
        """
        return torch.cat([middle.mean(dim=(2, 3)), middle.std(dim=(2, 3))], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (N, classes)."""
        return self.read(self.features(x))
