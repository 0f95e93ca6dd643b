import shutil
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import skimage

from leuk.cells import TYPES
from leuk.cells.store import KINDS, load_cells, read_cell_card, run
from leuk.cli import MISUSED, READ, main
from leuk.data.synthetic import generate
from leuk.errors import DataError
from leuk.training import cells as training
from leuk.training.results import elsewhere_by_cells

TINY = {
    which: tuple(replace(recipe, epochs=1, steps=1, batch=8, widths=(8, 8, 16, 16)) for recipe in cycles)
    for which, cycles in training.RECIPES.items()
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder laid out as the shared data, a few synthetic smears in each place."""
    root = tmp_path_factory.mktemp("data")

    def put(folder, count, first, size=150, cells=2, suffix=".png"):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            smear = generate(first + i, size, size, style="pre", cells=cells)
            cv2.imwrite(str(root / folder / f"{folder.replace('/', '-')}-{i}{suffix}"), smear.image.pixels[..., ::-1])

    for number, name in enumerate(KINDS):
        put(f"pbc/{name}", 6, 10 * number)
    for number, name in enumerate(("Benign", "Early", "Pre", "Pro")):
        put(f"taleqani/Original/{name}", 4, 100 + 10 * number, size=200, cells=4)
    (root / "ood" / "photo").mkdir(parents=True)
    for i in range(6):  # in which something is taken for cells
        cv2.imwrite(str(root / "ood" / "photo" / f"coins-{i}.png"), np.roll(skimage.data.coins(), 40 * i, axis=1))
    put("all_idb2/img", 0, 0)
    for i, blast in enumerate((1, 0, 1, 0)):
        smear = generate(300 + i, 150, 150, style="pre", cells=1)
        cv2.imwrite(str(root / "all_idb2" / "img" / f"Im00{i}_{blast}.png"), smear.image.pixels[..., ::-1])
    return root


@pytest.fixture(scope="module")
def begun(data, tmp_path_factory):
    """A run for which cells are gathered and nothing is trained."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    training.cells_of(data, folder, str)
    return folder


def test_from_pictures_to_weights_and_a_card_with_figures(data, tmp_path, monkeypatch):
    told = []
    training.fit(data, tmp_path / "run", told.append, TINY)
    card = training.finish(data, tmp_path / "run", tmp_path / "weights", told.append, TINY)
    assert card.types == TYPES
    assert 0 <= card.metrics["pbc"]["macro_f1"]["value"] <= 1
    assert card.metrics["all_idb2"]["cells"] == 4
    assert np.sum(card.metrics["pbc"]["confusion"]) <= card.metrics["pbc"]["cells"]
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path / "weights"))
    assert load_cells().card.sha256 == card.sha256
    # What the coins taught comes back with the weights, and is measured by source.
    cells = training.cells_of(data, tmp_path / "run", told.append)
    assert (cells.of("no smear") & (cells.fold != training.HELD_OUT)).any()
    line = training.fit_artefact(cells, load_cells().networks)
    assert np.allclose(line, load_cells().artefact, atol=1e-3 * np.abs(line).max())
    features = run(load_cells().networks, cells)["features"]
    strange = load_cells().strangeness(features) + training.ARTEFACT_MARGIN
    assert strange[cells.of("no smear")].mean() > 0 > strange[cells.of("pbc")].mean()
    assert card.metrics["artefacts"]["pbc"]["pictures"] == card.metrics["pbc"]["cells"]
    # Pictures elsewhere: which were read, and that the card keeps those of both calls.
    with pytest.raises(DataError, match="holds no picture"):
        training.add_elsewhere([data / "ood"])
    command = ["evaluate", "cells", "--elsewhere"]
    assert main([*command, str(data / "all_idb2" / "img")]) == READ
    # Of PBC's pictures those that the types were trained on are left out.
    held = [n for kind in KINDS for n in (data / "pbc" / kind).iterdir() if not training.fold_of(f"{kind}/{n.name}")]
    assert held
    assert main([*command, str(data / "pbc")]) == READ
    places = read_cell_card(tmp_path / "weights").metrics["elsewhere"]
    assert {name: place["images"] for name, place in places.items()} == {"all_idb2": 4, "pbc": len(held)}
    assert places["pbc"]["sensitivity"] is None
    assert f"of {len(held)} normal cells of PBC" in elsewhere_by_cells()
    assert main([*command, str(data / "pbc"), "--run", str(data)]) == main(command[:2]) == MISUSED
    # Measured again, the weights call cells what their card says; what was read elsewhere stays. The areas of networks
    # so briefly trained hang on the last digits of scores that are nearly equal.
    path, known = tmp_path / "weights" / "cells.json", read_cell_card(tmp_path / "weights").metrics
    path.write_text(path.read_text().replace('"macro_f1"', '"forgotten"'))
    assert main([*command[:2], "--data", str(data)]) == READ
    again = read_cell_card(path.parent).metrics
    assert again.keys() == known.keys()
    assert again["pbc"] == known["pbc"]
    assert again["elsewhere"] == known["elsewhere"]
    # A finished run is not trained again.
    lines = len(told)
    training.fit(data, tmp_path / "run", told.append, TINY)
    assert len(told) == lines


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not_stopped(data, begun, tmp_path):
    cells = training.cells_of(data, begun, str)
    recipe = replace(TINY["blasts"][0], epochs=2)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(cells, "blasts", recipe, tmp_path / "a", stop)
    resumed = training.train(cells, "blasts", recipe, tmp_path / "a", str)
    whole = training.train(cells, "blasts", recipe, tmp_path / "b", str)
    for a, b in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert np.allclose(a.numpy(), b.numpy(), atol=1e-5)
    with pytest.raises(DataError, match="another recipe"):
        training.train(cells, "blasts", replace(recipe, rate=1.0), tmp_path / "a", str)


