import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import skimage
import torch

from leuk.analysis import analyze
from leuk.cells import ARTEFACT, TYPES, UNIDENTIFIED, crops, smudges
from leuk.cells import store as cells
from leuk.cells.network import CellNetwork
from leuk.data.synthetic import generate
from leuk.errors import ModelError
from leuk.image import SmearImage
from leuk.models.cards import available
from leuk.segmentation import Segmentation
from leuk.segmentation.field import find_field
from leuk.segmentation.morphometry import measure


@pytest.fixture
def model(cell_weights, monkeypatch):
    monkeypatch.setenv("LEUK_WEIGHTS", str(cell_weights))
    return cells.load_cells()


def segmented(smear):
    found = measure(smear.image.pixels, smear.nucleus, smear.instances)
    return Segmentation(smear.nucleus, smear.cell, smear.instances, found, "default")


def test_every_cell_gets_a_type_and_probabilities(model):
    smear = generate(11, 300, 240, style="pre", cells=7)
    told = segmented(smear)
    found = cells.classify_cells(smear.image, told, model)
    assert [cell.label for cell in found] == list(range(1, len(found) + 1))
    assert len(found) == smear.instances.max() > 0
    for cell in found:
        best = TYPES[int(np.argmax(cell.probabilities))]
        if not crops.mostly_seen(told.cells[cell.label - 1], 240, 300):
            continue
        assert cell.type == (best if max(cell.probabilities) >= model.card.confident else UNIDENTIFIED)


def test_no_cell_no_type(model):
    smear = generate(3, 160, 120, cells=0)
    assert cells.classify_cells(smear.image, segmented(smear), model) == ()


def test_what_it_cannot_tell_is_unidentified(model):
    strict = cells.CellModel(replace(model.card, confident=1.01), model.networks)
    smear = generate(11, 200, 160, style="pre", cells=3)
    assert {c.type for c in cells.classify_cells(smear.image, segmented(smear), strict)} == {UNIDENTIFIED}


def features_of(model):
    """How many features a cell has."""
    smear = generate(11, 200, 160, style="pre", cells=1)
    return cells.run(model.networks, crops.cut(smear.image.pixels, segmented(smear)))["features"].shape[1]


@pytest.mark.parametrize("name", ["astronaut", "camera", "coins", "moon", "clock", "page", "retina"])
def test_what_is_found_in_a_picture_of_no_smear_is_given_no_type(name):
    seen = getattr(skimage.data, name)()
    seen = np.repeat(seen[..., None], 3, axis=2) if seen.ndim == 2 else seen
    found = analyze(SmearImage.from_array(seen, name))
    assert found.segmentation.cells
    assert found.cell_types == ()
    assert (found.prediction.suggestion, found.prediction.outside) == ("cannot_tell", True)
    strange, outside = found.prediction.reasons
    assert "does not look like stained white cells" in strange
    assert "lies outside" in outside, "and no word of surrounds or lettering, where nothing was read"


def test_red_cells_and_the_black_around_cut_out_ones_stand_surety_for_cells(model):
    """Whatever a cell looks like: among red cells it is in a smear."""
    strange = cells.CellModel(model.card, model.networks, np.append(np.zeros(features_of(model)), 1.0))
    smear = generate(11, 300, 240, style="pre", cells=4)
    told = segmented(smear)
    count = len(told.cells)
    assert len(cells.classify_cells(smear.image, told, strange, red=np.full(5, 20.0))) == count
    assert cells.classify_cells(smear.image, told, strange, red=np.full(4, 20.0)) == ()
    field = replace(find_field(smear.image.pixels), cutouts=smear.instances)
    assert len(cells.classify_cells(smear.image, told, strange, field, red=np.zeros(0))) == count


def test_what_looks_like_a_smudge_is_suggested_as_one_unless_it_looks_like_a_platelet(model):
    """Rims of cells that were cut out are those of the cutting, and are not asked about."""
    always = np.append(np.zeros(features_of(model) + smudges.MORE), 1.0)
    everything = cells.CellModel(model.card, model.networks, smudge=always)
    smear = generate(11, 300, 240, style="pre", cells=7)
    told = segmented(smear)
    plain, found = (cells.classify_cells(smear.image, told, one) for one in (model, everything))
    assert [cell.probabilities for cell in found] == [cell.probabilities for cell in plain]
    platelet = [int(np.argmax(cell.probabilities)) == TYPES.index("platelet") for cell in plain]
    assert [cell.type == ARTEFACT for cell in found] == [not one for one in platelet]
    field = replace(find_field(smear.image.pixels), cutouts=smear.instances)
    assert ARTEFACT not in {cell.type for cell in cells.classify_cells(smear.image, told, everything, field)}


