import gc
import os
import threading
import time
import weakref
from pathlib import Path

import pytest

from leuk.errors import ImageError
from leuk.overlay import Pack
from pages import _worklist
from pages._worklist import Settings, Turns, Worklist


def packed(size: int = 10) -> Pack:
    return Pack(header={}, blobs={"image": ("image/png", bytes(size))}, thumbnail=b"")


def read(source, name, settings, progress):
    progress(0.5, "reading")
    if source == b"bad":
        raise ImageError(f"{name} is bad; choose another file.")
    if source == b"bug":
        raise ZeroDivisionError
    return packed()


def until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Gate:
    """A reading that waits until it is let through, and tells which files came to it."""

    def __init__(self):
        self.came, self.opened = [], threading.Event()

    def __call__(self, source, name, settings, progress):
        self.came.append(name)
        while not self.opened.wait(0.005):
            progress(0.5, "waiting at the gate")
        return packed()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


def states(worklist: Worklist) -> list[str]:
    return [item.state for item in worklist.items()]


def test_an_empty_list_is_idle():
    worklist = Worklist(read)
    assert worklist.items() == []
    assert not worklist.busy
    assert worklist.stage().total == 0
    assert worklist.get("1") is None


@pytest.mark.parametrize("bad", [b"bad", b"bug"])
def test_one_bad_file_stops_nothing(bad):
    worklist = Worklist(read)
    for name, source in (("a", b"1"), ("b", bad), ("c", b"2")):
        worklist.add(name, source)
    until(lambda: not worklist.busy)
    assert states(worklist) == ["read", "refused", "read"]
    error = worklist.items()[1].error
    assert "b " in error
    assert "choose another" in error or "try another" in error


def test_the_file_looked_at_is_read_next(gate):
    worklist = Worklist(gate)
    ids = [worklist.add(name, b"1") for name in "abcd"]
    until(lambda: gate.came)
    worklist.prefer(ids[3])
    gate.opened.set()
    until(lambda: not worklist.busy)
    assert gate.came == ["a", "d", "b", "c"]


def test_progress_names_stage_and_file(gate):
    worklist = Worklist(gate)
    for name in "ab":
        worklist.add(name, b"1")
    until(lambda: worklist.stage().stage == "waiting at the gate")
    stage = worklist.stage()
    assert (stage.done, stage.total, stage.name, stage.fraction) == (0, 2, "a", 0.25)


def test_stopping_keeps_what_is_read_and_resuming_reads_the_rest(gate):
    worklist = Worklist(gate)
    for name in "abc":
        worklist.add(name, b"1")
    until(lambda: gate.came)
    worklist.stop()
    assert states(worklist) == ["stopped"] * 3
    assert not worklist.busy
    gate.opened.set()
    time.sleep(0.05)
    assert states(worklist) == ["stopped"] * 3
    worklist.resume()
    until(lambda: not worklist.busy)
    assert states(worklist) == ["read"] * 3


def test_a_removed_file_is_gone_even_while_it_is_read(gate):
    worklist = Worklist(gate)
    first, second = worklist.add("a", b"1"), worklist.add("b", b"1")
    until(lambda: gate.came == ["a"])
    worklist.remove(first)
    until(lambda: gate.came == ["a", "b"])
    gate.opened.set()
    until(lambda: not worklist.busy)
    assert [item.id for item in worklist.items()] == [second]
    worklist.clear()
    assert worklist.items() == []


def test_other_settings_read_everything_anew():
    seen = []

    def note(source, name, settings, progress):
        seen.append(settings.method)
        return packed()

    worklist = Worklist(note)
    worklist.add("a", b"1")
    until(lambda: not worklist.busy)
    version = worklist.items()[0].version
    worklist.choose(Settings())
    assert not worklist.busy
    worklist.choose(Settings(method="hsv"))
    until(lambda: not worklist.busy)
    assert seen == ["default", "hsv"]
    assert worklist.items()[0].version > version


