"""The command line's contract: what it writes, in which order, and how it ends."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leuk.cli import MISUSED, READ, REFUSED, main, reading
from leuk.data.synthetic import generate
from leuk.image import SmearImage
from leuk.report import MEASURES, pooled, pooled_count

ROOT = Path(__file__).resolve().parent.parent
KEYS = {
    "file", "status", "error", "sha256", "width", "height", "model", "method", "probabilities",
    "malignant_probability", "suggestion", "outside", "cut_out", "cells", "scale", "remarks",
}  # fmt: skip
CELL_KEYS = {
    "box", "area", "nucleus_area", "nc_ratio", "eccentricity", "circularity", "solidity", "touches_border",
    "mean_color", *MEASURES,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _weights(small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUK_WEIGHTS", str(small_weights))


def _save(image: SmearImage, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image.pixels[..., ::-1])[1].tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, field: SmearImage) -> Path:
    """Two good fields of one name in different folders, and a file that is no image."""
    _save(field, tmp_path / "in" / "a" / "field.png")
    _save(field, tmp_path / "in" / "b" / "field.png")
    (tmp_path / "in" / "b" / "broken.jpg").write_text("not a photograph", encoding="utf-8")
    return tmp_path


def test_analyze_writes_records_in_input_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = folder / "in" / "a" / "field.png", folder / "in" / "b" / "broken.jpg"
    status = main(["analyze", str(bad), str(good), "--model", "small", "--json", str(folder / "new" / "out.json")])
    assert status == REFUSED
    refused, read = json.loads((folder / "new" / "out.json").read_text("utf-8"))
    assert set(refused) == set(read) == KEYS
    assert (refused["file"], refused["status"]) == (str(bad), "refused")
    assert refused["error"].endswith(".")
    assert refused["probabilities"] is None
    assert (read["file"], read["status"], read["error"]) == (str(good), "read", None)
    assert (read["width"], read["height"], read["model"]) == (224, 224, "small")
    assert len(read["sha256"]) == 64
    assert list(read["probabilities"]) == ["benign", "early_pre_b", "pre_b", "pro_b"]
    assert sum(read["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert read["malignant_probability"] == pytest.approx(1 - read["probabilities"]["benign"], abs=1e-4)
    assert read["cells"]
    assert all(set(cell) == CELL_KEYS for cell in read["cells"])
    told = capsys.readouterr()
    assert "refused" in told.out
    assert "not a medical device" in told.out


def test_what_cannot_be_told_stands_without_a_probability(
    tmp_path: Path, field: SmearImage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside "cannot tell", a probability would read as if that were certain."""
    monkeypatch.delenv("LEUK_WEIGHTS")
    _save(SmearImage.from_array(np.full((224, 224, 3), 230, np.uint8), "blank"), tmp_path / "1-blank.png")
    _save(field, tmp_path / "2-field.png")
    assert main(["analyze", str(tmp_path)]) == READ
    blank, told, *remarks = (line for line in capsys.readouterr().out.splitlines() if ".png" in line)
    assert any("No white cell" in remark for remark in remarks), "and why"
    assert "cannot_tell" in blank
    assert "%" not in blank
    assert blank.endswith("0 cells")
    assert "cannot_tell" not in told
    assert "%" in told


