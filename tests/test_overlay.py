import io
import json
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from leuk import overlay
from leuk.overlay import CELL_COLOR, NUCLEUS_COLOR
from tests.readings import CLASSES, make


def unpack(data: bytes) -> tuple[dict, dict[str, bytes]]:
    assert data[:4] == b"LEUK"
    (length,) = struct.unpack("<I", data[4:8])
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    blobs = {name: rest[b["offset"] : b["offset"] + b["length"]] for name, b in header["blobs"].items()}
    assert sum(map(len, blobs.values())) == len(rest)
    return header, blobs


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round((p - 0.5) * 16).astype(np.int32) for p in polygons], 1, shift=4)
    return mask.astype(bool)


@pytest.mark.parametrize("cells", [0, 4])
def test_a_pack_comes_back_as_it_went_in(cells):
    analysis = make(cells=cells)
    packed = overlay.pack(analysis, "x.png")
    header, blobs = unpack(overlay.to_bytes(packed, name="x.png", index=2))
    assert header["name"] == "x.png"
    assert header["index"] == 2
    assert np.array_equal(opened(blobs["image"]), analysis.image.pixels)  # small images are sent without loss
    assert len(header["outlines"]) == len(header["record"]["cells"]) == len(analysis.segmentation.cells)
    assert set(header["heat"]) == set(CLASSES)
    for key in CLASSES:
        expected = analysis.explanations[key].heat * 255
        assert np.abs(opened(blobs[f"heat:{key}"]).astype(float) - expected).max() <= 0.5
    assert packed.nbytes < 200_000


def test_a_pack_says_where_all_cells_are_cut_by_the_edge():
    analysis = make()
    cells = tuple(replace(cell, touches_border=True) for cell in analysis.segmentation.cells)
    analysis = replace(analysis, segmentation=replace(analysis.segmentation, cells=cells))
    (reason,) = overlay.pack(analysis, "x.png").header["reasons"]
    assert "all cut by the edge" in reason


def test_a_pack_without_heat_maps_has_none():
    header, blobs = unpack(overlay.to_bytes(overlay.pack(make(heat=None), "x.png")))
    assert header["heat"] == {}
    assert set(blobs) == {"image"}


def test_a_camera_field_travels_small():
    packed = overlay.pack(make(size=(1000, 750), cells=2), "x.png")
    assert packed.blobs["image"][0] == "image/jpeg"
    assert packed.nbytes < 1000 * 750 * 3 / 6
    assert max(opened(packed.thumbnail).shape) == overlay.THUMBNAIL_SIDE


def test_a_huge_image_is_reduced_for_the_screen(monkeypatch):
    monkeypatch.setattr(overlay, "DISPLAY_PIXELS", 5_000)
    header, blobs = unpack(overlay.to_bytes(overlay.pack(make(), "x.png")))
    width, height = header["display"]
    assert opened(blobs["image"]).shape == (height, width, 3)
    assert 4_500 < width * height < 5_500
    assert header["record"]["width"] == 160


def test_outlines_enclose_their_cells():
    analysis = make(size=(480, 360))
    found = overlay.cell_outlines(analysis)
    assert found
    for cell, both in zip(analysis.segmentation.cells, found, strict=True):
        truth = analysis.segmentation.instances == cell.label
        for part, mask in (("cell", truth), ("nucleus", truth & analysis.segmentation.nucleus)):
            drawn = filled(both[part], truth.shape)
            assert 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum()) > 0.95


@pytest.mark.parametrize("side", [1, 2, 3, 12, 300])
def test_a_square_of_any_size_is_traced_where_it_lies(side):
    (polygon,) = overlay.trace(np.ones((side, side), bool), (40, 20))
    assert polygon.mean(axis=0) == pytest.approx([40 + side / 2, 20 + side / 2], abs=0.6)
    assert np.ptp(polygon, axis=0) == pytest.approx([side, side], abs=0.8)


def test_an_empty_mask_has_no_outline():
    assert overlay.trace(np.zeros((5, 5), bool)) == []


def test_a_hole_is_traced_too():
    ring = np.ones((60, 60), bool)
    ring[20:40, 20:40] = False
    assert len(overlay.trace(ring)) == 2


def test_nothing_drawn_leaves_the_image_as_it_is():
    analysis = make()
    assert np.array_equal(overlay.burn(analysis, cells=False, nuclei=False), analysis.image.pixels)


@pytest.mark.parametrize(("layer", "color"), [("cells", CELL_COLOR), ("nuclei", NUCLEUS_COLOR)])
def test_a_burnt_layer_shows_its_colour_at_its_edges_only(layer, color):
    analysis = make()
    image = overlay.burn(analysis, **{"cells": False, "nuclei": False, layer: True})
    assert image.shape == analysis.image.pixels.shape
    changed = (image != analysis.image.pixels).any(axis=2)
    assert np.abs(image[changed].astype(int) - color).sum(axis=1).min() < 60
    labels = analysis.segmentation.instances.astype(np.float32)
    if layer == "nuclei":
        labels[~analysis.segmentation.nucleus] = 0
    near = cv2.dilate(labels, np.ones((7, 7))) != cv2.erode(labels, np.ones((7, 7)), borderValue=0)
    near[:4], near[-4:], near[:, :4], near[:, -4:] = True, True, True, True
    assert not changed[~near].any()


def test_burnt_heat_lies_where_the_map_is_hot():
    analysis = make()
    image = overlay.burn(analysis, cells=False, nuclei=False, heat="pro_b")
    change = np.abs(image.astype(int) - analysis.image.pixels).sum(axis=2)
    assert change[:40, :60].mean() > 20
    assert change[80:, 100:].max() == 0


def test_a_flat_map_looks_flat():
    rgba = overlay.heat_rgba(np.full((4, 4), 0.04, np.float32))
    assert rgba[..., 3].max() == 10


def test_a_burnt_png_is_the_image_s_size():
    assert opened(overlay.burn_png(make(), heat="pre_b")).shape == (120, 160, 3)
