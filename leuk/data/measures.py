"""What can be measured on every image of a set at once, kept between runs.

One pass decodes each image once. What it finds is stored under the SHA-256 of the file in a small SQLite file in the
user's cache folder (``LEUK_CACHE``, else where the system keeps caches), never in the data folder. No image is stored:
the finest picture in there has 16 × 16 points, on which no cell can be made out. Thumbnails live in memory only.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import sqlite3
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from leuk._formats import FOREIGN_SUFFIXES, SUFFIX_KINDS
from leuk.data.datasets import DataSet, Progress
from leuk.errors import DataError, ImageError
from leuk.image import MAX_BYTES, read_image, reduced

logger = logging.getLogger(__name__)

NAMES = (
    "width",
    "height",
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "background_red",
    "background_green",
    "background_blue",
    "stained_share",
    "cells",
)
"""Measures of an image: sides in pixels; mean and standard deviation of lightness (0 … 255); logarithm of the variance
of the Laplacian; mean saturation (0 … 1); median colour of the background (0 … 255); share of pixels stained as nuclei
are (0 … 1); how many nuclei stand apart."""

FEATURES = ("histogram", "medians", "corner", "background", "thumbnail")
"""Descriptions of an image that see no cell, or hardly: see `leuk.data.shortcuts`."""

VERSION = 2
"""Raised when a measure or a result changes its meaning, so that what was kept before is measured again."""
FRAME = 96
"""Side in pixels to which images are reduced where they are compared pixel by pixel."""
WORK = 320
"""Longer side in pixels at which nuclei are counted and sharpness is measured."""
_THUMBNAILS = 24_000


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of all images of a data set, in its order.

    Attributes
    ----------
    values : dict of str to numpy.ndarray
        Per name of `NAMES`, float64 (N,); nan where the image can't be read.
    features : dict of str to numpy.ndarray
        Per name of `FEATURES`, float32 (N, D); zeros where the image can't be read.
    sha256 : tuple of str
        Of each file's bytes; "" where it can't be read.
    pixels_sha256 : tuple of str
        Of each image's size and decoded pixels; "" where it can't be read.
    readable : numpy.ndarray
        bool, (N,).
    problems : dict of int to str
        Row and one sentence for each image that can't be read.
    """

    values: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    sha256: tuple[str, ...]
    pixels_sha256: tuple[str, ...]
    readable: np.ndarray
    problems: dict[int, str]


def cache_folder() -> Path:
    """Return where measures are kept: ``LEUK_CACHE``, else ``leuk`` in the user's cache folder."""
    named = os.environ.get("LEUK_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "leuk" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "leuk"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "leuk"


class Cache:
    """Arrays by key in a SQLite file; where there can be none (a full disk, no rights), nothing is kept and all works.

    Parameters
    ----------
    keep : bool
        False for a cache that holds nothing.
    """

    def __init__(self, keep: bool = True) -> None:
        self._file: Path | None = None
        if not keep:
            return
        try:
            folder = cache_folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._file = folder / "measures.sqlite"
            with self._open() as database:
                database.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS files "
                    "(path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, sha256 TEXT)"
                )
        except (OSError, RuntimeError, sqlite3.Error) as error:
            logger.warning("nothing is kept between runs: %s", error)
            self._file = None

    def _open(self) -> _Connection:
        return _Connection(self._file)

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
        """Return what is kept under some keys."""
        keys = list(dict.fromkeys(keys))
        found: dict[str, dict[str, np.ndarray]] = {}
        if self._file is None:
            return found
        try:
            with self._open() as database:
                for start in range(0, len(keys), 500):
                    part = keys[start : start + 500]
                    marks = ",".join("?" * len(part))
                    rows = database.execute(f"SELECT key, value FROM kept WHERE key IN ({marks})", part)  # noqa: S608 - question marks only
                    for key, value in rows:
                        found[key] = _unpack(value)
        except (sqlite3.Error, ValueError, OSError) as error:
            logger.warning("what was kept can't be read: %s", error)
        return found

    def put(self, items: dict[str, dict[str, np.ndarray]]) -> None:
        """Keep arrays under keys."""
        if self._file is None or not items:
            return
        try:
            with self._open() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?)", [(key, _pack(value)) for key, value in items.items()]
                )
        except (sqlite3.Error, OSError) as error:
            logger.warning("measures can't be kept: %s", error)

    def hashes(self) -> dict[str, tuple[int, int, str]]:
        """Return size, time of change and SHA-256 of every file seen, by the SHA-256 of its path."""
        if self._file is None:
            return {}
        try:
            with self._open() as database:
                return {
                    path: (size, changed, sha)
                    for path, size, changed, sha in database.execute("SELECT path, size, changed, sha256 FROM files")
                }
        except (sqlite3.Error, OSError) as error:
            logger.warning("what was kept can't be read: %s", error)
            return {}

    def put_hashes(self, rows: list[tuple[str, int, int, str]]) -> None:
        """Keep the SHA-256 of files, with size and time of change."""
        if self._file is None or not rows:
            return
        try:
            with self._open() as database:
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            logger.warning("measures can't be kept: %s", error)


