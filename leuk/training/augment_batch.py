"""The augmentation of `leuk.training.augment` for a whole batch at once, on any device.

A field at a time in OpenCV is faster on a processor; on a GPU a batch costs less than the training step it feeds. What
is drawn, how often and how strongly is the same; what differs is that colours are not rounded between two steps, that
of a batch a fixed number of fields, and not each with a probability, goes through a change by the camera, and that
JPEG is computed without its lossless half.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from leuk.training.augment import HED, RGB_TO_HED, Augmentation

# sRGB primaries and the D65 white, as OpenCV has them.
_RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.950456, 1.0, 1.088754])
# Annex K of the JPEG standard.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def _mixed(x: Tensor, matrix: np.ndarray) -> Tensor:
    """Mix the channels of (N, 3, H, W) by a matrix, rows the new channels."""
    return torch.einsum("oc,nchw->nohw", torch.as_tensor(matrix, dtype=x.dtype, device=x.device), x)


def _draw(x: Tensor, low: float, high: float, *shape: int) -> Tensor:
    """Draw uniformly, a number a field: (N, 1, 1, 1), or of the shape given."""
    return low + (high - low) * torch.rand(shape or (len(x), 1, 1, 1), device=x.device)


def _chance(x: Tensor, probability: float) -> Tensor:
    """Return for each field whether something happens to it: bool (N, 1, 1, 1)."""
    return torch.rand((len(x), 1, 1, 1), device=x.device) < probability


def lab_of(rgb: Tensor) -> Tensor:
    """Turn RGB into L*a*b*, both (N, 3, H, W) on OpenCV's 8-bit scale, 0 … 255, not rounded."""
    v = (rgb / 255).clamp(0, 1)
    linear = torch.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)
    xyz = _mixed(linear, _RGB_TO_XYZ / _WHITE[:, None])
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], dim=1)


def rgb_of(lab: Tensor) -> Tensor:
    """Turn L*a*b* back into RGB, the inverse of `lab_of`, cut to 0 … 255."""
    lightness, a, b = lab.unbind(1)
    y = (lightness / 2.55 + 16) / 116
    f = torch.stack([y + (a - 128) / 500, y, y - (b - 128) / 200], dim=1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    linear = _mixed(xyz, np.linalg.inv(_RGB_TO_XYZ) * _WHITE).clamp(0, 1)
    v = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-6) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (255 * v).clamp(0, 255)


def lab_statistics(images: Tensor) -> Tensor:
    """Return the mean and the standard deviation of L*, a* and b*, float (N, 2, 3), of RGB (N, 3, H, W), 0 … 255."""
    lab = lab_of(images)
    return torch.stack([lab.mean(dim=(2, 3)), lab.std(dim=(2, 3), correction=0)], dim=1)


def recolor(x: Tensor, statistics: Tensor, mix: Tensor) -> Tensor:
    """Give fields the L*a*b* mean and spread of others (Reinhard et al. 2001).

    Parameters
    ----------
    x : torch.Tensor
        float, (N, 3, H, W), RGB, 0 … 255.
    statistics : torch.Tensor
        (N, 2, 3), as `lab_statistics` returns them.
    mix : torch.Tensor
        (N, 1, 1, 1): how far towards them, 0 … 1.
    """
    lab = lab_of(x)
    mean, spread = lab.mean(dim=(2, 3), keepdim=True), lab.std(dim=(2, 3), correction=0, keepdim=True)
    target = statistics[..., None, None]
    wanted_mean, wanted_spread = torch.lerp(mean, target[:, 0], mix), torch.lerp(spread, target[:, 1], mix)
    return rgb_of(((lab - mean) * (wanted_spread / spread.clamp_min(1.0)) + wanted_mean).clamp(0, 255))


def jitter_stain(x: Tensor, gains: Tensor, shifts: Tensor) -> Tensor:
    """Multiply and shift the optical densities of haematoxylin, eosin and the rest, (N, 3) each, of (N, 3, H, W)."""
    hed = torch.as_tensor(HED, dtype=x.dtype, device=x.device)
    inverse = torch.as_tensor(RGB_TO_HED, dtype=x.dtype, device=x.device)
    mix = inverse @ (gains[:, :, None] * hed)
    density = -((x + 1) / 256).log()
    changed = torch.einsum("nco,nchw->nohw", mix, density) + (shifts @ hed)[..., None, None]
    return (256 * (-changed).exp() - 0.5).clamp(0, 255)


