"""Synthetic smears with known truth: samples for the app, truth for tests, load for benchmarks.

A field is composed as light is lost on a slide: each layer (red cell, cytoplasm, nucleus, grain of stain) adds its
optical density, the sum is turned into transmitted light (Beer–Lambert), and then come the lamp, the focus, the
sensor and the file format. Nothing is copied from a real picture; colours and sizes were set by eye and by the medians
of public sets, so a network trained on real fields may well call a synthetic one outside its experience.

References
----------
.. [1] E. Evans, Y. C. Fung. "Improved measurements of the erythrocyte geometry". Microvascular Research 4 (1972).
.. [2] A. Ruifrok, D. Johnston. "Quantification of histochemical staining by color deconvolution". Anal. Quant. Cytol.
   Histol. 23 (2001): optical densities of stains add.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from leuk.data.stains import KINDS, STYLES, CellKind, StainStyle
from leuk.errors import OptionError
from leuk.image import SmearImage

__all__ = [
    "KINDS",
    "STYLES",
    "CellKind",
    "Sample",
    "StainStyle",
    "SyntheticSmear",
    "generate",
    "samples",
    "write_samples",
]

_ANGLES = 512
_MAX_PIXELS = 64_000_000
_CYTOPLASM_RIM = 0.012  # cytoplasm left around any nucleus, in cell diameters


@dataclass(frozen=True, eq=False)
class SyntheticSmear:
    """A synthetic field and what is truly in it.

    Attributes
    ----------
    image : SmearImage
        The picture.
    nucleus : numpy.ndarray
        bool, (H, W): nuclei of white cells. A subset of `cell`. A cell that the border cuts may show none.
    cell : numpy.ndarray
        bool, (H, W): whole white cells. Equal to ``instances > 0``.
    instances : numpy.ndarray
        int32, (H, W): 0 where there is no white cell, else the cell's label, 1 … N, by centre from top to bottom.
    kinds : tuple of str
        Name of the kind of each label, in the order of the labels.
    style : StainStyle
        How it was stained and photographed.
    seed : int or None
        The seed it came from; None if a generator was handed in.
    cell_diameter : float
        The white-cell diameter, pixels, that the kinds' sizes refer to.
    """

    image: SmearImage
    nucleus: np.ndarray
    cell: np.ndarray
    instances: np.ndarray
    kinds: tuple[str, ...]
    style: StainStyle
    seed: int | None
    cell_diameter: float

    def mask(self) -> np.ndarray:
        """Truth as one picture: uint8, (H, W), 0 background, 128 cytoplasm, 255 nucleus."""
        mask = np.zeros(self.cell.shape, np.uint8)
        mask[self.cell] = 128
        mask[self.nucleus] = 255
        return mask


# --------------------------------------------------------------------------------------------------------------
# Shapes


@dataclass
class _White:
    """A white cell to be drawn: where, how large, and, once shaped, its signed distances on its own patch."""

    x: float
    y: float
    diameter: float
    kind: CellKind
    x0: int = 0
    y0: int = 0
    outside: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # pixels to the edge, negative inside
    nuclear: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # the same, to the nucleus's edge


def _outline(rng: np.random.Generator, roughness: float, lowest: int = 2, highest: int = 9) -> np.ndarray:
    """Radius over angle of a closed outline whose area is that of the unit circle, (512,) float32."""
    angle = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    order = np.arange(lowest, highest + 1)
    size = roughness * 0.16 * rng.standard_normal(order.size) / (order / lowest) ** 1.4
    phase = rng.uniform(0, 2 * np.pi, order.size)
    radius = np.clip(1 + size @ np.cos(order[:, None] * angle + phase[:, None]), 0.5, 1.6)
    return (radius / math.sqrt(float(np.mean(radius**2)))).astype(np.float32)


def _grid(x: float, y: float, reach: float, aspect: float) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Corner of the patch around (x, y), and each pixel's offset from it in unsqueezed pixels, (h, w) float32."""
    sx, sy = math.sqrt(aspect), 1 / math.sqrt(aspect)
    x0, x1 = math.floor(x - reach * sx), math.ceil(x + reach * sx) + 1
    y0, y1 = math.floor(y - reach * sy), math.ceil(y + reach * sy) + 1
    u = ((np.arange(x0, x1, dtype=np.float32) - x) / sx).astype(np.float32)
    v = ((np.arange(y0, y1, dtype=np.float32) - y) / sy).astype(np.float32)
    shape = (v.size, u.size)
    return x0, y0, np.broadcast_to(u, shape).copy(), np.broadcast_to(v[:, None], shape).copy()