def test_of_a_field_that_cannot_be_read_the_cells_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LEUK_WEIGHTS")
    foreign = cv2.cvtColor(generate(3, 224, 224, style="pre", cells=7).image.pixels, cv2.COLOR_RGB2HSV)
    foreign[..., 0] = (foreign[..., 0].astype(int) + 20) % 180
    cv2.imwrite(str(tmp_path / "foreign.png"), cv2.cvtColor(foreign, cv2.COLOR_HSV2BGR))
    assert main(["analyze", str(tmp_path), "--json", str(tmp_path / "out.json")]) == READ
    (row,) = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (row["suggestion"], row["outside"], row["cut_out"]) == ("cannot_tell", True, False)
    assert f"expect {100 * row['differential']['expected_blasts']:.0f} %" in row["from_cells"]
    told = capsys.readouterr().out
    assert row["from_cells"] in told
    assert "of one smear" not in told
    # Of several fields the cells are counted together, each field once.
    for name, seed in (("second.png", 5), ("twin.png", 5)):
        _save(generate(seed, 224, 224, style="pre", cells=7).image, tmp_path / name)
    assert main(["analyze", str(tmp_path), "--json", str(tmp_path / "out.json")]) == READ
    count = pooled_count(pooled(json.loads((tmp_path / "out.json").read_text("utf-8"))))
    told = capsys.readouterr().out
    assert (
        f"If all is of one smear: {count['total']} white cells in 2 files (1 more repeats one); 200 are usual." in told
    )
    assert f"expect {100 * count['expected_blasts']:.0f} % to be blasts" in told


def test_explain_adds_shares_and_out_writes_overlays(folder: Path) -> None:
    out, record = folder / "overlays", folder / "out.json"
    arguments = ["analyze", str(folder / "in" / "a"), "--model", "small", "--explain", "layercam"]
    assert main([*arguments, "--out", str(out), "--json", str(record)]) == READ
    (read,) = json.loads(record.read_text("utf-8"))
    assert set(read) == KEYS | {"explain", "heat_on_cells", "cells_share"}
    assert (read["method"], read["explain"]) == ("default", "layercam")
    assert 0 < read["cells_share"] < 1
    (overlay,) = out.iterdir()
    assert overlay.name == "field_overlay.png"
    drawn = cv2.imread(str(overlay))
    assert drawn.shape == (224, 224, 3)
    assert (drawn != cv2.imread(str(folder / "in" / "a" / "field.png"))).any()


