"""Planted duplicates, shortcuts and broken files are found, and a clean set is left in peace."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from leuk.cli import main
from leuk.data.audit import _about_no_better, audit, capture_order, score_without_duplicates
from leuk.data.audit_page import render
from leuk.data.datasets import DataSet, load_dataset
from leuk.data.duplicates import find_duplicates
from leuk.data.inspection import Table
from leuk.data.labels import find_label_errors
from leuk.data.maps import image_features, layout
from leuk.data.measures import cache_folder, measure, thumbnail
from leuk.data.mistakes import align
from leuk.data.shortcuts import Shortcut, centred_cells, cramers_v, find_fixed_content, find_shortcuts
from leuk.errors import Cancelled, DataError, OptionError
from tests.data.fields import draw, folder, write


@pytest.fixture(autouse=True)
def _small_and_apart(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "data_dir" in request.fixturenames:  # real images are many: what was measured before is taken
        return
    monkeypatch.setattr("leuk.data.shortcuts.TREES", 30)
    monkeypatch.setattr("leuk.data.shortcuts.SEARCH_TREES", 10)
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def no_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests on something else: the forests take most of an audit's time."""
    monkeypatch.setattr("leuk.data.audit.find_shortcuts", lambda *_, **__: ())
    monkeypatch.setattr("leuk.data.audit.find_fixed_content", lambda *_, **__: ())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("clean"), each=60)


def _table(data: DataSet, p: np.ndarray, folds: np.ndarray | None = None) -> Table:
    where = np.full(len(data), -1) if folds is None else folds
    return Table("net", "random", data.files, data.classes, where, p)


def test_clean_data_raises_no_alarm(clean: Path) -> None:
    found = audit(load_dataset(clean))
    assert [one.key for one in found.findings] == []
    assert len(found.shortcuts) == 5 and not any(one.telling for one in found.shortcuts)
    assert found.duplicates is not None and found.duplicates.groups == ()
    assert found.fixed == ()


def test_measures_are_kept_and_made_anew_when_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set", each=4)
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path / "cache"))
    data = load_dataset(root)
    first = measure(data)

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr("leuk.data.measures.measure_pixels", refuse)
        again = measure(data)
    for name, values in first.values.items():
        assert np.array_equal(values, again.values[name]), name
    assert all(np.array_equal(first.features[name], again.features[name]) for name in first.features)
    assert again.sha256 == first.sha256 and again.pixels_sha256 == first.pixels_sha256
    write(root / data.files[0], np.full((50, 40, 3), 200, np.uint8))
    changed = measure(data)
    assert changed.values["width"][0] == 40 and changed.values["width"][1] == 96
    assert changed.values["cells"][0] == 0 and first.values["cells"].max() >= 2
    kept = (cache_folder() / "measures.sqlite").read_bytes()
    assert b"benign-000" not in kept, "names of files may name patients"
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == sorted(
        name.rpartition("/")[2] for name in data.files
    ), "nothing is written to the data folder"


@pytest.mark.parametrize("misnamed", ["a.jpg", "z.jpg"])
def test_copies_are_judged_each_by_its_own_name(misnamed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set", each=2)
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path / "cache"))
    for name in (misnamed, f"other-{misnamed}"):
        (root / "benign" / name).write_bytes((root / "benign/benign-000.png").read_bytes())
    data = load_dataset(root)
    for measured in (measure(data), measure(data)):  # once anew, once from what was kept
        refused = {data.files[row]: said for row, said in measured.problems.items()}
        assert set(refused) == {f"benign/{misnamed}", f"benign/other-{misnamed}"}
        assert all(said.startswith(f"{name} ") for name, said in refused.items()), "folders may share a name"
        assert [data.files[row] for row in np.flatnonzero(~measured.readable)] == sorted(refused)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set", each=2)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path / "file" / "cache"))
    assert measure(load_dataset(root)).readable.all()
    monkeypatch.setenv("LEUK_CACHE", str(tmp_path))
    (tmp_path / "measures.sqlite").write_bytes(b"no database" * 100)
    assert measure(load_dataset(root)).readable.all()


