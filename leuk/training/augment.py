"""Augmentation of smear fields: geometry, stain and light, camera.

Pointwise steps are composed into one look-up table, and the rest stays in uint8, so that a field costs about a
millisecond. Each field's randomness comes from its own generator, so a resumed run repeats an undisturbed one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LEVELS = np.arange(256, dtype=np.float32)
# Ruifrok and Johnston's stain matrix (Anal Quant Cytol Histol 2001;23:291), rows haematoxylin, eosin, residual.
HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=np.float64)
RGB_TO_HED = np.linalg.inv(HED)


@dataclass(frozen=True)
class Augmentation:
    """How strongly fields are changed in training; every probability 0 … 1.

    Attributes
    ----------
    size : int
        Side in pixels of the square that the network is given.
    zoom : tuple of float
        Range of the scale factor, drawn uniformly in its logarithm.
    mild : float
        Probability of keeping the colours but for a slight change of light; the steps below apply to the rest.
    bright : float
        Probability that such a slight change of light is an over-exposure instead, which clips.
    grey : float
        Probability of losing all colour, through a random mixture of the channels.
    swap : float
        Probability of taking the L*a*b* mean and spread of another training field, of whatever class.
    light : float
        Probability of changed brightness, contrast, gamma and white balance.
    stain : float
        Probability of changed amounts of the stains, in optical density, and of a rotated hue.
    camera : float
        Probability of each of blur, lost resolution, noise and JPEG.
    """

    size: int = 192
    zoom: tuple[float, float] = (0.8, 1.25)
    mild: float = 0.4
    bright: float = 0.0
    grey: float = 0.25
    swap: float = 0.5
    light: float = 0.7
    stain: float = 0.4
    camera: float = 0.15


def lab_statistics(pixels: np.ndarray) -> np.ndarray:
    """Return the mean and the standard deviation of L*, a* and b* in OpenCV's 8-bit scale, float32 (2, 3)."""
    return _mean_and_spread(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)).astype(np.float32)


def _mean_and_spread(channels: np.ndarray) -> np.ndarray:
    # NumPy takes ten times as long over the short last axis.
    return np.concatenate(cv2.meanStdDev(channels), axis=1).T


