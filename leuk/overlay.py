"""An analysis made ready to be looked at: outlines, heat maps and the picture, for a screen or burnt into a PNG."""

from __future__ import annotations

import io
import itertools
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import measure

from leuk import report
from leuk.image import reduced

if TYPE_CHECKING:  # at run time it would bring the networks along, which nothing here needs
    from leuk.analysis import Analysis

CELL_COLOR = (255, 212, 0)
"""RGB of cell outlines: yellow, apart from pink, violet and blue stains for every kind of colour vision."""
NUCLEUS_COLOR = (0, 229, 255)
"""RGB of nucleus outlines: cyan."""
DISPLAY_PIXELS = 12_000_000
"""A larger image is reduced to about this many pixels for the screen: tablets refuse canvases above 16 megapixels."""
LOSSLESS_PIXELS = 512 * 512
"""Up to this size the screen gets a PNG, since JPEG blocks show when a small field is enlarged."""
THUMBNAIL_SIDE = 160

_JPEG_QUALITY = 90
_MAGIC = b"LEUK"
_MARGIN = 12  # pixels around a mask before it is blurred
_COORDINATE_UNITS = 10  # outlines travel as integers, tenths of a pixel


@dataclass(frozen=True, eq=False)
class Pack:
    """One analysis as the viewer takes it: small, encoded, without float arrays or decoded pixels.

    Attributes
    ----------
    header : mapping
        JSON-ready: ``record`` (see `leuk.report.record`), ``columns`` and ``rows`` (table of cells), ``notes``,
        ``reasons``, ``scale``, ``method`` (segmentation), ``classes``, ``tiles`` (box, probabilities,
        weight), ``outlines`` (per cell ``cell`` and ``nucleus``: polygons as flat x, y lists in tenths of a pixel),
        ``heat`` by class key (method, heat_on_cells, cells_share, fine) and ``main_class``.
    blobs : mapping of str to (str, bytes)
        Media type and bytes of ``image`` and of ``heat:CLASS`` (8-bit grey PNG, 255 = strength 1).
    thumbnail : bytes
        JPEG, longer side at most `THUMBNAIL_SIDE` pixels.
    """

    header: Mapping[str, Any]
    blobs: Mapping[str, tuple[str, bytes]]
    thumbnail: bytes = field(repr=False)

    @cached_property
    def nbytes(self) -> int:
        """Bytes held by the encoded pictures and, about, by the outlines."""
        points = sum(len(line) for one in self.header.get("outlines", ()) for line in itertools.chain(*one.values()))
        return sum(len(data) for _, data in self.blobs.values()) + len(self.thumbnail) + 36 * points


def pack(analysis: Analysis, file: str) -> Pack:
    """Encode an analysis for the viewer.

    Parameters
    ----------
    analysis : Analysis
    file : str
        The name that the record and the table of cells carry.
    """
    prediction, segmentation = analysis.prediction, analysis.segmentation
    shown = _for_display(analysis.image.pixels)
    blobs: dict[str, tuple[str, bytes]] = {"image": _encode(shown)}
    heat: dict[str, dict[str, Any]] = {}
    for key, explanation in analysis.explanations.items():
        blobs[f"heat:{key}"] = ("image/png", _grey_png(explanation.heat))
        heat[key] = {
            "method": explanation.method,
            "heat_on_cells": None if explanation.heat_on_cells is None else float(explanation.heat_on_cells),
            "cells_share": float(explanation.cells_share),
            "fine": explanation.fine,
            "peak": round(float(np.max(explanation.heat, initial=0.0)), 3),
        }
    record = report.record(analysis, file)
    header = {
        "record": record,
        "columns": list(report.CSV_COLUMNS),
        # As they are written: in JSON a browser takes 72.0 for 72.
        "rows": [[str(value) for value in row] for row in report.record_rows(record)],
        "notes": list(analysis.image.notes),
        "reasons": [*prediction.reasons, *report.cut_cells(analysis)],
        "scale": float(prediction.scale),
        "method": segmentation.method,
        "classes": list(prediction.classes),
        "read_by": prediction.read_by,
        "tiles": [
            {
                "box": [int(v) for v in tile.box],
                "probabilities": [round(float(p), 4) for p in tile.probabilities],
                "weight": round(float(tile.weight), 4),
                "cell": tile.cell,
            }
            for tile in prediction.tiles
        ],
        "outlines": [
            {part: [_flat(p) for p in polygons] for part, polygons in both.items()} for both in cell_outlines(analysis)
        ],
        "heat": heat,
        "main_class": report.main_class(analysis),
        "display": [int(shown.shape[1]), int(shown.shape[0])],
    }
    return Pack(header=header, blobs=blobs, thumbnail=thumbnail(analysis.image.pixels))


