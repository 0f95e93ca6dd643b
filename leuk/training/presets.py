"""How each system is trained: by its paper, and reduced to what two processor cores can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from leuk.models.systems import find_system


@dataclass(frozen=True)
class Warp:
    """How strongly samples are changed in training.

    Attributes
    ----------
    rotation : float
        Degrees to either side.
    zoom, shift : float
        Share of the side to either side.
    mirror, flip : bool
        Left to right, and upside down, each for half of the samples.
    brightness, contrast : float
        Share to either side.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    mirror: bool = True
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True)
class Preset:
    """A system's training.

    Attributes
    ----------
    epochs, batch : int
    rate : float
        Learning rate of Adam, the highest where it changes.
    schedule : str
        "constant", "steps" (times 0.96 every 40 steps) or "cosine" (warmed up over a twentieth, then to zero).
    decay : float
        Weight decay.
    size : int or None
        Side in pixels of the input; None for the system's own.
    recount : bool
        Whether the statistics of batch normalization are counted anew over the training fields at the end: their
        running averages are far behind after few steps.
    half : bool
        Whether a processor that computes in bfloat16 gains from it here; a GPU always does. Measured at 128 pixels:
        the large networks take 0.6 of the time; small ones lose more in conversions than they gain.
    pca : float
        Share of variance that principal components keep of an image, before the network; 0 for none.
    select : bool
        Whether a support vector machine on selected features takes the place of the last layer in the end.
    edges : bool or None
        Whether DeepLeukemiaNet is given edge maps; None: as the variant is described.
    warp : Warp
    source : str
        Where this comes from, for the card.
    """

    epochs: int
    batch: int = 32
    rate: float = 1e-3
    schedule: str = "constant"
    decay: float = 0.0
    size: int | None = None
    recount: bool = False
    half: bool = False
    pca: float = 0.0
    select: bool = False
    edges: bool | None = None
    warp: Warp = field(default_factory=Warp)
    source: str = "the paper's recipe"

    def described(self) -> dict[str, Any]:
        """Return it as runs and cards keep it: without ``edges`` where nothing is said of them."""
        # Runs that were begun before one could choose go on.
        return {key: value for key, value in asdict(self).items() if key != "edges" or value is not None}


_PLAIN = Warp(mirror=True, flip=True)
_NOSHAD = Preset(epochs=10, warp=Warp(rotation=30, zoom=0.2, shift=0.1))
_BALL = Preset(
    epochs=40,
    batch=16,
    rate=1e-4,
    decay=1e-5,
    warp=Warp(rotation=20, flip=True, brightness=0.1, contrast=0.1),
)
# The comparison's code was never published: one protocol for all backbones, that of the other system on DenseNet-201.
_COMPARED = replace(_BALL, batch=32, source="one protocol for all backbones, since the paper's own was never published")
_LARGE = replace(_COMPARED, half=True)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "deep_leukemia_net": _NOSHAD,
        "deep_leukemia_net_four": _NOSHAD,
        "densenet201": _LARGE,
        "resnet50": _LARGE,
        "vgg19": _LARGE,
        "efficientnet_b0": _COMPARED,
        "mobilenet_v3_small": _COMPARED,
        "two_branch": _LARGE,
        "resnet152_v2": Preset(epochs=30, rate=1e-4, schedule="steps", half=True, warp=_PLAIN),
        "densenet201_ball": replace(_BALL, half=True),
        "simple_cnn": Preset(epochs=15, batch=16, warp=Warp(mirror=False)),
        "simple_cnn_segmented": Preset(epochs=25, batch=16, warp=Warp(mirror=False)),
    }
)
"""By system: training as its paper gives it, from random weights or, with ``--pretrained``, from ImageNet's."""


def _shortened(name: str, epochs: int, rate: float, size: int = 64, batch: int = 16) -> Preset:
    return replace(
        PRESETS[name],
        epochs=epochs,
        size=size,
        rate=rate,
        batch=batch,
        schedule="cosine",
        recount=True,
        source=f"reduced to {size} pixels and {epochs} epoch{'s' if epochs > 1 else ''} with a rate that falls to "
        "zero, for want of computing time",
    )


REDUCED: Mapping[str, Preset] = MappingProxyType(
    {
        "deep_leukemia_net": _shortened("deep_leukemia_net", 4, 2e-3, size=100, batch=32),
        "deep_leukemia_net_four": _shortened("deep_leukemia_net_four", 6, 2e-3, size=100, batch=32),
        "densenet201": _shortened("densenet201", 8, 1e-3, size=128),
        "resnet50": _shortened("resnet50", 8, 1e-3, size=128),
        "vgg19": _shortened("vgg19", 5, 2e-4, size=96),
        "efficientnet_b0": _shortened("efficientnet_b0", 8, 2e-3),
        "mobilenet_v3_small": _shortened("mobilenet_v3_small", 8, 3e-3, size=96),
        "two_branch": _shortened("two_branch", 4, 1e-3, size=128),
        "resnet152_v2": _shortened("resnet152_v2", 6, 5e-4, size=96),
        "densenet201_ball": _shortened("densenet201_ball", 8, 1e-3, size=128),
        "simple_cnn": _shortened("simple_cnn", 4, 1e-3),
        "simple_cnn_segmented": _shortened("simple_cnn_segmented", 4, 1e-3),
    }
)
"""By system: training that two processor cores can do, a fold in minutes for the small ones and in an hour for the
large ones; the card says so."""


def fewer(name: str, size: int, epochs: int) -> tuple[str, ...]:
    """Return in words what a training has less of than the system's paper: pixels, epochs."""
    system, full, said = find_system(name), PRESETS[name], []
    if size != system.size:
        said.append(f"{size} pixels instead of {system.size}")
    if epochs < full.epochs:
        said.append(f"{epochs} epoch{'s' if epochs > 1 else ''} instead of {full.epochs}, not converged")
    return tuple(said)


def no_verdict(lacking: Sequence[str]) -> tuple[str, ...]:
    """Return a card's sentence on what a training has less of; none where that is nothing."""
    said = f"Trained with less than the paper's recipe: {'; '.join(lacking)}. Its figures are no verdict on the system."
    return (said,) if lacking else ()