def test_segment_writes_masks_and_tables_without_overwriting(folder: Path) -> None:
    out = folder / "masks"
    assert main(["segment", str(folder / "in"), "--out", str(out), "--method", "otsu_green"]) == REFUSED
    names = {"field_mask.png", "field_cells.csv", "field-2_mask.png", "field-2_cells.csv"}
    assert {path.name for path in out.iterdir()} == names
    mask = cv2.imread(str(out / "field_mask.png"), cv2.IMREAD_UNCHANGED)
    assert (mask.dtype, mask.shape) == (np.uint8, (224, 224))
    assert set(np.unique(mask)) <= {0, 128, 255}
    with (out / "field_cells.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    assert {"area", "nucleus_area", "nc_ratio", "eccentricity", "circularity", "solidity"} <= set(rows[0])
    # Two files of one name are told apart by what is in them.
    assert {row["sha256"] for row in rows} == {hashlib.sha256((folder / "in/a/field.png").read_bytes()).hexdigest()}


def test_segment_writes_the_number_of_each_cell_that_the_table_has(tmp_path: Path, field: SmearImage) -> None:
    _save(field, tmp_path / "a.png")
    own = _save(field, tmp_path / "a_instances.png").read_bytes()
    given = ["segment", str(tmp_path / "a.png"), str(tmp_path / "a_instances.png"), "--out", str(tmp_path)]
    assert main([*given, "--instances", "--method", "dye_and_path"]) == READ
    assert (tmp_path / "a_instances.png").read_bytes() == own, "no output takes the place of an input"
    labels = cv2.imread(str(tmp_path / "a-2_instances.png"), cv2.IMREAD_UNCHANGED)
    mask = cv2.imread(str(tmp_path / "a-2_mask.png"), cv2.IMREAD_UNCHANGED)
    assert (labels.dtype, labels.shape) == (np.uint16, mask.shape)
    assert np.array_equal(labels > 0, mask > 0)
    rows = list(csv.DictReader((tmp_path / "a-2_cells.csv").open(encoding="utf-8")))
    assert len(rows) == labels.max() > 0
    assert [int(row["area"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()


def test_segment_leaves_its_inputs_alone(tmp_path: Path, field: SmearImage, capsys: pytest.CaptureFixture[str]) -> None:
    _save(field, tmp_path / "a.png")
    mask = _save(field, tmp_path / "a_mask.png").read_bytes()
    named = [str(tmp_path / "a.png"), str(tmp_path / "a_mask.png")]
    # In a folder a mask beside its picture is none to read, and yet not to be written over.
    for given in ([str(tmp_path)], named):
        assert main(["segment", *given, "--out", str(tmp_path)]) == READ
        assert (tmp_path / "a_mask.png").read_bytes() == mask
        assert (tmp_path / "a-2_mask.png").is_file()
        assert (tmp_path / "a_mask_mask.png").is_file() == (given == named)
        assert "a-2_mask.png: so named because there is another a_mask.png." in capsys.readouterr().out


def test_json_on_a_screen_that_lacks_letters_is_json(tmp_path: Path, field: SmearImage) -> None:
    _save(field, tmp_path / "Präparat 😀.png")
    command = [sys.executable, "-m", "leuk", "analyze", str(tmp_path), "--model", "small", "--json", "-"]
    told = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True)
    assert Path(json.loads(told.stdout.decode("ascii"))[0]["file"]).name == "Präparat 😀.png"


def test_awkward_names_stop_nothing(tmp_path: Path, field: SmearImage, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    _save(field, folder / f"{'x' * 246}.png")
    _save(field, folder / "ok.png")
    odd = folder / os.fsdecode(b"bad\xff.png")
    try:
        odd.write_bytes((folder / "ok.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    more = ["--model", "small", "--json", str(tmp_path / "o.json"), "--out", str(out)]
    assert main(["analyze", str(folder), *more]) == READ
    names = [row["file"] for row in json.loads((tmp_path / "o.json").read_text("utf-8"))]
    assert str(odd) in names
    assert len(names) == len(list(out.iterdir())) == 3
    assert main(["segment", str(folder), "--out", str(out)]) == READ
    assert "ok.png" in capsys.readouterr().out


def test_a_folder_that_takes_nothing_is_refused_before_the_first_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "/proc/self"
    if not Path(place).is_dir():
        pytest.skip("needs a folder that nobody can write into")
    for command in (["analyze", "--model", "small"], ["segment"]):
        assert main([*command, str(folder / "in"), "--out", place]) == MISUSED
        assert "Nothing can be written into" in capsys.readouterr().err
    assert main(["analyze", "--model", "small", str(folder / "in"), "--json", str(folder)]) == MISUSED
    assert "is a folder" in capsys.readouterr().err


def _full(monkeypatch: pytest.MonkeyPatch, nth: int, kept: int = 5) -> None:
    """Let the nth file that is written be cut off, as by a full disk."""
    real, count = Path.write_bytes, iter(range(1, 1000))

    def write(path: Path, data: bytes) -> int:
        if next(count) != nth:
            return real(path, data)
        real(path, data[:kept])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_write_that_fails_is_one_row_and_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    _full(monkeypatch, 2)
    assert main(["segment", str(folder / "in"), "--out", str(out)]) == REFUSED
    told = capsys.readouterr().out
    assert "What field.png gave can't be written (No space left on device)" in told
    assert {path.name for path in out.iterdir()} == {"field-2_mask.png", "field-2_cells.csv"}, "no mask without a table"


def test_a_full_disk_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = folder / "out.json"
    record.write_text("precious", encoding="utf-8")
    record.chmod(0o600)
    arguments = ["analyze", str(folder / "in" / "a"), "--model", "small", "--json", str(record)]
    with monkeypatch.context() as patched:
        _full(patched, 1)
        assert main(arguments) == MISUSED
    assert "can't be written (No space left on device); make room" in capsys.readouterr().err
    assert record.read_text("utf-8") == "precious"
    assert sorted(path.name for path in folder.iterdir()) == ["in", "out.json"]
    assert main(arguments) == READ
    assert json.loads(record.read_text("utf-8"))
    assert record.stat().st_mode & 0o777 == 0o600, "what was private stays private"


def test_what_is_no_file_is_written_to_as_it_is(folder: Path) -> None:
    assert main(["analyze", str(folder / "in" / "a"), "--model", "small", "--json", os.devnull]) == READ
    assert not Path(os.devnull).is_file()


def test_no_output_takes_the_place_of_an_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = folder / "in" / "a" / "field.png"
    plain, link = folder / "in" / "field", folder / "link.json"
    plain.write_bytes(picture.read_bytes())
    link.symlink_to(plain)
    before = picture.read_bytes()
    for record, said in (
        (picture, "has a photograph's name"),
        (folder / "new.JPG", "has a photograph's name"),
        (plain, "is one of the files that are read"),
        (link, "is one of the files that are read"),
    ):
        assert main(["analyze", str(picture), str(plain), "--model", "small", "--json", str(record)]) == MISUSED
        assert said in capsys.readouterr().err
    assert picture.read_bytes() == plain.read_bytes() == before
    assert not (folder / "new.JPG").exists()


def test_an_audit_and_a_list_leave_what_they_read_alone(
    folder: Path, small_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, guess = folder / "t.csv", folder / "guess.csv"
    table.write_text("path,label\nin/a/field.png,benign\nin/b/field.png,pre\n", encoding="utf-8")
    guess.write_text("file,p_benign,p_pre_b\n", encoding="utf-8")
    for option in ("--json", "--html"):
        assert main(["audit", str(table), option, str(table)]) == MISUSED
        assert "is one of the files that are read" in capsys.readouterr().err
        assert main(["audit", str(folder / "in"), option, str(folder / "in" / "new")]) == MISUSED
        assert "which is only read" in capsys.readouterr().err
    card = small_weights / "small.json"
    before = card.read_bytes()
    for command in ("models", "compare"):
        assert main([command, "--json", str(card)]) == MISUSED
        assert "is one of the files that are read" in capsys.readouterr().err
    assert card.read_bytes() == before


def test_what_was_read_before_a_stop_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = folder / "out.json"
    record.write_text("precious", encoding="utf-8")
    real, left = reading.read_image, [0]

    def stop(path: Path) -> SmearImage:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(reading, "read_image", stop)
    arguments = ["analyze", str(folder / "in"), "--model", "small", "--json", str(record)]
    assert main(arguments) == 130
    assert record.read_text("utf-8") == "precious", "nothing was read"
    left[0] = 2
    assert main(arguments) == 130
    assert [row["status"] for row in json.loads(record.read_text("utf-8"))] == ["read", "refused"]


def test_long_names_are_cut_at_a_character(tmp_path: Path, field: SmearImage) -> None:
    _save(field, tmp_path / "in" / f"x{'س' * 120}.png")
    assert main(["segment", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == READ
    for path in (tmp_path / "out").iterdir():
        assert path.name.encode("utf-8").startswith("xس".encode())


def test_places_that_take_nothing_are_refused_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "/proc/self"
    if not Path(place).is_dir():
        pytest.skip("needs a folder that nobody can write into")
    data, record = folder / "data", folder / "out.json"
    for name in ("Benign", "Pre"):
        path = data / "Original" / name / f"{name}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no image, and so told of by whoever reads it")
    record.write_text("precious", encoding="utf-8")
    # Root may write into any file.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != record)
    train, run = ["train", "simple_cnn", "--data", str(data), "--partition", "random"], ["--run", str(folder / "run")]
    for arguments, said in (
        (["analyze", str(folder / "in"), "--model", "small", "--json", str(record)], "is read-only"),
        (["audit", str(data), "--html", str(record)], "is read-only"),
        ([*train, *run, "--weights", place], "Nothing can be written into"),
        ([*train, "--run", place], "Nothing can be written into"),
    ):
        assert main(arguments) == MISUSED
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1, "one sentence, before anything was read"
    monkeypatch.setenv("LEUK_WEIGHTS", place)
    for what in (["simple_cnn", *run], ["controls"], ["cells"]):
        assert main(["evaluate", *what, "--data", str(data)]) == MISUSED
        assert "can't be made" in capsys.readouterr().err
    assert record.read_text("utf-8") == "precious"


def _closed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a file be one that may not be read; root may read any."""

    def but_it(real: Callable[..., Any]) -> Callable[..., Any]:
        def read(path: Path, *options: str, **more: str) -> Any:
            if path.name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *options, **more)

        return read

    for method in ("read_bytes", "read_text"):
        monkeypatch.setattr(Path, method, but_it(getattr(Path, method)))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("small.safetensors", "The weights of 'small' can't be read (small.safetensors: Permission denied)"),
        ("small.json", "The card small.json can't be read (Permission denied)"),
    ],
)
def test_weights_that_may_not_be_read_are_told_of_once(
    file: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "weights"
    shutil.copytree(os.environ["LEUK_WEIGHTS"], weights)
    monkeypatch.setenv("LEUK_WEIGHTS", str(weights))
    _closed(monkeypatch, file)
    assert main(["analyze", str(folder / "in"), "--model", "small"]) == MISUSED
    assert capsys.readouterr().err.startswith(f"leuk: {said}")


@pytest.mark.parametrize("file", ["segmenter.json", "cells.safetensors"])
def test_what_else_may_not_be_read_is_not_called_unwritable(
    file: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "weights"
    weights.mkdir()
    for name in ("reader", "cells", "segmenter"):
        for suffix in (".json", ".safetensors"):
            shutil.copy(ROOT / "weights" / f"{name}{suffix}", weights)
    monkeypatch.setenv("LEUK_WEIGHTS", str(weights))
    _closed(monkeypatch, file)
    assert main(["analyze", str(folder / "in" / "a")]) == REFUSED
    told = capsys.readouterr().out
    assert "can't be read" in told
    assert "can't be written" not in told


def test_seeds_that_no_generator_takes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "simple_cnn", "--data", str(tmp_path), "--seed", str(2**32), "--run", str(tmp_path / "run")]
    assert main(train) == MISUSED
    assert f"use at most {2**32 - 1}" in capsys.readouterr().err


def test_json_goes_to_the_screen_and_remarks_are_told(
    tmp_path: Path, field: SmearImage, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.tif"
    cv2.imwrite(str(path), field.pixels[..., ::-1].astype(np.uint16) * 257)
    assert main(["analyze", str(path), "--model", "small", "--json", "-"]) == READ
    (row,) = json.loads(capsys.readouterr().out)
    assert any("16 bits" in remark for remark in row["remarks"])
    assert main(["analyze", str(path), "--model", "small"]) == READ
    assert "Samples of 16 bits were rescaled" in capsys.readouterr().out
    assert not Path("-").exists()


def test_lengths_are_in_micrometres_where_the_scale_is_known(
    folder: Path, tmp_path: Path, field: SmearImage, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, bare = tmp_path / "field.png", tmp_path / "bare.png"
    cv2.imwrite(str(picture), field.pixels[..., ::-1])
    alone = generate(3, 160, 160, style="pre", cells=1, red_cells=False, debris=False).image
    cv2.imwrite(str(bare), alone.pixels[..., ::-1])

    def lengths(name: str, *options: str) -> tuple[set[str], set[float | None]]:
        assert main(["segment", str(picture), str(bare), "--out", str(tmp_path / "out"), *options]) == READ
        with (tmp_path / "out" / f"{name}_cells.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        per_pixel = {
            round(float(r["diameter_um"]) / float(r["diameter"]), 2) if r["diameter_um"] else None for r in rows
        }
        return {row["um_source"] for row in rows}, per_pixel

    assert lengths("field")[0] == {"estimated"}
    assert lengths("bare") == ({""}, {None})
    assert lengths("field", "--um-per-px", "0.2") == ({"entered"}, {0.2})
    assert lengths("bare", "--um-per-px", "0.2") == ({"entered"}, {0.2})
    assert main(["segment", str(bare), "--out", str(tmp_path / "out")]) == READ
    assert capsys.readouterr().out.rstrip().endswith(" 1 cell")
    table = tmp_path / "out.json"
    assert main(["analyze", str(picture), "--model", "small", "--um-per-px", "0.2", "--json", str(table)]) == READ
    assert json.loads(table.read_text())[0]["scale"] == {"um_per_px": 0.2, "source": "entered", "red_cells": 0}


def test_samples_can_be_segmented_and_match_their_masks(tmp_path: Path) -> None:
    assert main(["samples", str(tmp_path / "samples")]) == READ
    pictures = sorted(tmp_path.glob("samples/synthetic-*-b-like.png"))
    assert pictures
    assert main(["segment", *map(str, pictures), "--out", str(tmp_path / "found")]) == READ
    for picture in pictures:
        truth = cv2.imread(str(picture.with_name(f"{picture.stem}_mask.png")), cv2.IMREAD_UNCHANGED) == 255
        found = cv2.imread(str(tmp_path / "found" / f"{picture.stem}_mask.png"), cv2.IMREAD_UNCHANGED) == 255
        assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "oracle"], "no model 'oracle'"),
        (["--method", "guess"], "no segmentation method 'guess'"),
        (["--explain", "saliency"], "no heat-map method 'saliency'"),
        (["--device", "quantum"], "no device 'quantum'"),
        (["--device", "hpu"], "no device 'hpu'"),
        (["--um-per-px", "0"], "--um-per-px 0 is no width; give micrometres above 0"),
        (["--um-per-px", "inf"], "--um-per-px inf is no width"),
    ],
)
def test_slips_are_told_once(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in arguments else ["--model", "small"]
    assert main(["analyze", str(folder / "in"), *model, *arguments]) == MISUSED
    told = capsys.readouterr().err
    assert told.count(message) == 1


def test_missing_file_is_refused_and_the_rest_is_read(folder: Path) -> None:
    record = folder / "out.json"
    paths = [str(folder / "absent.png"), str(folder / "in" / "a")]
    assert main(["analyze", *paths, "--model", "small", "--json", str(record)]) == REFUSED
    assert [row["status"] for row in json.loads(record.read_text("utf-8"))] == ["refused", "read"]


def test_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    record = tmp_path / "out.json"
    assert main(["analyze", str(tmp_path / "empty"), "--model", "small", "--json", str(record)]) == REFUSED
    assert json.loads(record.read_text("utf-8")) == []
    assert "hold no image" in capsys.readouterr().err


def test_runs_as_a_module_with_the_bundled_reader(tmp_path: Path, field: SmearImage) -> None:
    """As a user types it: the shipped weights, a fresh process, no network."""
    path, record = _save(field, tmp_path / "field.png"), tmp_path / "out.json"
    command = [sys.executable, "-m", "leuk", "analyze", str(path), "--json", str(record), "--explain", "gradcam"]
    environment = {"PATH": "", "HOME": str(tmp_path), "SYSTEMROOT": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)  # noqa: S603
    assert done.returncode == READ, done.stderr
    (read,) = json.loads(record.read_text("utf-8"))
    assert read["model"] == "reader"


def test_a_reader_that_stops_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "leuk", "models"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)  # noqa: S603
    os.close(writing)
    assert done.stderr == ""


def test_importing_leuk_is_light() -> None:
    code = "import sys, leuk, leuk.errors, leuk.cli; sys.exit('torch' in sys.modules or 'streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0  # noqa: S603
