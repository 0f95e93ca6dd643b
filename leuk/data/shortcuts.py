"""How far a class can be told without looking at a cell: colour, corner, background, and content fixed to a place.

What a network can learn from these it need not learn from cells. A score that is no better than one of them says
nothing about morphology.

References
----------
R. Geirhos et al., "Shortcut learning in deep neural networks", Nature Machine Intelligence 2 (2020).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from leuk.data.datasets import DataSet, Progress, random_folds
from leuk.data.measures import Measures, fingerprint, frames, recalled, reduce

LONGEST = 512
"""Longer side in pixels to which images are reduced before they are described."""
GRID = 8
"""Regions along each side of the frame in the search for content fixed to a place."""
MOST_FRAMES = 4000
"""Images that the search looks at; a larger set is drawn from at random."""
MOST_SCORED = 2000
"""Of these, images on which regions are judged."""
TREES, SEARCH_TREES = 100, 20
"""Trees of the forests that judge descriptions, and regions."""

WITH_CELL = ("histogram", "medians", "thumbnail")
"""Descriptions that the cell is part of where an image is a crop of one: colour without shape, not "no cell"."""

TITLES = {
    "histogram": (
        "Colour histogram",
        "The share of pixels in each of 512 bins of hue, saturation and value: stain and exposure, no shape.",
    ),
    "medians": (
        "Nine colour medians",
        "Nine numbers an image: the medians of red, green, blue, hue, saturation, value, L*, a* and b*.",
    ),
    "corner": (
        "Bottom right corner",
        "The last quarter of both sides, 14 × 14 points: where microscopes burn in their scale bar.",
    ),
    "background": (
        "Background colour",
        "Colour of the brightest, least stained half of the pixels: light and camera, no white cell.",
    ),
    "thumbnail": (
        "Thumbnail of 16 × 16 points",
        "The whole image so small that no nucleus can be judged: layout, light and stain.",
    ),
}


@dataclass(frozen=True)
class Shortcut:
    """What one description of the images says about the class.

    Attributes
    ----------
    name : str
        Of `leuk.data.measures.FEATURES`.
    title, explanation : str
        For a reader.
    accuracy : float
        Out of fold, plain random folds.
    interval : tuple of float
        95 %, over images.
    grouped : float or None
        Out of fold with pseudo-sessions (or the given folds) held together; None where neither is known.
    chance : float
        What always naming the largest class reaches, at the upper end of its 95 % interval.
    predicted : numpy.ndarray
        int64, (N,): class from the random folds; -1 for images that can't be read.
    grouped_predicted : numpy.ndarray or None
        The same from the folds behind `grouped`; None where there are none.
    """

    name: str
    title: str
    explanation: str
    accuracy: float
    interval: tuple[float, float]
    grouped: float | None
    chance: float
    predicted: np.ndarray
    grouped_predicted: np.ndarray | None = None

    @property
    def telling(self) -> bool:
        """Whether it tells the class clearly better than chance."""
        return self.interval[0] > self.chance and self.accuracy - self.chance >= 0.1


@dataclass(frozen=True, eq=False)
class FixedContent:
    """Something that stays at one place of the frame while images change, and tells the class.

    Attributes
    ----------
    box : tuple of float
        x0, y0, x1, y1 as shares of the image's sides.
    place : str
        In words, such as "bottom right".
    accuracy : float
        How far the class can be told from the most telling region alone, its own mean colour taken out.
    elsewhere : tuple of float
        Median and maximum of the same over the regions of the same size outside the box.
    styles : numpy.ndarray
        int64, (N,): look of the region, most frequent first; -1 for images that can't be read or were not looked at.
    counts : numpy.ndarray
        int64, (S, C): images per style and class.
    association : float
        Cramér's V of style and class, 0 … 1.
    scores : numpy.ndarray
        float64, (8, 8): how far each region of the frame tells the class, rows from the top.
    """

    box: tuple[float, float, float, float]
    place: str
    accuracy: float
    elsewhere: tuple[float, float]
    styles: np.ndarray
    counts: np.ndarray
    association: float
    scores: np.ndarray


def _middle(channel: np.ndarray) -> float:
    """Return the median of uint8 values, through their histogram."""
    counts = np.cumsum(np.bincount(channel.ravel(), minlength=256))
    half = counts[-1] / 2
    low = int(np.searchsorted(counts, half, side="left"))
    high = int(np.searchsorted(counts, half, side="right"))
    return (low + min(high, 255)) / 2


def _background(pixels: np.ndarray) -> np.ndarray:
    """Find the brightest half in green, where neither nuclei nor red cells absorb: bool (H, W)."""
    green = pixels[:, :, 1]
    mask = green >= _middle(green)
    # A burnt-in label is white and brighter than any background.
    least = cv2.min(cv2.min(pixels[:, :, 0], pixels[:, :, 2]), green)
    inside = mask & (least < 254)
    return inside if inside.mean() > 0.05 else mask


def light_and_colour(pixels: np.ndarray) -> tuple[np.ndarray, float, tuple[float, float, float]]:
    """Return lightness, uint8 (H, W); mean saturation, 0 … 1; and the median colour of the background, 0 … 255."""
    lightness = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[:, :, 0]
    saturation = float(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[:, :, 1].mean()) / 255
    empty = pixels[_background(pixels)]
    red, green, blue = (_middle(empty[:, channel]) for channel in range(3))
    return lightness, saturation, (red, green, blue)


def features_of(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Describe one image without its cells.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    dict of str to numpy.ndarray
        Per name of `leuk.data.measures.FEATURES`, (D,), D the same for images of any size: float32, or uint8 where
        these are colours.
    """
    pixels = np.ascontiguousarray(reduce(pixels, LONGEST))
    height, width = pixels.shape[:2]
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    histogram = cv2.calcHist([hsv], [0, 1, 2], None, [8, 8, 8], [0, 180, 0, 256, 0, 256]).ravel() / (height * width)
    medians = [_middle(space[:, :, channel]) for space in (pixels, hsv, lab) for channel in range(3)]
    corner = pixels[height - max(1, height // 4) :, width - max(1, width // 4) :]
    empty = _background(pixels)
    background = [
        value
        for space in (pixels, lab)
        for channel in range(3)
        for value in np.percentile(space[:, :, channel][empty], [10, 50, 90])
    ]
    return {
        "histogram": histogram.astype(np.float32),
        "medians": np.array(medians, np.float32),
        "corner": cv2.resize(corner, (14, 14), interpolation=cv2.INTER_AREA).ravel(),
        "background": np.array(background, np.float32),
        "thumbnail": cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).ravel(),
    }


def session_folds(dataset: DataSet) -> np.ndarray | None:
    """Return folds that hold pseudo-sessions together, int64 (N,): the set's own, else dealt out; None without both."""
    if dataset.fold is not None and len(np.unique(dataset.fold[dataset.fold >= 0])) > 1:
        return dataset.fold
    if dataset.session is None or len(np.unique(dataset.session[dataset.session >= 0])) < 2:
        return None
    folds = np.full(len(dataset), -1, np.int64)
    filled = np.zeros((5, len(dataset.classes)), np.int64)
    names, sizes = np.unique(dataset.session[dataset.session >= 0], return_counts=True)
    for name in names[np.argsort(-sizes, kind="stable")]:
        members = dataset.session == name
        counts = np.bincount(dataset.labels[members], minlength=len(dataset.classes))
        # Into the fold that has least of what this session mostly shows.
        where = int((filled @ counts * len(dataset) + filled.sum(1)).argmin())
        folds[members] = where
        filled[where] += counts
    return folds


def centred_cells(measures: Measures) -> bool:
    """Tell whether most images are crops of one cell at the centre, by how the centre stands out against the rim.

    In 93 to 100 % of such crops the middle of the thumbnail is darker than its rim by half a standard deviation, in
    fields of many cells in 2 to 20 %. Where all but the cell is painted black it is brighter, and the rim black.
    """
    pictures = measures.features["thumbnail"][measures.readable].reshape(-1, 16, 16, 3)[..., 1].astype(np.float64)
    if not len(pictures):
        return False
    rim = np.ones((16, 16), bool)
    rim[2:14, 2:14] = False
    around = pictures[:, rim].mean(1)
    apart = (pictures[:, 5:11, 5:11].mean((1, 2)) - around) / (pictures.std((1, 2)) + 1e-6)
    return bool((apart < -0.5).mean() >= 0.75 or ((apart > 0.5) & (around < 30)).mean() >= 0.75)


def shortcut_accuracy(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray | None = None, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Cross-validate a random forest on features.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D).
    labels : numpy.ndarray
        int, (N,).
    folds : numpy.ndarray, optional
        int, (N,): parts held out in turn, -1 for rows that are neither trained nor judged on; 5 random stratified ones
        by default.
    seed : int

    Returns
    -------
    accuracy : float
        nan if there is nothing to judge.
    predicted : numpy.ndarray
        int64, (N,); -1 where no fold judged.
    """
    from sklearn.ensemble import RandomForestClassifier

    folds = random_folds(labels, seed=seed) if folds is None else folds
    predicted = np.full(len(labels), -1, np.int64)
    for fold in np.unique(folds[folds >= 0]):
        held, rest = folds == fold, (folds >= 0) & (folds != fold)
        if not rest.any():
            continue
        forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=min(4, os.cpu_count() or 1))
        predicted[held] = forest.fit(features[rest], labels[rest]).predict(features[held])
    judged = predicted >= 0
    return (float((predicted == labels)[judged].mean()) if judged.any() else float("nan")), predicted


def chance_level(labels: np.ndarray) -> float:
    """Return what always naming the largest class reaches, at the upper end of its 95 % interval."""
    from leuk.data.mistakes import wilson

    if not len(labels):
        return float("nan")
    return wilson(int(np.bincount(labels).max()), len(labels))[1]


def find_shortcuts(
    dataset: DataSet, measures: Measures, progress: Progress | None = None, keep: bool = True
) -> tuple[Shortcut, ...]:
    """Measure every shortcut of `leuk.data.measures.FEATURES`, the most telling first.

    Parameters
    ----------
    dataset : DataSet
    measures : Measures
    progress : callable, optional
    keep : bool
        Whether to recall and keep the result.

    Returns
    -------
    tuple of Shortcut
        Empty where there are fewer than two classes or than 20 images.
    """
    from leuk.data.mistakes import wilson

    usable = np.flatnonzero(measures.readable)
    labels = dataset.labels[usable]
    if len(usable) < 20 or len(np.unique(labels)) < 2:
        return ()
    grouped_folds = session_folds(dataset)
    grouped_folds = None if grouped_folds is None else grouped_folds[usable]
    chance, found = chance_level(labels), []
    for number, (name, (title, explanation)) in enumerate(TITLES.items()):
        if progress:
            progress(number / len(TITLES), f"telling classes by: {title.lower()}")
        features = measures.features[name][usable]

        def make(features: np.ndarray = features) -> dict[str, np.ndarray]:
            random = shortcut_accuracy(features, labels)[1]
            grouped = random if grouped_folds is None else shortcut_accuracy(features, labels, grouped_folds)[1]
            return {"random": random, "grouped": grouped}

        key = fingerprint("shortcut", name, TREES, features, labels, -1 if grouped_folds is None else grouped_folds)
        results = recalled(key, make, keep)
        right, judged = results["random"] == labels, results["grouped"] >= 0
        predicted = np.full(len(dataset), -1, np.int64)
        predicted[usable] = results["random"]
        held_out = np.full(len(dataset), -1, np.int64)
        held_out[usable] = results["grouped"]
        by_session = (results["grouped"] == labels)[judged]
        known = grouped_folds is not None and len(by_session) > 0
        found.append(
            Shortcut(
                name=name,
                title=title,
                explanation=explanation,
                accuracy=float(right.mean()),
                interval=wilson(int(right.sum()), len(right)),
                grouped=float(by_session.mean()) if known else None,
                chance=chance,
                predicted=predicted,
                grouped_predicted=held_out if known else None,
            )
        )
    if progress:
        progress(1.0, "shortcuts measured")
    return tuple(sorted(found, key=lambda one: -one.accuracy))


def find_fixed_content(
    dataset: DataSet, measures: Measures, progress: Progress | None = None, keep: bool = True
) -> tuple[FixedContent, ...]:
    """Search the frame for content that is fixed to a place and tells the class, the most telling first.

    Nothing says where to look or for what. The frame is cut into 8 × 8 regions; each is brought to the same mean and
    the image to the same contrast, so that stain and exposure tell nothing; a forest is cross-validated on each region
    alone. Cells lie anywhere, so all regions do about equally well. One that stands out against all others (by 0.08,
    and by five times their usual spread) holds something that stays at its place.

    Parameters
    ----------
    dataset : DataSet
    measures : Measures
    progress : callable, optional
    keep : bool
        Whether to recall and keep the result.

    Returns
    -------
    tuple of FixedContent
        Neighbouring regions that stand out are one.
    """
    rows = np.flatnonzero(measures.readable)
    if len(rows) < 40 or len(np.unique(dataset.labels[rows])) < 2:
        return ()
    if len(rows) > MOST_FRAMES:
        rows = rows[np.random.default_rng(0).permutation(len(rows))[:MOST_FRAMES]]
        rows.sort()
    labels = dataset.labels[rows]
    keys = tuple(measures.pixels_sha256[row] for row in rows)
    results = recalled(
        fingerprint("fixed content 3", keys, labels, MOST_FRAMES, MOST_SCORED, SEARCH_TREES),
        lambda: _search(dataset, rows, labels, progress),
        keep,
    )
    if progress:
        progress(1.0, "the frame searched")
    scores, found = results["scores"], []
    for number in range(int(results["count"][0])):
        mask = results[f"mask{number}"]
        styles = np.full(len(dataset), -1, np.int64)
        styles[rows] = results[f"styles{number}"]
        counts = np.zeros((int(styles.max()) + 1, len(dataset.classes)), np.int64)
        np.add.at(counts, (styles[rows], labels), 1)
        ys, xs = np.nonzero(mask)
        box = (xs.min() / GRID, ys.min() / GRID, (xs.max() + 1) / GRID, (ys.max() + 1) / GRID)
        others = scores[results["ordinary"] > 0]
        found.append(
            FixedContent(
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                place=_place(box),
                accuracy=float(scores[mask > 0].max()),
                elsewhere=(float(np.median(others)), float(others.max())),
                styles=styles,
                counts=counts,
                association=cramers_v(counts),
                scores=scores,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.accuracy))


def _search(dataset: DataSet, rows: np.ndarray, labels: np.ndarray, progress: Progress | None) -> dict[str, np.ndarray]:
    from scipy import ndimage
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.utils.parallel import Parallel, delayed

    pictures = frames(dataset, rows, (lambda share, text: progress(0.3 * share, text)) if progress else None)
    step = pictures.shape[1] // GRID
    # Each channel's contrast of its own: what they have to each other is stain.
    spread = np.stack([picture.reshape(-1, 3).std(0) for picture in pictures]) + 1.0
    chosen = np.arange(len(rows))
    if len(rows) > MOST_SCORED:
        chosen = np.random.default_rng(0).permutation(len(rows))[:MOST_SCORED]
    truth = labels[chosen]
    folds = random_folds(truth, folds=3)

    def patches(mask: np.ndarray, which: np.ndarray) -> np.ndarray:
        ys, xs = np.nonzero(mask)
        part = pictures[which, ys.min() * step : (ys.max() + 1) * step, xs.min() * step : (xs.max() + 1) * step]
        part = part.astype(np.float32)
        part -= part.mean((1, 2), keepdims=True)
        part /= spread[which, None, None, :]
        height, width = part.shape[1] // 2, part.shape[2] // 2
        return part.reshape(len(which), height, 2, width, 2, 3).mean((2, 4)).reshape(len(which), -1)

    def score(place: int) -> float:
        mask = np.zeros((GRID, GRID), bool)
        mask[divmod(place, GRID)] = True
        features, right = patches(mask, chosen), 0
        for fold in range(3):
            held = folds == fold
            trees = ExtraTreesClassifier(SEARCH_TREES, min_samples_leaf=2, random_state=0)
            right += int((trees.fit(features[~held], truth[~held]).predict(features[held]) == truth[held]).sum())
        return right / len(truth)

    flat = np.zeros(GRID * GRID)
    # Trees let go of the interpreter while they grow.
    work = Parallel(min(4, os.cpu_count() or 1), prefer="threads", return_as="generator")
    for place, value in enumerate(work(delayed(score)(place) for place in range(GRID * GRID))):
        flat[place] = value
        if progress:
            progress(0.3 + 0.65 * place / GRID**2, f"searching region {place + 1} of {GRID**2}")
    scores = flat.reshape(GRID, GRID)
    middle = float(np.median(scores))
    usual = 1.4826 * float(np.median(np.abs(scores - middle)))
    # Few images make scores jump: the spread that chance alone gives is the least to reckon with.
    usual = max(usual, 0.5 * float(np.sqrt(middle * (1 - middle) / len(truth))))
    outstanding = scores > middle + max(0.08, 5 * usual)
    # With so much of the frame outstanding there is nothing left to hold it against.
    if outstanding.mean() > 0.3:
        outstanding[:] = False
    places, count = ndimage.label(outstanding, np.ones((3, 3)))
    result: dict[str, np.ndarray] = {
        "scores": scores,
        "ordinary": (~outstanding).astype(np.uint8),
        "count": np.array([count]),
    }
    for number in range(count):
        mask = places == number + 1
        best = mask & (scores >= scores[mask].max())
        result[f"mask{number}"] = mask.astype(np.uint8)
        result[f"styles{number}"] = _styles(patches(best, np.arange(len(rows))), labels)
    return result


def _styles(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sort looks of a region into two to five styles, int64 (N,), the most frequent 0; labels decide how many only."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    reduced = PCA(min(12, *features.shape), random_state=0).fit_transform(features)
    best, strongest = np.zeros(len(features), np.int64), -1.0
    for count in range(2, 6):
        groups = KMeans(count, n_init=4, random_state=0).fit_predict(reduced)
        counts = np.zeros((count, int(labels.max()) + 1), np.int64)
        np.add.at(counts, (groups, labels), 1)
        strength = _told_share(counts)
        # Another style must be worth its row.
        if strength > strongest + 0.04:
            strongest = strength
            rank = np.argsort(np.argsort(-counts.sum(1), kind="stable"), kind="stable")
            best = rank[groups]
    return best


def _told_share(counts: np.ndarray) -> float:
    """Return the share of the classes' entropy that styles, the rows of a table of counts, take away, 0 … 1."""
    p = counts / max(counts.sum(), 1)
    by_class, by_style = p.sum(0), p.sum(1)

    def entropy(shares: np.ndarray) -> float:
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum())

    whole = entropy(by_class)
    return (whole + entropy(by_style) - entropy(p.ravel())) / whole if whole > 0 else 0.0


def cramers_v(counts: np.ndarray) -> float:
    """Return Cramér's V of a table of counts, 0 … 1, corrected for its size (Bergsma 2013); 0 of no table."""
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0].astype(float)
    rows, columns = counts.shape
    total = counts.sum()
    if rows < 2 or columns < 2 or total < 2:
        return 0.0
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / total
    squared = max(0.0, ((counts - expected) ** 2 / expected).sum() / total - (rows - 1) * (columns - 1) / (total - 1))
    least = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(min(1.0, np.sqrt(squared / least))) if least > 0 else 0.0


def _place(box: tuple[float, ...]) -> str:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    vertical = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    horizontal = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    return " ".join(filter(None, (vertical, horizontal))) or "centre"


def told(shortcuts: tuple[Shortcut, ...]) -> Mapping[str, float]:
    """Return accuracies by name."""
    return {one.name: one.accuracy for one in shortcuts}
