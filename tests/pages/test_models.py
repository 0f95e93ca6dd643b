import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from leuk import figures
from leuk.models.systems import SYSTEMS
from leuk.training import results
from pages import models
from tests.conftest import ROOT


def row(**changed):
    keys = (
        *models.COLUMNS,
        "claimed",
        "elsewhere_in",
        *(f"{key}_{end}" for key in models.INTERVALS for end in ("low", "high")),
    )
    return dict.fromkeys(keys) | {"name": "a", "title": "System A", "short": "A", "kind": "system"} | changed


ROWS = [
    row(name="reader", title="Leuk reader", short="Leuk", random=0.99, grouped=0.9, grouped_low=0.8, grouped_high=0.95),
    row(name="dense", title="DenseNet-201", short="Dense", claimed=0.99),
    row(name="cnn", title="Simple CNN", short="CNN", claimed=0.77, random=0.8),
    row(name="histogram", title="Colour histogram", short="Histogram", kind="control", random=0.991, grouped=0.95),
]


@pytest.fixture
def open_page(monkeypatch):
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)

    def run(**state):
        app = AppTest.from_file(str(ROOT / "pages" / "models.py"), default_timeout=120)
        for key, value in state.items():
            app.session_state[key] = value
        app.run()
        assert not app.exception
        return app

    return run


@pytest.fixture
def page(open_page):
    return open_page()


def test_every_system_is_in_the_table_and_has_a_card(page):
    names = {name.removesuffix(f" {results.RECOUNTED}") for name in page.dataframe[0].value["short"]}
    assert {results.short_title(one) for one in results.systems()} <= names
    for name in ("vgg19", "reader"):
        page.selectbox(key="card").select(name).run()
        assert not page.exception
        text = " ".join(one.value for one in page.markdown)
        assert SYSTEMS[name].title in text
        assert all(limit in text for limit in SYSTEMS[name].limits)


@pytest.mark.parametrize(
    ("random", "grouped", "mark"),
    [
        (0, 0, ""),
        (5, 5, ""),
        (0, 1, " (1 of 5 folds)"),
        (1, 1, " (1 of 5 folds)"),
        (1, 5, " (random: 1 of 5 folds)"),
        (5, 1, " (grouped: 1 of 5 folds)"),
    ],
)
def test_a_name_says_of_which_partition_folds_are_missing(random, grouped, mark):
    rows = [row(short="A", folds_random=random, folds_grouped=grouped)]
    assert models.marked(rows)[0]["short"] == "A" + mark


def test_a_system_without_weights_says_how_to_train_it(page):
    lacking = [one.name for one in results.systems() if one.weights is None]
    if not lacking:
        pytest.skip("all weights are here")
    page.selectbox(key="card").select(lacking[0]).run()
    assert f"python -m leuk train {lacking[0]}" in page.code[0].value


def test_the_table_is_filtered_by_name_and_kind(page):
    page.text_input(key="filter").set_value("densenet").run()
    assert all("DenseNet" in name or name == "Two branches" for name in page.dataframe[0].value["short"])
    page.text_input(key="filter").set_value("no such system").run()
    assert any("Nothing fits" in one.value for one in page.info)


def test_the_reader_of_review_is_chosen_here_too(open_page, small_weights, tmp_path, monkeypatch):
    for name in ("small", "other"):
        card = (small_weights / "small.json").read_text().replace('"small"', f'"{name}"')
        (tmp_path / f"{name}.json").write_text(card)
        (tmp_path / f"{name}.safetensors").write_bytes((small_weights / "small.safetensors").read_bytes())
    monkeypatch.setenv("LEUK_WEIGHTS", str(tmp_path))
    app = open_page()
    app.selectbox(key="review_reader").select("small").run()
    assert app.session_state["model"] == "small"
    app.selectbox(key="review_reader").select("other").run()
    assert app.session_state["model"] == "other"
    assert open_page(model="small").selectbox(key="review_reader").value == "small"
    assert open_page(model="gone").selectbox(key="review_reader").value in ("small", "other")


def test_review_takes_the_reader_chosen_elsewhere(small_weights, monkeypatch):
    monkeypatch.setenv("LEUK_WEIGHTS", str(small_weights))
    for chosen in ("small", "gone"):
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        app.session_state["model"] = chosen
        app.run()
        assert not app.exception
        assert app.selectbox(key="model").value == "small"


def test_rows_sort_as_text_as_their_numbers_do():
    texts = models.table_of([row(grouped=v, grouped_low=v, grouped_high=v) for v in (0.091, 0.5, 0.99, 1.0)])["grouped"]
    assert list(texts) == sorted(texts)
    assert models.table_of([row()])["grouped"][0] == ""


