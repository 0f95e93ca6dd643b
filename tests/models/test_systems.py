"""The networks are the ones described, and the registry says of them what is true."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from leuk.errors import ModelError, OptionError
from leuk.models.backbones import halves
from leuk.models.cards import read_card, weights_folder
from leuk.models.network import GroupNorm
from leuk.models.preprocessing import CELLS, PREPROCESSINGS, preprocess
from leuk.models.systems import SYSTEMS, build_network, cost, find_system

SMALL = ("deep_leukemia_net", "deep_leukemia_net_four", "mobilenet_v3_small", "simple_cnn")


def test_deep_leukemia_net_has_31_convolutions_and_457538_parameters() -> None:
    network = build_network(find_system("deep_leukemia_net"))
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == 31
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 457_538
    assert network.width == 2304
    assert network(torch.rand(2, 1, 100, 100)).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("deep_leukemia_net", 457_538), ("deep_leukemia_net_four", 509_380), ("simple_cnn", 3_024_788)],
)
def test_published_counts(name: str, parameters: int) -> None:
    assert cost(find_system(name))[0] == parameters


def test_group_norm_is_the_same_in_bfloat16_but_for_rounding() -> None:
    norm = GroupNorm(2, 8)
    x = torch.randn(2, 8, 40, 40).add(30).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    assert y.dtype == x.dtype
    exactly = x.detach().double().requires_grad_()
    other = torch.nn.functional.group_norm(exactly, 2)
    torch.testing.assert_close(y.double(), other, rtol=0.01, atol=0.001)
    weights = torch.randn_like(other)
    (y * weights).sum().backward()
    (other * weights).sum().backward()
    assert x.grad is not None
    assert exactly.grad is not None
    torch.testing.assert_close(x.grad.double(), exactly.grad, rtol=0.02, atol=0.02 * float(exactly.grad.std()))


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "reader"])
def test_registry_counts_are_the_networks_own(name: str) -> None:
    system = find_system(name)
    assert cost(system) == (system.parameters, system.multiply_adds)


def test_resnet152_v2_is_keras_own_below_the_head() -> None:
    with torch.device("meta"):
        network = build_network(find_system("resnet152_v2"))
    head = ("dense1", "dense2", "norm1", "norm2", "head")
    body = sum(p.numel() for name, p in network.named_parameters() if name.split(".")[0] not in head)
    assert body == 58_187_904


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "reader"])
def test_any_system_gives_what_reading_and_heat_maps_need(name: str) -> None:
    """On shapes alone: a middle stage, last maps, and logits that depend on these only."""
    system = find_system(name)
    with torch.device("meta"):
        network = build_network(system, 128).eval()
        middle, last = network.activations(torch.zeros(2, system.channels, 128, 128))
        assert middle.ndim == last.ndim == 4
        assert network.read(last).shape == (2, len(system.classes))
        assert network.describe(middle).shape == (2, 2 * middle.shape[1])
        # A covariance of the description has to be fitted from a few thousand fields.
        assert 2 * middle.shape[1] <= 512


@pytest.mark.parametrize("name", [*SMALL, "reader", "cell_reader"])
def test_forward_is_read_of_features(name: str) -> None:
    system = find_system(name)
    torch.manual_seed(0)
    network = build_network(system, 64).eval()
    picture = torch.rand(2, system.channels, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), network.read(network.features(picture)))
        torch.testing.assert_close(network(picture), network.read_fine(network.fine(picture)))


def test_dropout_is_off_when_reading() -> None:
    torch.manual_seed(0)
    network = build_network(find_system("densenet201_ball")).eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), network(picture))


def test_registry_is_listed_without_torch() -> None:
    code = "import sys; from leuk.models.systems import SYSTEMS; from leuk.models.cards import available; available(); "
    subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=True)


def test_unknown_system_is_refused() -> None:
    with pytest.raises(OptionError, match="choose one of: reader"):
        find_system("oracle")


def test_no_pretrained_weights_where_there_are_none() -> None:
    with pytest.raises(ModelError, match="without --pretrained"):
        build_network(find_system("simple_cnn"), pretrained=True)


def test_offline_pretraining_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    def fail(*arguments: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(ModelError, match="can't be downloaded here; go online"):
        halves("mobilenet_v3_small", pretrained=True)


@pytest.mark.parametrize("name", [name for name in PREPROCESSINGS if name != CELLS])
@pytest.mark.parametrize("size", [None, 40])
def test_preprocessing_gives_its_channels(name: str, size: int | None) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    before = tiles.copy()
    found = preprocess(tiles, name, size)
    assert found.shape == (2, size or 96, size or 96, PREPROCESSINGS[name][1])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(tiles, before)


def test_unknown_preprocessing_is_refused() -> None:
    with pytest.raises(ModelError, match="no preprocessing 'x-ray'"):
        preprocess(np.zeros((1, 32, 32, 3), np.uint8), "x-ray")


def test_segmented_keeps_only_the_window() -> None:
    purple, pink = (120, 60, 190), (240, 200, 210)
    field = np.full((1, 32, 32, 3), pink, np.uint8)
    field[:, 8:20, 8:20] = purple
    found = preprocess(field, "segmented")[0]
    assert not found[:8].any()
    assert found[8:20, 8:20].any(axis=2).all() == (found[10, 10].any())


def test_a_kmeans_keeps_pixels_or_paints_them_black() -> None:
    from leuk.data.synthetic import generate

    field = generate(5, 224, 224, style="pre", cells=6).image.pixels
    found = preprocess(field[None], "a_kmeans")[0]
    kept = found.any(axis=2)
    assert 0.01 < kept.mean() < 0.6
    np.testing.assert_array_equal(found[kept], field[kept])


def test_edges_are_bright_where_cells_end() -> None:
    field = np.full((1, 64, 64, 3), 220, np.uint8)
    field[:, :, 32:] = 90
    found = preprocess(field, "edges")[0, :, :, 0].astype(int)
    assert found[20:44, 30:34].mean() > 100
    assert found[20:44, 4:12].mean() < 5


def test_a_claim_stands_beside_the_one_network_that_it_is_of() -> None:
    claims = [(one.paper, one.claimed_accuracy) for one in SYSTEMS.values() if one.claimed_accuracy is not None]
    assert len(set(claims)) == len(claims)
    for path in weights_folder().glob("*.json"):
        if path.stem in SYSTEMS and (card := read_card(path)).claim:
            assert card.claim == SYSTEMS[path.stem].claim, path.name