class _Connection:
    """A connection that commits and closes, one for each use, since a page's runs change threads."""

    def __init__(self, file: Path | None) -> None:
        self._database = sqlite3.connect(str(file), timeout=30)

    def __enter__(self) -> sqlite3.Connection:
        return self._database

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._database.commit()
        finally:
            self._database.close()


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        stream.write(f"{name} {array.dtype.str} {','.join(map(str, array.shape))}\n".encode())
        stream.write(array.tobytes())
    return stream.getvalue()


def _unpack(data: bytes) -> dict[str, np.ndarray]:
    arrays, place = {}, 0
    while place < len(data):
        end = data.index(b"\n", place)
        name, kind, sides = data[place:end].decode().split(" ")
        dtype, shape = np.dtype(kind), tuple(int(side) for side in sides.split(",") if side)
        if dtype.hasobject:
            raise ValueError("objects are not kept")
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, count, end + 1).reshape(shape)
        place = end + 1 + count * dtype.itemsize
    return arrays


def recalled(key: str, make: Callable[[], dict[str, np.ndarray]], keep: bool = True) -> dict[str, np.ndarray]:
    """Return a result that was kept under a key, or make it and keep it."""
    cache = Cache(keep)
    found = cache.get([key]).get(key)
    if found is None:
        found = make()
        cache.put({key: found})
    return found


