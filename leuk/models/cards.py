"""A model's card: what it is, what it was trained on, what it reads, what it scores, and its limits."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from leuk.errors import ModelError
from leuk.files import write_all


@dataclass(frozen=True, eq=False)
class Card:
    """What stands beside a model's weights.

    Attributes
    ----------
    name : str
        Name of the model and of its two files.
    title : str
        One line for people.
    architecture : str
        Key of the architecture in `leuk.models.systems.ARCHITECTURES`.
    arguments : mapping
        The architecture's arguments.
    classes : tuple of str
        Class keys in the order of the outputs, "benign" among them.
    sha256 : str
        Of the weights file, 64 hexadecimal digits; of all files one after the other where there are several.
    tile : int
        Side in pixels of the square that is read at a time, at the training scale.
    cell_diameter : float
        Median diameter in pixels of white cells at the training scale.
    photo_scale : float
        Pixels of the training scale per pixel of the photographs trained on; fields of their size whose cells measure
        as theirs do, within what cells vary, are read at this scale.
    temperature : float
        By which logits are divided, above 0; fitted on out-of-fold predictions.
    familiar : float
        Largest distance of one tile from the training fields (see `leuk.classification`) that still counts as known.
    familiar_means : tuple of float
        The same for the mean over 2, 4, 8 and so on tiles of one image, which varies less than a single tile; empty
        where it was not measured.
    pooled : str
        What an image's tiles have in common by their mean: "votes" (their probabilities) or "logits".
    guard : str
        Name of the model that tells whether a picture is foreign, where its weights are here; empty: this one itself.
    confident : float
        Least probability of the first class for a suggestion, 0 … 1.
    strong : mapping of str to float
        By heat-map method, the raw strength that is shown as 1.
    training, metrics : mapping
        Data, split, recipe, seed, versions; figures with intervals.
    limits : tuple of str
        What the model can't do, one sentence each.
    preprocessing : str
        What is done to a tile first, a key of `leuk.models.preprocessing.PREPROCESSINGS`.
    size : int or None
        Side in pixels of what the network is given; None for the tile's.
    shards : int
        Number of weights files: 1, or several where one would be large.
    folds_sha256 : str
        Of the weights of the networks that its figures come from, where these are here too; empty otherwise.
    paper, claim : str
        Where the network is described, and what its authors report.
    changed : tuple of str
        What is not as in the paper, and why, one sentence each.
    """

    name: str
    title: str
    architecture: str
    arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    sha256: str
    tile: int
    cell_diameter: float
    photo_scale: float
    temperature: float
    familiar: float
    confident: float
    strong: Mapping[str, float]
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    preprocessing: str = "rgb"
    size: int | None = None
    shards: int = 1
    paper: str = ""
    claim: str = ""
    changed: tuple[str, ...] = ()
    familiar_means: tuple[float, ...] = ()
    pooled: str = "votes"
    guard: str = ""
    folds_sha256: str = ""

    def __post_init__(self) -> None:
        for name, kinds, what in _KINDS:
            value = getattr(self, name)
            several = value if isinstance(value, tuple) else (value,)
            if not all(isinstance(one, kinds) and not isinstance(one, bool) for one in several):
                raise ModelError(f"The card of {self.name!r} gives {value!r} as its {name}; it must be {what}.")
        for name in ("cell_diameter", "photo_scale", "shards"):
            if not getattr(self, name) > 0:
                raise ModelError(
                    f"The card of {self.name!r} gives {getattr(self, name)} as its {name}; use more than 0."
                )
        if len(set(self.classes)) != len(self.classes) or "benign" not in self.classes:
            raise ModelError(
                f"The card of {self.name!r} must name each class once, benign among them; mend its classes."
            )
        if not self.temperature > 0:
            raise ModelError(f"The card of {self.name!r} gives the temperature {self.temperature}; it must be above 0.")
        if self.tile < 32 or self.tile % 16:
            raise ModelError(
                f"The card of {self.name!r} gives tiles of {self.tile} pixels; use a multiple of 16, at least 32."
            )
        if self.pooled not in ("votes", "logits"):
            raise ModelError(f"The card of {self.name!r} pools {self.pooled!r}; it must be votes or logits.")
        if self.size is not None and self.size < 16:
            raise ModelError(f"The card of {self.name!r} gives inputs of {self.size} pixels; use at least 16.")

    def familiar_up_to(self, tiles: float) -> float:
        """Return the largest mean distance over a number of tiles, at least 1, that still counts as known."""
        limits = (self.familiar, *self.familiar_means)
        below, share = divmod(min(math.log2(tiles), len(limits) - 1.0), 1.0)
        above = min(int(below) + 1, len(limits) - 1)
        return limits[int(below)] * (1 - share) + limits[above] * share

    def files(self, folder: Path) -> tuple[Path, ...]:
        """Return the weights files in a folder, in order."""
        return weights_files(folder, self.name, self.shards)


def weights_folder() -> Path:
    """Return the folder of weights: ``LEUK_WEIGHTS`` if it is set, else ``weights`` beside the package."""
    return Path(os.environ.get("LEUK_WEIGHTS") or Path(__file__).parents[2] / "weights")


def weights_files(folder: Path, name: str, shards: int = 1) -> tuple[Path, ...]:
    """Return the names of a model's weights files: ``NAME.safetensors``, or ``NAME-1-of-2.safetensors`` and so on."""
    if shards == 1:
        return (folder / f"{name}.safetensors",)
    return tuple(folder / f"{name}-{i + 1}-of-{shards}.safetensors" for i in range(shards))


