"""Synthetic smears: what was asked for is in the picture, and the truth says so."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from leuk.data.synthetic import KINDS, STYLES, CellKind, SyntheticSmear, generate, samples, write_samples
from leuk.errors import LeukError, OptionError
from leuk.image import read_image
from leuk.segmentation import segment

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def check_truth(smear: SyntheticSmear, width: int, height: int, cells: int) -> None:
    """Whatever was asked for, the truth must agree with itself."""
    shape = (height, width)
    assert smear.image.pixels.shape == (*shape, 3)
    assert smear.image.pixels.dtype == np.uint8
    assert smear.nucleus.shape == smear.cell.shape == smear.instances.shape == shape
    assert smear.nucleus.dtype == smear.cell.dtype == bool
    assert smear.instances.dtype == np.int32
    assert np.array_equal(smear.cell, smear.instances > 0)
    assert not (smear.nucleus & ~smear.cell).any()
    assert len(smear.kinds) == cells
    assert np.array_equal(np.unique(smear.instances[smear.cell]), np.arange(1, cells + 1))
    for label in range(1, cells + 1):
        assert (smear.nucleus & (smear.instances == label)).any(), f"cell {label} has no nucleus"


def dice(truth: np.ndarray, found: np.ndarray) -> float:
    return float(2 * (truth & found).sum() / max(int(truth.sum() + found.sum()), 1))


def typical(style: str, seed: int) -> SyntheticSmear:
    """Draw a field as large as those the style was modelled on."""
    size = {"camera": (780, 640), "lilac": (640, 480), "peach": (300, 300), "yellow": (120, 120)}.get(style, (224, 224))
    options: dict[str, float] = {"cells": 10, "cell_diameter": 130} if style == "camera" else {}
    if STYLES[style].cells == 1:
        options["margin"] = 1.05
    return generate(seed, *size, style=style, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("cells", [0, 1, 6])
def test_truth_agrees_with_itself_and_with_what_was_asked(style: str, cells: int) -> None:
    smear = generate(5, 230, 190, style=style, cells=cells, cell_diameter=26)
    check_truth(smear, 230, 190, cells)
    assert set(smear.kinds) <= set(STYLES[style].kinds)
    assert smear.style is STYLES[style]
    assert smear.seed == 5


def test_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    first, again, other = generate(3), generate(3), generate(4)
    assert first.image.sha256 == again.image.sha256
    assert np.array_equal(first.instances, again.instances)
    assert first.kinds == again.kinds
    assert first.image.sha256 != other.image.sha256


def test_a_generator_may_be_handed_in() -> None:
    by_seed = generate(8, 64, 64, cells=1)
    by_generator = generate(np.random.default_rng(8), 64, 64, cells=1)
    assert np.array_equal(by_seed.image.pixels, by_generator.image.pixels)
    assert by_generator.seed is None


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global state that is watched
    generate(1, 64, 64, cells=1)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("width", "height", "diameter"),
    [(16, 16, 6), (224, 224, 26), (31, 400, 20), (400, 31, 20), (640, 480, 110), (120, 120, 300)],
)
def test_any_size(width: int, height: int, diameter: float) -> None:
    check_truth(generate(2, width, height, cells=1, cell_diameter=diameter), width, height, 1)


@pytest.mark.parametrize("diameter", [20.0, 60.0, 140.0])
def test_cells_have_the_diameter_asked_for(diameter: float) -> None:
    kind = dataclasses.replace(KINDS["early_blast"], size=1.0, size_spread=0.0)
    size = round(10 * diameter)
    smear = generate(1, size, size, cells=8, cell_diameter=diameter, kinds=[kind], margin=1.2, clustering=0)
    areas = np.bincount(smear.instances.ravel())[1:]
    assert 2 * np.sqrt(areas / np.pi) == pytest.approx(np.full(8, diameter), rel=0.04)


@pytest.mark.parametrize("name", KINDS)
def test_nucleus_covers_the_share_of_the_cell_that_its_kind_says(name: str) -> None:
    kind: CellKind = dataclasses.replace(KINDS[name], nc_spread=0.0)
    smear = generate(4, 900, 900, cells=5, cell_diameter=100, kinds=[kind], margin=1.2, clustering=0, style="camera")
    cells = np.bincount(smear.instances.ravel(), minlength=6)[1:]
    nuclei = np.bincount(smear.instances[smear.nucleus], minlength=6)[1:]
    assert nuclei / cells == pytest.approx(np.full(5, kind.nc_ratio), abs=0.05)


def test_kinds_are_told_in_the_order_of_the_labels() -> None:
    smear = generate(6, 600, 600, cells=12, cell_diameter=60, kinds=["neutrophil", "pro_blast"], clustering=0, margin=1)
    assert set(smear.kinds) == {"neutrophil", "pro_blast"}
    for label, kind in enumerate(smear.kinds, 1):
        cell = smear.instances == label
        ratio = (smear.nucleus & cell).sum() / cell.sum()
        assert (ratio > 0.6) == (kind == "pro_blast")


def test_labels_run_from_top_to_bottom() -> None:
    smear = generate(6, 400, 400, cells=8, cell_diameter=30, margin=1.2, clustering=0)
    rows = [np.nonzero(smear.instances == label)[0].mean() for label in range(1, 9)]
    assert all(later > earlier - 3 for earlier, later in zip(rows, rows[1:], strict=False))


def test_margin_zero_lets_the_border_cut_cells_and_a_wide_one_does_not() -> None:
    def cut(margin: float) -> int:
        count = 0
        for seed in range(6):
            labels = generate(seed, cells=8, margin=margin, clustering=0).instances
            count += np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).size - 1
        return count

    assert cut(0.0) > 3
    assert cut(1.3) == 0


def test_clustered_cells_touch_and_strewn_ones_need_not() -> None:
    def touching(clustering: float) -> int:
        labels = generate(7, 500, 500, cells=20, cell_diameter=40, clustering=clustering).instances
        pairs = set()
        for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
            met = (a != b) & (a > 0) & (b > 0)
            pairs |= {(min(p), max(p)) for p in zip(a[met].tolist(), b[met].tolist(), strict=True)}
        return len(pairs)

    assert touching(1.0) > touching(0.0) + 5


def test_white_cells_are_darker_and_more_violet_than_the_slide() -> None:
    for style in STYLES:
        smear = typical(style, 1)
        pixels = smear.image.pixels.astype(float)
        nucleus, rest = pixels[smear.nucleus].mean(0), np.median(pixels[~smear.cell], axis=0)
        assert nucleus[1] < rest[1] - 25, style
        assert nucleus[2] - nucleus[1] > rest[2] - rest[1] + 20, style


def test_styles_differ_in_colour() -> None:
    colours, nuclei = {}, {}
    for style in STYLES:
        smear = typical(style, 2)
        colours[style] = np.median(smear.image.pixels.reshape(-1, 3), axis=0)
        nuclei[style] = np.median(smear.image.pixels[smear.nucleus], axis=0)
    names = list(STYLES)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            apart = np.abs(colours[a] - colours[b]).sum() + np.abs(nuclei[a] - nuclei[b]).sum()
            assert apart > 25, (a, b)


def test_an_own_style_shows_its_colours() -> None:
    style = dataclasses.replace(
        STYLES["camera"],
        name="mine",
        background=(200, 210, 220),
        nucleus=(90, 40, 150),
        vignette=(0, 0, 0),
        gradient=0,
        noise=0,
        halo=0,
        jpeg_quality=0,
    )
    smear = generate(
        1, 300, 300, style=style, cells=6, cell_diameter=60, kinds="early_blast", red_cells=False, debris=False
    )
    pixels = smear.image.pixels.astype(float)
    inner = cv2.erode(smear.nucleus.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    outer = cv2.dilate(smear.cell.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert np.median(pixels[outer], axis=0) == pytest.approx([200, 210, 220], abs=4)
    assert np.median(pixels[inner], axis=0) == pytest.approx([90, 40, 150], abs=22)
    assert smear.image.name == "synthetic-mine-1"


def test_red_cells_lying_on_each_other_are_darker_than_one() -> None:
    style = dataclasses.replace(
        STYLES["lilac"], pallor=0, red_spread=0, noise=0, vignette=(0, 0, 0), gradient=0, halo=0
    )
    strewn, heaped = (
        generate(3, 400, 400, style=dataclasses.replace(style, red_cover=cover), cells=0, debris=False)
        .image.pixels[..., 1]
        .astype(float)
        for cover in (0.15, 1.4)
    )
    assert np.percentile(heaped, 5) < np.percentile(strewn, 5) - 5


def test_red_cells_and_debris_can_be_left_out() -> None:
    bare = generate(1, cells=0, red_cells=False, debris=False).image.pixels.astype(float)
    full = generate(1, cells=0).image.pixels.astype(float)
    assert bare.std() < 12 < full.std()


def test_scale_bar_is_burnt_in_and_hides_what_lies_beneath() -> None:
    options = {"style": "pre", "cells": 16}
    for seed in range(5):
        smear = generate(seed, scale_bar=True, **options)  # type: ignore[arg-type]
        check_truth(smear, 224, 224, 16)
        corner = smear.image.pixels[-30:, -40:]
        assert (corner == 255).all(-1).sum() > 80
        assert (corner < 60).all(-1).sum() > 10
        assert not smear.cell[-16:-8, -24:-8].any()


def test_mask_picture_has_three_values() -> None:
    smear = generate(2)
    mask = smear.mask()
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 128, 255}
    assert np.array_equal(mask == 255, smear.nucleus)
    assert np.array_equal(mask > 0, smear.cell)


def test_truth_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        generate(1, 64, 64, cells=1).instances[0, 0] = 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"style": "sepia"}, "sepia"),
        ({"kinds": ["platypus"]}, "platypus"),
        ({"kinds": []}, "kind"),
        ({"width": 0}, "width"),
        ({"height": -3}, "height"),
        ({"width": 2.5}, "width"),
        ({"width": True}, "width"),
        ({"width": 20_000, "height": 20_000}, "megapixels"),
        ({"cells": -1}, "number of white cells"),
        ({"cells": 1.5}, "number of white cells"),
        ({"cells": 2000}, "no room"),
        ({"cells": 30, "cell_diameter": 100}, "no room"),
        ({"cell_diameter": 0}, "diameter"),
        ({"cell_diameter": float("nan")}, "diameter"),
        ({"margin": -1}, "margin"),
        ({"clustering": 2}, "clustering"),
        ({"overlap": 0.9}, "overlap"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_silly_arguments_are_refused_in_one_sentence(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        generate(**options)  # type: ignore[arg-type]
    assert isinstance(caught.value, LeukError)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_samples_say_that_they_are_synthetic_and_cover_what_the_app_shows() -> None:
    bundled = samples()
    assert 6 <= len(bundled) <= 8
    assert len({sample.name for sample in bundled}) == len(bundled)
    for sample in bundled:
        assert sample.name.startswith("synthetic-")
        assert "synthetic" in sample.title.lower()
    assert any((sample.width, sample.height) == (2592, 1944) for sample in bundled)


def test_written_samples_read_back_as_they_were_drawn(tmp_path, monkeypatch) -> None:
    small = tuple(sample for sample in samples() if sample.width * sample.height < 1_000_000)
    monkeypatch.setattr("leuk.data.synthetic._SAMPLES", small)
    seen: list[tuple[int, int, str]] = []
    written = write_samples(tmp_path / "new" / "folder", progress=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(i, len(small)) for i in range(1, len(small) + 1)]
    assert [path.stem for path in written] == [sample.name for sample in small]
    empty = 0
    for sample, path in zip(small, written, strict=True):
        smear = sample.generate()
        check_truth(smear, sample.width, sample.height, len(smear.kinds))
        assert np.array_equal(read_image(path).pixels, smear.image.pixels)
        mask = cv2.imread(str(path.with_name(f"{path.stem}_mask.png")), cv2.IMREAD_UNCHANGED)
        labels = cv2.imread(str(path.with_name(f"{path.stem}_instances.png")), cv2.IMREAD_UNCHANGED)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, smear.mask())
        assert labels.dtype == np.uint16
        assert np.array_equal(labels, smear.instances)
        empty += not smear.kinds
    assert empty == 1


def test_a_folder_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OptionError, match="another folder"):
        write_samples(tmp_path / "file")


@pytest.mark.parametrize("style", STYLES)
def test_the_default_segmentation_finds_the_nuclei(style: str) -> None:
    scores = []
    for seed in range(4):
        smear = typical(style, seed)
        scores.append(dice(smear.nucleus, segment(smear.image).nucleus))
    assert np.mean(scores) > 0.8, scores


def test_the_default_segmentation_finds_no_cell_among_red_cells_alone() -> None:
    (sample,) = [sample for sample in samples() if "red-cells" in sample.name]
    assert segment(sample.generate().image).cells == ()
