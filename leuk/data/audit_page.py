"""An audit as one HTML file that opens anywhere: no script, nothing fetched, pictures inside."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from leuk.data.audit import Audit, Finding, capture_order, percent
from leuk.data.measures import thumbnail
from leuk.data.mistakes import operate, resting_on
from leuk.names import class_name

Picture = Callable[[int], str]

SHOWN = 8
"""Pictures shown for each finding."""
SIDE = 112
"""Longer side of a picture, pixels."""

_SEVERITY = {"serious": "Serious", "warning": "Warning", "note": "Note"}
_SECTIONS = {
    "traps": "Traps",
    "errors": "Errors",
    "labels": "Labels",
    "slices": "Slices",
    "balance": "Balance",
    "files": "Files",
}

# The page's own colours are those of the application; categories are Okabe and Ito's.
_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--soft:#f4f2f6;--text:#1f1b24;--dim:#5d5767;--line:#d8d3df;--accent:#6a3d9a;
--serious:#b3261e;--warning:#8a5a00;--note:#1f5f99;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#b87e00;
--c5:#3a8fc7;--c6:#6b6b6b;--cell:106,61,154}
@media (prefers-color-scheme:dark){:root{--bg:#151417;--soft:#232027;--text:#ece9f1;--dim:#aea6ba;--line:#3d3846;
--accent:#bba3f0;--serious:#ff8a80;--warning:#f0b94d;--note:#7dbcf5;--c0:#56b4e9;--c1:#e69f00;--c2:#2dbe96;--c3:#de9ac2;
--c4:#f0e442;--c5:#a9b8ff;--c6:#b5b5b5;--cell:187,163,240}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:68rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .4rem;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:3rem 0 .8rem;padding-top:.6rem;border-top:1px solid var(--line)}
h3{font-size:1.06rem;line-height:1.35;margin:1.4rem 0 .4rem}.finding h3{margin:0}
p{margin:.4rem 0;max-width:46rem}
.kicker,.dim,figcaption,caption{color:var(--dim);font-size:.875rem}
.kicker{margin:0}
nav{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;margin:1.2rem 0 0}
a{color:var(--accent)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1.5rem 0}
.tile{background:var(--soft);border-radius:.5rem;padding:.8rem 1rem}
.tile b{display:block;font-size:1.55rem;line-height:1.2;font-weight:650;font-variant-numeric:tabular-nums}
.tile.serious b{color:var(--serious)}.tile.warning b{color:var(--warning)}.tile.note b{color:var(--note)}
.finding{border:1px solid var(--line);border-left:.3rem solid var(--note);border-radius:.45rem;padding:.9rem 1.1rem;
margin:.8rem 0;break-inside:avoid}
.finding.serious{border-left-color:var(--serious)}.finding.warning{border-left-color:var(--warning)}
.badge{font-size:.75rem;font-weight:650;letter-spacing:.04em;text-transform:uppercase;color:var(--note)}
.serious>.badge{color:var(--serious)}.warning>.badge{color:var(--warning)}
.pictures{display:flex;flex-wrap:wrap;gap:.6rem;margin:.8rem 0 .2rem}
figure{margin:0;width:112px}
figure img,.gone{display:block;width:112px;height:112px;object-fit:contain;background:var(--soft);border-radius:.25rem}
.gone{padding:.5rem;font-size:.75rem;color:var(--dim)}
figcaption{font-size:.72rem;line-height:1.3;overflow-wrap:anywhere;margin-top:.2rem}
.pair{display:flex;gap:.3rem;padding:.4rem;background:var(--soft);border-radius:.4rem}
details{margin-top:.5rem}summary{cursor:pointer;color:var(--dim);font-size:.875rem}
ul.files{columns:2;font-size:.8rem;padding-left:1.1rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;margin:.6rem 0}
caption{text-align:left;padding-bottom:.4rem}
th,td{padding:.35rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{font-weight:600;color:var(--dim)}
td.cell{text-align:center;min-width:4.6rem;border:2px solid var(--bg)}
svg{display:block;max-width:100%;height:auto}svg text{fill:var(--text);font-size:13px}svg .dim{fill:var(--dim)}
.key{display:inline-block;width:.75rem;height:.75rem;border-radius:.15rem;margin-right:.35rem;vertical-align:-.05rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;font-size:.875rem;margin:.4rem 0}
footer{margin-top:3.5rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--dim);font-size:.875rem}
@media (max-width:40rem){main{padding:1.5rem 1rem 3rem}ul.files{columns:1}h1{font-size:1.5rem}}
@media print{main{max-width:none;padding:0}nav,details{display:none}}
"""