def test_of_little_of_a_cell_no_type_is_told(model):
    smear = generate(11, 300, 240, style="pre", cells=1, margin=1.5)
    told = segmented(smear)
    (cell,) = told.cells
    x0, _, x1, _ = cell.box
    for share, unidentified in ((0.3, True), (0.7, False)):
        end = round(x0 + share * (x1 - x0))
        part = SmearImage.from_array(np.ascontiguousarray(smear.image.pixels[:, :end]), "part")
        labels = np.ascontiguousarray(smear.instances[:, :end])
        inside = measure(part.pixels, smear.nucleus[:, :end], labels)
        piece = Segmentation(smear.nucleus[:, :end], labels > 0, labels, inside, "default")
        eager = cells.CellModel(replace(model.card, confident=0.01), model.networks)
        (kind,) = cells.classify_cells(part, piece, eager, red=np.full(9, 20.0))
        assert (kind.type == UNIDENTIFIED) == unidentified


def test_weights_of_cells_are_no_model_that_reads_fields(cell_weights, monkeypatch):
    monkeypatch.setenv("LEUK_WEIGHTS", str(cell_weights))
    assert cells.has_cells()
    assert available() == ()


@pytest.mark.parametrize(
    "fault", ["missing", "no json", "other weights", "other types", "other widths", "other line", "other smudge"]
)
def test_weights_that_do_not_fit_their_card_are_refused(model, cell_weights, tmp_path, monkeypatch, fault):
    for path in cell_weights.iterdir():
        shutil.copy(path, tmp_path)
    card, weights = tmp_path / "cells.json", tmp_path / "cells.safetensors"
    content = json.loads(card.read_text())
    if fault == "missing":
        weights.unlink()
    elif fault == "no json":
        card.write_text("{")
    elif fault == "other weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif fault == "other types":
        card.write_text(json.dumps({**content, "types": content["types"][1:]}))
    elif fault == "other line":
        cells.save_cells(tmp_path, model.card, model.networks, np.ones(3))
    elif fault == "other smudge":
        cells.save_cells(tmp_path, model.card, model.networks, smudge=np.ones(features_of(model) + 1))
    else:
        content["arguments"]["types"]["widths"] = [8, 8, 16, 32]
        card.write_text(json.dumps(content))
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match="restore|use"):
        cells.load_cells()


def test_the_network_overlooks_depth_and_tint_of_the_stain_but_knows_the_size():
    torch.manual_seed(0)
    network = CellNetwork(3, (8, 8, 16, 16)).eval()
    density = torch.rand(2, 3, 48, 48)
    sizes = torch.tensor([1.5, float("nan")])
    with torch.inference_mode():
        plain = network(density, sizes)
        assert torch.allclose(network(density * torch.tensor([0.5, 0.8, 1.7])[:, None, None], sizes), plain, atol=0.02)
        assert torch.isfinite(plain).all()
        other = network(density, torch.tensor([3.0, float("nan")]))
    assert not torch.allclose(other[0], plain[0], atol=1e-3)
    assert torch.allclose(other[1], plain[1], atol=1e-5)


def test_joined_probabilities_are_those_of_a_blast_and_of_each_type_if_it_is_none():
    logits = {"types": np.log([[0.5, 0.5, *[1e-9] * 6]]), "blasts": np.log([[0.2, 0.8]])}
    (p,) = cells.combine(logits, {"types": 1.0, "blasts": 1.0})
    assert p[TYPES.index("blast")] == pytest.approx(0.8)
    assert p[0] == pytest.approx(0.1)
    assert p.sum() == pytest.approx(1)
    assert cells.combine({"types": np.zeros((0, 8)), "blasts": np.zeros((0, 2))}, {"types": 1, "blasts": 1}).shape == (
        0,
        9,
    )


@pytest.mark.parametrize(
    ("name", "certain", "blast"),
    [
        # Detail that no blast has speaks against one, where it is beyond doubt.
        ("basophil", 0.999, False),
        ("platelet", 0.999, False),
        ("basophil", 0.9, True),
        # These are what a blast looks like to a network that was shown none.
        ("lymphocyte", 0.999, True),
        ("ig", 0.999, True),
        ("erythroblast", 0.999, True),
    ],
)
def test_a_cell_that_is_surely_of_a_mature_type_is_no_blast(name, certain, blast):
    kinds = np.full(len(cells.KINDS), (1 - certain) / (len(cells.KINDS) - 1))
    kinds[cells.KINDS.index(name)] = certain
    logits = {"types": np.log(kinds[None]), "blasts": np.log([[0.25, 0.75]])}
    (p,) = cells.combine(logits, {"types": 1.0, "blasts": 1.0})
    assert TYPES[int(p.argmax())] == ("blast" if blast else name)
    assert p.sum() == pytest.approx(1)
    (p,) = cells.combine(logits, {"types": 1.0, "blasts": 1.0}, cut_out=True)
    assert p[TYPES.index("blast")] == pytest.approx(0.75)


