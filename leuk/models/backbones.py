"""Well-known networks, each under the same small head, so that only the backbone differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from leuk import _torchvision  # noqa: F401 - before torchvision
from leuk.errors import ModelError
from leuk.models.network import Network


def _densenet(model: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    parts = list(model.features.children())  # type: ignore[union-attr]
    return nn.Sequential(*parts[:6]), nn.Sequential(*parts[6:], nn.ReLU())


def _resnet(model: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    parts = list(model.children())
    return nn.Sequential(*parts[:5]), nn.Sequential(*parts[5:8])


def _features(split: int) -> Callable[[nn.Module], tuple[nn.Sequential, nn.Sequential]]:
    def cut(model: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
        return model.features[:split], model.features[split:]  # type: ignore[index, return-value]

    return cut


# Where each network is cut, so that its early half is described by few channels, and the channels of its last maps.
_CUTS: dict[str, tuple[Callable[[nn.Module], tuple[nn.Sequential, nn.Sequential]], int]] = {
    "densenet201": (_densenet, 1920),
    "resnet50": (_resnet, 2048),
    "vgg19": (_features(10), 512),
    "efficientnet_b0": (_features(4), 1280),
    "mobilenet_v3_small": (_features(4), 576),
}
BACKBONES = tuple(_CUTS)


def halves(name: str, pretrained: bool = False) -> tuple[nn.Sequential, nn.Sequential, int]:
    """Return a backbone without its classifier, cut in two, and the channels of its last maps.

    Parameters
    ----------
    name : str
        One of `BACKBONES`.
    pretrained : bool
        Begin with torchvision's ImageNet weights, which are downloaded once.

    Returns
    -------
    early, late : torch.nn.Sequential
    channels : int

    Raises
    ------
    ModelError
        If the name is unknown, or the weights can't be had.
    """
    from torchvision import models

    if name not in _CUTS:
        raise ModelError(f"There is no backbone {name!r}; choose one of: {', '.join(BACKBONES)}.")
    cut, channels = _CUTS[name]
    try:
        model = models.get_model(name, weights="DEFAULT" if pretrained else None)
    except (URLError, OSError, RuntimeError) as error:
        if not pretrained:
            raise
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ModelError(
            f"The pretrained weights of {name} can't be downloaded here; go online, put them into {folder}, or train "
            "without --pretrained."
        ) from error
    early, late = cut(model)
    return early, late, channels


class Backbone(Network):
    """A backbone, global average pooling, dropout, and one linear layer.

    Parameters
    ----------
    classes : int
    name : str
        One of `BACKBONES`.
    dropout : float
        Before the last layer, 0 … 1.
    pretrained : bool
        Begin with ImageNet weights.

    Notes
    -----
    Input: float (N, 3, H, W), RGB, 0 … 1, H and W at least 64. Output: logits (N, classes).

    References
    ----------
    G. Huang et al., CVPR 2017 (DenseNet). K. He et al., CVPR 2016 (ResNet). K. Simonyan and A. Zisserman, ICLR 2015
    (VGG). M. Tan and Q. Le, ICML 2019 (EfficientNet). A. Howard et al., ICCV 2019 (MobileNetV3).
    """

    pretrained_on = "ImageNet-1k"
    mean: Tensor
    spread: Tensor

    def __init__(
        self, classes: int = 4, name: str = "densenet201", dropout: float = 0.2, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.early, self.late, channels = halves(name, pretrained)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def activations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations at the cut and the last ones."""
        middle: Tensor = self.early((x - self.mean) / self.spread)
        return middle, self.late(middle)

    def read(self, features: Tensor) -> Tensor:
        """Return logits, (N, classes), from the last activations."""
        logits: Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits
