import math
import os
import sqlite3
import threading

import pytest
from sklearn.metrics import cohen_kappa_score

from leuk.data import triage
from leuk.data.triage import DECISIONS, Decision, Triage, agreement, from_csv, to_csv
from leuk.errors import DataError


@pytest.fixture
def store(tmp_path):
    return Triage(tmp_path / "deep" / "decisions.sqlite")


def test_a_decision_is_found_again_by_another_process(store):
    store.decide(Decision("set", "a.png", "label_error", "looks like a blast", "Ada"))
    (again,) = Triage(store.path).all("set")
    assert (again.file, again.decision, again.comment, again.reviewer) == (
        "a.png",
        "label_error",
        "looks like a blast",
        "Ada",
    )
    assert again.time.endswith("+00:00")


def test_a_reviewer_who_decides_again_replaces_the_first_word_and_nobody_elses(store):
    store.decide(Decision("set", "a.png", "unusable", "", "Ada"), Decision("set", "a.png", "unusable", "", "Ben"))
    store.decide(Decision("set", "a.png", "model_error", "", "Ada"))
    assert store.decisions("set", "Ada")["a.png"].decision == "model_error"
    assert store.decisions("set", "Ben")["a.png"].decision == "unusable"
    assert store.reviewers("set") == ["Ada", "Ben"]


def test_what_is_read_back_never_replaces_a_later_word(store):
    def said(time, decision, comment="", reviewer="Ada", file="a.png"):
        return Decision("set", file, decision, comment, reviewer, time)

    store.decide(said("2026-11-27T10:00:00.000+00:00", "label_error", "nucleoli after all"))
    # The same minute told in another zone is earlier; a colleague's word and another file are nobody's else.
    earlier = said("2026-11-27T10:30:00+01:00", "model_error", "an old export")
    ben, other = said("2026-11-27T08:00:00+00:00", "unusable", reviewer="Ben"), said("", "unusable", file="b.png")
    assert store.read_back(earlier, ben, other) == 1
    assert store.decisions("set", "Ada")["a.png"].comment == "nucleoli after all"
    assert store.decisions("set", "Ben")["a.png"].decision == "unusable"
    assert store.decisions("set", "Ada")["b.png"].time, "when it was read, where nothing tells when it was decided"
    assert store.read_back(said("", "unusable"), said("yesterday", "unusable")) == 2, "which is later can't be told"
    assert store.read_back(*store.all("set")) == 0, "one's own export comes back as it was"
    assert store.read_back(said("2026-11-27T10:00:01+00:00", "unusable", "later")) == 0
    assert store.decisions("set", "Ada")["a.png"].comment == "later"


def test_a_spreadsheets_decisions_are_read():
    text = 'File;Decision;Comment;Reviewer\r\na.png;unusable;"blurred; dark, too";Ada\r\n'
    assert from_csv(text, "set") == [Decision("set", "a.png", "unusable", "blurred; dark, too", "Ada")]


def test_a_table_made_by_hand_is_taken_as_it_is_meant():
    text = "file,decision,reviewer,time\r\nb\\a.png,Model error,Ada,yesterday\r\n"
    text += "c.png, probable Label error,,2026-13-01\r\n"
    kept = "d.png,UNUSABLE,,2026-11-27T10:00:00.000+00:00\r\n"
    found = from_csv((text + kept).encode("utf-8-sig"), "set")
    assert [(one.file, one.decision, one.time) for one in found] == [
        ("b/a.png", "model_error", ""),
        ("c.png", "label_error", ""),
        ("d.png", "unusable", "2026-11-27T10:00:00.000+00:00"),
    ]
    with pytest.raises(DataError, match="x.csv is not in UTF-8"):
        from_csv("file,decision,reviewer\na.png,unusable,Müller\n".encode("cp1252"), "set", "x.csv")


def on(predictions, decision="model_error", file="a.png", reviewer="Ada", **more):
    return Decision("set", file, decision, "", reviewer, predictions=predictions, **more)


