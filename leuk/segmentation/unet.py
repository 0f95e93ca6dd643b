"""Leuk's segmenter: a small U-Net that redraws nuclei, whole cells and how deep inside its cell each pixel lies."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

INPUTS = 5
"""Three channels of the image, and the default method's nuclei and cells as -1 outside, 1 inside."""


class Step(nn.Module):
    """A 3 x 3 convolution, normalised over the batch, and a rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations, (N, outputs, H / stride, W / stride)."""
        # In place: on a processor, writing to memory that is new costs more than the rectifier itself.
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Segmenter(nn.Module):
    """A U-Net of few channels.

    It is shown what the default method found and mends it. It sees optical densities whose mean and spread over the
    whole image are 0 and 1 (`normalize`), channel by channel, which takes out light and depth of stain before anything
    is learnt. Norms are those of training, not of what a tile happens to show, so that tiles of one field agree where
    they overlap, and so that they can be folded into the convolutions (`folded`).

    Parameters
    ----------
    widths : sequence of int
        Channels at strides 1, 2, 4 and so on.

    Notes
    -----
    Input: float (N, 5, H, W), the normalised image and the two masks (`INPUTS`), H and W multiples of 2 to the number
    of widths less one. Output: logits (N, 3, H, W) of nucleus, whole cell, and depth: how deep inside its own cell a
    pixel lies, 0 at the cell's edge, where it touches another too, 1 at its deepest.

    References
    ----------
    O. Ronneberger et al., U-Net, MICCAI 2015. The depth map as in P. Naylor et al., IEEE Trans Med Imaging 38 (2019).
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        self.stem = Step(INPUTS, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(Step(a, b, 2), Step(b, b)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.up = nn.ModuleList(Step(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(widths[0], 3, 1)

    @property
    def stride(self) -> int:
        """What height and width must be multiples of."""
        return int(2 ** len(self.down))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (N, 3, H, W)."""
        kept = [self.stem(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        y: Tensor = kept.pop()
        for up in self.up:
            beside = kept.pop()
            y = functional.interpolate(y, size=beside.shape[2:], mode="bilinear", align_corners=False)
            y = up(torch.cat([y, beside], 1))
        logits: Tensor = self.head(y)
        return logits


def normalize(x: Tensor, light: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Turn images, float (N, 3, H, W), 0 … 1, into optical densities of mean 0 and variance 1 by image and channel.

    Parameters
    ----------
    x : torch.Tensor
    light : tuple of torch.Tensor, optional
        Mean and variance as `light_of` gives them for the images that `x` is cut from; by default those of `x`.
    """
    mean, variance = light or light_of(x)
    # The floor keeps an almost even picture from being blown up into noise.
    return (_density(x) - mean) / (variance + 4e-3).sqrt()


def light_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the optical density of images, float (N, 3, H, W), 0 … 1: each (N, 3, 1, 1)."""
    density = _density(x)
    return density.mean(dim=(2, 3), keepdim=True), density.var(dim=(2, 3), keepdim=True)


def _density(x: Tensor) -> Tensor:
    return -(x.float() + 4 / 255).log()


def folded(network: Segmenter) -> Segmenter:
    """Fold a trained network's norms into its convolutions, in place, and return it in evaluation mode."""
    network.eval()
    for step in network.modules():
        if isinstance(step, Step) and isinstance(step.norm, nn.BatchNorm2d):
            step.conv = fuse_conv_bn_eval(step.conv, step.norm)
            step.norm = nn.Identity()
    return network.requires_grad_(False)
