"""The one way in for pixels: bytes or a path become a `SmearImage`.

A file is looked at from the outside in. Its size, its first bytes, the type that its name claims and the size that its
header promises are checked before anything is decoded; whatever is wrong becomes an `ImageError` with a sentence of its
own. The file's metadata, which can hold a patient's name, goes no further than this module.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from leuk._formats import (
    ACCEPTED,
    FOREIGN_SUFFIXES,
    SUFFIX_KINDS,
    Header,
    HeaderError,
    png_is_whole,
    read_header,
    sniff,
)
from leuk.errors import ImageError

logger = logging.getLogger(__name__)

MAX_BYTES = 50 * 1024 * 1024
"""Largest file that is read, in bytes (50 MB)."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded, in pixels (64 megapixels)."""

IMAGE_SUFFIXES = tuple(SUFFIX_KINDS)
"""Suffixes of the files that Leuk reads, in lower case with the dot."""

_MAX_NAME = 200
_MAX_PROFILE = 4_000_000
_WRITTEN = re.compile(r"(.+?)(?:-\d+)?_(?:overlay|mask|instances)\.png", re.DOTALL)
"""Names of pictures that Leuk writes beside one, whose stem comes first."""
_ZEROS = 512
"""Bytes of a run of zeros in a JPEG, at least: an interrupted copy leaves blocks of them."""
_CHROMA = 6
"""Largest difference between channels, of 255, in all but a few pixels of a picture without colour."""

# One sentence for each thing that people drop in by mistake; "NAME " goes before it.
_REFUSALS = {
    "animated GIF": "is an animated GIF: save one frame as a PNG and use that.",
    "GIF": "is a GIF, which keeps too few colours to read a stain: use the original JPEG, PNG, BMP or TIFF.",
    "animated WebP": "is an animated WebP: save one frame as a PNG and use that.",
    "WebP": "is a WebP picture, which Leuk doesn't read: save it as PNG or JPEG.",
    "HEIC": "is a HEIC photograph, which Leuk doesn't read: export it as JPEG or PNG.",
    "AVIF": "is an AVIF picture, which Leuk doesn't read: save it as PNG or JPEG.",
    "JPEG 2000": "is a JPEG 2000 picture, which Leuk doesn't read: save it as PNG or TIFF.",
    "JPEG XL": "is a JPEG XL picture, which Leuk doesn't read: save it as PNG or TIFF.",
    "Photoshop": "is a Photoshop document: save it as PNG or TIFF.",
    "icon": "is an icon, not a photograph of a smear: use a JPEG, PNG, BMP or TIFF.",
    "drawing": "is a vector drawing, not a photograph of a smear: use a JPEG, PNG, BMP or TIFF.",
    "PDF": "is a PDF document, not a photograph: export the picture in it as PNG or JPEG.",
    "document": "is an office document, not a photograph: save the picture in it as PNG or JPEG.",
    "video": "is a video, not a photograph: save a single frame as PNG or JPEG.",
    "web page": "is a web page, not a photograph: download the picture itself rather than the page that shows it.",
    "text": "is text, not a photograph: use a JPEG, PNG, BMP or TIFF.",
    "archive": "is an archive, not a photograph: unpack it and use the pictures inside.",
    "DICOM": "is a DICOM file, which Leuk doesn't read: export the picture as PNG or TIFF.",
    "program": "is a program, not a photograph: use a JPEG, PNG, BMP or TIFF.",
    "unknown": "is not a picture that Leuk knows: use a JPEG, PNG, BMP or TIFF.",
}


