import numpy as np
import pytest
from PIL import Image

from leuk.classification import last_maps, prepare
from leuk.data import maps
from leuk.data.datasets import load_dataset
from leuk.data.measures import measure
from leuk.data.synthetic import generate
from leuk.errors import OptionError
from leuk.image import read_image
from leuk.segmentation import segment


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path / "kept"))
    root = tmp_path / "set"
    for name, style in (("benign", "benign"), ("pre", "pre")):
        (root / name).mkdir(parents=True)
        for seed in range(4):
            smear = generate(seed, 160, 160, style=style, cells=4)
            Image.fromarray(smear.image.pixels).save(root / name / f"{seed}.png")
    (root / "pre" / "broken.png").write_bytes((root / "pre" / "0.png").read_bytes()[:400])
    return load_dataset(root)


def test_embeddings_are_those_of_a_reading_and_kept(dataset, small_model, monkeypatch):
    known, told = measure(dataset), []
    found = maps.embed(dataset, small_model, lambda fraction, stage: told.append(fraction), known)
    broken = dataset.files.index("pre/broken.png")
    assert np.isnan(found[broken]).all()
    assert told == sorted(told)
    for row in set(range(len(dataset))) - {broken}:
        image = read_image(dataset.path(row))
        view = prepare(image, segment(image), small_model.card)
        np.testing.assert_allclose(found[row], last_maps(small_model, view.tiles).mean(axis=(0, 2, 3)), atol=1e-5)
    monkeypatch.setattr("leuk.classification.forward", lambda *_: pytest.fail("read once more"))
    np.testing.assert_array_equal(maps.embed(dataset, small_model, measures=known), found)


@pytest.mark.parametrize("method", maps.METHODS)
def test_a_layout_keeps_what_is_alike_together(method):
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (20, 8)), rng.normal(12, 1, (20, 8)), np.full((1, 8), np.nan)])
    places = maps.layout(features.astype(np.float32), method, keep=False)
    assert np.isnan(places[-1]).all()
    within = np.linalg.norm(places[:20] - places[:20].mean(0), axis=1).max()
    assert np.linalg.norm(places[:20].mean(0) - places[20:40].mean(0)) > 2 * within


def test_an_unknown_method_is_said():
    with pytest.raises(OptionError, match="choose one of pca, tsne"):
        maps.layout(np.zeros((5, 2), np.float32), "umap")
