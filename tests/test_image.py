"""Pixels in: what is read comes out right, and what is refused says why."""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from leuk import image as image_module
from leuk.errors import ImageError
from leuk.image import IMAGE_SUFFIXES, SmearImage, find_images, read_image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
SMOOTH = np.stack(np.meshgrid(np.linspace(120, 240, 48), np.linspace(90, 220, 32)), -1).astype(np.uint8)
SMOOTH = np.dstack([SMOOTH, np.full(SMOOTH.shape[:2], 180, np.uint8)])
DEEP = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
DEEP[0, 0] = 65535


def encode(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, color_type: int, raw: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return PNG_MAGIC + body


def deep_png(pixels: np.ndarray) -> bytes:
    """Encode 16-bit samples by hand, so that no library's own rescaling is in the way."""
    samples = pixels[..., None] if pixels.ndim == 2 else pixels
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(samples.shape[1], samples.shape[0], 16, {1: 0, 2: 4, 3: 2, 4: 6}[samples.shape[2]], raw)


def interlaced_png(pixels: np.ndarray) -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    raw = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx] if row.size)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    return PNG_MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def to_8(deep: np.ndarray, top: int = 65535) -> np.ndarray:
    return np.round(deep.astype(np.float64) * 255 / top).astype(np.uint8)


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    opacity = alpha[..., None] / 255
    return np.round(color * opacity + 255 * (1 - opacity)).astype(np.uint8)


def palette_picture() -> Image.Image:
    picture = Image.fromarray(RNG.integers(0, 4, (6, 9), dtype=np.uint8), "P")
    picture.putpalette([200, 10, 90, 30, 60, 250, 255, 255, 255, 5, 6, 7])
    return picture


GREY = RGB[..., 0]
PALETTE = palette_picture()
ALPHA = np.dstack([RGB, np.linspace(0, 255, 54).reshape(6, 9).astype(np.uint8)])

