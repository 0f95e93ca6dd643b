"""The bundled reader on real pictures: what it was trained on it reads, what is no smear it does not pretend to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.analysis import analyze
from leuk.classification import CANNOT_TELL
from leuk.data.taleqani import FOLDERS
from leuk.image import SmearImage, find_images, read_image


@pytest.fixture(autouse=True)
def _bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEUK_WEIGHTS", raising=False)


@pytest.mark.parametrize(("folder", "expected"), FOLDERS.items())
def test_fields_it_was_trained_on(folder: str, expected: str, data_dir: Path) -> None:
    paths = find_images([data_dir / "taleqani" / "Original" / folder])
    found = [analyze(read_image(path), device="cpu").prediction for path in paths[:: len(paths) // 15]]
    assert all(len(reading.tiles) == 1 for reading in found), "a field of the training scale is read whole"
    likeliest = [reading.classes[max(range(4), key=reading.probabilities.__getitem__)] for reading in found]
    assert likeliest.count(expected) / len(found) > 0.85
    assert sum(reading.outside for reading in found) / len(found) < 0.2


@pytest.mark.parametrize("factor", [0.5, 0.6, 1.6])
def test_fields_at_another_magnification_are_read_by_their_cells(factor: float, data_dir: Path) -> None:
    sets = [find_images([data_dir / "taleqani" / "Original" / folder]) for folder in FOLDERS]
    right = []
    for path in (one for paths in sets for one in paths[:: len(paths) // 5][:5]):
        image = read_image(path)
        side = round(image.width * factor)
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        other = SmearImage.from_array(cv2.resize(image.pixels, (side, side), interpolation=how), path.name)
        found = analyze(other, device="cpu").prediction
        likeliest = found.classes[max(range(4), key=found.probabilities.__getitem__)]
        right.append(likeliest == FOLDERS[path.parent.name])
    assert sum(right) / len(right) > 0.84


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 0, 0)])
def test_a_scale_bar_changes_no_reading(ink: tuple[int, int, int], data_dir: Path) -> None:
    for folder, expected in FOLDERS.items():
        path = find_images([data_dir / "taleqani" / "Original" / folder])[40]
        pixels = read_image(path).pixels.copy()
        cv2.line(pixels, (8, 212), (46, 212), ink, 2)
        cv2.putText(pixels, "50 um", (8, 206), cv2.FONT_HERSHEY_SIMPLEX, 0.38, ink, 1, cv2.LINE_AA)
        found = analyze(SmearImage.from_array(pixels, path.name), device="cpu").prediction
        assert found.suggestion == expected
        assert not found.outside
        assert any("scale bar" in reason for reason in found.reasons)


@pytest.mark.parametrize("drawn", ["black arrow", "red arrow", "red ring", "black frame"])
def test_marks_and_frames_change_no_reading(drawn: str, data_dir: Path) -> None:
    for folder, expected in FOLDERS.items():
        path = find_images([data_dir / "taleqani" / "Original" / folder])[40]
        pixels = read_image(path).pixels.copy()
        ink = (255, 0, 0) if "red" in drawn else (0, 0, 0)
        if "arrow" in drawn:
            cv2.arrowedLine(pixels, (150, 60), (118, 105), ink, 4, tipLength=0.4)
        elif "ring" in drawn:
            cv2.circle(pixels, (112, 112), 30, ink, 2, cv2.LINE_AA)
        else:
            pixels = cv2.copyMakeBorder(pixels, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=ink)
        found = analyze(SmearImage.from_array(pixels, path.name), device="cpu").prediction
        assert found.suggestion == expected
        assert not found.outside
        assert any("was covered" in reason or "lies around the field" in reason for reason in found.reasons)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_field_is_known_too(turns: int, data_dir: Path) -> None:
    """Its scale bar then stands where no field of training has one."""
    paths = find_images([data_dir / "taleqani" / "Original" / "Early"])[240:600:60]
    for path in paths:
        turned = SmearImage.from_array(np.ascontiguousarray(np.rot90(read_image(path).pixels, turns)), path.name)
        found = analyze(turned, device="cpu").prediction
        assert not found.outside
        assert found.suggestion == FOLDERS["Early"]


@pytest.mark.parametrize("folder", ["photo", "xray"])
def test_pictures_that_are_no_smears(folder: str, data_dir: Path) -> None:
    paths = find_images([data_dir / "ood" / folder])
    found = [analyze(read_image(path), device="cpu").prediction for path in paths[:: len(paths) // 15]]
    assert sum(reading.suggestion == CANNOT_TELL for reading in found) / len(found) > 0.9


def test_heat_maps_of_a_real_field_under_threads(data_dir: Path) -> None:
    """Two hundred maps asked for by four threads on the bundled reader, each equal to its single-threaded twin."""
    from concurrent.futures import ThreadPoolExecutor

    from leuk.classification import prepare
    from leuk.explanation import raw_maps
    from leuk.models.store import load_model
    from leuk.segmentation import segment

    model = load_model("reader", "cpu")
    paths = find_images([data_dir / "taleqani" / "Original"])[::252]
    images = [read_image(path) for path in paths[:10]]
    tiles = [prepare(image, segment(image), model.card).tiles for image in images]
    jobs = [(tile, target, method) for tile in tiles for target in range(4) for method in ("gradcam", "layercam")]
    jobs = (jobs * 3)[:200]
    alone = [raw_maps(model, tile, [target], method) for tile, target, method in jobs[:80]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: raw_maps(model, job[0], [job[1]], job[2]), jobs))
    for number, heat in enumerate(together):
        np.testing.assert_array_equal(heat, alone[number % 80])


def test_heat_lies_where_hiding_costs_the_reader_most(data_dir: Path) -> None:
    """Each of a hundred squares blurred in turn; benchmarks/heat.py measures it on more fields and all methods."""
    from benchmarks.heat import SQUARES, agreement, cost
    from leuk.classification import prepare
    from leuk.explanation import raw_maps
    from leuk.models.store import load_model
    from leuk.segmentation import segment

    model = load_model("reader", "cpu")
    told = []
    for path in find_images([data_dir / "taleqani" / "Original"])[100::500]:
        image = read_image(path)
        tile = prepare(image, segment(image), model.card).tiles[0]
        target, lost = cost(model, tile, SQUARES)
        heat = raw_maps(model, tile[None], [target], "hirescam")[0, 0]
        told.append((agreement(heat, lost), agreement(heat[::-1], lost)))
    upright, upside_down = np.mean(told, axis=0)
    assert upright > 0.25
    assert upright > upside_down + 0.2


def test_a_piece_of_a_normal_cell_is_no_blast(data_dir: Path) -> None:
    """Shown as it is, half of a neutrophil looks like one: of these 48 pieces 14 did."""
    called = []
    for kind in ("neutrophil", "eosinophil", "monocyte", "lymphocyte"):
        paths = find_images([data_dir / "pbc" / kind])
        for path in paths[:: len(paths) // 6][:6]:
            image = read_image(path)
            x, side = image.width // 2, image.height // 8
            for part in (image.pixels[:, :x], image.pixels[:, : x + side]):
                piece = analyze(SmearImage.from_array(np.ascontiguousarray(part), path.name), device="cpu")
                called += [
                    kind.type
                    for cell, kind in zip(piece.segmentation.cells, piece.cell_types, strict=bool(piece.cell_types))
                    if cell.box[2] >= part.shape[1] and cell.box[1] <= image.height // 2 <= cell.box[3]
                ]
    assert len(called) > 30
    assert called.count("blast") / len(called) < 0.1


def test_smudges_are_suggested_and_cells_are_not(data_dir: Path) -> None:
    """By eye four of Im057 and Im049 are burst nuclei; no smudge was learnt from their laboratory or the other."""
    told = []
    for name in ("Im057_1", "Im049_1"):
        types = analyze(read_image(data_dir / "all_idb1" / "im" / f"{name}.jpg"), device="cpu").cell_types
        told.append(sum(cell.type == "artefact" for cell in types))
        assert told[-1] <= len(types) / 5
    assert sum(told) >= 3
    whole = find_images([data_dir / "all_idb2" / "img"])[::3]
    types = [cell.type for path in whole for cell in analyze(read_image(path), device="cpu").cell_types]
    assert len(types) > 8
    assert "artefact" not in types
