"""One image, one call: cells, reading and heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from leuk.cells import CellType
from leuk.cells.store import classify_cells, has_cells
from leuk.classification import CANNOT_TELL, Prediction, classify, of_training_size, prepare
from leuk.explanation import Explanation
from leuk.explanation import explain as map_dependence
from leuk.found import LARGEST_LABEL, Found, Memory
from leuk.image import SmearImage
from leuk.models.store import DEFAULT_MODEL, Model, load_model
from leuk.report import at_odds, count_types
from leuk.segmentation import DEFAULT_METHOD, Segmentation, segment
from leuk.segmentation.field import find_field
from leuk.segmentation.scale import Scale, estimate_scale, red_cells_beside

NEARLY_OUTSIDE = 0.85
"""Part of the distance up to which a picture counts as known, from which on it is known with less right.

Of 393 benign fields of the public set, read by networks that had not seen them, 36 lie between this and the limit; of
the five pictures in 396 of other laboratories (ALL-IDB1, BCCD, Zheng, PBC) that pass as known, all called benign, four.
"""

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 … 1, and a short name of the stage; raising `Cancelled` in it stops the work."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything Leuk has to say about one image.

    Attributes
    ----------
    image : SmearImage
    segmentation : Segmentation
    prediction : Prediction
    explanations : mapping of str to Explanation
        By class key; empty if none was asked for.
    cell_types : tuple of CellType
        One for each of the segmentation's cells, in their order; empty if these look like no stained white cells, or
        the classifier's weights are not here.
    scale : Scale or None
        Width of a pixel, estimated from red cells; None where there are too few.
    """

    image: SmearImage
    segmentation: Segmentation
    prediction: Prediction
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    cell_types: tuple[CellType, ...] = ()
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.segmentation.cell.shape != self.image.pixels.shape[:2]:
            raise ValueError(f"expected masks of {self.image.pixels.shape[:2]}, got {self.segmentation.cell.shape}")
        if self.cell_types and [t.label for t in self.cell_types] != [c.label for c in self.segmentation.cells]:
            raise ValueError("cell_types: expected one for each cell, in the order of the cells")


def analyze(
    image: SmearImage,
    *,
    model: str | Model = DEFAULT_MODEL,
    method: str = DEFAULT_METHOD,
    explain: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    memory: Memory | None = None,
) -> Analysis:
    """Find the cells of an image, read it, and map where the classes' scores depend on it.

    Parameters
    ----------
    image : SmearImage
    model : str or Model
        Name of a model whose weights are here, or one that is loaded.
    method : str
        Segmentation method, one of `leuk.segmentation.METHODS`.
    explain : str, optional
        One of `leuk.explanation.EXPLAINERS`: a map for every class. None: no maps.
    device : str
        "auto" (a GPU where there is one), "cpu", "cuda", …; ignored for a loaded model.
    progress : callable, optional
        Told the stages.
    memory : Memory, optional
        Where cells are taken from that were found in this image before, and where those go that are found now.

    Returns
    -------
    Analysis

    Raises
    ------
    OptionError
        If a model, method or device does not exist.
    ModelError
        If the model's weights can't be used.
    Cancelled
        If `progress` raised it.
    """
    tell = progress or (lambda fraction, stage: None)
    tell(0.0, "Loading the model")
    reader = load_model(model, device) if isinstance(model, str) else model
    tell(0.1, "Finding white cells")
    seen = find_field(image.pixels)
    found = memory.get(image.sha256, method) if memory is not None else None
    if found is not None:
        segmentation, cell_types, scale = found.segmentation, found.cell_types, found.scale
    else:
        segmentation = segment(image, method, seen)
        tell(0.4, "Telling cell types")
        red = red_cells_beside(seen.pixels, segmentation)
        cell_types = classify_cells(image, segmentation, field=seen, red=red) if has_cells() else ()
        scale = estimate_scale(seen.pixels, segmentation.cell, red=red)
        if memory is not None and len(segmentation.cells) <= LARGEST_LABEL:
            memory.put(Found.of(image.sha256, segmentation, cell_types, scale))
    tell(0.5, "Reading the field")
    view = prepare(image, segmentation, reader.card, seen)
    prediction = classify(reader, image, segmentation, view)
    if segmentation.cells and has_cells() and not cell_types:
        reasons = (
            "What was found does not look like stained white cells: no types are told, and nothing is suggested.",
            *(reason for reason in prediction.reasons if reason not in view.remarks),
        )
        prediction = replace(prediction, suggestion=CANNOT_TELL, reasons=reasons, outside=True)
    # A frame around a photograph is not found to the pixel.
    prediction = doubted(prediction, cell_types, alike=of_training_size(seen.pixels[seen.box], slack=8))
    explanations: Mapping[str, Explanation] = {}
    if explain is not None:
        tell(0.7, "Drawing heat maps")
        explanations = map_dependence(reader, view, segmentation, explain)
    tell(1.0, "Done")
    return Analysis(image, segmentation, prediction, explanations, cell_types, scale)


def doubted(prediction: Prediction, types: Sequence[CellType], *, alike: bool) -> Prediction:
    """Return what is left of a suggestion where the cells are at odds with it and the field is hardly known.

    Fields of other laboratories that pass as known the reader calls benign, blasts or not. What the cells say carries
    over better, though hematogones look like blasts: so neither is relied on. A field of the training photographs' own
    size keeps its suggestion.

    Parameters
    ----------
    prediction : Prediction
    types : sequence of CellType
        Of the field's cells.
    alike : bool
        Whether the photograph is as large as those that the model has learnt from.
    """
    if alike or prediction.outside or prediction.farness <= NEARLY_OUTSIDE or prediction.suggestion == CANNOT_TELL:
        return prediction
    odds = at_odds(prediction.suggestion, count_types(one.type for one in types))
    if odds is None:
        return prediction
    reason = f"{odds}, and the picture is close to the limit of what the model has learnt from: neither is relied on."
    return replace(prediction, suggestion=CANNOT_TELL, reasons=(reason, *prediction.reasons))