EXACT = {
    "png rgb": (encode(RGB, "PNG"), RGB),
    "bmp rgb": (encode(RGB, "BMP"), RGB),
    "tiff rgb": (encode(RGB, "TIFF"), RGB),
    "tiff lzw": (encode(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "tiff deflate": (encode(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB),
    "tiff planar": (tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), RGB),
    "tiff tiled": (tiff(RGB, photometric="rgb", tile=(16, 16)), RGB),
    "tiff big-endian": (tiff(RGB, photometric="rgb", byteorder=">"), RGB),
    "tiff big": (tiff(RGB, photometric="rgb", bigtiff=True), RGB),
    "png grey": (encode(GREY, "PNG"), np.dstack([GREY] * 3)),
    "tiff grey": (encode(GREY, "TIFF"), np.dstack([GREY] * 3)),
    "tiff white is zero": (tiff(GREY, photometric="miniswhite"), 255 - np.dstack([GREY] * 3)),
    "bmp grey": (encode(GREY, "BMP"), np.dstack([GREY] * 3)),
    "png palette": (encode(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "bmp palette": (encode(PALETTE, "BMP"), np.asarray(PALETTE.convert("RGB"))),
    "tiff palette": (encode(PALETTE, "TIFF"), np.asarray(PALETTE.convert("RGB"))),
    "png one bit": (encode(Image.fromarray(GREY > 99), "PNG"), np.dstack([(GREY > 99) * np.uint8(255)] * 3)),
    "png interlaced": (interlaced_png(RGB), RGB),
    "png alpha": (encode(ALPHA, "PNG"), on_white(RGB, ALPHA[..., 3])),
    "tiff alpha": (encode(ALPHA, "TIFF"), on_white(RGB, ALPHA[..., 3])),
    "png grey alpha": (encode(ALPHA[..., 2:], "PNG"), on_white(np.dstack([RGB[..., 2]] * 3), ALPHA[..., 3])),
    "png opaque alpha": (encode(np.dstack([RGB, np.full_like(GREY, 255)]), "PNG"), RGB),
    "png all transparent": (encode(np.dstack([RGB, np.zeros_like(GREY)]), "PNG"), RGB),
    "png 16": (deep_png(DEEP), to_8(DEEP)),
    "png 16 grey": (deep_png(DEEP[..., 0]), to_8(np.dstack([DEEP[..., 0]] * 3))),
    "tiff 16": (tiff(DEEP, photometric="rgb"), to_8(DEEP)),
    "tiff 16 big-endian": (tiff(DEEP, photometric="rgb", byteorder=">"), to_8(DEEP)),
    "tiff 16 deflate": (tiff(DEEP, photometric="rgb", compression="zlib", predictor=2), to_8(DEEP)),
    "tiff 16 grey": (tiff(DEEP[..., 0], photometric="minisblack"), to_8(np.dstack([DEEP[..., 0]] * 3))),
    "tiff 16 grey big-endian": (
        tiff(DEEP[..., 0], photometric="minisblack", byteorder=">"),
        to_8(np.dstack([DEEP[..., 0]] * 3)),
    ),
    "tiff 16 white is zero": (tiff(DEEP[..., 0], photometric="miniswhite"), 255 - to_8(np.dstack([DEEP[..., 0]] * 3))),
    "png 16 black": (deep_png(np.zeros((4, 5, 3), np.uint16)), np.zeros((4, 5, 3), np.uint8)),
    "one pixel": (encode(RGB[:1, :1], "PNG"), RGB[:1, :1]),
}


@pytest.mark.parametrize("case", EXACT)
def test_lossless_files_give_their_pixels_exactly(case: str) -> None:
    data, expected = EXACT[case]
    image = read_image(data, "a")
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.pixels.dtype == np.uint8
    assert not image.pixels.flags.writeable


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("write", [deep_png, lambda a: tiff(a, photometric="rgb")], ids=["png", "tiff"])
def test_cameras_with_fewer_bits_are_rescaled_from_the_bits_they_use(bits: int, write) -> None:
    top = (1 << bits) - 1
    deep = RNG.integers(0, top + 1, (6, 9, 3), dtype=np.uint16)
    deep[0, 0] = top
    image = read_image(write(deep), "a")
    np.testing.assert_allclose(image.pixels, deep * (255 / top), atol=0.51)
    assert f"use only {bits} bits" in image.notes[0]


@pytest.mark.parametrize(
    ("write", "share"),
    [
        (deep_png, "straight"),
        (lambda a: tiff(a, photometric="rgb", extrasamples=["unassalpha"]), "straight"),
        (lambda a: tiff(a, photometric="rgb", extrasamples=["assocalpha"]), "premultiplied"),
        (lambda a: tiff(a, photometric="rgb", extrasamples=["unspecified"]), "ignored"),
    ],
)
def test_transparency_at_16_bits(write, share: str) -> None:
    alpha = np.linspace(0, 65535, 54).reshape(6, 9, 1)
    color = DEEP if share != "premultiplied" else (DEEP * (alpha / 65535)).astype(np.uint16)
    image = read_image(write(np.dstack([color, alpha.astype(np.uint16)])), "a")
    opacity = 1.0 if share == "ignored" else alpha / 65535
    expected = (DEEP * opacity + 65535 * (1 - opacity)) / 257
    np.testing.assert_allclose(image.pixels, expected, atol=2.1)


def test_16_bit_grey_with_alpha_from_png() -> None:
    deep = DEEP[..., :2].copy()
    deep[0, 0] = 65535, 0
    image = read_image(deep_png(deep), "a")
    opacity = deep[..., 1:] / 65535
    np.testing.assert_allclose(
        image.pixels, np.dstack([(deep[..., :1] * opacity + 65535 * (1 - opacity)) / 257] * 3), atol=2.1
    )


@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_colour_grey_and_cmyk(quality: int) -> None:
    np.testing.assert_allclose(read_image(encode(SMOOTH, "JPEG", quality=quality), "a.jpg").pixels, SMOOTH, atol=8)
    grey = SMOOTH[..., 0]
    image = read_image(encode(grey, "JPEG", quality=quality), "a.jpg")
    np.testing.assert_allclose(image.pixels, np.dstack([grey] * 3), atol=8)
    assert any("grey" in note for note in image.notes)
    # Also where three channels hold the same, but not of a picture in colour or of one shade.
    three = np.dstack([grey] * 3)
    assert any("grey" in note for note in read_image(encode(three, "JPEG", quality=quality), "a.jpg").notes)
    for other in (SMOOTH, np.full((40, 40, 3), 255, np.uint8)):
        assert not read_image(encode(other, "JPEG", quality=quality), "a.jpg").notes
    image = read_image(encode(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=quality), "a.jpg")
    np.testing.assert_allclose(image.pixels, SMOOTH, atol=10)
    assert any("CMYK" in note for note in image.notes)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(RGB).convert("CMYK"), "TIFF"), "a").pixels, RGB)


# Where the corner pixel of the stored picture must be seen: (row, column) of the shown picture, -1 for the last.
CORNERS = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "png16", "tiff16", "tiff16grey", "tiff lzw"])
def test_orientation_is_applied_once(orientation: int, kind: str) -> None:
    stored = np.full((16, 24, 3), 255, np.uint8)
    stored[:8, :8] = 0  # the corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    deep = stored.astype(np.uint16) * 257
    tag = [(274, 3, 1, orientation, True)]
    data = {
        "jpeg": lambda: encode(stored, "JPEG", exif=exif, quality=95),
        "png": lambda: encode(stored, "PNG", exif=exif),
        "tiff": lambda: tiff(stored, photometric="rgb", extratags=tag),
        "tiff lzw": lambda: encode(stored, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation}),
        "png16": lambda: deep_png(deep).replace(
            chunk(b"IEND", b""), chunk(b"eXIf", exif.tobytes()[6:]) + chunk(b"IEND", b"")
        ),
        "tiff16": lambda: tiff(deep, photometric="rgb", extratags=tag),
        "tiff16grey": lambda: tiff(deep[..., 0], photometric="minisblack", extratags=tag),
    }[kind]()
    pixels = read_image(data, "a").pixels
    assert pixels.shape == ((24, 16, 3) if orientation >= 5 else (16, 24, 3))
    row, column = CORNERS[orientation]
    assert pixels[row, column, 0] < 30
    others = [pixels[r, c, 0] for r in (0, -1) for c in (0, -1) if (r, c) != (row, column)]
    assert min(others) > 225


