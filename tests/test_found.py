"""What was found in an image is found once, and is what it was."""

import pytest

from leuk import analysis, report
from leuk.analysis import analyze
from leuk.data.synthetic import generate
from leuk.found import Found, Memory
from tests.readings import make


@pytest.fixture(autouse=True)
def _bundled(monkeypatch):
    monkeypatch.delenv("LEUK_WEIGHTS", raising=False)


def test_another_model_and_another_heat_map_find_no_cells_again(monkeypatch):
    image, memory = generate(3, 224, 224, style="pre", cells=7).image, Memory()
    first = analyze(image, memory=memory)
    afresh = analyze(image, explain="gradcam"), analyze(image, model="cell_reader")
    otsu = report.record(analyze(image, method="otsu_green"), "x.png")

    def again(*_, **__):
        raise AssertionError("cells were looked for again")

    monkeypatch.setattr(analysis, "segment", again)
    monkeypatch.setattr(analysis, "classify_cells", again)
    assert report.record(analyze(image, memory=memory), "x.png") == report.record(first, "x.png")
    for one, options in zip(afresh, ({"explain": "gradcam"}, {"model": "cell_reader"}), strict=True):
        assert report.record(analyze(image, memory=memory, **options), "x.png") == report.record(one, "x.png")
    # Another way of finding cells, and another image, are looked at.
    for other, how in ((image, "otsu_green"), (generate(4, 224, 224, style="pre", cells=7).image, "default")):
        with pytest.raises(AssertionError, match="looked for again"):
            analyze(other, method=how, memory=memory)
    monkeypatch.undo()
    monkeypatch.delenv("LEUK_WEIGHTS", raising=False)
    assert report.record(analyze(image, method="otsu_green", memory=memory), "x.png") == otsu


def found(sha256: str) -> Found:
    one = make(heat=None)
    return Found.of(sha256, one.segmentation, one.cell_types, one.scale)


def test_masks_are_what_they_were():
    one, back = make(heat=None).segmentation, found("a").segmentation
    assert (one.instances == back.instances).all()
    assert (one.nucleus == back.nucleus).all()
    assert (one.cells, one.method) == (back.cells, back.method)


def test_the_longest_unused_is_forgotten_first_and_all_on_request():
    size = found("a").nbytes
    memory = Memory(2 * size)
    for sha256 in "abc":
        memory.put(found(sha256))
        memory.get("a", "default")
    assert [bool(memory.get(sha256, "default")) for sha256 in "abc"] == [True, False, True]
    memory.forget("a")
    assert [bool(memory.get(sha256, "default")) for sha256 in "abc"] == [False, False, True]
    memory.forget()
    assert memory.get("c", "default") is None
    small = Memory(size - 1)
    small.put(found("a"))
    assert small.get("a", "default") is None
