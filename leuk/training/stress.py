"""Changes of light, stain and camera under which a score should hold: each a function of a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from leuk.training.augment import jitter_stain, jpeg, recolor, rotate_hue

Stress = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _scaled(*gains: float) -> Stress:
    def change(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.clip(pixels * np.array(gains) + 0.5, 0, 255).astype(np.uint8)

    return change


def _gamma(power: float) -> Stress:
    return lambda pixels, rng: np.clip(255 * (pixels / 255) ** power + 0.5, 0, 255).astype(np.uint8)


def _hed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return jitter_stain(pixels, rng.uniform(0.75, 1.25, 3), rng.uniform(-0.02, 0.02, 3))


def _noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(pixels + rng.normal(0, 8, pixels.shape) + 0.5, 0, 255).astype(np.uint8)


def _downscale(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _grey(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


STRESSES: Mapping[str, Stress] = MappingProxyType(
    {
        "brightness x0.6": _scaled(0.6, 0.6, 0.6),
        "brightness x1.4": _scaled(1.4, 1.4, 1.4),
        "gamma 0.7": _gamma(0.7),
        "gamma 1.4": _gamma(1.4),
        "white balance +10 %": _scaled(1.1, 1.0, 0.9),
        "white balance -10 %": _scaled(0.9, 1.0, 1.1),
        "hue +10 degrees": lambda pixels, rng: rotate_hue(pixels, 10),
        "hue -10 degrees": lambda pixels, rng: rotate_hue(pixels, -10),
        "stain jitter": _hed,
        "JPEG 40": lambda pixels, rng: jpeg(pixels, 40),
        "blur 1.5": lambda pixels, rng: cv2.GaussianBlur(pixels, (0, 0), 1.5),
        "noise 8": _noise,
        "downscale 50 %": _downscale,
        "grey": _grey,
    }
)
"""Stress tests by name; each takes uint8 RGB (H, W, 3) and a generator and returns the like."""


def swap_stain(
    pixels: np.ndarray, label: int, labels: np.ndarray, pool: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Recolour a field to the colour statistics of a random field of another class.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3).
    label : int
        The field's class.
    labels : numpy.ndarray
        int, (N,): the classes of the pool.
    pool : numpy.ndarray
        (N, 2, 3), as `leuk.training.augment.lab_statistics` returns them.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        uint8, same shape: colour now points to the wrong answer.
    """
    return recolor(pixels, pool[rng.choice(np.flatnonzero(labels != label))])