@pytest.mark.parametrize(
    ("kinds", "text", "only", "names"),
    [
        (["Systems", "Controls"], "", False, ["reader", "dense", "cnn", "histogram"]),
        (["Controls"], "", False, ["histogram"]),
        (["Systems"], "simple", False, ["cnn"]),
        (["Systems", "Controls"], "", True, ["reader", "cnn", "histogram"]),
        ([], "", False, []),
    ],
)
def test_filter(kinds, text, only, names):
    assert [one["name"] for one in models.filtered(ROWS, kinds, text, only)] == names


def test_the_headline_holds_a_control_against_the_claims():
    text = models.headline(ROWS)
    assert "Colour histogram" in text
    assert "**0.991**" in text
    assert "claim 0.770 to 0.990" in text
    assert "not been measured" in models.headline(ROWS[:1])


def test_what_sees_no_cell_is_held_against_systems_elsewhere_too():
    rows = [row(short="Reader", elsewhere=0.61), row(short="Corner", kind="control", elsewhere=0.63)]
    told = results.elsewhere_unearned(rows)
    assert "Corner" in told
    assert "0.630" in told
    assert "Reader" in told
    assert results.elsewhere_unearned([rows[0] | {"elsewhere": 0.9}, rows[1]]) == ""
    assert results.elsewhere_unearned([rows[0], row()]) == ""


@pytest.mark.parametrize(
    ("best", "low", "high", "said"),
    [
        (0.66, 0.54, 0.76, True),
        (0.74, 0.62, 0.80, True),  # it leads by 0.11; the two intervals leave 0.15 open
        (0.72, 0.68, 0.76, True),  # sure of itself, but the control's may be as good
        (0.80, 0.70, 0.85, False),
    ],
)
def test_a_lead_elsewhere_counts_where_the_pictures_are_enough_for_it(best, low, high, said):
    control = row(short="Corner", kind="control", elsewhere=0.63, elsewhere_low=0.52, elsewhere_high=0.72)
    reader = row(name="reader", short="Reader", elsewhere=0.61, elsewhere_low=0.5, elsewhere_high=0.7)
    system = row(short="Best", elsewhere=best, elsewhere_low=low, elsewhere_high=high)
    told = results.elsewhere_unearned([control, reader, system])
    assert bool(told) == said
    if said:
        assert "Corner, which sees no cell, gets 0.630 (0.520 to 0.720), more than Reader (0.610)" in told
        assert f"(Best) {best:.3f} ({low:.3f} to {high:.3f}), a lead that so few pictures leave open" in told


def test_a_figure_elsewhere_says_if_its_network_is_of_the_random_partition():
    rows = [row(elsewhere=0.5, elsewhere_low=0.4, elsewhere_high=0.6, elsewhere_in=where) for where in (None, "random")]
    assert list(models.table_of(rows)["elsewhere"]) == ["0.500  (0.400-0.600)", "0.500  (0.400-0.600) random"]
    assert results.elsewhere_random(rows[:1]) == ""
    assert "A is of a network of the random partition" in results.elsewhere_random(rows)
    drawn = {trace.name: trace for trace in figures.worth(rows[1:]).data}["System, elsewhere"]
    assert drawn.error_x.arrayminus[0] == pytest.approx(0.1)
    assert drawn.customdata[0] == [" (0.400 to 0.600)<br>a network of the random partition"]


def test_the_headline_names_of_controls_that_read_alike_the_one_that_keeps_most():
    rows = [
        row(title="Background", kind="control", random=0.9932, grouped=0.97),
        row(title="Histogram", kind="control", random=0.9928, grouped=0.978),
        row(title="Corner", kind="control", random=0.86, grouped=0.99),
    ]
    assert "**Histogram** sees no cell and gets **0.993**" in models.headline(rows)


def test_curves_say_of_which_fold_they_are_and_which_are_missing():
    systems = results.systems()
    chosen = [results.short_title(one) for one in systems]
    said = models.of_which_fold(systems, chosen)
    assert said.startswith("Curves are of the networks that come along: fold 0, grouped.")
    assert "Of Leuk cell reader accuracy on the held-out fold was not kept" in said
    assert "Leuk reader has no curve: its weights were trained on all folds" in said
    for one in systems:
        if one.results and not one.card:
            assert f"{results.short_title(one)} did not come along" in said
    assert "Curves are" not in models.of_which_fold(systems, [])


def test_tabs_say_what_their_figures_are_of(page):
    said = " ".join(one.value for one in page.caption)
    assert "Accuracy by field, out of fold, grouped." in said
    assert results.partly_stressed(results.comparison()) in said
    assert "Colour is the share of the row" in said
    assert results.reduced(models.ordered(results.comparison())) in said
    assert results.controls_and_traps() in said


def test_a_card_begins_with_the_grouped_partition_and_names_the_set(page):
    page.selectbox(key="card").select("vgg19").run()
    said = [one.value for one in page.markdown]
    order = [one for one in said if one.startswith(("**Grouped**", "**Random**"))]
    assert [one.split("*")[2] for one in order] == ["Grouped", "Random"]
    assert any("**Trained on** ALL set of Taleqani Hospital" in one for one in said)