def test_a_folder_without_the_sources_is_refused(tmp_path):
    with pytest.raises(DataError, match="pbc"):
        training.gather(tmp_path, str)


def test_a_run_goes_on_with_its_own_pictures_alone(data, begun, tmp_path):
    cells = training.cells_of(data, begun, str)
    other = tmp_path / "other"
    shutil.copytree(data, other)
    assert (training.cells_of(other, begun, str).pixels == cells.pixels).all()
    # A run that was begun before contents were noted is known by its pictures' names.
    (tmp_path / "old").mkdir()
    np.savez(tmp_path / "old" / "cells.npz", **{f.name: getattr(cells, f.name) for f in fields(cells)})
    picture = other / "pbc" / KINDS[0] / f"pbc-{KINDS[0]}-0.png"
    picture.write_bytes(picture.with_name(f"pbc-{KINDS[0]}-1.png").read_bytes())
    with pytest.raises(DataError, match="not of the pictures that"):
        training.cells_of(other, begun, str)
    assert len(training.cells_of(other, tmp_path / "old", str)) == len(cells)
    shutil.copy(picture, picture.with_name("new.png"))
    for changed in (other, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="name another folder with --run"):
            training.cells_of(changed, tmp_path / "old", str)


@pytest.mark.parametrize("which", ["types", "blasts"])
def test_a_changed_crop_shows_nothing_beyond_the_cell(which):
    y, x = np.mgrid[:64, :64] - 32
    mask = (x**2 + y**2 < 15**2).astype(np.uint8)
    image = np.full((64, 64, 3), (200, 120, 130), np.uint8)  # all around lies what must not be seen
    image[mask > 0] = (110, 60, 150)
    recipe = replace(training.RECIPES[which][-1], grey=0.5, tone=0.5)
    for seed in range(20):
        density = training.change(image, mask, np.full(3, 240, np.float32), recipe, np.random.default_rng(seed))
        assert density.shape == (3, 64, 64)
        assert np.isfinite(density).all()
        assert np.abs(density[:, :2]).max() == np.abs(density[:, :, -2:]).max() == 0


@pytest.mark.parametrize(
    ("scores", "area"), [([0.1, 0.2, 0.8, 0.9], 1.0), ([0.5] * 4, 0.5), ([0.9, 0.8, 0.2, 0.1], 0.0)]
)
def test_the_area_under_the_curve(scores, area):
    assert training.auroc(np.array([False, False, True, True]), np.array(scores)) == pytest.approx(area)
