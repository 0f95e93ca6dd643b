"""The systems: five published ones, rebuilt from their descriptions, and two readers of Leuk's own.

Nothing here imports torch until a network is built, so that lists of systems are quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leuk.errors import ModelError, OptionError

if TYPE_CHECKING:
    from torch import nn

SUBTYPES = ("benign", "early_pre_b", "pre_b", "pro_b")
BINARY = ("benign", "malignant")

ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "reader": "leuk.models.reader:Reader",
        "deep_leukemia_net": "leuk.models.deep_leukemia_net:DeepLeukemiaNet",
        "backbone": "leuk.models.backbones:Backbone",
        "two_branch": "leuk.models.two_branch:TwoBranch",
        "resnet152_v2": "leuk.models.resnet152_v2:ResNet152V2",
        "densenet201": "leuk.models.densenet201:DenseNet201",
        "simple_cnn": "leuk.models.simple_cnn:SimpleCnn",
        "cell_reader": "leuk.models.cell_reader:CellReader",
    }
)
"""Where each architecture's network is defined."""


@dataclass(frozen=True)
class System:
    """A system that Leuk trains and measures.

    Attributes
    ----------
    name : str
        What options and file names call it.
    title : str
        One line for people.
    paper : str
        Where it is described, with a DOI or arXiv number where there is one.
    claim : str
        What the authors report, and on what.
    claimed_accuracy : float or None
        Their accuracy on the Taleqani fields, 0 … 1; None where they report none there.
    architecture : str
        A key of `ARCHITECTURES`.
    arguments : mapping
        The architecture's arguments, but for classes and size.
    sized : bool
        Whether the network depends on the size of its input.
    channels, size : int
        Of the input as described, size in pixels of its side.
    classes : tuple of str
        Class keys in the order of the outputs.
    preprocessing : str
        A key of `leuk.models.preprocessing.PREPROCESSINGS`.
    both : bool
        Whether plain fields are training samples beside the preprocessed ones.
    pretrained : bool
        Whether published weights to begin with exist.
    parameters, multiply_adds : int
        Trainable parameters, and multiply-adds of one input of the described size.
    changed : tuple of str
        What is not as in the paper, and why, one sentence each.
    limits : tuple of str
        What it can't do by its construction, one sentence each.
    """

    name: str
    title: str
    paper: str
    claim: str
    claimed_accuracy: float | None
    architecture: str
    parameters: int
    multiply_adds: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sized: bool = False
    channels: int = 3
    size: int = 224
    classes: tuple[str, ...] = SUBTYPES
    preprocessing: str = "rgb"
    both: bool = False
    pretrained: bool = False
    changed: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def network_arguments(self, size: int | None = None) -> dict[str, Any]:
        """Return the architecture's arguments for inputs of a size (the described one by default), as a card has them.

        Parameters
        ----------
        size : int, optional
            Side in pixels.

        Returns
        -------
        dict
        """
        return dict(self.arguments) | ({"size": size or self.size} if self.sized else {})


_NOSHAD = (
    "A. Noshad and S. Fallahi, DeepLeukemiaNet, Comput Methods Biomech Biomed Eng Imaging Vis 2022, "
    "doi 10.1080/21681163.2022.2157748"
)
_GHADERZADEH = (
    "Leukaemia Detection and Classification using Deep CNNs; its reference is M. Ghaderzadeh et al., Int J Intell Syst "
    "2022;37:5113, doi 10.1002/int.22753"
)
_FITTED = (
    "PCA and feature selection with a support vector machine are options, fitted on training folds only; the paper "
    "fits both on the test data too"
)
WITHOUT, WITH = f"{_FITTED}, and these weights go without.", f"{_FITTED}. These weights go with {{}}."
"""Of the network that has these options: the first for cards without either, the second with what they have."""
SPLIT = (
    "Grouped folds keep together what is known to belong together, sessions and near-duplicates, which the original "
    "protocol did not."
)
"""Of the grouped partition; cards of the random one go without."""
TALEQANI = (
    "It is trained on the Taleqani fields, subtypes taken together as malignant; the paper's ALL-IDB may not be passed "
    "on."
)
"""Of the public set; cards of other data go without."""
_GABOR = "The paper gives no wavelength or width for its Gabor filters; ours were chosen by eye."
_COLOUR = "The network is given colour and four outputs, so that it can stand in one table with the others."
_EDGES_ALONE = (
    "It sees edges and no colour.",
    "It notices hardly any picture that is no smear: their edges look to it like those of one.",
)
_CORNER = "The corner in which the public set has its scale bar, whose style follows the class, is hidden."
_HEAD = "The head is one linear layer after global average pooling, alike for all backbones, so that only these differ."
_BACKBONE_CLAIM = "not reported for this backbone alone; 99.85 % is of two branches of the best one, DenseNet-201"
_RECIPE = (
    "Segmented images are made by the data set's own colour recipe from the field at hand, not read from its folder, "
    "so that any field can be read."
)
_PALE = "The colour recipe keeps next to nothing of pale cells, so that many pro-B fields are almost black to it."