def test_rows_are_ordered_by_what_is_left_where_least_is_left():
    rows = [
        row(name="proud", grouped=0.99, worst_stress=0.2, stain_swap=0.9),
        row(name="claimed", claimed=0.999),
        row(name="unmeasured", grouped=1.0),
        row(name="steady", grouped=0.9, worst_stress=0.8, stain_swap=0.85),
        row(name="nothing"),
    ]
    told = [one["name"] for one in models.ordered(rows)]
    assert told == ["steady", "proud", "unmeasured", "claimed", "nothing"]


@pytest.mark.parametrize("narrow", [False, True])
def test_the_first_figure_shows_claims_systems_and_controls_and_what_is_left_of_them(narrow):
    rows = [ROWS[0] | {"worst_stress": 0.8, "worst_stress_low": 0.7, "stain_swap": 0.7, "elsewhere": 0.6}, *ROWS[1:]]
    figure = figures.worth(rows, narrow=narrow)
    drawn = {trace.name: trace for trace in figure.data}
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "System, random split",
        "System, grouped",
        "No cell seen, random split",
        "No cell seen, grouped",
        "Claimed by the authors",
    ]
    assert figure.layout.yaxis.categoryarray[0] == "Histogram"
    assert drawn["System, grouped"].error_x.arrayminus[0] == pytest.approx(0.1)
    assert (list(drawn["System, worst stress"].x), list(drawn["System, stain swap"].x)) == ([0.8], [0.7])
    assert list(drawn["System, elsewhere"].x) == [0.6]
    # Each panel has an axis of its own, and all of them the same lines.
    axes = [drawn[f"System, {name}"].xaxis for name in ("grouped", "worst stress", "stain swap", "elsewhere")]
    assert len(set(axes)) == 4
    assert figure.layout.yaxis2.matches == "y"
    names = [note.text for note in figure.layout.annotations]
    assert names == ([one["short"] for one in rows] if narrow else [])


def test_figures_of_plain_data():
    matrix = figures.confusion([[8, 2], [0, 0]], ("benign", "malignant"))
    np.testing.assert_allclose(np.array(matrix.data[0].z, float), [[0.8, 0.2], [0, 0]])
    curve = figures.reliability({"a": [[0, None, None], [5, 0.6, 0.4]]})
    assert list(curve.data[0].x) == [0.6]
    log = figures.training_curves(
        {"a": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": float("nan")}]}, "loss", "Loss"
    )
    assert list(log.data[0].y) == [2.0]
    point = {"title": "A", "short": "A", "latency": 0.1, "accuracy": 0.9, "low": 0.8, "high": 0.95}
    assert figures.accuracy_latency([point], "DenseNet-201").data[0].error_y.arrayminus[0] == pytest.approx(0.1)
    drawn = figures.accuracy_latency([point, point | {"short": "B", "latency": 0.05}], "DenseNet-201").data[0]
    assert (list(drawn.text), list(drawn.x)) == (["1", "2"], [0.05, 0.1])
    near = [point | {"short": str(n), "latency": 0.1 + n / 1000} for n in range(3)]
    beside = figures.accuracy_latency(near, "DenseNet-201").data[0].textposition
    assert len(set(beside)) == 3, "numbers of points side by side must not lie over each other"
    shown = figures.stress([{"title": "A", "accuracy": {"grey": 0.5}}], ["grey", "blur"]).data[0].text
    assert [list(line) for line in shown] == [["0.50"], [""]]
    assert "color: white" in figures.shade(0.3) != figures.shade(0.6)
    assert "color: black" in figures.shade(0.98)
    assert figures.shade(float("nan")) == ""


def test_elsewhere_says_first_of_how_much_a_system_can_tell():
    said = models.elsewhere_in_words(next(one for one in results.systems() if one.name == "reader"))
    assert any(
        "of 94\u00a0% it says that it can't tell. Taken at its word all the same, leukaemia" in one for one in said
    )
    no_outside = {"images": 4, "cannot_tell": 0.0, "sensitivity": {"value": 0.5}, "specificity": None}
    assert models.elsewhere_in_words(Fixed({"pbc": no_outside})) == [
        "**PBC, normal cells** (4 pictures, never trained on): leukaemia is found in 50\u00a0%."
    ]
    # Of one picture in 400 it can tell: nearly all is not all.
    nearly = {"images": 400, "cannot_tell": 0.9975, "specificity": {"value": 0.2675, "interval": [0.2247, 0.3137]}}
    assert models.elsewhere_in_words(Fixed({"pbc": nearly})) == [
        "**PBC, normal cells** (400 pictures, never trained on): of > 99\u00a0% it says that it can't tell. Taken at "
        "its word all the same, normal is called benign in 27\u00a0% (22\u00a0% to 31\u00a0%)."
    ]


class Fixed:
    """A row of which only its pictures of elsewhere are known."""

    def __init__(self, places):
        self.elsewhere = lambda: places
