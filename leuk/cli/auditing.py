"""Commands on data sets: audit, data check."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leuk.cli.common import READ, REFUSED, check_files, write_text
from leuk.errors import DataError


def add(commands: Any) -> None:
    """Add the commands to a parser's subparsers."""
    audit = commands.add_parser(
        "audit",
        help="tell what makes a score on a data set believable or not",
        description="Look for duplicates, shortcuts, doubtful labels and weak slices in a folder of class folders, a "
        "CSV with columns path and label, or the public set. The data folder is only read; measures are kept in the "
        "user's cache folder (LEUK_CACHE).",
    )
    audit.add_argument("data", metavar="DIR", help="folder of class folders, or CSV with columns path and label")
    audit.add_argument(
        "--predictions", type=Path, metavar="CSV", help="out-of-fold probabilities: columns file, p_CLASS…, fold"
    )
    audit.add_argument("--html", type=Path, metavar="FILE", help="write one page that opens anywhere")
    audit.add_argument("--json", type=Path, metavar="FILE", help="write all findings for programs; - for the screen")
    audit.add_argument("--no-pictures", action="store_true", help="put no picture into the page, names only")
    audit.add_argument("--no-cache", action="store_true", help="measure anew and keep nothing")
    audit.set_defaults(run=_audit)

    data = commands.add_parser("data", help="check a download of the public set")
    tasks = data.add_subparsers(required=True, metavar="TASK")
    check = tasks.add_parser(
        "check",
        help="compare a folder with the known counts and names",
        description="Compare a download of the ALL set of Taleqani Hospital (Ghaderzadeh et al. 2022, doi "
        "10.1002/int.22753; 3,256 fields) with what is known of it.",
    )
    check.add_argument("folder", metavar="DIR", help="holds Original/Benign and so on")
    check.set_defaults(run=_check)


def _audit(options: argparse.Namespace) -> int:
    from leuk.data.audit import SEVERITIES, audit
    from leuk.data.audit_page import render
    from leuk.data.datasets import load_dataset
    from leuk.data.inspection import read_table

    dataset = load_dataset(options.data)
    predictions = None
    if options.predictions is not None:
        try:
            content = options.predictions.read_bytes()
        except OSError as error:
            raise DataError(
                f"The table of predictions {options.predictions} can't be read ({error.strerror}); check the name."
            ) from error
        predictions = read_table(content, options.predictions.name)
    data = Path(options.data)
    inputs = [data, *filter(None, [options.predictions]), *map(dataset.path, range(len(dataset)))]
    check_files((options.json, options.html), inputs, only_read=data if data.is_dir() else None)
    # The bar is for people: it stays away where standard error is no terminal.
    with tqdm(total=100, disable=None, bar_format="{l_bar}{bar}| {elapsed} {desc}") as bar:

        def tell(share: float, text: str) -> None:
            bar.n = min(100, round(100 * share))
            bar.set_description_str(text, refresh=True)

        found = audit(dataset, predictions, tell, keep=not options.no_cache)

    if str(options.json) != "-":
        counts = ", ".join(f"{k} {v:,}" for k, v in found.balance.classes.items())
        print(f"{dataset.name}: {len(dataset):,} images, {counts}")
        for severity in SEVERITIES:
            for finding in (one for one in found.findings if one.severity == severity):
                print(f"\n[{severity}] {finding.title}")
                print(f"  {finding.explanation}")
    if found.measures is not None:
        for problem in found.measures.problems.values():
            print(f"leuk: {problem}", file=sys.stderr)
    if options.json is not None:
        write_text(options.json, json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n")
    if options.html is not None:
        write_text(options.html, render(found, pictures=not options.no_pictures))
    return REFUSED if found.measures is not None and found.measures.problems else READ


def _check(options: argparse.Namespace) -> int:
    from leuk.data.datasets import check_taleqani

    check = check_taleqani(options.folder)
    for folder, (found, expected) in check.counts.items():
        twins = check.twins[folder][0]
        print(f"{folder:<8} Original {found:>4} of {expected:>4}   Segmented {twins:>4} of {expected:>4}")
    found, expected = (sum(pair[place] for pair in check.counts.values()) for place in (0, 1))
    print(f"{'all':<8} Original {found:>4} of {expected:>4}")
    for problem in check.problems:
        print(problem)
    print("Complete: every known name is there." if check.complete else "Not the whole set, see above.")
    return READ if check.complete else REFUSED