def test_a_model_error_is_a_word_on_its_own_predictions(store):
    store.decide(on("reader.grouped", label="benign", called="pre_b", probability=0.87654321), on("resnet50.grouped"))
    (one, other) = store.all("set")
    assert (one.predictions, one.label, one.called, one.probability) == ("reader.grouped", "benign", "pre_b", 0.876543)
    assert one.holds_for("reader.grouped") and not one.holds_for("resnet50.grouped")
    assert store.decisions("set", "Ada", "resnet50.grouped") == {"a.png": other}
    assert store.decisions("set", "Ada", "vgg19.grouped") == {}
    store.forget("set", "a.png", "Ada", "reader.grouped")
    assert store.all("set") == [other]
    # What is said of the image is said to whatever predicts it.
    store.decide(on("vgg19.grouped", "unusable"))
    assert store.decisions("set", "Ada", "reader.grouped")["a.png"].decision == "unusable"
    assert len(store.all("set")) == 1
    store.decide(on("reader.grouped"))
    assert [one.decision for one in store.all("set")] == ["model_error"]


def test_model_errors_of_two_systems_come_back_from_one_table(store):
    given = [on("reader.grouped", time="2026-11-27T10:00:00+00:00"), on("vgg19.grouped", time="2026-11-27T10:00:01Z")]
    assert store.read_back(*from_csv(to_csv(given), "set")) == 0
    assert store.all("set") == given
    earlier, later = (on("", "unusable", time=f"2026-11-27T{hour}:00:00Z") for hour in ("09", "11"))
    assert store.read_back(earlier) == 1 and store.all("set") == given
    assert store.read_back(later) == 0 and store.all("set") == [later]