def to_bytes(packed: Pack, **extra: Any) -> bytes:
    """Join a pack into one run of bytes: "LEUK", the header's length (uint32, little-endian), header, pictures.

    `extra` is added to the header. The header's ``blobs`` say where each picture lies, counted from the header's end.
    """
    places, offset = {}, 0
    for name, (media_type, data) in packed.blobs.items():
        places[name] = {"type": media_type, "offset": offset, "length": len(data)}
        offset += len(data)
    text = json.dumps({**packed.header, **extra, "blobs": places}, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([_MAGIC, struct.pack("<I", len(text)), text, *(data for _, data in packed.blobs.values())])


def picture(pixels: np.ndarray) -> tuple[str, bytes]:
    """Encode RGB uint8 pixels (H, W, 3) for the screen, as `pack` does: media type and bytes."""
    return _encode(_for_display(pixels))


def thumbnail(pixels: np.ndarray, side: int = THUMBNAIL_SIDE) -> bytes:
    """Reduce RGB uint8 pixels (H, W, 3) to a JPEG whose longer side is at most `side` pixels."""
    factor = min(1.0, side / max(pixels.shape[:2]))
    return _jpeg(reduced(pixels, factor), 80)


def cell_outlines(analysis: Analysis) -> list[dict[str, list[np.ndarray]]]:
    """Trace every cell, and its nucleus, in the order of `Segmentation.cells`.

    Returns
    -------
    list of dict
        ``cell`` and ``nucleus``: lists of closed polygons, float32 (n, 2), x and y in pixels; (0, 0) is the image's
        upper left corner, so the middle of the first pixel is (0.5, 0.5).
    """
    out = []
    for cell in analysis.segmentation.cells:
        x0, y0, x1, y1 = cell.box
        own = analysis.segmentation.instances[y0:y1, x0:x1] == cell.label
        nucleus = analysis.segmentation.nucleus[y0:y1, x0:x1] & own
        out.append({"cell": trace(own, (x0, y0)), "nucleus": trace(nucleus, (x0, y0))})
    return out


def trace(mask: np.ndarray, origin: tuple[int, int] = (0, 0)) -> list[np.ndarray]:
    """Trace a mask's edges as smooth closed polygons, holes included.

    Parameters
    ----------
    mask : numpy.ndarray
        bool, (H, W).
    origin : tuple of int
        x and y of the mask's upper left pixel in the image.

    Returns
    -------
    list of numpy.ndarray
        float32, (n, 2), x and y in the image's pixels. Empty for an empty mask.
    """
    if not mask.any():
        return []
    solid = np.pad(mask, _MARGIN).astype(np.float32)
    # The staircase is rounded off by a blur in proportion to the cell: masks found on a reduced image have tall steps.
    side = max(mask.shape)
    contours = measure.find_contours(ndimage.gaussian_filter(solid, min(max(side / 70, 0.6), 4.0)), 0.5)
    if not contours:
        contours = measure.find_contours(solid, 0.5)
    tolerance = min(max(side / 600, 0.1), 0.6)
    polygons = []
    for contour in contours:
        points = measure.approximate_polygon(contour, tolerance)
        if len(points) >= 4:
            polygons.append((points[:, ::-1] - (_MARGIN - 0.5) + np.asarray(origin)).astype(np.float32))
    return polygons


def heat_rgba(heat: np.ndarray) -> np.ndarray:
    """Colour a heat map with viridis, as opaque as it is hot, so that a flat map looks flat.

    Parameters
    ----------
    heat : numpy.ndarray
        float, (h, w), 0 … 1.

    Returns
    -------
    numpy.ndarray
        uint8, (h, w, 4), RGBA, alpha not multiplied in.
    """
    grey = _grey(heat)
    return np.dstack([color_table()[grey], grey])


def color_table() -> np.ndarray:
    """Give the 256 colours of the heat map, uint8 (256, 3) RGB: viridis, even in lightness, safe if colour-blind."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.cvtColor(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)[:, 0]


def burn(
    analysis: Analysis, *, cells: bool = True, nuclei: bool = True, heat: str | None = None, opacity: float = 0.6
) -> np.ndarray:
    """Draw the layers into a copy of the image.

    Parameters
    ----------
    analysis : Analysis
    cells, nuclei : bool
        Whether to draw these outlines.
    heat : str or None
        Class key whose heat map to lay over the image; None, or a class without a map, for none.
    opacity : float
        Of the heat map where it is hottest, 0 … 1.

    Returns
    -------
    numpy.ndarray
        uint8, (H, W, 3), RGB, the size of the image.
    """
    canvas = analysis.image.pixels.copy()
    height, width = canvas.shape[:2]
    explanation = analysis.explanations.get(heat) if heat is not None else None
    if explanation is not None:
        smooth = cv2.resize(_grey(explanation.heat), (width, height), interpolation=cv2.INTER_LINEAR)
        alpha = smooth[..., None].astype(np.float32) * (opacity / 255)
        canvas = (canvas * (1 - alpha) + color_table()[smooth] * alpha + 0.5).astype(np.uint8)
    thickness = max(1, round(max(height, width) / 700))
    drawn = [("cell", CELL_COLOR)] * cells + [("nucleus", NUCLEUS_COLOR)] * nuclei
    for both in cell_outlines(analysis):
        for part, color in drawn:
            # OpenCV counts from the middle of the first pixel, in fixed point with 3 fractional bits here.
            polygons = [np.round((p - 0.5) * 8).astype(np.int32) for p in both[part]]
            cv2.polylines(canvas, polygons, True, color, thickness, cv2.LINE_AA, shift=3)
    return canvas


def burn_png(analysis: Analysis, **layers: Any) -> bytes:
    """Encode `burn` (which takes `layers`) as a PNG without metadata."""
    return _png(burn(analysis, **layers))


def _for_display(pixels: np.ndarray) -> np.ndarray:
    count = pixels.shape[0] * pixels.shape[1]
    # Browsers draw no side longer than that, and JPEG holds none longer than 65,500.
    return reduced(pixels, min(1.0, (DISPLAY_PIXELS / count) ** 0.5, 16_384 / max(pixels.shape[:2])))


def _encode(pixels: np.ndarray) -> tuple[str, bytes]:
    if pixels.shape[0] * pixels.shape[1] <= LOSSLESS_PIXELS:
        return "image/png", _png(pixels)
    return "image/jpeg", _jpeg(pixels, _JPEG_QUALITY)


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    # Full colour resolution: at half of it, stain at the edge of a nucleus bleeds into the cytoplasm.
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def _grey(heat: np.ndarray) -> np.ndarray:
    return np.round(np.clip(np.nan_to_num(heat), 0, 1) * 255).astype(np.uint8)


def _grey_png(heat: np.ndarray) -> bytes:
    return _png(_grey(heat))


def _flat(polygon: np.ndarray) -> list[int]:
    return np.round(polygon * _COORDINATE_UNITS).astype(int).ravel().tolist()