def _polar(u: np.ndarray, v: np.ndarray, outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the centre, and the outline's unit radius in that direction."""
    distance, angle = cv2.cartToPolar(u, v)
    index = (angle * np.float32(_ANGLES / (2 * np.pi))).astype(np.intp) & (_ANGLES - 1)
    return distance, outline[index]


def _nuclear_distance(rng: np.random.Generator, cell: _White, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to a nucleus of the kind's shape; its size is set later by the N:C ratio."""
    kind, radius = cell.kind, cell.diameter / 2
    lobes = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    if lobes == 1:
        nuclear_radius = radius * math.sqrt(kind.nc_ratio)
        shift = rng.uniform(0.1, 0.9) * (radius - nuclear_radius)
        turn = rng.uniform(0, 2 * np.pi)
        du, dv = u - np.float32(shift * math.cos(turn)), v - np.float32(shift * math.sin(turn))
        distance, unit = _polar(du, dv, _outline(rng, kind.irregularity))
        signed = distance - np.float32(nuclear_radius) * unit
        depth = kind.indentation * rng.uniform(0.5, 1.2)
        if depth > 0.05:
            # a cleft: cut by a circle that reaches in from the side away from the shift
            cut = nuclear_radius * (0.35 + 0.25 * depth)
            centre = nuclear_radius * (1.3 - 0.75 * depth)
            away = turn + np.pi + rng.normal(0, 0.4)
            notch = np.hypot(du - np.float32(centre * math.cos(away)), dv - np.float32(centre * math.sin(away)))
            signed = np.maximum(signed, np.float32(cut) - notch)
        return signed
    # lobes strung along an arc and joined by filaments
    start, span = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.7) * (lobes - 1)
    along = start + np.linspace(0, min(span, 4.3), lobes) + rng.normal(0, 0.12, lobes)
    out = radius * rng.uniform(0.4, 0.6, lobes)
    px, py = out * np.cos(along), out * np.sin(along)
    size = radius * rng.uniform(0.22, 0.32, lobes)
    softness = np.float32(0.05 * radius)
    total = np.zeros_like(u)
    for i in range(lobes):
        turn, long = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
        du, dv = u - np.float32(px[i]), v - np.float32(py[i])
        a = (du * np.float32(math.cos(turn)) + dv * np.float32(math.sin(turn))) / np.float32(long**0.5)
        b = (dv * np.float32(math.cos(turn)) - du * np.float32(math.sin(turn))) * np.float32(long**0.5)
        total += np.exp(-np.clip((np.hypot(a, b) - np.float32(size[i])) / softness, -30, 30))
        if i:
            ex, ey = px[i] - px[i - 1], py[i] - py[i - 1]
            t = np.clip(((u - px[i - 1]) * ex + (v - py[i - 1]) * ey) / (ex * ex + ey * ey), 0, 1)
            thread = np.hypot(u - px[i - 1] - t * ex, v - py[i - 1] - t * ey) - 0.07 * radius
            total += np.exp(-np.clip(thread / softness, -30, 30)).astype(np.float32)
    return -softness * np.log(np.maximum(total, np.float32(1e-12)))


def _shape(rng: np.random.Generator, cell: _White, aspect: float) -> None:
    """Give a white cell its outline and its nucleus."""
    kind, radius = cell.kind, cell.diameter / 2
    cell.x0, cell.y0, u, v = _grid(cell.x, cell.y, radius * 1.35 + 2, aspect)
    # most cells are nearly round, a few are drawn out
    distance, unit = _polar(u, v, _outline(rng, kind.outline * min(math.exp(rng.normal(0.1, 0.45)), 3.0)))
    outside = distance - np.float32(radius) * unit
    nuclear = _nuclear_distance(rng, cell, u, v)
    rim = np.float32(max(_CYTOPLASM_RIM * cell.diameter, 0.3))
    nuclear = np.maximum(nuclear, outside + rim - np.float32(0.1 * cell.diameter))
    ratio = float(np.clip(rng.normal(kind.nc_ratio, kind.nc_spread), 0.1, 0.95))
    inside = outside < 0
    if inside.any():
        # the level at which the nucleus covers just its share of the cell
        nuclear = nuclear - np.float32(np.quantile(nuclear[inside], ratio))
    cell.outside = outside.astype(np.float32)
    cell.nuclear = np.maximum(nuclear, outside + rim).astype(np.float32)


# --------------------------------------------------------------------------------------------------------------
# Where things lie


def _place(
    rng: np.random.Generator,
    kinds: Sequence[CellKind],
    width: int,
    height: int,
    diameter: float,
    margin: float,
    clustering: float,
    overlap: float,
    aspect: float,
    keep_out: tuple[int, int, int, int] | None,
) -> list[_White]:
    """Positions of the white cells: apart, or leaning on a neighbour."""
    sx, sy = math.sqrt(aspect), 1 / math.sqrt(aspect)
    sizes = [diameter * float(np.clip(rng.normal(k.size, k.size_spread), 0.6 * k.size, 1.5 * k.size)) for k in kinds]
    order = np.argsort(sizes)[::-1]  # the large ones first: there is room for them
    x = np.empty(0)
    y = np.empty(0)
    r = np.empty(0)
    placed: list[_White] = []
    for index in order:
        radius = sizes[index] / 2
        for attempt in range(12):
            n = 48
            edge_x = min(margin * radius * sx, (width - 1) / 2)
            edge_y = min(margin * radius * sy, (height - 1) / 2)
            cx = rng.uniform(edge_x, width - 1 - edge_x, n)
            cy = rng.uniform(edge_y, height - 1 - edge_y, n)
            if placed and rng.random() < clustering:
                other = rng.integers(0, len(placed), n)
                turn = rng.uniform(0, 2 * np.pi, n)
                reach = (radius + r[other]) * rng.uniform(1 - overlap, 1.03, n)
                cx, cy = x[other] + reach * np.cos(turn) * sx, y[other] + reach * np.sin(turn) * sy
            fits = (cx >= edge_x) & (cx <= width - 1 - edge_x) & (cy >= edge_y) & (cy <= height - 1 - edge_y)
            if keep_out is not None:
                bx0, by0, bx1, by1 = keep_out
                clear = 0.4 * radius
                fits &= ~((cx > bx0 - clear) & (cx < bx1 + clear) & (cy > by0 - clear) & (cy < by1 + clear))
            if placed:
                apart = np.hypot((cx[:, None] - x) / sx, (cy[:, None] - y) / sy)
                # late attempts may press a little closer
                near = (1 - overlap - 0.015 * attempt) * (radius + r)
                # and never so close that a small cell vanishes in a large one
                near = np.maximum(near, np.maximum(radius, r) - 0.2 * np.minimum(radius, r))
                fits &= (apart >= near).all(1)
            where = np.flatnonzero(fits)
            if where.size:
                i = where[0]
                placed.append(_White(float(cx[i]), float(cy[i]), sizes[index], kinds[index]))
                x, y, r = np.append(x, cx[i]), np.append(y, cy[i]), np.append(r, radius)
                break
        else:
            raise OptionError(
                f"There is no room for {len(kinds)} white cells of about {diameter:.0f} pixels in {width} × {height}; "
                "ask for fewer or smaller cells."
            )
    return sorted(placed, key=lambda c: (c.y, c.x))


def _red_positions(
    rng: np.random.Generator, width: int, height: int, diameter: float, style: StainStyle, whites: Sequence[_White]
) -> np.ndarray:
    """Centres of the red cells, (N, 2): strewn, or in chains; few under white cells."""
    sx, sy = math.sqrt(style.aspect), 1 / math.sqrt(style.aspect)
    area = (width + diameter) * (height + diameter)
    free = max(area - sum(math.pi / 4 * c.diameter**2 for c in whites), 0)
    count = int(min(rng.normal(1, 0.12) * style.red_cover * free / (math.pi / 4 * diameter**2), 60_000))
    wx = np.array([c.x for c in whites])
    wy = np.array([c.y for c in whites])
    wr = np.array([c.diameter / 2 for c in whites])
    cell = diameter * 1.1
    bins: dict[tuple[int, int], list[tuple[float, float]]] = {}
    centres: list[tuple[float, float]] = []
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        chained = bool(centres) and rng.random() < style.rouleaux
        best: tuple[float, float] | None = None
        best_score = -math.inf
        for _try in range(3 if chained else 8):
            if chained:
                heading += rng.normal(0, 0.5)
                step = diameter * rng.uniform(0.5, 1.0)
                px = centres[-1][0] + step * math.cos(heading) * sx
                py = centres[-1][1] + step * math.sin(heading) * sy
            else:
                px = rng.uniform(-diameter / 2, width + diameter / 2)
                py = rng.uniform(-diameter / 2, height + diameter / 2)
            key = (int(px // cell), int(py // cell))
            gap = diameter * 1.1
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    for qx, qy in bins.get((key[0] + i, key[1] + j), ()):
                        gap = min(gap, math.hypot((px - qx) / sx, (py - qy) / sy))
            score = gap / diameter
            if wx.size:
                score += min(0.0, 4 * float(np.min((np.hypot((wx - px) / sx, (wy - py) / sy) - wr) / diameter - 0.35)))
            if score > best_score:
                best, best_score = (px, py), score
            if score > 0.95 or (chained and score > 0.4):
                break
        if best is None or best_score < -0.4:
            continue
        centres.append(best)
        bins.setdefault((int(best[0] // cell), int(best[1] // cell)), []).append(best)
        if not chained:
            heading = rng.uniform(0, 2 * np.pi)
    return np.array(centres, dtype=np.float64).reshape(-1, 2)


# --------------------------------------------------------------------------------------------------------------
# Drawing in optical density


class _Slide:
    """The slide as it fills: optical density per pixel and channel, and what noise to texture it with."""

    def __init__(self, rng: np.random.Generator, width: int, height: int, style: StainStyle, diameter: float) -> None:
        self.rng, self.style, self.diameter = rng, style, diameter
        self.width, self.height = width, height
        self.density = np.zeros((3, height, width), np.float32)
        size = int(np.clip(4 * diameter + 48, 96, 1200))
        self._noise = [_noise(rng, size, max(s * diameter, 0.45)) for s in (0.018, 0.036, 0.075, 0.2)]

    def colour(self, rgb: tuple[float, float, float]) -> np.ndarray:
        """Optical density (natural logarithm) of a colour against the bare slide, (3,) float32."""
        seen, bare = np.maximum(np.array(rgb), 1.0), np.array(self.style.background)
        return np.maximum(-np.log(seen / bare), 0).astype(np.float32)

    def add(self, on: tuple[slice, slice], layer: np.ndarray, colour: np.ndarray) -> None:
        """Lay a layer, thickness (h, w), of a colour's optical density (3,) on part of the slide."""
        for plane, depth in zip(self.density, colour, strict=True):
            plane[on] += layer * np.float32(depth)

    def clip(self, x0: int, y0: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """Cut a patch to the slide: slices of the slide and of the patch; None if it lies outside."""
        left, top = max(x0, 0), max(y0, 0)
        right, bottom = min(x0 + shape[1], self.width), min(y0 + shape[0], self.height)
        if right <= left or bottom <= top:
            return None
        return (
            (slice(top, bottom), slice(left, right)),
            (slice(top - y0, bottom - y0), slice(left - x0, right - x0)),
        )

    def noise(self, level: int, shape: tuple[int, ...]) -> np.ndarray:
        """Cut a piece of noise with mean 0 and deviation 1, fine (0) to coarse (3)."""
        stock = self._noise[level]
        h, w = shape[:2]
        if h > stock.shape[0] or w > stock.shape[1]:
            stock = np.tile(stock, (-(-h // stock.shape[0]), -(-w // stock.shape[1])))
        top = int(self.rng.integers(0, stock.shape[0] - h + 1))
        left = int(self.rng.integers(0, stock.shape[1] - w + 1))
        return stock[top : top + h, left : left + w]


def _noise(rng: np.random.Generator, size: int, sigma: float) -> np.ndarray:
    """Smooth noise with mean 0 and deviation 1, (size, size) float32."""
    smooth = cv2.GaussianBlur(rng.standard_normal((size, size), dtype=np.float32), (0, 0), sigma)
    return ((smooth - smooth.mean()) / max(float(smooth.std()), 1e-6)).astype(np.float32)


def _edge(signed: np.ndarray, softness: float) -> np.ndarray:
    """Coverage 0 … 1 from a signed distance."""
    return np.clip(np.float32(0.5) - signed / np.float32(softness), 0, 1)


def _draw_red(slide: _Slide, centres: np.ndarray, diameter: float, taken: np.ndarray) -> None:
    """Draw biconcave disks [1]_, thin in the middle, thick at the rim; they yield to the white cells they touch."""
    rng, style = slide.rng, slide.style
    colour = slide.colour(style.red_cell)
    # in a dried film red cells flatten where they lie on each other: two are darker than one, but not twice as dark
    crowd = np.float32(3)
    pile = np.zeros((slide.height, slide.width), np.float32)
    soft = 4 * style.blur * slide.diameter
    n = len(centres)
    sizes = diameter / 2 * np.clip(rng.normal(1, 0.07, n), 0.75, 1.25)
    strength = np.exp(rng.normal(0, style.red_spread, n))
    depth = np.clip(rng.normal(style.pallor, 0.22, n), 0, 1.1)
    reach = np.clip(rng.normal(style.pallor_size, 0.08, n), 0.2, 0.75)
    under = rng.random(n) < 0.15
    for i in range(n):
        radius = float(sizes[i])
        outline = _outline(rng, 0.36, 2, 4)
        if rng.random() < style.crenation:
            spikes = int(rng.integers(9, 15))
            outline = outline * (1 + rng.uniform(0.02, 0.055) * np.cos(
                np.linspace(0, 2 * np.pi * spikes, _ANGLES, endpoint=False) + rng.uniform(0, 6))).astype(np.float32)
        x0, y0, u, v = _grid(centres[i, 0], centres[i, 1], radius * 1.3 + 2, style.aspect)
        part = slide.clip(x0, y0, u.shape)
        if part is None:
            continue
        on, own = part
        distance, unit = _polar(u[own], v[own], outline)
        rho = distance / (np.float32(radius) * unit)
        cover = _edge((rho - 1) * np.float32(radius), max(1.2, 0.09 * radius, soft))
        off = rng.normal(0, 0.06, 2) * radius
        inner = np.hypot(u[own] - np.float32(off[0]), v[own] - np.float32(off[1])) / np.float32(radius)
        thick = 1 - np.float32(depth[i]) * np.exp(-((inner / np.float32(reach[i])) ** 3))
        thick += np.float32(0.12) * np.exp(-(((rho - np.float32(0.9)) / np.float32(0.12)) ** 2))
        layer = cover * np.maximum(thick, 0) * np.float32(strength[i])
        if not under[i]:
            layer *= 1 - taken[on]
        pile[on] += layer**crowd
    np.power(pile, 1 / crowd, out=pile)
    slide.add((slice(None), slice(None)), pile, colour)


def _draw_white(
    slide: _Slide, cell: _White, label: int, best: np.ndarray, second: np.ndarray, owner: np.ndarray
) -> None:
    """Draw cytoplasm, nucleus, chromatin, nucleoli and vacuoles of one cell."""
    part = slide.clip(cell.x0, cell.y0, cell.outside.shape)
    if part is None:
        return
    on, own = part
    rng, style, kind, d = slide.rng, slide.style, cell.kind, np.float32(cell.diameter)
    outside, nuclear = cell.outside[own], cell.nuclear[own]
    soft = max(1.1, 0.025 * cell.diameter, 2.5 * style.blur * slide.diameter)
    # where two cells press on each other each keeps its side, with a thin seam where both show
    rival = np.where(owner[on] == label, second[on], best[on])
    mine = np.clip(np.float32(0.5) + (rival - outside) / np.float32(2 * max(1.0, 0.03 * cell.diameter)), 0, 1)
    whole = _edge(outside, soft) * mine
    core = _edge(nuclear, max(1.2, 0.035 * cell.diameter, 2 * style.blur * slide.diameter)) * whole

    jitter = np.exp(rng.normal(0, (0.09, 0.05, 0.1), 3)).astype(np.float32)  # some pinker, some bluer
    fine, middle, coarse = (slide.noise(k, outside.shape) for k in range(3))

    base = slide.colour(style.granular) * (1 - kind.basophilia) + slide.colour(style.cytoplasm) * kind.basophilia
    plasm = 1 + 0.10 * middle + (0.05 + 0.18 * (1 - kind.basophilia)) * fine
    plasm = plasm + np.float32(0.25 * kind.basophilia) * np.exp(-((outside / (np.float32(0.05) * d)) ** 2))
    plasm = plasm - np.float32(0.2) * np.exp(-((nuclear / (np.float32(0.08) * d)) ** 2)) * (nuclear > 0)
    plasm = np.maximum(plasm, 0.1) * np.float32(kind.cytoplasm_density * math.exp(rng.normal(0, 0.12)))

    c = np.float32(kind.clumping)
    chromatin = (1 - c) * (1.1 * fine + 0.35 * middle) + c * (0.6 * fine + 0.5 * middle + 0.5 * coarse)
    chromatin = chromatin + np.float32(0.6) * slide.noise(3, outside.shape)
    depth = np.float32(style.contrast * kind.texture)
    body = 1 + depth * chromatin
    body = body + np.float32(0.10) * np.exp(-((nuclear / (np.float32(0.035) * d)) ** 2))
    density = kind.density * math.exp(rng.normal(0, 0.08))
    u = np.arange(cell.outside.shape[1], dtype=np.float32)[own[1]] + np.float32(cell.x0 - cell.x)
    v = (np.arange(cell.outside.shape[0], dtype=np.float32)[own[0]] + np.float32(cell.y0 - cell.y))[:, None]
    for _ in range(int(rng.integers(kind.nucleoli[0], kind.nucleoli[1] + 1))):
        size = cell.diameter * rng.uniform(0.045, 0.085)
        turn, out = rng.uniform(0, 2 * np.pi), cell.diameter * rng.uniform(0, 0.25)
        spot = ((u - out * math.cos(turn)) ** 2 + (v - out * math.sin(turn)) ** 2) / np.float32(size**2)
        body = body - np.float32(rng.uniform(0.15, 0.32)) * np.exp(-(spot**1.5))
    plasm_layer = (whole - core) * plasm
    body_layer = core * np.maximum(body, 0.2) * np.float32(density)
    for _ in range(int(rng.integers(kind.vacuoles[0], kind.vacuoles[1] + 1))):
        size = cell.diameter * rng.uniform(0.02, 0.045)
        turn, out = rng.uniform(0, 2 * np.pi), cell.diameter * rng.uniform(0.18, 0.42)
        hole = ((u - out * math.cos(turn)) ** 2 + (v - out * math.sin(turn)) ** 2) / np.float32(size**2)
        clear = 1 - np.float32(0.7) * np.exp(-(hole**2))
        plasm_layer = plasm_layer * clear
        body_layer = body_layer * clear
    # lighter lumps of chromatin are also pinker: the green channel carries more of the texture than the red
    slide.add(on, plasm_layer, base * jitter)
    slide.add(on, body_layer, slide.colour(style.nucleus) * jitter)
    green = np.float32(0.25 * slide.colour(style.nucleus)[1])
    slide.density[1][on] += body_layer * depth * chromatin * green


def _strewn(rng: np.random.Generator, expected: float, best: np.ndarray, clear: float) -> list[tuple[float, float]]:
    """Draw where debris falls: about so many places, each so many pixels clear of white cells."""
    height, width = best.shape
    places = []
    for _ in range(int(rng.poisson(min(expected, 5000)))):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        if best[int(y), int(x)] > clear:
            places.append((x, y))
    return places


def _draw_smudge(slide: _Slide, x: float, y: float, taken: np.ndarray) -> None:
    """Draw a ruptured cell: a pale, ragged, fibrous patch that red cells make way for."""
    rng, style = slide.rng, slide.style
    radius = slide.diameter * rng.uniform(0.6, 1.2)
    x0, y0, u, v = _grid(x, y, radius * 1.8, style.aspect)
    part = slide.clip(x0, y0, u.shape)
    if part is None:
        return
    on, own = part
    distance, unit = _polar(u[own], v[own], _outline(rng, 1.1, 2, 12))
    fine, middle, coarse = (slide.noise(k, distance.shape) for k in range(3))
    signed = distance - radius * unit + np.float32(0.05 * slide.diameter) * (coarse + middle)
    cover = _edge(signed, 0.22 * slide.diameter)
    broad = slide.noise(3, distance.shape)
    layer = cover * np.clip(0.85 + 0.15 * broad + 0.13 * coarse + 0.13 * middle + 0.1 * fine, 0.1, 2)
    slide.add(on, layer, slide.colour(style.smudge))
    taken[on] = np.maximum(taken[on], np.float32(0.85) * cover)


def _draw_platelet(slide: _Slide, x: float, y: float) -> None:
    """Draw a platelet: a small, granular, pale purple crumb."""
    rng, style = slide.rng, slide.style
    radius = slide.diameter * rng.uniform(0.05, 0.12)
    x0, y0, u, v = _grid(x, y, radius * 1.7 + 2, style.aspect)
    part = slide.clip(x0, y0, u.shape)
    if part is None:
        return
    on, own = part
    distance, unit = _polar(u[own], v[own], _outline(rng, 1.0, 2, 7))
    layer = _edge(distance - radius * unit, max(1.4, 0.5 * radius)) * np.clip(
        0.55 + 0.2 * slide.noise(0, distance.shape), 0.1, 1.2)
    colour = 0.55 * slide.colour(style.nucleus) + 0.45 * slide.colour(style.granular)
    slide.add(on, layer, colour * np.float32(rng.uniform(0.5, 1.0)))


def _draw_precipitate(slide: _Slide, x: float, y: float) -> None:
    """Draw a little heap of stain grains: a random walk of dots."""
    rng, style = slide.rng, slide.style
    colour = slide.colour(style.nucleus) * np.float32(1.1)
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(int(min(rng.geometric(0.3), 25))):
        radius = max(0.5, slide.diameter * rng.uniform(0.012, 0.032))
        x0, y0, u, v = _grid(x, y, radius * 2.5 + 1, 1.0)
        part = slide.clip(x0, y0, u.shape)
        if part is not None:
            on, own = part
            dot = np.exp(-((u[own] ** 2 + v[own] ** 2) / np.float32(radius**2)))
            slide.add(on, dot, colour * np.float32(rng.uniform(0.4, 1.1)))
        heading += rng.normal(0, 1.6)
        x += 1.9 * radius * math.cos(heading)
        y += 1.9 * radius * math.sin(heading)


# --------------------------------------------------------------------------------------------------------------
# Light, lens, sensor, file


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Wide Gaussian blur of (H, W) float32, on a reduced copy where that is enough."""
    shrink = int(sigma / 2)
    if shrink < 2:
        return cv2.GaussianBlur(plane, (0, 0), sigma)
    height, width = plane.shape
    small = cv2.resize(plane, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _photograph(slide: _Slide) -> np.ndarray:
    """From optical density to the picture, uint8 (H, W, 3). Uses up the slide's density."""
    rng, style = slide.rng, slide.style
    height, width = slide.height, slide.width
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    centre = rng.normal(0, 0.12, 2).astype(np.float32)
    radial = ((across - centre[0]) ** 2 + (down - centre[1]) ** 2) / 2
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, style.gradient)
    # proteins left on the glass and a lamp not quite centred
    lamp = cv2.resize(rng.normal(1, 0.006, (7, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    lamp += np.float32(slope * math.cos(turn)) * across + np.float32(slope * math.sin(turn)) * down
    sigma = max(0.45, style.blur * slide.diameter)
    wide = max(1.5, 0.07 * slide.diameter)
    # sensor noise is partly shared by the channels: they are interpolated from one mosaic
    shared = rng.standard_normal((height, width), dtype=np.float32)
    picture = np.empty((height, width, 3), np.uint8)
    for k in range(3):
        light = slide.density[k]
        np.negative(light, out=light)
        cv2.exp(light, light)
        light *= lamp
        light *= np.float32(style.background[k]) * (1 - np.float32(style.vignette[k]) * radial)
        light = cv2.GaussianBlur(light, (0, 0), sigma)
        if style.halo:
            light = cv2.addWeighted(light, 1 + style.halo, _blurred(light, wide), -style.halo, 0)
        np.clip(light, 0, 255, out=light)
        if style.noise:
            # shot noise: the square root of the light, scaled to the given deviation at full light
            grain = rng.standard_normal((height, width), dtype=np.float32)
            grain *= np.float32(0.6)
            cv2.scaleAdd(shared, 0.8, grain, grain)
            grain *= np.sqrt(light * np.float32(style.noise**2 / 255))
            light += grain
        light += np.float32(0.5)
        picture[..., k] = np.clip(light, 0, 255, out=light)
    if style.jpeg_quality:
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(style.jpeg_quality)])
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        picture = np.ascontiguousarray(decoded[..., ::-1])
    return picture


def _bar_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Box of the burnt-in scale bar: x0, y0, x1, y1."""
    w, h = max(8, round(0.105 * width)), max(5, round(0.055 * height))
    right, bottom = max(0, round(0.022 * width)), max(0, round(0.03 * height))
    x1, y1 = width - right, height - bottom
    return max(0, x1 - w), max(0, y1 - h), x1, y1


def _burn_bar(picture: np.ndarray) -> None:
    """Burn a scale bar into the bottom right corner, as some microscopes' software does."""
    x0, y0, x1, y1 = _bar_box(picture.shape[1], picture.shape[0])
    h = y1 - y0
    picture[y0:y1, x0:x1] = 255
    line = max(1, h // 10)
    pad = max(1, h // 6)
    picture[y1 - pad - line : y1 - pad, x0 + pad : x1 - pad] = 20
    picture[y1 - pad - max(2, h // 3) : y1 - pad, x0 + pad : x0 + pad + line] = 20
    text, font = "100 px", cv2.FONT_HERSHEY_SIMPLEX
    wide, _ = cv2.getTextSize(text, font, 1.0, 1)[0]
    scale = 0.8 * (x1 - x0) / max(wide, 1)
    cv2.putText(picture[y0:y1, x0:x1], text, (2 * pad, h - 2 * pad - line), font, scale, (20, 20, 20),
                max(1, round(scale * 1.6)), cv2.LINE_AA)


# --------------------------------------------------------------------------------------------------------------
# The public part


def _resolve_style(style: str | StainStyle) -> StainStyle:
    if isinstance(style, StainStyle):
        return style
    if style not in STYLES:
        raise OptionError(f"There is no stain style called {style!r}; choose one of {', '.join(STYLES)}.")
    return STYLES[style]


def _resolve_kinds(kinds: Sequence[str | CellKind] | None, style: StainStyle) -> list[CellKind]:
    names: Sequence[str | CellKind] = style.kinds if kinds is None else kinds
    if isinstance(names, str):
        names = [names]
    if not names:
        raise OptionError("No kind of white cell was given; name at least one, or leave the kinds out.")
    found = []
    for name in names:
        if not isinstance(name, CellKind) and name not in KINDS:
            raise OptionError(f"There is no kind of white cell called {name!r}; choose one of {', '.join(KINDS)}.")
        found.append(name if isinstance(name, CellKind) else KINDS[name])
    return found


def _check_number(what: str, value: float, least: float, most: float, *, whole: bool = False) -> None:
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        number = "a whole number" if whole else "a number"
        raise OptionError(f"The {what} must be {number} from {least:g} to {most:g}, not {value!r}.")


def generate(
    seed: int | np.random.Generator = 0,
    width: int = 224,
    height: int = 224,
    *,
    style: str | StainStyle = "early",
    cells: int | None = None,
    kinds: Sequence[str | CellKind] | None = None,
    cell_diameter: float | None = None,
    red_cells: bool = True,
    debris: bool = True,
    scale_bar: bool = False,
    margin: float = 0.0,
    clustering: float = 0.25,
    overlap: float = 0.08,
    name: str | None = None,
) -> SyntheticSmear:
    """Draw a synthetic smear and the truth about it.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        The same seed and arguments give the same pixels.
    width, height : int
        Size of the picture, pixels, 16 … 20000, at most 64 megapixels together.
    style : str or StainStyle
        One of `STYLES`, or one of your own.
    cells : int, optional
        White cells, 0 … 2000; the style's number if left out.
    kinds : sequence of (str or CellKind), optional
        Kinds to draw from, evenly; the style's mix if left out.
    cell_diameter : float, optional
        Diameter of a typical white cell, pixels, 6 … 4000; from the style and the short side if left out.
    red_cells : bool
        Whether to draw red cells.
    debris : bool
        Whether to draw platelets, grains of stain and smudges. None of them is a white cell in the masks.
    scale_bar : bool
        Whether to burn a scale bar into the bottom right corner; what it hides is cut out of the masks.
    margin : float
        How far centres of white cells stay from the border, in their radii, 0 … 3: 0 lets the border cut cells,
        1.2 keeps them whole.
    clustering : float
        Chance that a white cell leans on another, 0 … 1.
    overlap : float
        How far two white cells may press into each other, as a share of the sum of their radii, 0 … 0.4; pixels go to
        the cell whose edge they lie deeper in.
    name : str, optional
        Name of the image; "synthetic-STYLE" and the seed if left out.

    Returns
    -------
    SyntheticSmear
        The picture, with exactly `cells` labels in its truth.

    Raises
    ------
    OptionError
        An argument is out of range, names something that does not exist, or asks for more cells than there is room.

    Examples
    --------
    >>> smear = generate(1, style="pre", cells=5)
    >>> smear.image.width, len(smear.kinds), int(smear.instances.max())
    (224, 5, 5)
    """
    chosen = _resolve_style(style)
    choice = _resolve_kinds(kinds, chosen)
    _check_number("width", width, 16, 20_000, whole=True)
    _check_number("height", height, 16, 20_000, whole=True)
    if width * height > _MAX_PIXELS:
        raise OptionError(f"{width} × {height} is more than 64 megapixels; ask for a smaller picture.")
    diameter = min(width, height) / chosen.field_in_cells if cell_diameter is None else cell_diameter
    if cell_diameter is None:
        diameter = max(diameter, 6.0)
    _check_number("diameter of a white cell", diameter, 6, 4000)
    cells = chosen.cells if cells is None else cells
    _check_number("number of white cells", cells, 0, 2000, whole=True)
    _check_number("margin", margin, 0, 3)
    _check_number("clustering", clustering, 0, 1)
    _check_number("overlap", overlap, 0, 0.4)
    if isinstance(seed, np.random.Generator):
        rng, number = seed, None
    else:
        _check_number("seed", seed, 0, 2**63 - 1, whole=True)
        rng, number = np.random.default_rng(int(seed)), int(seed)

    slide = _Slide(rng, width, height, chosen, float(diameter))
    drawn = [choice[i] for i in rng.integers(0, len(choice), cells)]
    bar = _bar_box(width, height) if scale_bar else None
    whites = _place(rng, drawn, width, height, float(diameter), margin, clustering, overlap, chosen.aspect, bar)

    far = np.float32(1e6)
    best = np.full((height, width), far, np.float32)
    second = best.copy()
    owner = np.zeros((height, width), np.int32)
    core = np.zeros((height, width), bool)
    for label, cell in enumerate(whites, 1):
        _shape(rng, cell, chosen.aspect)
        part = slide.clip(cell.x0, cell.y0, cell.outside.shape)
        if part is None:
            continue
        on, own = part
        outside = cell.outside[own]
        wins = outside < best[on]
        second[on] = np.where(wins, best[on], np.minimum(second[on], outside))
        best[on] = np.minimum(best[on], outside)
        owner[on] = np.where(wins, label, owner[on])
        core[on] = np.where(wins, cell.nuclear[own] < 0, core[on])
    body = best < 0
    instances = owner * body
    nucleus = core & body

    red_diameter = chosen.red_cell_size * float(diameter)
    taken = _edge(best, max(1.5, 0.06 * float(diameter)))  # where white cells and smudges push red cells aside
    expected = width * height / (math.pi / 4 * float(diameter) ** 2) / 100 if debris else 0.0
    for x, y in _strewn(rng, chosen.smudges * expected, best, 0.8 * float(diameter)):
        _draw_smudge(slide, x, y, taken)
    if red_cells:
        _draw_red(slide, _red_positions(rng, width, height, red_diameter, chosen, whites), red_diameter, taken)
    del taken
    for x, y in _strewn(rng, chosen.platelets * expected, best, 2):
        _draw_platelet(slide, x, y)
    for x, y in _strewn(rng, chosen.precipitate * expected, best, 2):
        _draw_precipitate(slide, x, y)
    for label, cell in enumerate(whites, 1):
        _draw_white(slide, cell, label, best, second, owner)
    del best, second, owner, core  # a large field should fit in a small server's memory
    picture = _photograph(slide)
    if bar is not None:
        _burn_bar(picture)
        x0, y0, x1, y1 = bar
        instances[y0:y1, x0:x1] = 0
        nucleus[y0:y1, x0:x1] = False
    body = instances > 0
    for array in (nucleus, body, instances):
        array.flags.writeable = False
    title = name or f"synthetic-{chosen.name}" + ("" if number is None else f"-{number}")
    return SyntheticSmear(
        image=SmearImage.from_array(picture, name=title),
        nucleus=nucleus,
        cell=body,
        instances=instances,
        kinds=tuple(c.kind.name for c in whites),
        style=chosen,
        seed=number,
        cell_diameter=float(diameter),
    )


@dataclass(frozen=True)
class Sample:
    """A bundled sample: drawn when asked for, never stored.

    Attributes
    ----------
    name : str
        File-name stem; begins with "synthetic".
    title : str
        A few words for a screen; says that it is synthetic.
    seed, width, height : int
        What `generate` gets.
    options : tuple of (str, object)
        Its further arguments.
    """

    name: str
    title: str
    seed: int
    width: int
    height: int
    options: tuple[tuple[str, object], ...] = ()

    def generate(self) -> SyntheticSmear:
        """Draw the sample."""
        return generate(self.seed, self.width, self.height, name=f"{self.name}.png", **dict(self.options))  # type: ignore[arg-type]


_SAMPLES = (
    Sample(
        "synthetic-benign-like", "Benign-like field (synthetic)", 11, 224, 224,
        (("style", "benign"), ("scale_bar", True)),
    ),
    Sample(
        "synthetic-early-pre-b-like", "Early Pre-B-like field (synthetic)", 20, 224, 224,
        (("style", "early"), ("scale_bar", True)),
    ),
    Sample(
        "synthetic-pre-b-like", "Pre-B-like field (synthetic)", 13, 224, 224, (("style", "pre"), ("clustering", 0.5))
    ),
    Sample("synthetic-pro-b-like", "Pro-B-like field (synthetic)", 14, 224, 224, (("style", "pro"),)),
    Sample(
        "synthetic-camera-field", "5-megapixel camera field (synthetic)", 15, 2592, 1944,
        (("style", "camera"), ("cells", 60), ("clustering", 0.5)),
    ),
    Sample(
        "synthetic-red-cells-only", "Red cells only, no white cell (synthetic)", 16, 640, 480,
        (("style", "lilac"), ("cells", 0)),
    ),
    Sample(
        "synthetic-single-cell", "Single blast, close up (synthetic)", 17, 257, 257,
        (("style", "camera"), ("cells", 1), ("cell_diameter", 128.0), ("margin", 1.5), ("kinds", ("pre_blast",))),
    ),
    Sample(
        "synthetic-segmented-neutrophils", "Segmented neutrophils (synthetic)", 18, 640, 480,
        (("style", "lilac"), ("cells", 3), ("kinds", ("neutrophil",)), ("margin", 1.1)),
    ),
)


def samples() -> tuple[Sample, ...]:
    """Return the bundled samples, in the order to show them; nothing is drawn until `Sample.generate`."""
    return _SAMPLES


def write_samples(
    folder: str | os.PathLike[str], progress: Callable[[int, int, str], None] | None = None
) -> list[Path]:
    """Write every sample and its truth into a folder.

    Parameters
    ----------
    folder : str or os.PathLike
        Made if it does not exist. Per sample: ``NAME.png``; ``NAME_mask.png``, 8-bit, 0 background, 128 cytoplasm,
        255 nucleus; ``NAME_instances.png``, 16-bit, the labels.
    progress : callable, optional
        Called with how many are done, how many there are, and the title of the one just written.

    Returns
    -------
    list of pathlib.Path
        The pictures written, without their masks, in the order of `samples`.

    Raises
    ------
    OptionError
        The folder can't be made or written to.
    """
    target = Path(folder)
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for done, sample in enumerate(_SAMPLES, 1):
            smear = sample.generate()
            for suffix, array in (
                ("", smear.image.pixels[..., ::-1]),
                ("_mask", smear.mask()),
                ("_instances", smear.instances.astype(np.uint16)),
            ):
                _, packed = cv2.imencode(".png", np.ascontiguousarray(array))
                (target / f"{sample.name}{suffix}.png").write_bytes(packed.tobytes())
            written.append(target / f"{sample.name}.png")
            if progress is not None:
                progress(done, len(_SAMPLES), sample.title)
    except OSError as error:
        raise OptionError(f"The folder {target} can't be written to; choose another folder.") from error
    return written