def test_planted_duplicates_are_all_found(tmp_path: Path, no_forests: None) -> None:
    root = folder(tmp_path, each=40)
    rng = np.random.default_rng(9)
    exact, near = [], []
    for number in range(6):
        source = root / f"benign/benign-{number:03d}.png"
        (root / f"benign/copy-{number}.png").write_bytes(source.read_bytes())
        exact.append({source.name, f"copy-{number}.png"})
    for number in range(10, 20):
        source = root / f"malignant/malignant-{number:03d}.png"
        pixels = cv2.imread(str(source))[:, :, ::-1].copy()
        kind = number % 4
        if kind == 0:  # saved again
            data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
            (root / f"malignant/near-{number}.jpg").write_bytes(data.tobytes())
            near.append({source.name, f"near-{number}.jpg"})
            continue
        if kind == 1:  # brighter, with noise
            pixels = np.clip(pixels * 1.08 + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)
        elif kind == 2:  # shifted
            pixels = np.roll(pixels, (3, -2), (0, 1))
        else:  # smaller
            pixels = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
        write(root / f"malignant/near-{number}.png", pixels)
        near.append({source.name, f"near-{number}.png"})
    write(root / "malignant/same-field.png", cv2.imread(str(root / "benign/benign-030.png"))[:, :, ::-1])
    data = load_dataset(root)
    data = DataSet(data.name, data.files, data.classes, data.labels, data.root, fold=np.arange(len(data)) % 5)
    found = audit(data)
    assert found.duplicates is not None
    groups = [{data.files[row].rpartition("/")[2] for row in one.rows} for one in found.duplicates.groups]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, [*exact, *near, {"benign-030.png", "same-field.png"}]))
    assert found.duplicates.groups[0].crosses[0] == "class", "what crosses a class leads"
    assert len(found.duplicates.exact_pairs) == 7 and len(found.duplicates.near_pairs) == 10
    keys = [one.key for one in found.findings]
    assert keys[0] == "duplicates.cross_class" and "duplicates.cross_fold" in keys


