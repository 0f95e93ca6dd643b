"""What DeepLeukemiaNet's paper wraps around its network: PCA of the images, and a machine on selected features.

All of it is fitted on the samples it is given, which are training samples: the paper fits it on the test data too.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from leuk.classification import to_tensor
from leuk.models.deep_leukemia_net import DeepLeukemiaNet, SupportVectors

PENALTY = 0.1
"""C of the support vector machine, as published."""
GAMMA = 1e-4
"""Width of its Gaussian kernel, as published."""


def fit_components(samples: np.ndarray, share: float = 0.99) -> tuple[np.ndarray, np.ndarray]:
    """Find the principal components that carry a share of the variance.

    Parameters
    ----------
    samples : numpy.ndarray
        uint8, (N, S, S, C).
    share : float
        0 … 1.

    Returns
    -------
    center : numpy.ndarray
        float32, (C S S,): the mean image, 0 … 1, channels first.
    basis : numpy.ndarray
        float32, (K, C S S): orthonormal rows.
    """
    flat = samples.transpose(0, 3, 1, 2).reshape(len(samples), -1).astype(np.float32) / 255
    center = flat.mean(0)
    flat -= center
    # With fewer samples than pixels the products of samples give the same components for a fraction of the work.
    values, vectors = np.linalg.eigh(flat.astype(np.float64) @ flat.T.astype(np.float64))
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    total = values.sum()
    if total <= 0:
        return center, np.zeros((1, flat.shape[1]), np.float32)
    count = int(np.searchsorted(np.cumsum(values) / total, share)) + 1
    count = max(1, min(count, int((values > 1e-9 * values[0]).sum())))
    basis = (vectors[:, :count] / np.sqrt(values[:count])).T @ flat
    return center, basis.astype(np.float32)


def set_components(network: DeepLeukemiaNet, center: np.ndarray, basis: np.ndarray) -> None:
    """Put components into a network that was built for their number."""
    network.center.copy_(torch.from_numpy(center))
    network.basis.copy_(torch.from_numpy(basis))


def features_of(network: DeepLeukemiaNet, samples: np.ndarray, batch: int = 32) -> np.ndarray:
    """Return the features that the last layer reads, float32 (N, D), of uint8 samples (N, S, S, C)."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [
            network.flatten(network.features(to_tensor(samples[start : start + batch], device))).float().cpu()
            for start in range(0, len(samples), batch)
        ]
    return torch.cat(parts).numpy()


def select_features(
    features: np.ndarray, labels: np.ndarray, seed: int = 0, population: int = 8, rounds: int = 10
) -> np.ndarray:
    """Select features by the JAYA search: towards the best choice so far, away from the worst.

    A choice is worth the balanced accuracy of the nearest class mean on a fifth of the samples set aside for it,
    less a hundredth of the share of features kept.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D), of training samples.
    labels : numpy.ndarray
        int, (N,).
    seed, population, rounds : int

    Returns
    -------
    numpy.ndarray
        int64, ascending indices of the features kept, at least one.

    References
    ----------
    R. Rao, Jaya: a simple and new optimization algorithm, Int J Ind Eng Comput 2016;7:19.
    """
    rng = np.random.default_rng([seed, 17])
    aside = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        aside[members[: max(1, len(members) // 5)]] = len(members) > 1
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    known = np.unique(labels[~aside])
    means = np.stack([scaled[~aside & (labels == label)].mean(0) for label in known])
    held, truth = scaled[aside], labels[aside]

    def worth(position: np.ndarray) -> float:
        kept = position > 0.5
        if not kept.any():
            return -1.0
        far = ((held[:, None, kept] - means[None, :, kept]) ** 2).sum(2)
        right = known[far.argmin(1)] == truth
        recall = np.mean([right[truth == label].mean() for label in np.unique(truth)])
        return float(recall - 0.01 * kept.mean())

    positions = rng.random((population, features.shape[1]))
    values = np.array([worth(position) for position in positions])
    for _ in range(rounds):
        best, worst = positions[values.argmax()].copy(), positions[values.argmin()].copy()
        for index in range(population):
            here = positions[index]
            draws = rng.random((2, features.shape[1]))
            moved = np.clip(here + draws[0] * (best - np.abs(here)) - draws[1] * (worst - np.abs(here)), 0, 1)
            value = worth(moved)
            if value > values[index]:
                positions[index], values[index] = moved, value
    return np.flatnonzero(positions[values.argmax()] > 0.5)


def fit_machine(features: np.ndarray, labels: np.ndarray, chosen: np.ndarray, classes: int) -> SupportVectors:
    """Fit support vector machines, one class against the rest, as a layer that stands in for the last one.

    Parameters
    ----------
    features : numpy.ndarray
        float, (N, D), of training samples.
    labels : numpy.ndarray
        int, (N,).
    chosen : numpy.ndarray
        Indices of the features to use.
    classes : int

    Returns
    -------
    SupportVectors
    """
    from sklearn.svm import SVC

    used = features[:, chosen].astype(np.float64)
    machines = [
        SVC(C=PENALTY, gamma=GAMMA, class_weight="balanced").fit(used, labels == label) for label in range(classes)
    ]
    support = np.unique(np.concatenate([machine.support_ for machine in machines]))
    layer = SupportVectors(classes, len(support), len(chosen))
    weights = np.zeros((classes, len(support)))
    for row, machine in zip(weights, machines, strict=True):
        row[np.searchsorted(support, machine.support_)] = machine.dual_coef_[0]
    for name, value in (
        ("chosen", chosen),
        ("vectors", used[support]),
        ("weights", weights),
        ("offsets", np.array([machine.intercept_[0] for machine in machines])),
        ("gamma", np.array(GAMMA)),
    ):
        buffer = getattr(layer, name)
        buffer.copy_(torch.from_numpy(np.asarray(value)).to(buffer.dtype))
    return layer


def replace_head(network: nn.Module, samples: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, int]:
    """Put a machine on selected features into a trained network; returns what the network is now built with."""
    if not isinstance(network, DeepLeukemiaNet):
        raise TypeError(f"expected a DeepLeukemiaNet, got {type(network).__name__}")
    features = features_of(network, samples)
    chosen = select_features(features, labels, seed)
    network.machine = fit_machine(features, labels, chosen, network.head.out_features)
    network.machine.to(next(network.parameters()).device)
    return {"vectors": len(network.machine.vectors), "kept": len(chosen)}
