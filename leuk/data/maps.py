"""Images laid out in two dimensions, those that look alike to a system, or by colour and texture, side by side."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from leuk.data.datasets import DataSet, Progress
from leuk.data.measures import Cache, Measures, fingerprint, recalled
from leuk.errors import ImageError, OptionError

if TYPE_CHECKING:
    from leuk.models.store import Model

METHODS = ("pca", "tsne")


def image_features(measures: Measures) -> np.ndarray:
    """Return colour, brightness and coarse layout of each image, float32 (N, D), for maps and neighbours.

    Images that can't be read are rows of nan.
    """
    parts = [
        measures.features["medians"] / 25,
        np.sqrt(measures.features["histogram"]) * 4,
        measures.features["background"] / 25,
        np.stack([np.nan_to_num(measures.values[name]) for name in ("sharpness", "stained_share")], 1),
        measures.features["thumbnail"] / 255,
    ]
    features = np.concatenate([part.astype(np.float32) for part in parts], 1)
    features[~measures.readable] = np.nan
    return features


def embed(
    dataset: DataSet, model: Model, progress: Progress | None = None, measures: Measures | None = None
) -> np.ndarray:
    """Return the mean of a system's last maps over each image, float32 (N, D); kept between runs.

    It is what the system calls the image by, at least in the networks that pool by it. Rows that can't be read are nan.

    Parameters
    ----------
    dataset : DataSet
    model : Model
    progress : callable, optional
    measures : Measures, optional
        Where there are any, results are kept under their hashes; without them nothing is kept.
    """
    from leuk.classification import last_maps, prepare
    from leuk.image import read_image
    from leuk.segmentation import segment

    cache = Cache(measures is not None)
    hashes = measures.sha256 if measures else ("",) * len(dataset)
    keys = [fingerprint("last maps", model.card.sha256, sha) if sha else "" for sha in hashes]
    kept = {key: arrays["embedding"] for key, arrays in cache.get(key for key in keys if key).items()}
    rows: list[np.ndarray | None] = [kept.get(key) for key in keys]
    missing = [row for row, known in enumerate(rows) if known is None]

    def read(row: int) -> np.ndarray | None:
        try:
            image = read_image(dataset.path(row))
        except ImageError:
            return None
        view = prepare(image, segment(image), model.card)
        embedding: np.ndarray = last_maps(model, view.tiles).mean(axis=(0, 2, 3))
        return embedding

    pending: dict[str, dict[str, np.ndarray]] = {}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for done, (row, found) in enumerate(zip(missing, pool.map(read, missing), strict=True)):
                if progress and done % 10 == 0:
                    progress(done / len(missing), f"embedding {done + 1} of {len(missing)} images")
                rows[row] = found
                if keys[row] and found is not None:
                    pending[keys[row]] = {"embedding": found}
                if len(pending) >= 100:
                    cache.put(pending)
                    pending = {}
        finally:
            pool.shutdown(cancel_futures=True)
            cache.put(pending)
    size = next((len(one) for one in rows if one is not None), 1)
    blank = np.full(size, np.nan, np.float32)
    return np.stack([blank if one is None else one for one in rows]) if rows else np.zeros((0, size), np.float32)


def layout(features: np.ndarray, method: str = "tsne", seed: int = 0, keep: bool = True) -> np.ndarray:
    """Lay rows out in two dimensions, float32 (N, 2); nan where the features are.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D).
    method : str
        "pca", or "tsne" after it; fewer than 10 rows get "pca" in any case.
    seed : int
    keep : bool
        Whether to recall and keep the result.

    Raises
    ------
    OptionError
        If there is no such method.

    References
    ----------
    L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", J. Mach. Learn. Res. 9 (2008).
    """
    if method not in METHODS:
        raise OptionError(f"There is no map {method!r}; choose one of {', '.join(METHODS)}.")
    usable = np.isfinite(features).all(1)
    places = np.full((len(features), 2), np.nan, np.float32)
    rows = features[usable]
    if len(rows) < 3:
        places[usable] = np.arange(len(rows) * 2, dtype=np.float32).reshape(-1, 2)
        return places

    def make() -> dict[str, np.ndarray]:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE

        reduced = PCA(min(30, *rows.shape), random_state=seed).fit_transform(rows)
        if method == "pca" or len(rows) < 10:
            flat = reduced[:, :2] if reduced.shape[1] > 1 else np.column_stack([reduced[:, 0], np.zeros(len(rows))])
        else:
            start = reduced[:, :2] / max(float(reduced[:, 0].std()), 1e-9) * 1e-4
            perplexity = min(30.0, (len(rows) - 1) / 3)
            flat = TSNE(perplexity=perplexity, init=start, random_state=seed, max_iter=500).fit_transform(reduced)
        return {"places": flat.astype(np.float32)}

    places[usable] = recalled(fingerprint("layout", method, seed, rows), make, keep)["places"]
    return places