@dataclass(frozen=True, eq=False)
class SmearImage:
    """A decoded photograph of a smear, with nothing of its file's metadata.

    Attributes
    ----------
    pixels : numpy.ndarray
        RGB, uint8, shape (H, W, 3), both sides at least 1 pixel; read-only.
    sha256 : str
        SHA-256 of the original bytes (of the pixels, for an image made in memory), 64 hexadecimal digits.
    name : str
        What to call the image on a screen: the file's name without its folder.
    notes : tuple of str
        What was done on reading that a user should know, one sentence each (first page of several, 16 bits rescaled).

    Raises
    ------
    ValueError
        A field has not the type, shape or form above.
    """

    pixels: np.ndarray
    sha256: str
    name: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray):
            raise ValueError(f"expected pixels as a numpy array, got {type(pixels).__name__}")
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(
                "expected pixels as uint8 of shape (H, W, 3) with both sides at least 1, "
                f"got {pixels.dtype} of shape {pixels.shape}"
            )
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"expected sha256 as 64 lower-case hexadecimal digits, got {self.sha256!r}")
        if not self.name:
            raise ValueError("expected a name, got an empty one")
        if pixels.flags.writeable or not pixels.flags.c_contiguous:
            # A copy of our own: the caller may go on writing to theirs.
            pixels = np.array(pixels, order="C")
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "notes", tuple(self.notes))

    @classmethod
    def from_array(cls, pixels: np.ndarray, name: str = "image") -> SmearImage:
        """Make an image of pixels in memory.

        Parameters
        ----------
        pixels : numpy.ndarray
            RGB, uint8, shape (H, W, 3); copied.
        name : str
            What to call it on a screen.

        Returns
        -------
        SmearImage
            Its `sha256` is that of the shape and the pixels, so that equal pixels in another shape differ.

        Raises
        ------
        ValueError
            The array is not RGB, uint8, of shape (H, W, 3) with both sides at least 1.

        Examples
        --------
        >>> SmearImage.from_array(np.zeros((2, 3, 3), np.uint8)).width
        3
        """
        if isinstance(pixels, np.ndarray):
            # What can't be written through this array may be through another one that shares its memory.
            pixels = np.array(pixels, order="C")
            pixels.flags.writeable = False
        image = cls(pixels, "0" * 64, name)
        digest = hashlib.sha256(f"{image.height}x{image.width}:".encode())
        digest.update(image.pixels.data)
        object.__setattr__(image, "sha256", digest.hexdigest())
        return image

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


def read_image(source: bytes | bytearray | memoryview | str | os.PathLike[str], name: str | None = None) -> SmearImage:
    """Read a photograph of a smear from a file or from the bytes of one.

    JPEG, PNG, BMP and TIFF, 8 or 16 bits a channel, grey, palette, RGB, CMYK, with or without transparency. Samples of
    16 bits are rescaled from the range of bits that they use (10, 12, 14 or 16), transparent areas become white,
    embedded RGB and CMYK colour profiles are converted to sRGB, the EXIF orientation is applied once, and of several
    pages the first is read; `SmearImage.notes` says which of these happened.

    Parameters
    ----------
    source : bytes, str or path-like
        The content of a file, or where the file is.
    name : str, optional
        What to call the image in messages and on a screen, with the suffix that its content is held against. A path
        supplies its own.

    Returns
    -------
    SmearImage

    Raises
    ------
    ImageError
        The file is missing, can't be opened, is empty, too large, of another type than Leuk reads or than its name
        says, cut short, damaged or animated. The message is one sentence for the user.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        shown = _display_name(name, "image")
        size = source.nbytes if isinstance(source, memoryview) else len(source)
        if size > MAX_BYTES:
            raise ImageError(_too_large(shown, size))
        data = bytes(source)
    else:
        path = Path(source)
        shown = _display_name(path.name if name is None else name, str(path))
        data = _read_file(path, shown)
    if not data:
        raise ImageError(f"{shown} is empty: copy or export it again.")

    kind = sniff(data)
    if kind not in ACCEPTED:
        raise ImageError(f"{shown} {_REFUSALS[kind]}")
    _check_suffix(shown, kind)
    try:
        header = read_header(kind, data)
    except HeaderError as error:
        raise ImageError(f"{shown} {error}") from error
    if header.width < 1 or header.height < 1:
        raise ImageError(f"{shown} has no pixels ({header.width} × {header.height}): export it again.")
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(
            f"{shown} would unfold to {_above(header.width * header.height / 1e6, MAX_PIXELS / 1e6)} megapixels "
            f"({header.width} × {header.height}), more than the {MAX_PIXELS // 1_000_000} that Leuk reads: "
            "crop it or save it smaller."
        )

    pixels, notes = _decode(kind, header, shown)
    return SmearImage(pixels, hashlib.sha256(data).hexdigest(), shown, notes)


def find_images(paths: Iterable[str | os.PathLike[str]], written: bool = False) -> list[Path]:
    """List the images that a user means by naming files and folders.

    Parameters
    ----------
    paths : iterable of str or path-like
        Files, which are kept as they are, whatever their suffix and even if they are missing, so that `read_image` can
        refuse each with its reason; and folders, which are searched through all their subfolders for `IMAGE_SUFFIXES`,
        what Leuk wrote of a picture in it (``NAME_overlay.png``, ``NAME_mask.png``, ``NAME_instances.png``) left out.
    written : bool
        Whether that is listed too.

    Returns
    -------
    list of pathlib.Path
        In the order of `paths`; inside a folder sorted by path, hidden files and folders (``.name``) left out. A folder
        that can't be opened stands for itself.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        try:
            is_folder = path.is_dir()
        except (OSError, ValueError):  # a name that the system can't even look up; read_image says so
            is_folder = False
        if not is_folder:
            found.append(path)
            continue
        inside: list[Path] = []
        closed: list[OSError] = []
        # os.walk: Path.rglob hides folders that it may not open.
        for folder, subfolders, files in os.walk(path, onerror=closed.append):
            subfolders[:] = [s for s in subfolders if not s.startswith(".")]
            pictures = [f for f in files if not f.startswith(".") and Path(f).suffix.lower() in IMAGE_SUFFIXES]
            inside += [Path(folder, f) for f in pictures]
        # Wherever in the folder they lie: what was written into a subfolder would else be read the next time.
        if not written:
            stems = {one.stem for one in inside}
            inside = [one for one in inside if not ((match := _WRITTEN.fullmatch(one.name)) and match[1] in stems)]
        found += sorted(inside + [Path(error.filename) for error in closed])
    return found