def fingerprint(*parts: Any) -> str:
    """Return a key for a result that depends on these strings, numbers and arrays."""
    digest = hashlib.sha256(str(VERSION).encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(str((part.dtype.str, part.shape)).encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def measure(dataset: DataSet, progress: Progress | None = None, keep: bool = True) -> Measures:
    """Measure every image, or recall what was measured before.

    Parameters
    ----------
    dataset : DataSet
    progress : callable, optional
        See `leuk.data.datasets.Progress`.
    keep : bool
        Whether to look in the cache and write to it.

    Returns
    -------
    Measures
        An image that is missing or broken is a row with a problem, and the rest goes on.

    Raises
    ------
    DataError
        If the set has no folder.
    """
    if dataset.root is None:
        raise DataError(f"The images of {dataset.name} are not here; name the folder that holds them.")
    count = len(dataset)
    cache = Cache(keep)
    known = cache.hashes()
    hashes, problems = [""] * count, dict[int, str]()
    fresh: list[tuple[str, int, int, str]] = []
    root = str(dataset.root.resolve())
    for row, name in enumerate(dataset.files):
        path = Path(root, name)
        # File names may name patients: only what can't be read back is kept.
        where = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()
        try:
            state = path.stat()
            entry = known.get(where)
            if entry and entry[:2] == (state.st_size, state.st_mtime_ns):
                hashes[row] = entry[2]
            elif 0 < state.st_size <= MAX_BYTES:
                hashes[row] = hashlib.sha256(path.read_bytes()).hexdigest()
                fresh.append((where, state.st_size, state.st_mtime_ns, hashes[row]))
        except (OSError, ValueError):
            hashes[row] = ""  # read_image says below what is wrong
        if progress and row % 200 == 0:
            progress(0.05 * row / max(count, 1), "looking for changes")
    cache.put_hashes(fresh)

    # The same bytes under another name may be refused: what the name promises belongs to the key.
    suffixes = [Path(name).suffix.lower() for name in dataset.files]
    promised = [SUFFIX_KINDS.get(suffix) or FOREIGN_SUFFIXES.get(suffix, "") for suffix in suffixes]
    keys = [f"image {VERSION} {sha} {kind}" if sha else "" for sha, kind in zip(hashes, promised, strict=True)]
    kept = cache.get(key for key in keys if key)
    waiting = list({key: row for row, key in reversed(list(enumerate(keys))) if key not in kept and key}.values()) + [
        row for row, key in enumerate(keys) if not key
    ]
    waiting.sort()
    pending: dict[str, dict[str, np.ndarray]] = {}

    def one(row: int) -> tuple[int, dict[str, np.ndarray] | None, str]:
        try:
            return row, measure_pixels(read_image(dataset.path(row)).pixels), ""
        except ImageError as error:
            # It begins with the last part of the name, which folders of a set may well share.
            folder = dataset.files[row].rpartition("/")[0]
            return row, None, f"{folder}/{error}" if folder else str(error)

    # Decoding and OpenCV let go of the interpreter: threads share the work without copying images.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for done, (row, found, problem) in enumerate(pool.map(one, waiting)):
                if found is None:
                    problems[row] = problem
                else:
                    kept[keys[row]] = pending[keys[row]] = found
                if len(pending) >= 200:
                    cache.put(pending)
                    pending = {}
                if progress and done % 10 == 0:
                    progress(0.05 + 0.95 * done / len(waiting), f"measuring {done + 1} of {len(waiting)} images")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            cache.put(pending)
    for row, key in enumerate(keys):
        if key not in kept and row not in problems:  # a copy of one that was refused, under a name of its own
            problems[row] = one(row)[2]

    found_rows = [kept.get(key) for key in keys]
    sizes = {name: len(row[name]) for row in found_rows if row for name in FEATURES}
    values = np.full((count, len(NAMES)), np.nan)
    features = {name: np.zeros((count, sizes.get(name, 1)), np.float32) for name in FEATURES}
    pixels = [""] * count
    for row, found in enumerate(found_rows):
        if found is None:
            continue
        values[row] = found["values"]
        for name in FEATURES:
            features[name][row] = found[name]
        pixels[row] = found["pixels"].tobytes().hex()
    readable = np.array([found is not None for found in found_rows], dtype=bool)
    if progress:
        progress(1.0, "measured")
    return Measures(
        values={name: values[:, index].copy() for index, name in enumerate(NAMES)},
        features=features,
        sha256=tuple(sha if ok else "" for sha, ok in zip(hashes, readable, strict=True)),
        pixels_sha256=tuple(pixels),
        readable=readable,
        problems=dict(sorted(problems.items())),
    )


def reduce(pixels: np.ndarray, longest: int) -> np.ndarray:
    """Return pixels averaged down until no side is longer; as they are if none is."""
    return reduced(pixels, longest / max(pixels.shape[:2]))


def measure_pixels(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Measure one image.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.

    Returns
    -------
    dict of str to numpy.ndarray
        "values", float64 as `NAMES`; "pixels", the SHA-256 as uint8 (32,); the features, as small as they can be kept.
    """
    from leuk.data.shortcuts import features_of, light_and_colour
    from leuk.segmentation import instances
    from leuk.segmentation.stain import dye_channel, optical_density, otsu, red_weight, white_point

    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode() + np.ascontiguousarray(pixels).tobytes()).digest()
    work = reduce(pixels, WORK)
    lightness, saturation, background = light_and_colour(work)
    grey = cv2.cvtColor(work, cv2.COLOR_RGB2GRAY)
    sharpness = np.log(float(cv2.Laplacian(grey, cv2.CV_32F).var()) + 1e-3)

    stained, cells = 0.0, 0
    if min(work.shape[:2]) >= 16:
        density = optical_density(work, white_point(work))
        dye = dye_channel(density, red_weight(density))
        dyed = (dye > max(0.06, otsu(dye, -0.1, 1.5))).astype(np.uint8)
        mask = cv2.morphologyEx(dyed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
        mask = instances.drop_small(mask, 30)
        radius = instances.typical_radius(mask)
        stained = float(mask.mean())
        if radius is not None:
            cells = int(instances.pieces(mask, radius).max())
    values = [width, height, lightness.mean(), lightness.std(), sharpness, saturation, *background, stained, cells]
    return {
        "values": np.array(values, dtype=np.float64),
        "pixels": np.frombuffer(digest, np.uint8),
        **features_of(pixels),
    }


def frames(dataset: DataSet, rows: np.ndarray, progress: Progress | None = None, side: int = FRAME) -> np.ndarray:
    """Return images reduced to one size, uint8 (M, side, side, 3); black where an image can't be read."""

    def one(row: int) -> np.ndarray:
        try:
            pixels = read_image(dataset.path(row)).pixels
        except ImageError:
            return np.zeros((side, side, 3), np.uint8)
        return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)

    out = np.zeros((len(rows), side, side, 3), np.uint8)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for done, picture in enumerate(pool.map(one, [int(row) for row in rows])):
                out[done] = picture
                if progress and done % 50 == 0:
                    progress(done / len(rows), f"reading {done + 1} of {len(rows)} images")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return out


_made: OrderedDict[tuple[str, int, int, int], bytes | None] = OrderedDict()
_making = threading.Lock()


def thumbnail(dataset: DataSet, row: int, side: int = 112, segmented: bool = False) -> bytes | None:
    """Return a JPEG of an image whose longer side has so many pixels at most; None if it can't be read.

    Made once and kept in memory, the ones used longest ago let go.

    Parameters
    ----------
    dataset : DataSet
    row : int
    side : int
    segmented : bool
        Of the "Segmented" twin instead; None if there is none.
    """
    path = dataset.segmented_path(row) if segmented else dataset.path(row)
    if path is None:
        return None
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    key = (str(path), state.st_size, state.st_mtime_ns, side)
    with _making:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    try:
        small = reduce(read_image(path).pixels, side)
        jpeg = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    except ImageError:
        jpeg = None
    with _making:
        _made[key] = jpeg
        while len(_made) > _THUMBNAILS:
            _made.popitem(last=False)
    return jpeg