def render(audit: Audit, pictures: bool = True) -> str:
    """Return an audit as a page.

    Parameters
    ----------
    audit : Audit
    pictures : bool
        Whether to put small pictures of the images into the page; without them it holds names and figures only.

    Returns
    -------
    str
        HTML with style and pictures inside, no script, no reference to anything outside.
    """
    dataset = audit.dataset
    picture = _painter(audit) if pictures and dataset.root is not None else None
    by_severity = {name: sum(one.severity == name for one in audit.findings) for name in _SEVERITY}
    tiles = [("", f"{len(dataset):,}", "images"), ("", str(len(dataset.classes)), "classes")]
    tiles += [
        (name, str(by_severity[name]), label)
        for name, label in (("serious", "serious"), ("warning", "warnings"), ("note", "notes"))
    ]
    sections = [(key, title, body) for key, title in _SECTIONS.items() if (body := _section(audit, key, picture))]
    about = f" and predictions of {_text(audit.verdicts.title)}" if audit.verdicts else ""
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\">",
        f"<title>Audit of {_text(dataset.name)}</title><style>{_STYLE}</style></head><body><main>",
        f"<p class='kicker'>Leuk · audit of a data set{about}</p><h1>{_text(dataset.name)}</h1>",
        "<p>What makes a score on this set believable, or not. Research use only, not a medical device.</p>",
        "<nav>" + "".join(f"<a href='#{key}'>{title}</a>" for key, title, _ in sections) + "</nav>",
        "<div class='tiles'>"
        + "".join(f"<div class='tile {kind}'><b>{value}</b>{label}</div>" for kind, value, label in tiles)
        + "</div>",
        *(f"<h2 id='{key}'>{title}</h2>{body}" for key, title, body in sections),
        f"<footer>Made by Leuk in {audit.seconds:.0f} s. Where nothing else is said, intervals are Wilson's 95 % over "
        "images; images of one session resemble each other, so true intervals are wider. Pseudo-sessions are "
        "estimated from colour and light and are no patients.</footer></main></body></html>",
    ]
    return "\n".join(parts)


def _text(value: object) -> str:
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"), quote=True)


def _named(key: str) -> str:
    return _text(class_name(key).plain)


def _percent(share: float | None) -> str:
    return "–" if share is None or not math.isfinite(share) else _text(percent(share))


def _painter(audit: Audit) -> Picture:
    made: dict[int, str] = {}

    def paint(row: int) -> str:
        if row not in made:
            jpeg = thumbnail(audit.dataset, row, SIDE)
            made[row] = (
                "<div class='gone'>can't be read</div>"
                if jpeg is None
                else f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}'>"
            )
        return made[row]

    return paint


def _section(audit: Audit, key: str, picture: Picture | None) -> str:
    found = [one for one in audit.findings if one.section == key]
    figures = {
        "traps": _traps,
        "errors": _errors,
        "labels": _labels,
        "slices": _slices,
        "balance": _balance,
    }
    drawn = figures[key](audit, picture) if key in figures else ""
    if not found and not drawn:
        return ""
    cards = "".join(_card(audit, one, picture) for one in found)
    if key == "traps" and not found:
        cards = "<p>No duplicates, shortcuts or fixed content were found.</p>"
    # What is drawn says most at a glance; what was found follows with its images.
    return drawn + cards


def _card(audit: Audit, finding: Finding, picture: Picture | None) -> str:
    rows = finding.rows
    shown = ""
    if picture is not None and rows:
        if finding.key.startswith("duplicates.") and audit.duplicates is not None:
            shown = _pairs(audit, finding, picture)
        else:
            shown = "<div class='pictures'>" + "".join(_figure(audit, row, picture) for row in rows[:SHOWN]) + "</div>"
    names = ""
    if rows:
        most = 200
        listed = "".join(f"<li>{_text(audit.dataset.files[row])}</li>" for row in rows[:most])
        more = f"<p class='dim'>and {len(rows) - most:,} more</p>" if len(rows) > most else ""
        label = "1 image" if len(rows) == 1 else f"{len(rows):,} images"
        names = f"<details><summary>{label}</summary><ul class='files'>{listed}</ul>{more}</details>"
    return (
        f"<article class='finding {finding.severity}'><span class='badge'>{_SEVERITY[finding.severity]}</span>"
        f"<h3>{_text(finding.title)}</h3><p>{_text(finding.explanation)}</p>{shown}{names}</article>"
    )