def without_colour(pixels: np.ndarray) -> bool:
    """Tell whether a picture holds no colour, whatever its file format.

    Parameters
    ----------
    pixels : numpy.ndarray
        RGB, uint8, (H, W, 3).

    Returns
    -------
    bool
        Whether, reduced to 320 pixels, 99.5 % of the picture has channels no more than 6 of 255 apart.
    """
    look = reduced(pixels, 320 / max(pixels.shape[:2]))
    return bool(np.percentile(np.ptp(look, axis=2), 99.5) <= _CHROMA)


def reduced(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Reduce an image by averaging; the image itself for a factor of 1 or more."""
    if factor >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _display_name(name: str | None, fallback: str) -> str:
    """Reduce a name to its last part, safe to show: no control characters, no reversed text, no lone surrogates."""
    last = (name or "").replace("\\", "/").rstrip("/").rpartition("/")[2] or fallback
    # Zero-width joiners (also "format" characters) belong in Persian and other names; the ones that reverse text don't.
    unsafe = {"Cc", "Cs", "Zl", "Zp"}
    bidi = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    clean = "".join("\ufffd" if unicodedata.category(c) in unsafe or c in bidi else c for c in last)
    if len(clean) > _MAX_NAME:
        clean = clean[: _MAX_NAME // 2] + "…" + clean[-_MAX_NAME // 2 :]
    return clean


def _too_large(shown: str, size: int) -> str:
    return (
        f"{shown} has {size / 1024**2:,.1f} MB, more than the {MAX_BYTES // 1024**2} MB that Leuk reads: "
        "save it as JPEG or crop it."
    )


def _read_file(path: Path, shown: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{shown} is a folder: name the pictures in it.")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise ImageError(f"{shown} is not a file: use a JPEG, PNG, BMP or TIFF file.")
        if status.st_size > MAX_BYTES:
            raise ImageError(_too_large(shown, status.st_size))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ImageError(f"{shown} is not there: check the name and the folder.") from error
    except PermissionError as error:
        raise ImageError(f"{shown} may not be opened: ask for the right to read it.") from error
    except ValueError as error:  # a NUL or a character that the file system can't hold
        raise ImageError(f"{shown} is not a name that a file can have: check it.") from error
    except OSError as error:
        logger.warning("can't open %r: %s", path, error)
        raise ImageError(f"{shown} can't be opened: check that the disk or the share is connected.") from error
    if len(data) > MAX_BYTES:  # it grew since it was measured
        raise ImageError(_too_large(shown, len(data)))
    return data


def _above(value: float, limit: float) -> str:
    """Write a value with as many digits as it takes to be above a limit, three at most."""
    digits = next((digits for digits in range(3) if round(value, digits) > limit), 3)
    return f"{value:,.{digits}f}"


def _check_suffix(shown: str, kind: str) -> None:
    stem, _, suffix = shown.rpartition(".")
    suffix = f".{suffix}".lower() if stem else ""
    promised = SUFFIX_KINDS.get(suffix) or FOREIGN_SUFFIXES.get(suffix)
    if promised == "whole-slide scan":
        raise ImageError(f"{shown} is a whole-slide scan: export single fields from it as PNG, JPEG or TIFF.")
    if promised is not None and promised != kind:
        right = next(s for s, k in SUFFIX_KINDS.items() if k == kind)
        raise ImageError(
            f"{shown} is named as a {promised} but holds a {kind}: make sure that it is the right file "
            f"and let its name end in {right}."
        )


def _decode(kind: str, header: Header, shown: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode what the checks let through: RGB uint8 (H, W, 3), read-only, and the notes."""
    notes: list[str] = []
    if header.bits > 8 and (header.planar or (header.color == "grey" and kind == "TIFF" and header.samples > 1)):
        # Pillow keeps only the high byte of these and OpenCV mixes up their planes without a word.
        raise ImageError(
            f"{shown} keeps its 16-bit channels in an order that Leuk can't read: "
            "save it with interleaved RGB channels or with 8 bits."
        )
    if header.missing or (kind == "PNG" and not png_is_whole(header)):
        raise ImageError(f"{shown} ends before its picture does: it was cut short, so copy or export it again.")
    try:
        with Image.open(io.BytesIO(header.body), formats=[kind]) as image:
            if image.size != (header.width, header.height):
                raise ImageError(f"{shown} contradicts itself about its size: export it again.")
            orientation = _exif_orientation(image) if header.orientation is None else header.orientation
            pages = max(header.pages, getattr(image, "n_frames", 1) if kind == "JPEG" else 1)
            image.load()
            pixels = _to_rgb(kind, header, image, notes)
        zeros = kind == "JPEG" and bytes(max(_ZEROS, len(header.body) // 20)) in header.body
        if kind == "JPEG" and _ends_early(pixels, zeros):
            raise ImageError(f"{shown} ends before its picture does: it was cut short, so copy or export it again.")
        if zeros:
            notes.append("The file holds a long run of zeros: a part of the picture may be lost, so compare it.")
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{shown} needs more memory than there is: crop it or save it smaller.") from error
    except UnidentifiedImageError as error:  # a sound header, but of a kind of file that the decoder doesn't know
        raise ImageError(
            f"{shown} is a {kind} of an unusual kind that Leuk can't read: save it as RGB with 8 bits a channel."
        ) from error
    except Exception as error:  # decoders raise nearly every type of error on bytes that were tampered with
        logger.info("can't decode %r: %r", shown, error)
        if "truncated" in str(error) or isinstance(error, EOFError):
            raise ImageError(
                f"{shown} ends before its picture does: it was cut short, so copy or export it again."
            ) from error
        raise ImageError(f"{shown} is damaged and can't be decoded as {kind}: copy or export it again.") from error

    if pages > 1:
        several = f"{pages}" if pages < 1000 else "many"
        notes.insert(0, f"The file holds {several} pages; only the first was read.")
    if orientation in _TURNS:
        pixels = _TURNS[orientation](pixels)
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return pixels, tuple(notes)


def _ends_early(pixels: np.ndarray, zeros: bool) -> bool:
    """Tell whether the last twentieth of the rows is what JPEG decoders make of nothing, grey or one block of zeros."""
    rest = pixels[-max(8, pixels.shape[0] // 20) :]
    if len(rest) == len(pixels) or pixels.shape[1] <= 8:
        return False
    if (rest == 128).all():
        # What begins as grey has a frame.
        return bool(np.ptp(pixels)) and not (pixels[: len(rest)] == 128).all()
    # A photograph repeats itself so only in what is all black or white.
    alike = (cv2.absdiff(rest[:, 8:], rest[:, :-8]) <= 1).all(axis=2)
    return zeros and bool(alike.mean() > 0.9 and ((rest > 8) & (rest < 247)).mean() > 0.5)


_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}
"""How to show a picture stored in each EXIF orientation upright; views, 1 being upright already."""


def _exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception as error:  # noqa: BLE001 - a damaged block of metadata must not cost the picture
        logger.info("EXIF ignored: %r", error)
        return 1


def _to_rgb(kind: str, header: Header, image: Image.Image, notes: list[str]) -> np.ndarray:
    """Turn a loaded image of any mode into RGB uint8 (H, W, 3)."""
    alpha: np.ndarray | None = None
    premultiplied = False
    if header.bits > 8 and header.color in ("grey", "rgb"):
        color, alpha = _from_16_bit(kind, header, image, notes)
        premultiplied = header.alpha == "premultiplied"
    elif image.mode in ("I", "F", "LAB", "HSV") or image.mode.startswith("I;"):
        raise UnidentifiedImageError(f"no way from {image.mode} to RGB")
    elif image.mode == "CMYK":
        color = np.asarray(image.convert("RGB"))
        notes.append("Printing colours (CMYK) were converted to RGB.")
    elif image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        color, alpha = rgba[..., :3], rgba[..., 3]
    else:
        # Converted only if it must be: that would be a copy, of a large picture 200 MB.
        color = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    if header.color != "grey":
        color = _to_srgb(image, color, notes)
    # One shade over all, white or black, lacks more than colour.
    if header.color == "grey" or (without_colour(color) and np.ptp(color)):
        notes.append("The picture is grey: the colours of the stain are missing.")
    return color if alpha is None else _on_white(color, alpha, premultiplied, notes)


def _from_16_bit(
    kind: str, header: Header, image: Image.Image, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode at full depth and rescale to 8 bits: colour (H, W, 3) and, if there is any, alpha (H, W)."""
    alpha = None
    if kind == "TIFF" and header.color == "grey":
        deep = np.asarray(image)[..., None]
    else:
        # Pillow keeps only the high byte of RGB samples: all black where a 12-bit camera's are stored in 16 bits.
        decoded = cv2.imdecode(np.frombuffer(header.body, np.uint8), cv2.IMREAD_UNCHANGED)
        deep = np.empty(0) if decoded is None else decoded[..., None] if decoded.ndim == 2 else decoded
        if deep.ndim == 3 and deep.shape[2] in (3, 4):
            alpha = deep[..., 3] if deep.shape[2] == 4 and header.alpha != "unknown" else None
            deep = deep[..., 2::-1]  # OpenCV's order is B, G, R
    if deep.shape[:2] != (header.height, header.width) or deep.dtype.newbyteorder("=") != np.uint16:
        raise ValueError(f"expected uint16 of {header.height} x {header.width}, got {deep.dtype} of {deep.shape}")

    highest = int(deep.max())
    used = header.bits if header.bits < 16 else next(b for b in (8, 10, 12, 14, 16) if highest < 1 << b)
    top = (1 << used) - 1
    # Rounded to the nearest of 256 levels, through a table of every value.
    to_8_bits = ((np.arange(65536) * 255 + top // 2) // top).clip(0, 255).astype(np.uint8)
    color = to_8_bits[deep]
    if header.white_is_zero:
        color = 255 - color
    if used == 16:
        notes.append("Samples of 16 bits were rescaled to 8.")
    else:
        notes.append(f"The 16-bit samples use only {used} bits (0 to {top}) and were rescaled from those to 8.")
    if alpha is not None:
        alpha = (alpha // 257 if int(alpha.max()) > top else to_8_bits[alpha]).astype(np.uint8)
    return np.broadcast_to(color, (*color.shape[:2], 3)), alpha


def _on_white(color: np.ndarray, alpha: np.ndarray, premultiplied: bool, notes: list[str]) -> np.ndarray:
    if not alpha.any():
        # Some cameras' software writes a fourth channel of zeros; taken at its word, nothing would be left to see.
        notes.append("The file marks every pixel as transparent, which was ignored.")
        return color
    if alpha.min() == 255:
        return color
    notes.append("Transparent areas were filled with white.")
    opacity = alpha[..., None].astype(np.uint16)
    if premultiplied:
        return np.minimum(color + (255 - opacity), 255).astype(np.uint8)
    return ((color * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _to_srgb(image: Image.Image, color: np.ndarray, notes: list[str]) -> np.ndarray:
    """Convert from the embedded colour profile, if there is one that says something else than sRGB."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= _MAX_PROFILE:
        return color
    space = {b"RGB ": "RGB", b"CMYK": "CMYK"}.get(profile[16:20])
    if space is None or (space == "CMYK") != (image.mode == "CMYK"):
        return color
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return color
        converted = ImageCms.profileToProfile(
            image if space == "CMYK" else Image.fromarray(color),
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except Exception as error:  # noqa: BLE001 - a damaged profile must not cost the picture
        logger.info("colour profile ignored: %r", error)
        notes.append("The embedded colour profile is damaged and was ignored.")
        return color
    if converted is None:
        return color
    notes.append("Colours were converted from the embedded profile to sRGB.")
    return np.asarray(converted)