def test_two_certainties_that_contradict_each_other_give_probabilities_all_the_same():
    logits = {"types": np.array([[0.0, 0, 0, 900, 0, 0, 0, 0]]), "blasts": np.array([[0.0, 900]])}
    (p,) = cells.combine(logits, {"types": 1.0, "blasts": 1.0})
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_crop_shows_the_cell_at_one_size_and_nothing_around_it(scale):
    size = round(200 * scale)
    y, x = np.mgrid[:size, :size] - size / 2
    cell = x**2 + y**2 < (20 * scale) ** 2
    pixels = np.full((size, size, 3), 240, np.uint8)
    pixels[cell] = (120, 60, 150)
    pixels[(np.abs(x) > 26 * scale)] = (200, 90, 90)  # a neighbour
    labels = cell.astype(np.int32)
    found = Segmentation(cell, cell, labels, measure(pixels, cell, labels), "default")
    cut = crops.cut(pixels, found)
    diameter = 2 * (np.count_nonzero(cut.masks[0]) / np.pi) ** 0.5
    assert diameter == pytest.approx(crops.DIAMETER, rel=0.04)
    density = crops.to_density(cut.pixels[0], cut.masks[0], cut.white)
    assert density.shape == (3, crops.SIDE, crops.SIDE)
    assert density[1, 48, 48] == pytest.approx(np.log10(240 / 60), abs=0.02)
    assert np.abs(density[:, :8]).max() == 0
    assert np.abs(density[:, :, :8]).max() == 0


@pytest.mark.parametrize("share", [0.5, 0.75, 0.97])
@pytest.mark.parametrize("sides", ["l", "r", "t", "b", "lt", "rb"])
def test_a_cell_that_the_edge_cuts_is_completed(share, sides):
    """Of half a cell or more its mirror image makes a whole one, of its own size, with the nucleus in the middle."""
    y, x = np.mgrid[:160, :160] - 80
    cell, nucleus = x**2 + y**2 <= 30**2, x**2 + y**2 <= 15**2
    pixels = np.full((160, 160, 3), 240, np.uint8)
    pixels[cell], pixels[nucleus] = (180, 160, 200), (90, 40, 130)
    kept = round(share * 61)
    rows = slice(80 + 31 - kept if "t" in sides else 0, 80 - 30 + kept if "b" in sides else 160)
    columns = slice(80 + 31 - kept if "l" in sides else 0, 80 - 30 + kept if "r" in sides else 160)
    pixels, cell, nucleus = (np.ascontiguousarray(part[rows, columns]) for part in (pixels, cell, nucleus))
    labels = cell.astype(np.int32)
    found = Segmentation(nucleus, cell, labels, measure(pixels, nucleus, labels), "default")
    assert found.cells[0].touches_border
    cut = crops.cut(pixels, found, red=np.full(5, 30.0))
    (mask,), (image,) = cut.masks, cut.pixels
    assert cut.sizes[0] == pytest.approx(2, rel=0.08)
    middle = (np.mgrid[: crops.SIDE, : crops.SIDE] - (crops.SIDE - 1) / 2) ** 2
    disk = middle.sum(axis=0) <= (crops.DIAMETER / 2) ** 2
    assert 2 * np.count_nonzero(mask & disk) / (np.count_nonzero(mask) + np.count_nonzero(disk)) > 0.96
    inner = middle.sum(axis=0) <= (crops.DIAMETER / 4) ** 2
    dark = image[..., 1] < 100
    assert 2 * np.count_nonzero(dark & inner) / (np.count_nonzero(dark) + np.count_nonzero(inner)) > 0.9


@pytest.mark.parametrize(("red", "size"), [([20.0, 20.0], 2.0), ([20.0], None), ([4.0, 4.0], None)])
def test_a_cell_is_sized_by_its_red_cells_but_neither_by_one_nor_by_specks(red, size):
    y, x = np.mgrid[:100, :100] - 50
    cell = x**2 + y**2 < 20**2
    pixels = np.where(cell[..., None], (120, 60, 150), 240).astype(np.uint8)
    labels = cell.astype(np.int32)
    found = Segmentation(cell, cell, labels, measure(pixels, cell, labels), "default")
    (told,) = crops.cut(pixels, found, red=np.array(red)).sizes
    assert np.isnan(told) if size is None else told == pytest.approx(size, rel=0.02)


def test_a_cell_cut_by_the_edge_and_a_single_pixel_have_crops():
    pixels = np.full((40, 50, 3), 200, np.uint8)
    labels = np.zeros((40, 50), np.int32)
    labels[:9, :9] = 1
    labels[39, 49] = 2
    found = Segmentation(labels > 5, labels > 0, labels, measure(pixels, labels > 5, labels), "default")
    cut = crops.cut(pixels, found)
    assert cut.pixels.shape == (2, crops.SIDE, crops.SIDE, 3)
    assert np.isnan(cut.sizes).all()