def _figure(audit: Audit, row: int, picture: Picture, extra: str = "") -> str:
    dataset = audit.dataset
    words = [_text(dataset.files[row].rpartition("/")[2]), _named(dataset.classes[dataset.labels[row]])]
    if audit.verdicts is not None and audit.verdicts.predicted[row] >= 0:
        called = int(audit.verdicts.predicted[row])
        if called != dataset.labels[row]:
            share = audit.verdicts.probabilities[row, called]
            words.append(f"called {_named(dataset.classes[called])}, {100 * share:.0f} %")
    if extra:
        words.append(extra)
    return f"<figure>{picture(row)}<figcaption>{'<br>'.join(words)}</figcaption></figure>"


def _pairs(audit: Audit, finding: Finding, picture: Picture) -> str:
    assert audit.duplicates is not None  # noqa: S101 - the caller looked
    if finding.key.endswith("exact"):
        groups = audit.duplicates.same
    else:
        inside = set(finding.rows)
        together = [one for one in audit.duplicates.groups if inside.issuperset(one.rows)]
        groups = tuple(one.rows for one in together if not (one.exact and finding.key.endswith("near")))
    drawn = []
    for rows in groups[:4]:
        folds = audit.verdicts.folds if audit.verdicts is not None else audit.dataset.fold
        notes = [f"fold {folds[row]}" if folds is not None and folds[row] >= 0 else "" for row in rows]
        drawn.append(
            "<div class='pair'>"
            + "".join(_figure(audit, row, picture, note) for row, note in zip(rows[:4], notes, strict=False))
            + "</div>"
        )
    return f"<div class='pictures'>{''.join(drawn)}</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Draw a table; cells are HTML already."""
    title = f"<caption>{caption}</caption>" if caption else ""
    top = "".join(f"<th>{one}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _balance(audit: Audit, picture: Picture | None) -> str:
    counts = audit.balance
    most = max(counts.classes.values(), default=0) or 1
    bars = []
    for index, (name, count) in enumerate(counts.classes.items()):
        y = 30 * index
        bars.append(
            f"<text x='150' y='{y + 18}' text-anchor='end'>{_text(_short(class_name(name).plain))}</text>"
            f"<rect x='160' y='{y + 4}' width='{440 * count / most:.1f}' height='20' rx='3' "
            f"fill='var(--c{index % 7})'/>"
            f"<text x='{168 + 440 * count / most:.1f}' y='{y + 18}' class='dim'>{count:,}</text>"
        )
    chart = (
        f"<svg viewBox='0 0 680 {30 * len(counts.classes) + 6}' width='680' role='img' aria-label='Images per class'>"
    )
    drawn = chart + "".join(bars) + "</svg>"
    if counts.splits:
        drawn += _table(
            ["", *map(_named, counts.classes)],
            [[_text(name), *(f"{int(one):,}" for one in row)] for name, row in counts.splits.items()],
            "Images per part and class",
        )
    if counts.spread:
        wanted = ("brightness", "contrast", "sharpness", "saturation", "cells")
        drawn += _table(
            ["", *(f"{name}" for name in wanted)],
            [
                [
                    _named(name),
                    *(
                        "–"
                        if not np.isfinite(row).all()
                        else f"{row[2]:.3g} <span class='dim'>({row[0]:.3g}–{row[4]:.3g})</span>"
                        for row in (counts.spread[one][label] for one in wanted)
                    ),
                ]
                for label, name in enumerate(counts.classes)
            ],
            "Median, and 5th to 95th percentile, per class",
        )
    if counts.sizes:
        sizes = ", ".join(f"{size} ({number:,})" for size, number in list(counts.sizes.items())[:6])
        drawn += f"<p class='dim'>Sizes in pixels: {sizes}. With a segmented twin: {counts.segmented:,}.</p>"
    if picture is not None:
        for label, name in enumerate(counts.classes):
            rows = np.flatnonzero(audit.dataset.labels == label)
            if audit.measures is not None:
                rows = rows[audit.measures.readable[rows]]
            chosen = rows[np.linspace(0, len(rows) - 1, min(8, len(rows))).astype(int)] if len(rows) else rows
            sheet = "".join(_figure(audit, int(row), picture) for row in chosen)
            drawn += (
                f"<details><summary>Contact sheet: {_named(name)}</summary>"
                f"<div class='pictures'>{sheet}</div></details>"
            )
    return drawn


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _traps(audit: Audit, picture: Picture | None) -> str:
    drawn = ""
    if audit.shortcuts:
        width, left = 400, 230
        rows = []
        for index, one in enumerate(audit.shortcuts):
            y = 34 * index
            dot = (
                ""
                if one.grouped is None
                else f"<circle cx='{left + width * one.grouped:.1f}' cy='{y + 16}' r='6' fill='var(--bg)' "
                "stroke='var(--text)' stroke-width='2'/>"
            )
            rows.append(
                f"<text x='{left - 10}' y='{y + 20}' text-anchor='end'>{_text(one.title)}</text>"
                f"<rect x='{left}' y='{y + 5}' width='{width * one.accuracy:.1f}' height='22' rx='3' fill='var(--c0)'/>"
                f"{dot}<text x='{left + width + 12}' y='{y + 20}'>{_percent(one.accuracy)}</text>"
            )
        height = 34 * len(audit.shortcuts)
        chance = left + width * audit.shortcuts[0].chance
        drawn += (
            "<h3>How far the class can be told by colour, corner and layout alone</h3>"
            f"<svg viewBox='0 0 720 {height + 26}' width='720' role='img' aria-label='Accuracy of each shortcut'>"
            + "".join(rows)
            + f"<line x1='{chance:.1f}' x2='{chance:.1f}' y1='0' y2='{height}' stroke='var(--text)' "
            "stroke-dasharray='4 3'/>"
            f"<text x='{chance:.1f}' y='{height + 17}' text-anchor='middle' class='dim'>chance</text></svg>"
            "<p class='dim'>Bars: random folds. Rings: whole sessions held out.</p>"
        )
    if audit.fixed:
        scores = audit.fixed[0].scores
        low, high = float(scores.min()), float(scores.max())
        side = 34
        cells = []
        for (y, x), score in np.ndenumerate(scores):
            strength = (score - low) / max(high - low, 1e-9)
            cells.append(
                f"<rect x='{x * side}' y='{y * side}' width='{side - 2}' height='{side - 2}' "
                f"fill='rgba(var(--cell),{0.08 + 0.92 * strength:.2f})'><title>{100 * score:.0f} %</title></rect>"
            )
        size = side * len(scores)
        drawn += (
            "<h3>How far each region of the frame tells the class</h3>"
            f"<svg viewBox='0 0 {size} {size}' width='{size}' role='img' aria-label='Accuracy of each region'>"
            + "".join(cells)
            + f"</svg><p class='dim'>From {100 * low:.0f} % (palest) to {100 * high:.0f} % (darkest) of the images "
            "named by the region alone, its mean colour taken out.</p>"
        )
        for content in audit.fixed:
            drawn += _table(
                ["Look of the region", *map(_named, audit.dataset.classes)],
                [[f"style {index + 1}", *(f"{int(one):,}" for one in row)] for index, row in enumerate(content.counts)],
                f"Looks of the {_text(content.place)} by class",
            )
    if audit.verdicts is not None:
        drawn += _strips(audit)
    return drawn


def _strips(audit: Audit) -> str:
    """Draw right and wrong in the order of capture, a strip for each class."""
    assert audit.verdicts is not None  # noqa: S101 - the caller looked
    strips = []
    for label, rows in capture_order(audit.dataset, audit.verdicts):
        if not len(rows):
            continue
        step = 900 / len(rows)
        wrong = [index for index, row in enumerate(rows) if audit.verdicts.predicted[row] != label]
        marks = "".join(
            f"<rect x='{index * step:.2f}' y='0' width='{max(step, 1.2):.2f}' height='22' fill='var(--c1)'/>"
            for index in wrong
        )
        strips.append(
            f"<p class='dim'>{_named(audit.dataset.classes[label])}: {len(wrong)} of {len(rows):,} wrong</p>"
            f"<svg viewBox='0 0 900 22' width='900' height='22' preserveAspectRatio='none' role='img' "
            f"aria-label='Right and wrong in the order of names'>"
            f"<rect width='900' height='22' fill='var(--soft)'/>{marks}</svg>"
        )
    legend = (
        "<div class='legend'><span><span class='key' style='background:var(--c1)'></span>wrong</span>"
        "<span><span class='key' style='background:var(--soft)'></span>right</span></div>"
    )
    return "<h3>Right and wrong in the order of the file names</h3>" + legend + "".join(strips) if strips else ""


def _errors(audit: Audit, picture: Picture | None) -> str:
    if audit.confusion is None or audit.verdicts is None:
        return ""
    classes, counts = audit.dataset.classes, audit.confusion
    body = []
    for true, row in enumerate(counts):
        cells = []
        for called, count in enumerate(row):
            share = count / max(row.sum(), 1)
            ink = "var(--bg)" if share > 0.55 else "var(--text)"
            cells.append(
                f"<td class='cell' style='background:rgba(var(--cell),{0.05 + 0.95 * share:.2f});color:{ink}'>{count:,}"
                "</td>"
                if true == called or count
                else "<td class='cell dim'>0</td>"
            )
        recall = counts[true, true] / row.sum() if row.sum() else None
        body.append(f"<tr><td>{_named(classes[true])}</td>{''.join(cells)}<td>{_percent(recall)}</td></tr>")
    head = "".join(f"<th>{_named(name)}</th>" for name in classes)
    drawn = (
        "<h3>Confusion</h3><div class='scroll'><table><caption>Rows: label. Columns: "
        f"what {_text(audit.verdicts.title)} calls it.</caption>"
        f"<thead><tr><th></th>{head}<th>recall</th></tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
    if audit.dataset.benign_beside_malignant is not None:
        points = [operate(audit.dataset, audit.verdicts, one) for one in (0.1, 0.25, 0.5, 0.75, 0.9)]
        drawn += _table(
            ["called malignant from", "false alarms", "misses", "specificity", "sensitivity"],
            [
                [
                    f"{100 * one.threshold:.0f} %",
                    f"{one.false_alarms:,}",
                    f"{one.misses:,}",
                    f"{_percent(one.specificity)} {_range(one.specificity_interval)}",
                    f"{_percent(one.sensitivity)} {_range(one.sensitivity_interval)}",
                ]
                for one in points
            ],
            "What a threshold on the probability of malignancy does",
        )
        drawn += f"<p class='dim'>Intervals are 95 %, {resting_on(audit.dataset, audit.verdicts)}.</p>"
    return drawn


def _range(interval: tuple[float, float] | None) -> str:
    if interval is None or not math.isfinite(interval[0]):
        return ""
    return f"<span class='dim'>({100 * interval[0]:.1f}–{100 * interval[1]:.1f})</span>"


def _labels(audit: Audit, picture: Picture | None) -> str:
    doubtful = audit.labels
    if doubtful is None or not len(doubtful.rows) or audit.verdicts is None:
        return ""
    classes = audit.dataset.classes
    rows = []
    for row, to, gap in list(zip(doubtful.rows, doubtful.suggested, doubtful.margin, strict=True))[:40]:
        label = audit.dataset.labels[row]
        p = audit.verdicts.probabilities[row]
        rows.append(
            [
                _text(audit.dataset.files[row]),
                _named(classes[label]),
                _named(classes[to]),
                _percent(p[label]),
                _percent(p[to]),
                f"{gap:.2f}".replace("-", "−"),
            ]
        )
    return _table(
        ["image", "label", "looks like", "p(label)", "p(looks like)", "margin"], rows, "The most doubtful labels"
    )


def _slices(audit: Audit, picture: Picture | None) -> str:
    if not audit.slices:
        return ""
    low = min(one.interval[0] for one in audit.slices)
    low = max(0.0, math.floor(low * 10) / 10)
    span = max(1 - low, 0.1)

    def bar(accuracy: float, interval: tuple[float, float]) -> str:
        x0, x1, x = (160 * (one - low) / span for one in (*interval, accuracy))
        return (
            "<svg viewBox='-6 0 172 16' width='172' height='16' aria-hidden='true'>"
            "<line x1='0' x2='160' y1='8' y2='8' stroke='var(--line)'/>"
            f"<line x1='{x0:.1f}' x2='{x1:.1f}' y1='8' y2='8' stroke='var(--c0)' stroke-width='4'/>"
            f"<circle cx='{x:.1f}' cy='8' r='5' fill='var(--c0)'/></svg>"
        )

    rows = [
        [
            _text(one.title),
            f"{len(one.rows):,}",
            f"{_percent(one.accuracy)} {_range(one.interval)}",
            bar(one.accuracy, one.interval),
            _percent(one.specificity),
            _percent(one.sensitivity),
            _percent(one.rest),
        ]
        for one in audit.slices[:40]
    ]
    return _table(
        ["slice", "images", "accuracy", f"{100 * low:.0f} to 100 %", "specificity", "sensitivity", "elsewhere"],
        rows,
        "The worst first, by the upper end of the interval",
    )