def _backbone(name: str, title: str, parameters: int, multiply_adds: int) -> System:
    return System(
        name=name,
        title=f"{title}, one of the compared backbones",
        paper=_GHADERZADEH,
        claim=_BACKBONE_CLAIM,
        claimed_accuracy=None,
        architecture="backbone",
        arguments={"name": name},
        pretrained=True,
        parameters=parameters,
        multiply_adds=multiply_adds,
        changed=(_HEAD, SPLIT, _CORNER),
    )


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        system.name: system
        for system in (
            System(
                name="reader",
                title="Leuk reader",
                paper="Leuk",
                claim="see the card",
                claimed_accuracy=None,
                architecture="reader",
                arguments={"blocks": (2, 2, 2)},
                parameters=1_558_052,
                multiply_adds=375_399_168,
                size=160,
            ),
            System(
                name="cell_reader",
                title="Leuk cell reader, on white cells alone",
                paper="Leuk",
                claim="see the card",
                claimed_accuracy=None,
                architecture="cell_reader",
                channels=4,
                size=48,
                preprocessing="cells",
                parameters=686_596,
                multiply_adds=16_331_520,
                limits=(
                    "It is shown the outlined white cells and nothing else: where outlines are wrong, it is too.",
                    "Its multiply-adds are of one cell; a field has a dozen.",
                ),
            ),
            System(
                name="deep_leukemia_net",
                title="DeepLeukemiaNet, benign or malignant, on edge maps",
                paper=_NOSHAD,
                claim="accuracy 99.6 % on ALL-IDB, 98.9 % on C-NMC, augmented before the split",
                claimed_accuracy=None,
                architecture="deep_leukemia_net",
                arguments={"channels": 1},
                sized=True,
                channels=1,
                size=100,
                classes=BINARY,
                preprocessing="edges",
                parameters=457_538,
                multiply_adds=65_204_992,
                changed=(
                    TALEQANI,
                    "Augmentation comes after the split; the paper augments first, so that copies of test images are "
                    "trained on.",
                    WITHOUT,
                    _GABOR,
                    _CORNER,
                ),
                limits=(
                    *_EDGES_ALONE,
                    "It knows benign and malignant, and no subtype.",
                ),
            ),
            System(
                name="deep_leukemia_net_four",
                title="DeepLeukemiaNet, four classes, on colour",
                paper=_NOSHAD,
                claim="not reported for four classes",
                claimed_accuracy=None,
                architecture="deep_leukemia_net",
                arguments={"channels": 3},
                sized=True,
                parameters=509_380,
                multiply_adds=425_472_000,
                changed=(_COLOUR, SPLIT, _CORNER),
            ),
            _backbone("densenet201", "DenseNet-201", 18_100_612, 4_289_453_568),
            _backbone("resnet50", "ResNet-50", 23_516_228, 4_087_144_448),
            _backbone("vgg19", "VGG-19", 20_026_436, 19_508_430_848),
            _backbone("efficientnet_b0", "EfficientNet-B0", 4_012_672, 384_539_872),
            _backbone("mobilenet_v3_small", "MobileNetV3-Small", 929_316, 54_898_880),
            System(
                name="two_branch",
                title="Two branches of DenseNet-201, on the field and its segmented twin",
                paper=_GHADERZADEH,
                claim="accuracy 99.85 %, sensitivity 99.52 %, specificity 99.89 % (two branches of DenseNet-201, "
                "random split)",
                claimed_accuracy=0.9985,
                architecture="two_branch",
                arguments={"name": "densenet201"},
                preprocessing="pair",
                channels=6,
                pretrained=True,
                parameters=37_170_180,
                multiply_adds=8_579_875_840,
                changed=(
                    _RECIPE,
                    "The paper gives no widths for the classifier; it has 256 units here.",
                    SPLIT,
                    _CORNER,
                ),
                limits=(_PALE,),
            ),
            System(
                name="resnet152_v2",
                title="Resnet152v2ALL, on fields masked by a* k-means",
                paper="Maruf et al., arXiv 2508.17216",
                claim="accuracy 99.69 % (its notebook runs VGG-19 and gets 97.75 %, recall of pre-B 0.91)",
                claimed_accuracy=0.9969,
                architecture="resnet152_v2",
                sized=True,
                preprocessing="a_kmeans",
                both=True,
                parameters=71_054_408,
                multiply_adds=10_917_515_376,
                changed=(
                    "A field and its masked twin are never in different folds; in the original a validation image's "
                    "twin is in training.",
                    "Figures are of masked fields only; the original counts plain and masked ones together.",
                    "The k-means on one channel is solved exactly, so that it depends on no seed.",
                    _CORNER,
                ),
                limits=("What the mask leaves out, pale cells too, is black to it.",),
            ),
            System(
                name="densenet201_ball",
                title="DenseNet-201 with two dense layers, for B-ALL",
                paper="DenseNet-201 B-ALL (PyTorch code, Taleqani set)",
                claim="accuracy 99.6 %, specificity 99.9 %, precision 98.0 %, recall 97.8 %, F1 97.8 % (random split)",
                claimed_accuracy=0.996,
                architecture="densenet201",
                pretrained=True,
                parameters=18_360_196,
                multiply_adds=4_289_708_544,
                changed=(
                    "Dropout is off when fields are read; the original left it on at evaluation.",
                    "Precision, recall and F1 are of all fields; the original averages them over batches of 16.",
                    "The second dense layer has the text's 128 units, not the code's 64.",
                    SPLIT,
                    _CORNER,
                ),
            ),
            System(
                name="simple_cnn",
                title="Simple CNN on original fields",
                paper="Simple CNN (Keras code, Taleqani set)",
                claim="accuracy 77.45 % (random split, Original)",
                claimed_accuracy=0.7745,
                architecture="simple_cnn",
                sized=True,
                parameters=3_024_788,
                multiply_adds=526_129_984,
                changed=(SPLIT, _CORNER),
                limits=(
                    "It has no pooling over the field, so that it reads where things lie as well as what they are.",
                ),
            ),
            System(
                name="simple_cnn_segmented",
                title="Simple CNN on segmented fields",
                paper="Simple CNN (Keras code, Taleqani set)",
                claim="accuracy 81.59 % (random split, Segmented); F1 of benign 0.45, its recall 0.34",
                claimed_accuracy=0.8159,
                architecture="simple_cnn",
                sized=True,
                preprocessing="segmented",
                parameters=3_024_788,
                multiply_adds=526_129_984,
                changed=(_RECIPE, SPLIT, _CORNER),
                limits=(
                    "It has no pooling over the field, so that it reads where things lie as well as what they are.",
                    _PALE,
                ),
            ),
        )
    }
)
"""All systems by name, Leuk's reader first."""