def _crop(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """A crop with a lobed nucleus at its centre, the same in all, and red cells around it as they happen to lie."""
    field = np.full((side, side, 3), (232, 222, 226), np.uint8)
    for place in rng.integers(0, side, (10, 2)):
        cv2.circle(field, tuple(int(v) for v in place), 11, (214, 190, 196), -1)
        cv2.circle(field, tuple(int(v) for v in place), 4, (222, 204, 208), -1)
    cv2.circle(field, (48, 48), 25, (190, 170, 210), -1)
    for x, y in ((40, 42), (54, 44), (48, 56)):
        cv2.circle(field, (x, y), 10, (90, 50, 140), -1)
    return np.clip(cv2.GaussianBlur(field, (3, 3), 0) + rng.normal(0, 1, field.shape), 0, 255).astype(np.uint8)


def test_cells_alike_at_the_centre_are_other_cells_where_their_surroundings_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for number in range(12):
        pixels = _crop(rng)
        write(tmp_path / f"{'ab'[number % 2]}/{number}.png", pixels)
        if number < 3:
            data = cv2.imencode(".jpg", np.roll(pixels, (3, -2), (0, 1))[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
            (tmp_path / f"{'ab'[number % 2]}/{number}-again.jpg").write_bytes(data.tobytes())
    blank = np.zeros((96, 96, 3), np.uint8)
    blank[24:72, 24:72] = _crop(rng)[24:72, 24:72]
    write(tmp_path / "a/masked.png", blank)
    write(tmp_path / "a/masked-brighter.png", np.clip(blank * 1.06, 0, 255).astype(np.uint8))
    data = load_dataset(tmp_path)
    groups = find_duplicates(data, measure(data)).groups
    assert sorted(sorted(Path(data.files[row]).stem for row in one.rows) for one in groups) == [
        *(sorted([f"{n}", f"{n}-again"]) for n in range(3)),
        ["masked", "masked-brighter"],
    ]


def test_turned_copies_on_demand(tmp_path: Path) -> None:
    root = folder(tmp_path, each=6)
    pixels = cv2.imread(str(root / "benign/benign-002.png"))[:, :, ::-1]
    write(root / "benign/turned.png", np.rot90(pixels[:, ::-1], 3))
    data = load_dataset(root)
    measures = measure(data)
    assert find_duplicates(data, measures).groups == ()
    assert find_duplicates(data, measures).same == ()
    (group,) = find_duplicates(data, measures, turned=True).groups
    assert {data.files[row] for row in group.rows} == {"benign/benign-002.png", "benign/turned.png"}


def test_exact_copies_count_as_such_beside_a_near_one_too(tmp_path: Path, no_forests: None) -> None:
    root = folder(tmp_path, each=8)
    source = root / "benign/benign-002.png"
    for copy in ("again", "once-more"):
        (root / f"benign/{copy}.png").write_bytes(source.read_bytes())
    pixels = cv2.imread(str(source))[:, :, ::-1]
    write(root / "benign/brighter.png", np.clip(pixels * 1.06, 0, 255).astype(np.uint8))
    found = audit(load_dataset(root))
    (group,) = found.duplicates.groups
    assert len(group.rows) == 4 and not group.exact
    told = {one.key: one for one in found.findings}
    assert told["duplicates.exact"].title == "1 group of exact duplicates, 3 images"
    assert told["duplicates.near"].title == "1 group of near duplicates, 4 images"
    assert len(told["duplicates.exact"].rows) == 3


def test_a_planted_colour_is_reported(tmp_path: Path) -> None:
    root = folder(tmp_path, each=40)
    for path in sorted((root / "malignant").glob("*.png")):
        pixels = cv2.imread(str(path))[:, :, ::-1].astype(float)
        write(path, np.clip(pixels * [1.0, 0.85, 1.0], 0, 255).astype(np.uint8))
    data = load_dataset(root)
    found = audit(data)
    severe = {one.key for one in found.findings if one.severity == "serious"}
    assert "shortcut.medians" in severe and "shortcut.background" in severe
    assert found.fixed == (), "a colour is everywhere, not at a place"


def test_a_planted_bar_is_found_where_it_is(tmp_path: Path) -> None:
    root = folder(tmp_path, each=50)
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        pixels = cv2.imread(str(path))[:, :, ::-1].copy()
        long = (path.parent.name == "benign") == (number % 10 > 0)
        pixels[4:8, 3 : 22 if long else 9] = (20, 20, 20)
        write(path, pixels)
    data = load_dataset(root)
    (content,) = find_fixed_content(data, measure(data))
    assert content.place == "top left" and content.box[0] == 0 and content.box[3] <= 0.25
    assert content.accuracy > 0.8 > content.elsewhere[1]
    assert content.association > 0.6 and content.counts.sum() == len(data)
    assert np.bincount(content.styles).tolist() == content.counts.sum(1).tolist()


def test_what_is_broken_is_a_row_and_the_rest_goes_on(tmp_path: Path, no_forests: None) -> None:
    root = folder(tmp_path, each=12)
    (root / "benign/benign-001.png").write_bytes(b"")
    (root / "benign/benign-002.png").write_bytes(b"<html>")
    whole = (root / "benign/benign-003.png").read_bytes()
    (root / "benign/benign-003.png").write_bytes(whole[: len(whole) // 2])
    data = load_dataset(root)
    (root / "malignant/malignant-004.png").unlink()
    found = audit(data)
    assert found.measures is not None
    assert [data.files[row].rpartition("/")[2] for row in found.measures.problems] == [
        "benign-001.png",
        "benign-002.png",
        "benign-003.png",
        "malignant-004.png",
    ]
    assert found.measures.readable.sum() == 20
    (finding,) = (one for one in found.findings if one.key == "files.unreadable")
    assert finding.rows == tuple(found.measures.problems) and finding.severity == "warning"
    assert thumbnail(data, 1) is None and thumbnail(data, 0) is not None
    assert np.isnan(found.measures.values["brightness"][1])
    assert "can&#x27;t be read" in render(found) or "can't be read" in render(found)


def test_thumbnails_are_small_and_made_once(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_dataset(clean)
    jpeg = thumbnail(data, 3, side=48)
    assert jpeg is not None and cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (48, 48, 3)
    monkeypatch.setattr("leuk.data.measures.read_image", None)
    assert thumbnail(data, 3, side=48) == jpeg


def test_work_can_be_stopped(clean: Path) -> None:
    def stop(share: float, text: str) -> None:
        if share > 0.02:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        audit(load_dataset(clean), progress=stop, keep=False)


def test_progress_never_goes_back(tmp_path: Path) -> None:
    shares: list[float] = []
    data = load_dataset(folder(tmp_path, each=20))
    audit(data, progress=lambda share, text: shares.append(share), keep=False)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 20


def test_predictions_make_findings(clean: Path) -> None:
    data = load_dataset(clean)
    p = np.full((len(data), 2), 0.05)
    p[np.arange(len(data)), data.labels] = 0.95
    benign = np.flatnonzero(data.labels == 0)[:9]
    p[benign] = np.linspace(0.1, 0.4, 9)[:, None] * [1, 0] + np.linspace(0.9, 0.6, 9)[:, None] * [0, 1]
    found = audit(data, _table(data, p))
    (alarms,) = (one for one in found.findings if one.key == "errors.false_alarms")
    assert alarms.rows == tuple(benign) and alarms.severity == "serious"
    assert alarms.title == "9 of 60 benign images are called malignant"
    assert found.labels is not None and set(found.labels.rows) <= set(benign)
    assert found.confusion is not None and found.confusion.tolist() == [[51, 9], [0, 60]]
    assert found.without_duplicates == (pytest.approx(111 / 120), pytest.approx(111 / 120))


def test_a_score_that_colour_alone_reaches_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path, each=30)
    for path in sorted((root / "malignant").glob("*.png")):
        write(path, (cv2.imread(str(path))[:, :, ::-1] * [1.0, 0.8, 1.0]).astype(np.uint8))
    data = load_dataset(root)
    p = np.full((len(data), 2), 0.1)
    p[np.arange(len(data)), data.labels] = 0.9
    p[::7] = p[::7, ::-1]
    told = {one.key: one for one in audit(data, _table(data, p)).findings}
    assert told["shortcut.no_better"].severity == "serious"
    assert told["shortcut.no_better"].figures["system"] == pytest.approx(51 / 60)


def _shortcut(guesses: np.ndarray, name: str = "histogram", accuracy: float = 0.9) -> Shortcut:
    return Shortcut(name, "Colour histogram", "", accuracy, (accuracy, accuracy), None, 0.5, guesses)


def test_a_system_is_held_against_colour_on_the_same_images_and_few_tell_nothing() -> None:
    labels = np.arange(1000) % 2
    data = DataSet("x", tuple(f"{i}.jpg" for i in range(1000)), ("benign", "malignant"), labels)
    p = np.full((1000, 2), 0.1)
    p[np.arange(1000), labels] = 0.9
    p[::10] = p[::10, ::-1]
    guesses = np.where(np.arange(1000) % 10 == 5, 1 - labels, labels)
    verdicts = align(data, _table(data, p))
    (finding,) = _about_no_better(data, verdicts, (_shortcut(guesses),), False)
    assert finding.severity == "serious" and "On the 1,000 images that both judged" in finding.explanation
    # Where the system judged few, and got one more of these wrong, nothing is told.
    few = align(data, Table("net", "random", data.files[:30], data.classes, np.zeros(30), p[:30]))
    guesses[:30] = labels[:30]
    guesses[[4, 7]] = 1 - labels[[4, 7]]
    (finding,) = _about_no_better(data, few, (_shortcut(guesses),), False)
    assert finding.severity == "warning" and "can't be told" in finding.title
    assert finding.figures == {"system": 0.9, "shortcut": pytest.approx(28 / 30), "images": 30}
    guesses[:30] = 1 - labels[:30]
    assert _about_no_better(data, few, (_shortcut(guesses),), False) == [], (
        "elsewhere colour may do as well as it likes"
    )


def test_the_cell_of_a_crop_is_no_burnt_in_mark(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for number in range(80):
        pixels = _crop(rng)
        if number % 2:  # the lobes lie otherwise, and all else is the same
            pixels[36:60, 36:60] = pixels[36:60, 36:60][::-1].copy()
        write(tmp_path / f"{'ab'[number % 2]}/{number}.png", pixels)
    data = load_dataset(tmp_path)
    found = audit(data)
    told = {one.key: one for one in found.findings}
    assert found.fixed and told["fixed.0"].severity == "note" and "where the cells are" in told["fixed.0"].title
    assert not any("Hide this place" in one.explanation for one in found.findings)
    for one in found.findings:
        if one.key in ("shortcut.histogram", "shortcut.thumbnail", "shortcut.medians"):
            assert one.severity == "warning" and "need not have looked" not in one.explanation, one.key
    assert "shortcut.thumbnail" in told


def test_fields_of_many_cells_are_no_crops(clean: Path) -> None:
    assert not centred_cells(measure(load_dataset(clean)))


def test_words_of_a_set_are_those_of_its_classes_and_its_table() -> None:
    count = 40
    files, session = tuple(f"x-{i}.jpg" for i in range(count)), np.arange(count) % 4
    p = np.full((count, 2), 0.3)
    p[:, 0] = 0.7
    data = DataSet("cells", files, ("lymphocyte", "monocyte"), np.arange(count) % 2, session=session)
    data = replace(data, session_kind="patient", session_names=("A", "B", "C", "D"))
    found = audit(data, _table(data, p))
    said = " ".join(f"{one.title} {one.explanation}" for one in found.findings)
    assert "20 images of one class called another" in said and "No patient holds images of two classes" in said
    for strange in ("leukaemia", "malignant", "seudo"):
        assert strange not in said
    assert "patient B" in {one.title for one in found.slices}
    mixed = DataSet("mixed", files, ("normal", "blast", "reactive"), np.arange(count) % 3)
    said = audit(mixed, _table(mixed, np.column_stack([p, p[:, 0] * 0])))
    assert not any("malignant" in one.title + one.explanation for one in said.findings)
    assert "called malignant" not in render(said)


def test_a_score_of_all_but_one_is_not_all() -> None:
    count = 2516
    data = DataSet(
        "names", tuple(f"x-{i}.jpg" for i in range(count)), ("benign", "pre_b", "pro_b"), np.arange(count) % 3
    )
    p = np.full((count, 3), 0.05)
    p[np.arange(count), data.labels] = 0.9
    p[1] = p[2]
    said = " ".join(one.explanation for one in audit(data, _table(data, p)).findings)
    assert "names the class of > 99.9 % of all images" in said
    assert "doubts < 0.1 % of the labels" in said


def test_statistics_stand_without_images() -> None:
    data = DataSet("names", tuple(f"x-{i}.jpg" for i in range(40)), ("benign", "pro_b"), np.arange(40) % 2)
    p = np.full((40, 2), 0.5)
    p[np.arange(40), data.labels] = 0.6
    found = audit(data, _table(data, p))
    assert [one.key for one in found.findings][-1] == "files.absent" or "files.absent" in {
        one.key for one in found.findings
    }
    assert found.measures is None and found.confusion is not None and found.confusion.trace() == 40
    assert "<img" not in render(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_nothing_at_all() -> None:
    found = audit(DataSet("empty", (), ("benign",), np.zeros(0, np.int64)))
    assert "files.none" in {one.key for one in found.findings}
    assert "empty" in render(found)


def test_order_of_capture_goes_by_number() -> None:
    data = DataSet("x", ("a/f-10.png", "a/f-9.png", "b/f-2.png"), ("a", "b"), np.array([0, 0, 1]))
    assert capture_order(data) == [(0, [1, 0]), (1, [2])]


def test_a_score_without_duplicates_counts_each_group_once() -> None:
    data = DataSet(
        "x", tuple("abcd"), ("a", "b"), np.zeros(4, np.int64), near_duplicate=np.array([7, 7, 7, -1], np.int64)
    )
    verdicts = align(data, _table(data, np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])))
    assert score_without_duplicates(data, verdicts) == (0.75, 0.5)


@pytest.mark.parametrize(("table", "expected"), [([[50, 0], [0, 50]], 1.0), ([[25, 25], [25, 25]], 0.0), ([[9, 9]], 0)])
def test_cramers_v(table: list[list[int]], expected: float) -> None:
    assert cramers_v(np.array(table)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_keeps_what_is_alike_together(method: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (60, 20)) + np.repeat([0, 8], 30)[:, None]
    features[5] = np.nan
    places = layout(features, method)
    assert places.shape == (60, 2) and np.isnan(places[5]).all() and np.isfinite(np.delete(places, 5, 0)).all()
    left, right = np.nanmean(places[:30], 0), np.nanmean(places[30:], 0)
    own = np.nanmean(np.linalg.norm(places[30:] - right, axis=1))
    assert np.linalg.norm(left - right) > 2 * own
    assert np.array_equal(places, layout(features, method), equal_nan=True)
    with pytest.raises(OptionError, match="no map 'umap'"):
        layout(features, "umap")
    assert layout(features[:1], method).shape == (1, 2)


def test_the_command_writes_a_page_that_stands_alone(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = load_dataset(clean)
    rows = [
        f"{name},{0.2 if label else 0.7},{0.8 if label else 0.3}"
        for name, label in zip(data.files, data.labels, strict=True)
    ]
    (tmp_path / "<b>net.csv").write_text("file,p_benign,p_malignant\n" + "\n".join([*rows, "lost.png,0.5,0.5"]))
    page, report = tmp_path / "a.html", tmp_path / "a.json"
    status = main(
        ["audit", str(clean), "--predictions", str(tmp_path / "<b>net.csv"), "--html", str(page), "--json", str(report)]
    )
    assert status == 0
    assert "lost.png, which is not in this set" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and not re.search(r"(?:src|href)='(?!data:|#)", text) and "url(" not in text
    assert "<b>net" not in text and "&lt;b&gt;net" in text, "names are text, never markup"
    assert text.count("data:image/jpeg;base64,") >= 16
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["predictions"]["confusion"] == [[60, 0], [0, 60]]
    assert {one["severity"] for one in found["findings"]} <= {"serious", "warning", "note"}


def test_the_command_names_each_unreadable_image_once_with_its_folder(
    tmp_path: Path, no_forests: None, capsys: pytest.CaptureFixture
) -> None:
    root = folder(tmp_path, each=3)
    for name in ("benign/0.jpg", "malignant/0.jpg"):
        (root / name).write_bytes(b"")
    assert main(["audit", str(root), "--no-cache"]) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("leuk:")] == [
        "leuk: benign/0.jpg is empty: copy or export it again.",
        "leuk: malignant/0.jpg is empty: copy or export it again.",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["audit", "{empty}"], 2, "holds no image"),
        (["audit", "{empty}/nowhere"], 2, "There is no folder or table"),
        (["audit", "{clean}", "--predictions", "{empty}/none.csv"], 2, "can't be read"),
        (["data", "check", "{empty}"], 2, "holds no folder Original"),
    ],
)
def test_misuse_is_one_sentence(
    arguments: list[str], status: int, message: str, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([part.format(empty=tmp_path, clean=clean) for part in arguments]) == status
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_no_folder_no_measures() -> None:
    data = DataSet("x", ("a",), ("b",), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="not here"):
        measure(data)


def test_features_for_neighbours_and_maps(clean: Path) -> None:
    features = image_features(measure(load_dataset(clean)))
    assert len(features) == 120 and np.isfinite(features).all()


def test_doubts_need_a_system_that_knows_the_class() -> None:
    found = find_label_errors(np.array([0, 0, 2]), np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.5, 0.5, 0]]))
    assert np.isnan(found.thresholds[1])


def test_draw_gives_fields() -> None:
    assert draw(np.random.default_rng(0)).shape == (96, 96, 3)


def test_real_set_shows_what_is_known_of_it(data_dir: Path) -> None:
    """Slow the first time: 2,516 images are measured."""
    data = load_dataset(data_dir / "taleqani")
    measures = measure(data)
    found = find_duplicates(data, measures)
    assert data.near_duplicate is not None
    together = [np.flatnonzero(data.near_duplicate == one) for one in np.unique(data.near_duplicate)]
    listed = [rows for rows in together if len(rows) > 1]
    kept = sum(len(np.unique(found.group_of[rows])) == 1 for rows in listed)
    assert len(listed) == 73 and kept >= 0.95 * len(listed)
    assert len(found.exact_pairs) == 24 and len(found.same) == 24
    assert all(not one.crosses for one in found.groups), "no pair of two classes, none parted by the folds"
    by_name = {one.name: one for one in find_shortcuts(data, measures)}
    # Measured on all 3,256 in the data's own notes.
    assert by_name["histogram"].accuracy == pytest.approx(0.990, abs=0.03)
    assert by_name["medians"].accuracy == pytest.approx(0.969, abs=0.03)
    assert by_name["medians"].grouped == pytest.approx(0.913, abs=0.03)
    assert by_name["corner"].accuracy == pytest.approx(0.876, abs=0.03)
    (content,) = find_fixed_content(data, measures)
    assert content.place == "bottom right" and content.box[2:] == (1, 1)
    assert content.accuracy > content.elsewhere[1] + 0.2