def test_a_reading_begun_under_other_settings_is_thrown_away(gate):
    worklist = Worklist(gate)
    worklist.add("a", b"1")
    until(lambda: gate.came)
    worklist.choose(Settings(method="hsv"))
    gate.opened.set()
    until(lambda: not worklist.busy)
    assert gate.came == ["a", "a"]
    assert states(worklist) == ["read"]


def test_a_visit_holds_no_more_than_its_share(monkeypatch):
    monkeypatch.setattr(_worklist, "MAX_BYTES", 1000)
    monkeypatch.setattr(_worklist, "MAX_FILES", 3)
    worklist = Worklist(read)
    worklist.add("a", bytes(600))
    worklist.add("b", bytes(600))
    worklist.add("c", b"1")
    worklist.add("d", b"1")
    until(lambda: not worklist.busy)
    assert states(worklist) == ["read", "refused", "read", "refused"]
    assert worklist.items()[1].source is None
    assert "remove some" in worklist.items()[1].error


def test_files_that_outgrow_the_share_when_read_are_refused(monkeypatch):
    monkeypatch.setattr(_worklist, "MAX_BYTES", 5000)

    def grown(source, name, settings, progress):
        return Pack({}, {"image": ("image/png", bytes(2000))}, b"")

    worklist = Worklist(grown)
    for name in "abc":
        worklist.add(name, bytes(10))
    until(lambda: not worklist.busy)
    assert states(worklist) == ["read", "read", "refused"]
    assert "does not fit beside the others" in worklist.items()[2].error
    assert worklist.items()[2].source is None
    worklist.remove(worklist.items()[0].id)
    worklist.add("c", bytes(10))
    until(lambda: not worklist.busy)
    assert states(worklist) == ["read", "refused", "read"]


def test_turns_are_taken_in_the_order_of_asking():
    turns, order, started = Turns(), [], []

    def take(number):
        started.append(number)
        with turns:
            order.append(number)

    threads = []
    with turns:
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            until(lambda n=number: len(started) == n + 1 and len(turns._line) == n + 1)
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))


def test_two_visits_are_read_in_turn(gate):
    first, second = Worklist(gate), Worklist(read)
    for name in "abc":
        first.add(name, b"1")
    until(lambda: gate.came)
    second.add("x", b"1")
    gate.opened.set()
    until(lambda: not second.busy)
    until(lambda: not first.busy)
    assert states(second) == ["read"]


def test_a_visit_that_has_ended_stops_reading_and_is_forgotten(gate):
    worklist = Worklist(gate)
    worklist.add("a", b"1")
    until(lambda: gate.came)
    gone = weakref.ref(worklist)
    del worklist
    gc.collect()
    until(lambda: gone() is None)
    until(lambda: not any(thread.name == "leuk-reading" for thread in threading.enumerate()))


def resident() -> int:
    """Memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(_worklist._trim is None, reason="only glibc keeps what was freed")
@pytest.mark.parametrize("leave", ["clear", "remove"])
def test_memory_of_files_that_left_goes_back_to_the_system(leave):
    piece, count, survivors = 60_000, 2000, []

    def scattered(source, name, settings, progress):
        # Between what will be freed lies what stays, as it does after a reading: no stretch ends up free to its end.
        blobs = {}
        for index in range(count):
            blobs[str(index)] = ("image/png", b"\1" * (piece + index))
            survivors.append(bytes(500))
        return Pack(header={}, blobs=blobs, thumbnail=b"")

    worklist = Worklist(scattered)
    _worklist.give_memory_back()  # what other tests left, which would be used again unseen
    before = resident()
    added = worklist.add("a.png", b"1")
    until(lambda: not worklist.busy)
    full = resident()
    assert full - before > 0.9 * piece * count
    worklist.clear() if leave == "clear" else worklist.remove(added)
    gc.collect()
    assert resident() - before < 0.2 * (full - before)
