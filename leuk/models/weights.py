"""The one way in for weights, whatever they are of: safetensors whose SHA-256 a card confirms; and the one way out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from leuk.errors import ModelError
from leuk.files import write_all
from leuk.models.cards import weights_files

# Files of more than 100 MB can't be kept in a plain Git repository.
LARGEST_FILE = 90_000_000
# Beyond this in half precision, weights are kept in 8 bits: all systems' together must stay small enough to come along.
LARGEST_HALF = 30_000_000
# Behind the name of a tensor that is kept in 8 bits: the scale of each of its rows.
_SCALE = "#scale"


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Say in one sentence that weights don't fit, whatever torch says of it, where a network is built from them."""
    try:
        yield
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError):
        raise ModelError(f"The weights of {what} don't fit the network on its card; restore both files.") from None


def read_weights(folder: Path, name: str, sha256: str, shards: int = 1, what: str = "") -> dict[str, Tensor]:
    """Read weights, fractions in single precision.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
        Of the files, without their ending.
    sha256 : str
        As the card gives it: of the shards' bytes, one after the other.
    shards : int
    what : str, optional
        What messages call the weights; the name by default.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    ModelError
        If a file is missing or can't be read, or they are not the ones that the card describes.
    """
    what = what or repr(name)
    try:
        parts = [path.read_bytes() for path in weights_files(folder, name, shards)]
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise ModelError(f"The weights of {what} lack the file {missing}; restore it beside its card.") from None
    except OSError as error:
        closed = Path(error.filename or folder).name
        raise ModelError(
            f"The weights of {what} can't be read ({closed}: {error.strerror}); give yourself the right to read them."
        ) from error
    if hashlib.sha256(b"".join(parts)).hexdigest() != sha256:
        raise ModelError(f"The weights of {what} are not the ones its card describes; restore both files.")
    with fitting(what):
        stored = {key: value for part in parts for key, value in load(part).items()}
        return unpacked(stored)


def write_weights(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    """Write weights, in shards where one file would grow too large; the old ones stay until all are written.

    Returns
    -------
    sha256 : str
    shards : int

    Raises
    ------
    ModelError
        If they can't be written.
    """
    shares: list[dict[str, Tensor]] = [{}]
    room = LARGEST_FILE
    for key, value in tensors.items():
        if value.nbytes > room and shares[-1]:
            shares.append({})
            room = LARGEST_FILE
        shares[-1][key] = value.contiguous()
        room -= value.nbytes
    parts = [save(share) for share in shares]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_all(dict(zip(weights_files(folder, name, len(parts)), parts, strict=True)))
    except OSError as error:
        raise ModelError(
            f"The weights of {name!r} can't be written into {folder} ({error.strerror}); make room, or name another "
            "folder."
        ) from error
    return hashlib.sha256(b"".join(parts)).hexdigest(), len(parts)


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with kernels and matrices in 8 bits, each row with its own scale: half of half precision.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor

    Returns
    -------
    dict of str to torch.Tensor
        Of each fraction of two dimensions or more: int8, -127 … 127, under its name, and the scale of each row, float32
        (rows,), under its name and "#scale". All else as it was.

    References
    ----------
    R. Krishnamoorthi, Quantizing deep convolutional networks for efficient inference, arXiv 1806.08342.
    """
    kept: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if not value.is_floating_point() or value.ndim < 2:
            kept[key] = value
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp_min(1e-12) / 127
        kept[key] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
        kept[key + _SCALE] = scale
    return kept


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as they are computed with: fractions in single precision, whether kept in half or in 8 bits."""
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if key + _SCALE in tensors:
            found[key] = value.float() * tensors[key + _SCALE].view(-1, *[1] * (value.ndim - 1))
        elif not key.endswith(_SCALE):
            found[key] = value.float() if value.is_floating_point() else value
    return found


def shipped(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights as they are kept: `rounded`, and `packed` where they would still be large."""
    kept = rounded(network)
    return packed(kept) if sum(value.nbytes for value in kept.values()) > LARGEST_HALF else kept


def rounded(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's weights in half precision, but for what it can't hold."""
    kept = {}
    for key, value in network.state_dict().items():
        # Running variances and kernels pass what half precision holds, and counts are no fractions.
        exact = not value.is_floating_point() or key.endswith(("running_mean", "running_var")) or "machine." in key
        kept[key] = value.detach().cpu() if exact else value.detach().cpu().half()
    return kept