def test_what_an_earlier_leuk_kept_is_still_there(tmp_path):
    path = tmp_path / "decisions.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE decision (dataset TEXT NOT NULL, file TEXT NOT NULL, reviewer TEXT NOT NULL, "
            "decision TEXT NOT NULL, comment TEXT NOT NULL, time TEXT NOT NULL, "
            "PRIMARY KEY (dataset, file, reviewer)) WITHOUT ROWID"
        )
        rows = [("set", f"{word}.png", "Ada", word, "why", "2026-11-27T10:00:00Z") for word in DECISIONS]
        connection.executemany("INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    store = Triage(path)
    assert {(one.decision, one.comment, one.predictions, one.probability) for one in store.all("set")} == {
        (word, "why", "", None) for word in DECISIONS
    }
    assert set(store.decisions("set", "Ada", "reader.grouped")) == {"label_error.png", "unusable.png"}
    store.decide(on("reader.grouped", file="model_error.png"))
    assert len(Triage(path).all("set")) == 3, "the same error, now of named predictions"


def test_a_table_of_an_earlier_leuk_or_made_by_hand_tells_what_it_can():
    old = "dataset,file,decision,comment,reviewer,time\r\nset,a.png,model_error,why,Ada,2026-11-27T10:00:00+00:00\r\n"
    (found,) = from_csv(old, "set")
    assert (found.decision, found.comment, found.predictions, found.probability) == ("model_error", "why", "", None)
    hand = "file;decision;predictions;probability\r\na.png;Model error;reader.grouped;0,75\r\n"
    assert from_csv(hand, "set") == [
        Decision("set", "a.png", "model_error", predictions="reader.grouped", probability=0.75)
    ]
    assert from_csv(hand.replace("0,75", "much"), "set")[0].probability is None


def test_a_name_is_put_to_what_was_said_without_one(store):
    first = [on("p", file=name, reviewer="", time="2026-11-27T10:00:00Z") for name in ("a.png", "b.png", "c.png")]
    store.decide(*first)
    store.decide(on("p", "unusable", "b.png", "", time="2026-11-27T11:00:00Z"))  # somebody else, unnamed too
    store.decide(on("p", "label_error", "c.png", "Ada", time="2026-11-27T12:00:00Z"))
    assert store.sign(" ", *first) == 0 and len(store.all("set")) == 4
    assert store.sign("Ada", *first) == 1, "what Ada decided later stays, and so does what is not hers"
    assert {(one.file, one.reviewer, one.decision) for one in store.all("set")} == {
        ("a.png", "Ada", "model_error"),
        ("b.png", "", "unusable"),
        ("c.png", "Ada", "label_error"),
    }


def test_sets_are_kept_apart_and_a_decision_can_be_taken_back(store):
    store.decide(Decision("one", "a.png", "unusable"), Decision("other", "a.png", "model_error"))
    store.forget("one", "a.png")
    store.forget("one", "never.png")
    assert store.all("one") == []
    assert store.decisions("other")["a.png"].decision == "model_error"


def test_export_and_reading_back_lose_nothing_and_start_no_formula():
    given = [
        Decision("set", "=cmd|x.png", "model_error", '-1, "quoted"\nline', "@Ada", "2026-01-02T03:04:05+00:00"),
        Decision("set", "b.png", "unusable", "'quoted'", "", "2026-01-02T03:04:06+00:00"),
        on("=mine.csv", label="benign", called="pro_b", probability=1 / 3, time="2026-01-02T03:04:07+00:00"),
    ]
    text = to_csv(given)
    assert not any(field.startswith(("=", "@")) for line in text.splitlines() for field in line.split(","))
    assert from_csv(text, "set") == given
    assert from_csv("\ufeff" + text, "elsewhere")[0].dataset == "elsewhere"


def test_a_name_that_is_not_utf_8_is_kept_and_found_again(store):
    name = os.fsdecode(b"caf\xe9.png")
    store.decide(Decision(f"/data/{name}", name, "unusable"))
    (found,) = store.all(f"/data/{name}")
    assert (found.dataset, found.file) == (f"/data/{name}", name)
    assert from_csv(to_csv([found]).encode().decode(), found.dataset) == [found]
    store.forget(f"/data/{name}", name)
    assert store.all(f"/data/{name}") == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "lacks the column decision"),
        ("x" * 200_000, "is no CSV"),
        ("file,comment\na.png,x\n", "lacks the column decision"),
        ("file,decision\na.png,fine\n", "line 2: There is no decision 'fine'"),
        ("file,decision\n,unusable\n", "line 2: A decision must name its file"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(text, match):
    with pytest.raises(DataError, match=match):
        from_csv(text, "set")


def test_kappa_is_the_known_one():
    ours = ["model_error"] * 20 + ["label_error"] * 10 + ["unusable"] * 5
    theirs = ["model_error"] * 15 + ["label_error"] * 5 + ["label_error"] * 8 + ["unusable"] * 7
    one = [Decision("s", f"{i}.png", d) for i, d in enumerate(ours)]
    other = [Decision("s", f"{i}.png", d) for i, d in enumerate(theirs)] + [Decision("s", "alone.png", "unusable")]
    found = agreement(one, other)
    assert found.kappa == pytest.approx(cohen_kappa_score(ours, theirs))
    assert (found.shared, found.agreed) == (35, sum(a == b for a, b in zip(ours, theirs, strict=True)))
    assert found.table.sum() == 35
    assert len(found.differing) == 35 - found.agreed
    assert "alone.png" not in found.differing


def test_no_kappa_where_nothing_is_shared_or_nothing_could_differ():
    assert math.isnan(agreement([], [Decision("s", "a", "unusable")]).kappa)
    same = [Decision("s", "a", "unusable")]
    assert math.isnan(agreement(same, same).kappa)
    assert agreement(same, same).agreed == 1
    one = [Decision("s", f"{i}", DECISIONS[i % 2]) for i in range(10)]
    other = [Decision("s", f"{i}", DECISIONS[i % 3 == 0]) for i in range(10)]
    assert math.isfinite(agreement(one, other).kappa)
    assert math.isnan(agreement(one[:9], other).kappa) and agreement(one[:9], other).shared == 9


def test_what_can_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="LEUK_DECISIONS"):
        Triage(tmp_path / "file" / "decisions.sqlite")
    (tmp_path / "text.sqlite").write_text("this is no database, however long it may be" * 50)
    with pytest.raises(DataError, match=r"text\.sqlite"):
        Triage(tmp_path / "text.sqlite")
    with pytest.raises(DataError, match="kept in a file, and .* is a folder; name a file in LEUK_DECISIONS"):
        Triage(tmp_path)


def test_threads_do_not_lose_decisions(store):
    def work(reviewer):
        for i in range(20):
            store.decide(Decision("set", f"{i}.png", DECISIONS[i % 3], "", reviewer))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.all("set")) == 60


def test_where_decisions_are_kept_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LEUK_DECISIONS", str(tmp_path / "mine.sqlite"))
    Triage().decide(Decision("set", "a.png", "unusable"))
    assert sqlite3.connect(tmp_path / "mine.sqlite").execute("SELECT count(*) FROM decision").fetchone() == (1,)
    monkeypatch.delenv("LEUK_DECISIONS")
    assert triage.decisions_file().name == "decisions.sqlite"
