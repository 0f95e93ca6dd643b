"""PCA, feature selection and the support vector layer: fitted on training samples, at home in the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from leuk.errors import OptionError
from leuk.models.deep_leukemia_net import DeepLeukemiaNet
from leuk.models.systems import find_system
from leuk.models.weights import rounded
from leuk.training.presets import Preset
from leuk.training.selection import GAMMA, PENALTY, fit_components, fit_machine, select_features, set_components
from leuk.training.systems import arguments_of, extended, fit, load_fold_network, predict, train


def test_components_keep_the_share_and_no_more() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(0, 1, (3, 64))
    images = 128 + rng.normal(0, [30, 10, 3], (40, 3)) @ directions
    samples = images.clip(0, 255).astype(np.uint8).reshape(40, 8, 8, 1)
    center, basis = fit_components(samples, 0.99)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-4)
    flat = samples.reshape(40, -1) / 255 - center
    kept = ((flat @ basis.T) ** 2).sum() / (flat**2).sum()
    less = ((flat @ basis[:-1].T) ** 2).sum() / (flat**2).sum()
    assert less < 0.99 <= kept + 1e-6
    assert len(basis) <= 4


def test_even_images_have_no_components_to_speak_of() -> None:
    center, basis = fit_components(np.full((5, 4, 4, 1), 51, np.uint8))
    np.testing.assert_allclose(center, 0.2, atol=1e-6)
    assert not basis.any()


def test_components_are_no_parameters_and_act_first() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (6, 100, 100, 1), dtype=np.uint8)
    center, basis = fit_components(samples, 0.99)
    plain, wrapped = DeepLeukemiaNet().eval(), DeepLeukemiaNet(components=len(basis)).eval()
    wrapped.load_state_dict(plain.state_dict(), strict=False)
    set_components(wrapped, center, basis)
    assert sum(p.numel() for p in wrapped.parameters()) == 457_538
    x = torch.from_numpy(samples).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        # Training images lie in the space of their components; another one is moved into it.
        torch.testing.assert_close(wrapped(x), plain(x), atol=2e-2, rtol=0.1)
        other = torch.rand(1, 1, 100, 100)
        assert not torch.allclose(wrapped(other), plain(other), atol=1e-3)


def test_selection_finds_what_tells_classes_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = rng.normal(0, 1, (200, 30))
    features[:, :3] += 3 * labels[:, None]
    chosen = select_features(features, labels)
    assert set(chosen) & {0, 1, 2}
    assert len(chosen) < 30
    np.testing.assert_array_equal(chosen, select_features(features, labels))


@pytest.mark.parametrize("classes", [2, 4])
def test_layer_decides_as_the_library_does(classes: int) -> None:
    from sklearn.svm import SVC

    rng = np.random.default_rng(1)
    labels = np.arange(120) % classes
    features = rng.normal(0, 20, (120, 10)) + 40 * labels[:, None]
    chosen = np.array([1, 4, 7])
    layer = fit_machine(features, labels, chosen, classes)
    found = layer(torch.from_numpy(features).float()).numpy()
    for label in range(classes):
        machine = SVC(C=PENALTY, gamma=GAMMA, class_weight="balanced").fit(features[:, chosen], labels == label)
        np.testing.assert_allclose(found[:, label], machine.decision_function(features[:, chosen]), atol=1e-3)


def test_options_are_fitted_in_training_and_travel_with_the_weights(tmp_path: Path) -> None:
    from leuk.training.fields import TrainingSet

    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    pixels = rng.integers(0, 100, (24, 224, 224, 3), dtype=np.uint8)
    pixels[labels == 1, 60:160, 60:160] += 100
    folds = np.arange(24) // 12
    data = TrainingSet("set", tuple(map(str, range(24))), pixels, ("benign", "malignant"), labels, folds, folds)
    system = find_system("deep_leukemia_net")
    preset = Preset(epochs=2, batch=6, size=32, recount=True, pca=0.9, select=True)
    fit(system, data, tmp_path, preset, folds=[0], device="cpu", resume=True)
    arguments = arguments_of(tmp_path, 0)
    assert set(arguments) == {"components", "vectors", "kept"}
    # Twelve training fields span no more than eleven components: the held ones were not asked.
    assert 1 <= arguments["components"] <= 11
    network = load_fold_network(tmp_path, 0)
    assert predict(network, system, pixels[:2], 32).shape == (2, 2)
    assert len(rounded(network)) == len(network.state_dict())
    assert extended(system, arguments).network_arguments(32)["kept"] == arguments["kept"]


def test_options_belong_to_one_system(tmp_path: Path) -> None:
    samples, labels = np.zeros((8, 32, 32, 3), np.uint8), np.arange(8) % 4
    with pytest.raises(OptionError, match="belong to DeepLeukemiaNet"):
        train(find_system("mobilenet_v3_small"), samples, labels, Preset(epochs=1, pca=0.99), tmp_path, device="cpu")