def rotate_hue(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate the hue of RGB fields (N, 3, H, W), 0 … 255, by an angle each, (N, 1, 1, 1)."""
    high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    span = high - low
    r, g, b = x.split(1, dim=1)
    safe = span.clamp_min(1e-6)
    hue = torch.where(high == r, (g - b) / safe, torch.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = hue + degrees / 60
    k = torch.remainder(torch.cat([hue + 5, hue + 3, hue + 1], dim=1), 6)
    return high - span * torch.minimum(k, 4 - k).clamp(0, 1)


def place(images: Tensor, options: Augmentation) -> Tensor:
    """Turn, mirror, zoom and shift fields: float (N, 3, H, W), H = W, to (N, 3, size, size)."""
    count, side = len(images), images.shape[-1]
    x = images
    zoom = _draw(x, *np.log(options.zoom), count).exp()
    quarter = torch.randint(4, (count,), device=x.device) * (math.pi / 2)
    free = _draw(x, -math.pi / 4, math.pi / 4, count) * (torch.rand(count, device=x.device) < 0.5)
    angle = quarter + free
    mirror = torch.where(torch.rand(count, device=x.device) < 0.5, -1.0, 1.0)
    spare = (side * zoom - options.size).clamp_min(0) / options.size
    shift = _draw(x, -1, 1, 2, count) * spare
    # From where in the source each pixel of the result comes, in units of half a side.
    reach = options.size / side / zoom
    cos, sin = angle.cos() * reach, angle.sin() * reach
    rows = torch.stack([mirror * cos, mirror * -sin, sin, cos]).view(2, 2, count).permute(2, 0, 1)
    offset = -torch.einsum("nij,jn->ni", rows, shift)
    theta = torch.cat([rows, offset[..., None]], dim=2)
    grid = functional.affine_grid(theta, [count, 3, options.size, options.size], align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _relit(x: Tensor) -> Tensor:
    v = x / 255
    gamma = torch.where(_chance(x, 0.5), _draw(x, -0.6, 0.6), 0.0).exp()
    contrast = torch.where(_chance(x, 0.5), _draw(x, -0.5, 0.4), 0.0).exp()
    brightness = torch.where(_chance(x, 0.7), _draw(x, math.log(0.45), math.log(1.6)), 0.0).exp()
    balance = torch.where(_chance(x, 0.7), _draw(x, -0.2, 0.2, len(x), 3, 1, 1), 0.0).exp()
    v = (v.clamp_min(1e-6) ** gamma - 0.5) * contrast + 0.5
    return (255 * v * brightness * balance).clamp(0, 255)


def _restained(x: Tensor, options: Augmentation, pool: Tensor | None) -> Tensor:
    if pool is not None and len(pool) and options.swap:
        target = pool[torch.randint(len(pool), (len(x),), device=x.device)]
        mix = torch.where(_chance(x, 0.5), _draw(x, 0.5, 1.0), 1.0)
        x = torch.where(_chance(x, options.swap), recolor(x, target, mix), x)
    if options.stain:
        changed = jitter_stain(x, _draw(x, 0.6, 1.4, len(x), 3), _draw(x, -0.03, 0.03, len(x), 3))
        x = torch.where(_chance(x, options.stain), rotate_hue(changed, _draw(x, -25, 25)), x)
    if options.light:
        x = torch.where(_chance(x, options.light), _relit(x), x)
    if options.grey:
        # Dirichlet(2, 2, 2): sums of two exponentials, normalized.
        shares = -torch.rand((2, len(x), 3, 1, 1), device=x.device).clamp_min(1e-6).log().sum(0)
        grey = (x * shares / shares.sum(1, keepdim=True)).sum(1, keepdim=True)
        x = torch.where(_chance(x, options.grey), grey.expand_as(x), x)
    return x


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur fields (N, C, H, W), each by a Gaussian of its own standard deviation in pixels, (N,)."""
    count, channels = x.shape[:2]
    steps = torch.arange(-7, 8, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-(steps**2) / (2 * sigma[:, None] ** 2), dim=1)
    padded = functional.pad(x, (7, 7, 7, 7), mode="reflect")
    padded = padded.reshape(1, count * channels, *padded.shape[2:])
    kernel = kernel.repeat_interleave(channels, 0)
    across = functional.conv2d(padded, kernel[:, None, None, :], groups=count * channels)
    return functional.conv2d(across, kernel[:, None, :, None], groups=count * channels).reshape(x.shape)


def _blocks(x: Tensor, transform: Tensor, quantum: Tensor) -> Tensor:
    """Round a channel's 8 x 8 cosine coefficients: (N, C, H, W), H and W multiples of 8; quantum (N, C, 8, 8)."""
    count, channels, height, width = x.shape
    tiles = x.reshape(count, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    step = quantum[:, :, None, None]
    kept = (transform @ tiles @ transform.T / step).round() * step
    return (transform.T @ kept @ transform).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Return RGB fields (N, 3, H, W), 0 … 255, as JPEG of a quality each, (N,), 1 … 100, gives them back.

    Baseline, colour at half the resolution; H and W are continued to multiples of 16.
    """
    height, width = x.shape[2:]
    padded = functional.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
    r, g, b = padded.split(1, dim=1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = functional.avg_pool2d(torch.cat([(b - luma) * 0.564, (r - luma) * 0.713], dim=1), 2)
    n = torch.arange(8, device=x.device, dtype=x.dtype)
    transform = torch.cos((2 * n[None] + 1) * n[:, None] * math.pi / 16) * 0.5
    transform[0] *= math.sqrt(0.5)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None, None]

    def quantum(table: np.ndarray) -> Tensor:
        entries = torch.as_tensor(table, dtype=x.dtype, device=x.device)
        return ((entries * scale + 50) / 100).floor().clamp(1, 255)

    luma = _blocks(luma - 128, transform, quantum(_LUMA)) + 128
    chroma = _blocks(chroma, transform, quantum(_CHROMA).expand(-1, 2, -1, -1))
    blue, red = functional.interpolate(chroma, scale_factor=2, mode="bilinear").split(1, dim=1)
    blue, red = blue / 0.564 + luma, red / 0.713 + luma
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat([red, green, blue], dim=1)[..., :height, :width].clamp(0, 255)


def _coarser(x: Tensor) -> Tensor:
    """Take resolution from fields, to a share of 0.4 … 0.9, evenly spread over them."""
    shares = np.linspace(0.4, 0.9, len(x)) if len(x) > 1 else [0.65]
    size = x.shape[2:]
    done = []
    for one, share in zip(x.split(1), shares, strict=True):
        small = functional.interpolate(one, size=[max(1, round(n * share)) for n in size], mode="area")
        done.append(functional.interpolate(small, size=size, mode="bilinear"))
    return torch.cat(done)


def _photographed(x: Tensor, options: Augmentation) -> Tensor:
    """Blur some fields, take resolution from some, add noise to some, and compress some."""
    count = round(options.camera * len(x))
    if not count:
        return x
    x = x.clone()
    for change in ("blur", "coarser", "noise", "jpeg"):
        chosen = torch.rand(len(x), device=x.device).argsort()[:count]
        some = x[chosen]
        if change == "blur":
            some = blur(some, _draw(some, 0.3, 2.2, count))
        elif change == "coarser":
            some = _coarser(some)
        elif change == "noise":
            some = (some + torch.randn_like(some) * _draw(some, 2, 14)).clamp(0, 255)
        else:
            some = jpeg(some, _draw(some, 25, 90, count))
        x[chosen] = some
    return x


def augment_batch(images: Tensor, options: Augmentation, pool: Tensor | None = None) -> Tensor:
    """Return changed copies of fields; all randomness comes from torch's generator of their device.

    Parameters
    ----------
    images : torch.Tensor
        uint8, (N, 3, H, W), H = W, RGB.
    options : Augmentation
    pool : torch.Tensor, optional
        `lab_statistics` of the training fields, (M, 2, 3), on the same device, from which colours are swapped in.

    Returns
    -------
    torch.Tensor
        float32, (N, 3, size, size), 0 … 255.
    """
    x = place(images.float(), options)
    light = torch.where(_chance(x, options.bright), _draw(x, 0.2, 0.5), _draw(x, -0.3, 0.45))
    gains = (light + _draw(x, -0.12, 0.12, len(x), 3, 1, 1)).exp()
    x = torch.where(_chance(x, options.mild), (x * gains).clamp(0, 255), _restained(x, options, pool))
    return _photographed(x, options).clamp_(0, 255)