def find_system(name: str) -> System:
    """Return a system.

    Raises
    ------
    OptionError
        If there is none of this name.
    """
    if name not in SYSTEMS:
        raise OptionError(f"There is no system {name!r}; choose one of: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def started(pretrained: bool) -> str:
    """Say what weights a training began with."""
    return "ImageNet weights" if pretrained else "random weights"


def with_edges(system: System, edges: bool) -> System:
    """Return DeepLeukemiaNet as it reads edge maps, or as it reads fields themselves: in grey, or in colour as usual.

    Parameters
    ----------
    system : System
        One of its variants.
    edges : bool

    Returns
    -------
    System
        Parameters and multiply-adds stay those of the variant as described.

    Raises
    ------
    OptionError
        If it is another network.
    """
    if system.architecture != "deep_leukemia_net":
        raise OptionError(f"Edge maps belong to DeepLeukemiaNet; train {system.name} without --edges and --no-edges.")
    if edges == (system.preprocessing == "edges"):
        return system
    seen = "edge maps" if edges else "grey fields"
    left_out = {_COLOUR: "The network is given four outputs, so that it can stand in one table with the others."}
    if not edges:
        left_out = {_GABOR: "It is given fields in grey, without the paper's edge maps."}
    return replace(
        system,
        title=f"{system.title.rpartition(', on ')[0]}, on {seen}",
        preprocessing="edges" if edges else "grey",
        channels=1,
        arguments=dict(system.arguments) | {"channels": 1},
        changed=tuple(left_out.get(sentence, sentence) for sentence in system.changed) + (_GABOR,) * edges,
        limits=(_EDGES_ALONE if edges else ("It sees no colour.",))
        + tuple(limit for limit in system.limits if limit not in _EDGES_ALONE),
    )


def readers() -> tuple[str, ...]:
    """Return the names of the models here that read fields: systems in their order, the default one first, then others.

    Other networks that lie in the same folder, of single cells or of outlines, are passed over.
    """
    from leuk.models.cards import available, read_card, weights_folder

    found = []
    for name in available():
        try:
            if read_card(weights_folder() / f"{name}.json").architecture in ARCHITECTURES:
                found.append(name)
        except ModelError:
            continue
    return tuple([name for name in SYSTEMS if name in found] + [name for name in found if name not in SYSTEMS])


def build(architecture: str, classes: int, **arguments: Any) -> nn.Module:
    """Build an architecture's network, with random weights unless the arguments say otherwise.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    classes : int
    **arguments
        The architecture's own.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ModelError
        If the architecture is unknown, or pretrained weights can't be had.
    TypeError
        If an argument is none of the architecture's.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(f"There is no architecture {architecture!r}; update Leuk.")
    module, kind = ARCHITECTURES[architecture].split(":")
    network: nn.Module = getattr(importlib.import_module(module), kind)(classes=classes, **arguments)
    return network


def build_network(system: System, size: int | None = None, pretrained: bool = False) -> nn.Module:
    """Build a system's network.

    Parameters
    ----------
    system : System
    size : int, optional
        Side of the input in pixels; as described by default.
    pretrained : bool
        Begin with published weights.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ModelError
        If pretrained weights are wanted and don't exist, or can't be had.
    """
    arguments = system.network_arguments(size)
    if pretrained:
        if not system.pretrained:
            raise ModelError(f"There are no pretrained weights for {system.name}; train it without --pretrained.")
        arguments["pretrained"] = True
    return build(system.architecture, len(system.classes), **arguments)


def cost(system: System, size: int | None = None) -> tuple[int, int]:
    """Count a system's trainable parameters and the multiply-adds of one input.

    Counted are convolutions and linear layers, on shapes alone, without memory for weights.

    Parameters
    ----------
    system : System
    size : int, optional
        Side of the input in pixels; as described by default.

    Returns
    -------
    parameters, multiply_adds : int
    """
    import torch
    from torch import nn

    side, counted = size or system.size, 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(layer, nn.Conv2d):
            counted += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            counted += output.numel() * layer.in_features

    with torch.device("meta"):
        network = build_network(system, side).eval()
        for layer in network.modules():
            layer.register_forward_hook(count)
        with torch.no_grad():
            network(torch.zeros(1, system.channels, side, side))
    return sum(p.numel() for p in network.parameters() if p.requires_grad), counted