def test_a_jpeg_that_lost_its_second_half_but_has_an_end_is_not_read_in_silence() -> None:
    noisy = RNG.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    # A grey frame is what the picture begins with, too.
    framed = np.pad(noisy, ((24, 24), (24, 24), (0, 0)), constant_values=128)
    assert read_image(encode(framed, "JPEG", quality=90), "a.jpg").notes == ()
    whole = encode(noisy, "JPEG", quality=90)
    assert read_image(whole, "a.jpg").notes == ()
    with pytest.raises(ImageError, match="cut short"):
        read_image(whole[: len(whole) // 2] + b"\xff\xd9", "a.jpg")
    # Where zeros take the place of what was lost, a decoder makes something of them.
    zeros = bytes(len(whole) // 2)
    with pytest.raises(ImageError, match="cut short"):
        read_image(whole[: len(whole) // 2] + zeros + b"\xff\xd9", "a.jpg")
    (note,) = read_image(whole[: len(whole) // 3] + zeros[:3000] + whole[len(whole) // 3 + 3000 :], "a.jpg").notes
    assert "zeros" in note


def test_several_pages_give_the_first_and_say_so() -> None:
    pages = [Image.fromarray(np.full((5, 6, 3), value, np.uint8)) for value in (10, 20, 30)]
    image = read_image(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "a.tif")
    assert (image.pixels == 10).all()
    assert image.notes == ("The file holds 3 pages; only the first was read.",)


def test_a_profile_of_other_colours_is_converted_and_srgb_is_left_alone() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = read_image(encode(RGB, "PNG", icc_profile=srgb), "a.png")
    np.testing.assert_array_equal(image.pixels, RGB)
    assert image.notes == ()
    # The same profile with red and green changing places: what was red must come out green.
    swapped = bytearray(srgb.replace(b"s\0R\0G\0B", b"t\0e\0s\0t").replace(b"sRGB", b"test"))
    swapped = bytes(swapped).replace(b"rXYZ", b"tmp!").replace(b"gXYZ", b"rXYZ").replace(b"tmp!", b"gXYZ")
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    for kind in ("PNG", "JPEG", "TIFF"):
        image = read_image(encode(red, kind, icc_profile=swapped), "a")
        assert image.pixels[0, 0, 1] > 240 > 20 > image.pixels[0, 0, 0], kind
        assert "sRGB" in image.notes[0]
    image = read_image(encode(RGB, "PNG", icc_profile=srgb[:200] + b"\xff" * 400), "a.png")
    np.testing.assert_array_equal(image.pixels, RGB)
    assert "profile" in image.notes[0]


def test_metadata_stays_behind() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Patient Jane Doe"
    for kind in ("JPEG", "TIFF", "PNG"):
        image = read_image(encode(RGB, kind, exif=exif), "a")
        assert "Jane" not in repr(vars(image))
        assert set(vars(image)) == {"pixels", "sha256", "name", "notes"}


def test_texts_in_a_png_are_never_unfolded() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 30_000_000))
    raw = b"".join(b"\0" + row.tobytes() for row in RGB)
    np.testing.assert_array_equal(read_image(png(9, 6, 8, 2, raw, bomb), "a.png").pixels, RGB)


def damaged_png() -> bytes:
    data = bytearray(encode(RGB, "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0xFF
    return bytes(data)


def bmp_of(width: int, height: int) -> bytes:
    data = bytearray(encode(RGB, "BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def tiff_of(width: int, height: int) -> bytes:
    data = encode(RGB, "TIFF")
    for tag, old, new in ((256, 9, width), (257, 6, height)):
        data = data.replace(struct.pack("<HHII", tag, 4, 1, old), struct.pack("<HHII", tag, 4, 1, new))
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, old, 0), struct.pack("<HHII", tag, 4, 1, new))
    return data


def jpeg_of(width: int, height: int) -> bytes:
    return encode(RGB, "JPEG").replace(struct.pack(">HH", 6, 9), struct.pack(">HH", height, width), 1)


GIF = Image.fromarray(GREY)
JPEG, PNG_, BMP, TIFF = (encode(SMOOTH, kind) for kind in ("JPEG", "PNG", "BMP", "TIFF"))

REFUSED = [
    ("empty.jpg", b"", "is empty"),
    ("cut.jpg", JPEG[: len(JPEG) // 2], "cut short"),
    ("cut.png", PNG_[: len(PNG_) // 2], "cut short"),
    ("cut.bmp", BMP[: len(BMP) // 2], "cut short"),
    ("cut.tif", TIFF[: len(TIFF) // 2], "cut short"),
    ("head.jpg", JPEG[:12], "cut short"),
    ("head.png", PNG_[:20], "cut short"),
    ("head.bmp", BMP[:20], "cut short"),
    ("head.tif", TIFF[:6], "cut short"),
    ("end.png", PNG_[:-12], "cut short"),
    ("end.jpg", JPEG[:-2], "cut short"),
    ("cut16.png", deep_png(DEEP)[:-40], "cut short"),
    ("cut16.tif", tiff(np.tile(DEEP, (40, 40, 1)), photometric="rgb")[:-400], "cut short"),
    ("nothing.jpg", b"\xff\xd8\xff\xd9", "empty JPEG"),
    (
        "nothing.png",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 6, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
        "empty PNG",
    ),
    ("short-data.png", png(9, 6, 8, 2, b"\0" * 30), "cut short|damaged"),
    ("rows-missing.png", png(9, 6, 8, 2, b"\0" * 28 * 5), "cut short"),
    ("rows-missing.tif", tiff_of(9, 6000), "cut short"),
    ("damaged.png", damaged_png(), "damaged"),
    ("zero.png", png(0, 6, 8, 2, b""), "no pixels"),
    ("zero.bmp", bmp_of(0, 6), "no pixels"),
    ("zero.jpg", jpeg_of(9, 0), "no pixels"),
    ("zero.tif", tiff_of(0, 6), "no pixels"),
    ("bomb.png", png(60_000, 60_000, 8, 0, b"\0" * 100), "3,600 megapixels"),
    ("just.png", png(8_000, 8_001, 8, 0, b"\0" * 100), "64.01 megapixels"),
    ("bomb.bmp", bmp_of(60_000, -60_000), "megapixels"),
    ("bomb.jpg", jpeg_of(65_000, 65_000), "megapixels"),
    ("bomb.tif", tiff_of(100_000, 100_000), "megapixels"),
    ("photo.jpg", PNG_, r"named as a JPEG but holds a PNG.*\.png"),
    ("photo.png", JPEG, r"named as a PNG but holds a JPEG.*\.jpg"),
    ("photo.bmp", TIFF, r"named as a BMP but holds a TIFF.*\.tif"),
    ("photo.txt", JPEG, "named as a text file but holds a JPEG"),
    ("slide.svs", TIFF, "whole-slide"),
    ("text.jpg", "Zelle, Kern und Körnchen\n".encode(), "is text"),
    ("text16.jpg", "Zelle".encode("utf-16"), "is text"),
    ("page.png", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    ("page2.png", b"<!-- saved -->\n<HTML><p>", "web page"),
    ("drawing.png", b"<?xml version='1.0'?><svg/>", "vector drawing"),
    ("paper.tif", b"%PDF-1.7\n%\xe2\xe3", "PDF"),
    ("a.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "video"),
    ("b.mp4", b"\0\0\0\x14ftypqt  \0\0\2\0", "video"),
    ("a.avi", b"RIFF\x24\0\0\0AVI LIST", "video"),
    ("a.webm", b"\x1aE\xdf\xa3\x9fB\x86\x81", "video"),
    ("a.gif", encode(GIF, "GIF"), "is a GIF"),
    ("loop.gif", encode(GIF, "GIF", save_all=True, append_images=[GIF.rotate(90)], loop=0), "animated GIF"),
    ("a.webp", encode(RGB, "WEBP"), "WebP picture"),
    (
        "loop.webp",
        encode(Image.fromarray(RGB), "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "animated WebP",
    ),
    (
        "loop.png",
        encode(Image.fromarray(RGB), "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "animated PNG",
    ),
    ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
    ("a.dcm", b"\0" * 128 + b"DICM\2\0", "DICOM"),
    ("a.zip", b"PK\x03\x04" + b"\0" * 30, "archive"),
    ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    ("noise.jpg", bytes(RNG.integers(128, 256, 500, dtype=np.uint8)), "not a picture that Leuk knows"),
    ("zeros.bmp", b"\0" * 500, "not a picture that Leuk knows"),
    ("float.tif", tiff(RGB.astype(np.float32), photometric="rgb"), "32-bit"),
    ("signed.tif", tiff(GREY.astype(np.int16), photometric="minisblack"), "16-bit samples of a kind"),
    ("seven.tif", tiff(np.dstack([RGB, RGB, GREY]), photometric="minisblack", planarconfig="contig"), "channels"),
    ("planar16.tif", tiff(DEEP.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), "interleaved"),
    ("lab.tif", tiff(RGB, photometric="cielab"), "unusual kind"),
    ("segments.jpg", JPEG[:2] + b"\xff\xfe\0\2" * 100_000 + JPEG[2:], "more pieces"),
    ("chunks.png", PNG_[:33] + chunk(b"tEXt", b"") * 100_000 + PNG_[33:], "more pieces"),
    ("far.tif", b"II+\0\x08\0\0\0" + b"\xff" * 8 + b"\0" * 50, "cut short"),
    ("scans.jpg", JPEG[:-2] + JPEG[JPEG.index(b"\xff\xda") : -2] * 501 + b"\xff\xd9", "hundreds of times"),
]


@pytest.mark.parametrize(("name", "data", "reason"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_what_cannot_be_read_is_refused_with_its_own_sentence(
    name: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(data, name)
    message = str(caught.value)
    assert message.startswith(name)
    assert message.endswith(".")
    assert "\n" not in message
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=re.escape(message)):
        read_image(tmp_path / name)


@pytest.mark.parametrize("case", ["bomb.png", "bomb.bmp", "bomb.jpg", "bomb.tif", "photo.jpg", "text.jpg", "loop.png"])
def test_nothing_is_decoded_before_the_checks(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was called")

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(cv2, "imdecode", refuse)
    data = next(d for n, d, _ in REFUSED if n == case)
    with pytest.raises(ImageError):
        read_image(data, case)


def test_limits_are_inclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(RGB, "PNG")
    monkeypatch.setattr(image_module, "MAX_PIXELS", RGB.shape[0] * RGB.shape[1])
    monkeypatch.setattr(image_module, "MAX_BYTES", len(data))
    assert read_image(data, "a.png").width == 9
    with pytest.raises(ImageError, match="MB, more than"):
        read_image(data + b"x", "a.png")
    monkeypatch.setattr(image_module, "MAX_PIXELS", RGB.shape[0] * RGB.shape[1] - 1)
    with pytest.raises(ImageError, match="megapixels"):
        read_image(data, "a.png")


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with path.open("wb") as file:
        file.truncate(51 * 1024**2)
    with pytest.raises(ImageError, match=r"51\.0 MB, more than the 50 MB"):
        read_image(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="folder"):
        read_image(str(tmp_path))
    with pytest.raises(ImageError, match="name"):
        read_image("nul\0byte.jpg")
    with pytest.raises(ImageError, match=r"opened|not there"):
        read_image(tmp_path / ("x" * 5000 + ".jpg"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_rather_than_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path / "pipe.jpg")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(PNG_)

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)  # a mode of 000 stops nobody who is root
    with pytest.raises(ImageError, match="right to read"):
        read_image(path)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a/b/smear.png", "smear.png"),
        (r"C:\fakepath\smear.png", "smear.png"),
        ("لام خون\u200cشناسی ۱.png", "لام خون\u200cشناسی ۱.png"),
        ("a\nb\x1b[31m.png", "a\ufffdb\ufffd[31m.png"),
        ("gnp.\u202egpj.png", "gnp.\ufffdgpj.png"),
        ("\udcff.png", "\ufffd.png"),
        (None, "image"),
        ("", "image"),
        ("noending", "noending"),
        ("IMG.PNG", "IMG.PNG"),
        ("Field 2.5", "Field 2.5"),
        (".png", ".png"),
    ],
)
def test_names_are_safe_to_show(given: str | None, shown: str) -> None:
    assert read_image(PNG_, given).name == shown


def test_a_very_long_name_keeps_its_ends() -> None:
    name = read_image(PNG_, "a" * 4000 + ".png").name
    assert len(name) <= 201
    assert name.endswith("a.png")


def test_a_path_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "weird 名 & <b>.png"
    path.write_bytes(PNG_)
    from_path, from_bytes = read_image(str(path)), read_image(bytearray(PNG_), path.name)
    np.testing.assert_array_equal(from_path.pixels, from_bytes.pixels)
    assert (from_path.sha256, from_path.name) == (from_bytes.sha256, path.name)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "tiff", "tiff lzw", "png16", "tiff16", "icc", "palette"])
def test_tampered_files_raise_only_image_errors(kind: str) -> None:
    """Bytes flipped and ends cut off at random: read or refused, never anything else."""
    exif = Image.Exif()
    exif[0x0112] = 6
    original = {
        "jpeg": lambda: encode(SMOOTH, "JPEG", exif=exif, progressive=True),
        "png": lambda: encode(SMOOTH, "PNG", exif=exif),
        "bmp": lambda: encode(PALETTE, "BMP"),
        "tiff": lambda: encode(SMOOTH, "TIFF", exif=exif),
        "tiff lzw": lambda: encode(SMOOTH, "TIFF", compression="tiff_lzw"),
        "png16": lambda: deep_png(DEEP),
        "tiff16": lambda: tiff(DEEP, photometric="rgb", compression="zlib"),
        "icc": lambda: encode(
            RGB, "TIFF", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        "palette": lambda: encode(PALETTE, "TIFF"),
    }[kind]()
    rng = np.random.default_rng(11)
    read = 0
    for _ in range(150):
        data = bytearray(original)
        for position in rng.integers(0, min(len(data), 700), rng.integers(1, 5)):
            data[position] = rng.integers(0, 256)
        if rng.random() < 0.3:
            del data[rng.integers(0, len(data)) :]
        try:
            image = read_image(bytes(data), "fuzz")
        except ImageError as error:
            assert str(error).startswith("fuzz ")  # noqa: PT017  either outcome is right
        else:
            read += 1
            assert image.pixels.size
    assert read < 150


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_every_cut_of_a_file_is_refused() -> None:
    """No prefix of a file may pass for the whole: half a field would be read as if it were one."""
    for data in (
        encode(RGB, "JPEG"),
        encode(RGB, "PNG"),
        encode(RGB, "BMP"),
        encode(RGB, "TIFF"),
        deep_png(DEEP),
        tiff(DEEP),
    ):
        for end in range(0, len(data) - 8, 3):
            with pytest.raises(ImageError):
                read_image(data[:end], "cut")


def test_many_threads_read_alike() -> None:
    cases = [data for data, _ in EXACT.values()] * 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read_image, cases))
    for (_, expected), image in zip(list(EXACT.values()) * 4, together, strict=True):
        np.testing.assert_array_equal(image.pixels, expected)


def test_first_use_from_many_threads(tmp_path: Path) -> None:
    """Pillow registers its decoders on first use; a server's first two users may come at once."""
    code = (
        "import sys, threading; from leuk.image import read_image; d = open(sys.argv[1], 'rb').read(); out = []\n"
        "ts = [threading.Thread(target=lambda: out.append(read_image(d).width)) for _ in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; assert out == [9] * 8, out"
    )
    path = tmp_path / "a.tif"
    path.write_bytes(encode(RGB, "TIFF"))
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=600)  # noqa: S603


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[[1, 2, 3]]],
    ],
)
def test_from_array_checks_what_it_is_given(pixels: object) -> None:
    with pytest.raises(ValueError, match=r"expected .* got"):
        SmearImage.from_array(pixels)  # type: ignore[arg-type]


def test_from_array_keeps_a_copy_of_its_own() -> None:
    pixels = RGB.copy()
    view = pixels[:]
    view.flags.writeable = False
    image, other = SmearImage.from_array(pixels, "made"), SmearImage.from_array(view)
    pixels[:] = 0
    np.testing.assert_array_equal(other.pixels, RGB)
    np.testing.assert_array_equal(image.pixels, RGB)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 0
    assert (image.width, image.height, image.name) == (9, 6, "made")
    assert image.sha256 == SmearImage.from_array(RGB).sha256
    assert image.sha256 != SmearImage.from_array(RGB.reshape(9, 6, 3)).sha256
    np.testing.assert_array_equal(SmearImage.from_array(RGB[:, ::-1]).pixels, RGB[:, ::-1])


@pytest.mark.parametrize(("field", "value"), [("sha256", "abc"), ("sha256", "Z" * 64), ("name", "")])
def test_an_image_checks_its_fields(field: str, value: str) -> None:
    good = {"pixels": RGB, "sha256": "0" * 64, "name": "a"}
    with pytest.raises(ValueError, match="expected"):
        SmearImage(**(good | {field: value}))


def test_find_images(tmp_path: Path) -> None:
    for name in (
        "b/2.PNG",
        "b/1.jpg",
        "b/c/3.tiff",
        "b/.hidden.jpg",
        "b/.git/x.jpg",
        "b/readme.txt",
        "a.jpg",
        "note.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    # Masks and overlays lie beside what they were made of; alone, such a name is a picture's own.
    for name in ("b/1_mask.png", "b/1_overlay.png", "b/c/3_instances.png", "b/out/2_overlay.png", "b/lone_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    missing = tmp_path / "gone.bmp"
    found = find_images([tmp_path / "note.txt", str(tmp_path / "b"), missing, tmp_path / "a.jpg", "bad\0name"])
    expected = ["note.txt", "b/1.jpg", "b/2.PNG", "b/c/3.tiff", "b/lone_mask.png", "gone.bmp", "a.jpg"]
    assert found[:-1] == [tmp_path / name for name in expected]
    assert find_images([]) == []
    (tmp_path / "void").mkdir()
    assert find_images([tmp_path / "void"]) == []
    assert {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"} <= set(IMAGE_SUFFIXES)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no symbolic links")
def test_find_images_survives_a_folder_inside_itself(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find_images([tmp_path]) == [tmp_path / "1.jpg"]


def test_real_fields_come_out_as_they_were_taken(data_dir: Path) -> None:
    found = find_images([data_dir])[::200]
    assert found
    for path in found:
        image = read_image(path)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(image.pixels, np.asarray(picture.convert("RGB")), err_msg=path.name)