OTHER_WEIGHTS = ("cells", "segmenter")
"""Names of weights that read no field: of the classifier of single cells and of the segmenter."""


def available() -> tuple[str, ...]:
    """Return the names of the models whose card and weights are here, sorted; torch is not needed for it."""
    found = []
    for path in sorted(weights_folder().glob("*.json")):
        # A card that can't be read is left for `read_card` to complain of, by whoever asks for the model.
        whole = path.with_suffix(".safetensors").is_file() or any(path.parent.glob(f"{path.stem}-1-of-*.safetensors"))
        if whole and path.stem not in OTHER_WEIGHTS:
            found.append(path.stem)
    return tuple(found)


def read_card(path: Path) -> Card:
    """Read a card.

    Parameters
    ----------
    path : pathlib.Path
        ``NAME.json``.

    Returns
    -------
    Card

    Raises
    ------
    ModelError
        If the file is missing, can't be read, is no JSON, or lacks a field.
    """
    try:
        return read_as(Card, path, ("classes", "limits", "changed", "familiar_means"))
    except FileNotFoundError:
        raise ModelError(f"There is no card {path.name}; name a model that `python -m leuk models` lists.") from None


# What the values of a card must be: its authors edit it by hand.
_NUMBER = (int, float)
_KINDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    *((name, (str,), "text") for name in ("name", "title", "architecture", "sha256", "preprocessing", "pooled")),
    *((name, (str,), "text") for name in ("guard", "paper", "claim", "folds_sha256")),
    *((name, (str,), "a list of texts") for name in ("classes", "limits", "changed")),
    *((name, (int,), "a whole number") for name in ("tile", "shards")),
    *((name, _NUMBER, "a number") for name in ("cell_diameter", "photo_scale", "temperature", "familiar", "confident")),
    ("familiar_means", _NUMBER, "a list of numbers"),
    ("size", (int, type(None)), "a whole number, or null"),
    *((name, (Mapping,), "a mapping") for name in ("arguments", "strong", "training", "metrics")),
)


AnyCard = TypeVar("AnyCard")


def read_as(kind: type[AnyCard], path: Path, tuples: Sequence[str]) -> AnyCard:
    """Read a card of any kind; of what the file holds, keys that the kind doesn't know are passed over.

    Parameters
    ----------
    kind : type
        A dataclass.
    path : pathlib.Path
    tuples : sequence of str
        Fields that are tuples.

    Raises
    ------
    ModelError
        If the file can't be read, is no JSON, or lacks a field.
    FileNotFoundError
        If there is none: what to do then depends on the kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name: content[one.name] for one in fields(kind) if one.name in content}  # type: ignore[arg-type]
        return kind(**known | {name: tuple(known[name]) for name in tuples if name in known})
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelError(
            f"The card {path.name} can't be read ({error.strerror}); give yourself the right to read it."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The card {path.name} can't be used ({error}); restore it beside its weights.") from error


def differs(card: Card, training: Mapping[str, Any]) -> str:
    """Say in a few words by what a training is another one than a card's; empty where it is the same.

    Partition and number of folds are not asked for: figures of one training are of several. Neither is whether the
    statistics of batch normalization were counted anew at the end: a card's weights may be the only ones so treated.

    Parameters
    ----------
    card : Card
    training : mapping
        What is known of it, as `Card.training` has it: ``data_sha256``, ``preset``, ``pretrained``, ``seed``. What
        either of the two does not know is not compared, but a card must know its data.
    """
    own, said = card.training, []
    if "data_sha256" in training and own.get("data_sha256") != training["data_sha256"]:
        said.append("other fields")
    here, there = (dict(one.get("preset") or {}) for one in (own, training))
    for key, unit in (("size", "pixels"), ("epochs", "epochs")):
        known = here.pop(key, None), there.pop(key, None)
        if None not in known and known[0] != known[1]:
            said.append(f"{known[1]} {unit if known[1] != 1 else unit[:-1]} instead of {known[0]}")
    # Edges are named only where they were asked for or left out.
    edges = {one.pop("edges", None) for one in (here, there)}
    if len(edges) > 1 or any(here[key] != there[key] for key in (here.keys() & there.keys()) - {"recount", "source"}):
        said.append("another recipe")
    for key, what in (("pretrained", "other weights to begin with"), ("seed", "another seed")):
        if key in own and key in training and own[key] != training[key]:
            said.append(what)
    return ", ".join(said)


def write_card(card: Any, path: Path) -> None:
    """Write a card of any kind as JSON with a stable order of fields; the old one stays until it is written.

    Raises
    ------
    ModelError
        If it can't be written.
    """
    content = {one.name: getattr(card, one.name) for one in fields(card)}
    text = json.dumps(content, indent=1, ensure_ascii=False, default=list) + "\n"
    try:
        write_all({path: text.encode()})
    except OSError as error:
        raise ModelError(
            f"The card {path} can't be written ({error.strerror}); make room, or name another folder."
        ) from error
