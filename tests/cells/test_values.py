import pytest

from leuk.cells import ARTEFACT, TITLES, TYPES, UNIDENTIFIED, CellType, differential, expected_blasts, interval


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(40, 200, 0.147, 0.262), (0, 100, 0.0, 0.0362), (100, 100, 0.9638, 1.0), (1, 1, 0.025, 1.0), (0, 0, 0.0, 1.0)],
)
def test_the_interval_is_the_exact_one_of_ruemkes_table(count, total, low, high):
    assert interval(count, total) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5)])
def test_a_count_beyond_the_total_is_refused(count, total):
    with pytest.raises(ValueError, match="expected 0 to 5"):
        interval(count, total)


def test_the_differential_rests_on_white_cells_and_counts_what_it_cannot_tell():
    found = differential(["blast"] * 40 + ["lymphocyte"] * 150 + [UNIDENTIFIED] * 10 + ["erythroblast"] * 7)
    assert found.total == 200
    assert [share.type for share in found.shares] == ["lymphocyte", "blast", "unidentified"]
    blast = found.shares[1]
    assert (blast.count, blast.share) == (40, 0.2)
    assert (blast.low, blast.high) == pytest.approx((0.147, 0.262), abs=5e-4)
    assert dict(found.beside) == {"erythroblast": 7}
    assert sum(share.share for share in found.shares) == pytest.approx(1)


def test_cells_that_only_may_be_blasts_add_up():
    types = [UNIDENTIFIED, "lymphocyte", "blast", "platelet", "erythroblast"]
    assert expected_blasts(types, [0.4, 0.3, 0.8, 1.0, 1.0]) == pytest.approx(0.5)
    assert expected_blasts(["platelet"], [0.9]) is None
    assert expected_blasts([], []) is None


def test_no_cell_is_no_differential():
    assert differential([]).total == 0
    assert differential([]).shares == ()
    with pytest.raises(ValueError, match="got 'smudge'"):
        differential(["smudge"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 0}, "label: expected 1"),
        ({"type": "smudge"}, "type: expected one of"),
        ({"probabilities": (1.0,)}, "probabilities: expected 9"),
        ({"probabilities": (0.5,) * len(TYPES)}, "the sum 1"),
    ],
)
def test_what_is_said_of_a_cell_checks_itself(change, message):
    good = {"label": 1, "type": "blast", "probabilities": (0.0,) * 6 + (1.0, 0.0, 0.0)}
    assert CellType(**good).suspicion == 1
    with pytest.raises(ValueError, match=message):
        CellType(**{**good, **change})


def test_every_type_has_a_title():
    assert set(TITLES) == {*TYPES, UNIDENTIFIED, ARTEFACT}


def test_what_is_a_smudge_or_none_is_not_counted():
    found = differential(["blast", ARTEFACT, "lymphocyte", ARTEFACT])
    assert found.total == 2
    assert dict(found.beside) == {ARTEFACT: 2}
    assert expected_blasts(["blast", ARTEFACT], [0.6, 0.9]) == pytest.approx(0.6)
    assert CellType(1, ARTEFACT, (1.0,) + (0.0,) * 8).type == ARTEFACT