def recolor(pixels: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """Give a field the L*a*b* mean and spread of another.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    statistics : numpy.ndarray
        As `lab_statistics` returns them, (2, 3).

    Returns
    -------
    numpy.ndarray
        uint8, same shape.

    References
    ----------
    E. Reinhard et al., Color transfer between images, IEEE Comput Graph Appl 2001;21(5):34.
    """
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    own = _mean_and_spread(lab)
    gain = statistics[1] / np.maximum(own[1], 1.0)
    table = (_LEVELS[:, None] - own[0]) * gain + statistics[0]
    lab = cv2.LUT(lab, np.clip(table + 0.5, 0, 255).astype(np.uint8)[None])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def jitter_stain(pixels: np.ndarray, gains: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Multiply and shift the optical densities of haematoxylin, eosin and the rest.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    gains, shifts : numpy.ndarray
        (3,) each: factor of, and optical density (natural logarithm) added to, each stain.

    Returns
    -------
    numpy.ndarray
        uint8, same shape.

    References
    ----------
    D. Tellez et al., IEEE Trans Med Imaging 2018;37:2126.
    """
    mix = RGB_TO_HED @ np.diag(gains) @ HED
    density = -np.log((_LEVELS + 1) / 256).astype(np.float32)
    od = cv2.transform(density[pixels], np.ascontiguousarray(mix.T)) + (shifts @ HED).astype(np.float32)
    return np.clip(256 * cv2.exp(-od) - 0.5, 0, 255).astype(np.uint8)


def rotate_hue(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate the hue of a uint8 RGB field by an angle in degrees."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(degrees / 360 * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return a uint8 RGB field as JPEG of a quality (1 … 100) gives it back."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1]


def _place(pixels: np.ndarray, options: Augmentation, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    zoom = float(np.exp(rng.uniform(*np.log(options.zoom))))
    # Right angles and mirrors cost no sharpness; a free rotation on half of the fields covers the angles between.
    angle = rng.integers(4) * 90 + (rng.uniform(-45, 45) if rng.random() < 0.5 else 0.0)
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), angle, zoom)
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    spare = (max(0.0, width * zoom - options.size) / 2, max(0.0, height * zoom - options.size) / 2)
    matrix[:, 2] += [
        options.size / 2 - width / 2 + rng.uniform(-spare[0], spare[0]),
        options.size / 2 - height / 2 + rng.uniform(-spare[1], spare[1]),
    ]
    size = (options.size, options.size)
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(pixels, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _relight(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    table = np.repeat(_LEVELS[:, None] / 255, 3, axis=1)
    if rng.random() < 0.5:
        table = table ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.5:
        table = (table - 0.5) * np.exp(rng.uniform(-0.5, 0.4)) + 0.5
    if rng.random() < 0.7:
        table = table * np.exp(rng.uniform(np.log(0.45), np.log(1.6)))
    if rng.random() < 0.7:
        table = table * np.exp(rng.uniform(-0.2, 0.2, 3))
    return cv2.LUT(pixels, np.clip(table * 255 + 0.5, 0, 255).astype(np.uint8)[None])


def _restain(
    pixels: np.ndarray, options: Augmentation, rng: np.random.Generator, pool: np.ndarray | None
) -> np.ndarray:
    x = pixels
    if pool is not None and len(pool) and rng.random() < options.swap:
        target = pool[rng.integers(len(pool))]
        mix = rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 1.0
        target = mix * target + (1 - mix) * lab_statistics(x)
        x = recolor(x, target)
    if rng.random() < options.stain:
        x = jitter_stain(x, rng.uniform(0.6, 1.4, 3), rng.uniform(-0.03, 0.03, 3))
        x = rotate_hue(x, rng.uniform(-25, 25))
    if rng.random() < options.light:
        x = _relight(x, rng)
    if rng.random() < options.grey:
        weights = rng.dirichlet(np.array([2.0, 2.0, 2.0]))
        grey = np.clip(x @ weights, 0, 255).astype(np.uint8)
        x = np.repeat(grey[..., None], 3, axis=2)
    return x


def augment(
    pixels: np.ndarray, options: Augmentation, rng: np.random.Generator, pool: np.ndarray | None = None
) -> np.ndarray:
    """Return a changed copy of a field.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (H, W, 3), RGB.
    options : Augmentation
    rng : numpy.random.Generator
    pool : numpy.ndarray, optional
        `lab_statistics` of the training fields, (N, 2, 3), from which colours are swapped in.

    Returns
    -------
    numpy.ndarray
        uint8, (size, size, 3).
    """
    return change_look(_place(pixels, options, rng), options, rng, pool)


def change_look(
    pixels: np.ndarray, options: Augmentation, rng: np.random.Generator, pool: np.ndarray | None = None
) -> np.ndarray:
    """Return a field in another stain, light and camera, everything in its place; as `augment` but for geometry."""
    x = pixels
    if rng.random() < options.mild:
        # The network's own normalization undoes darkening; what brightening clips is lost, so it comes more often.
        light = rng.uniform(0.2, 0.5) if rng.random() < options.bright else rng.uniform(-0.3, 0.45)
        gains = np.exp(light + rng.uniform(-0.12, 0.12, 3))
        x = cv2.LUT(x, np.clip(_LEVELS[:, None] * gains + 0.5, 0, 255).astype(np.uint8)[None])
    else:
        x = _restain(x, options, rng, pool)
    if rng.random() < options.camera:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 2.2))
    if rng.random() < options.camera:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(x, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, (x.shape[1], x.shape[0]), interpolation=cv2.INTER_LINEAR)
    if rng.random() < options.camera:
        noise = rng.normal(0, rng.uniform(2, 14), x.shape).astype(np.float32)
        x = np.clip(x + noise, 0, 255).astype(np.uint8)
    if rng.random() < options.camera:
        x = jpeg(x, int(rng.integers(25, 90)))
    return x
