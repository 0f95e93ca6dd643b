"""What a file's first bytes and header say, read without decoding a single pixel.

`leuk.image` asks three things here before it lets a decoder near a file: what the content is, whatever the name says
(`sniff`); how large the picture would become and how it is stored (`read_header`); and, in the same pass, the same file
without the parts that Leuk never uses (metadata, orientation), so that no decoder can act on them behind its back.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

ACCEPTED = ("JPEG", "PNG", "BMP", "TIFF")
"""The kinds of content that Leuk decodes."""

SUFFIX_KINDS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""The kind that each accepted suffix promises."""

FOREIGN_SUFFIXES = {
    **dict.fromkeys((".svs", ".ndpi", ".scn", ".vms", ".mrxs", ".bif", ".czi"), "whole-slide scan"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"), "video"),
    **dict.fromkeys(
        (".gif", ".webp", ".heic", ".heif", ".avif", ".jp2", ".psd", ".svg", ".ico"), "picture of another type"
    ),
    **dict.fromkeys((".txt", ".csv", ".json", ".md", ".xml", ".log"), "text file"),
    **dict.fromkeys((".htm", ".html"), "web page"),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".ppt", ".pptx", ".xls", ".xlsx"), "document"),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".7z", ".rar"), "archive"),
    ".dcm": "DICOM file",
}
"""What other well-known suffixes promise; a suffix in neither table promises nothing."""

MAX_PAGES = 1000
"""How many pages of a TIFF are counted; a chain of directories can be made endless."""

MAX_PARTS = 100_000
"""How many segments, chunks or entries a header may have: real files have some hundreds, made-up ones millions."""

_PLAIN_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"%PDF-", "PDF"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (0, b"\0\0\x01\xba", "video"),
    (0, b"\0\0\x01\xb3", "video"),
    (0, b"FLV\x01", "video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),
    (0, b"OggS", "video"),
    (128, b"DICM", "DICOM"),
    (0, b"PK\x03\x04", "archive"),
    (0, b"PK\x05\x06", "archive"),
    (0, b"\x1f\x8b", "archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive"),
    (0, b"Rar!\x1a\x07", "archive"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\x01\0", "icon"),
    (0, b"\x7fELF", "program"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "document"),
)

_JPEG_MARKER = re.compile(rb"\xff([^\xff])")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)


class HeaderError(Exception):
    """A header that can't be trusted with a decoder.

    The message completes the sentence "NAME …".
    """


@dataclass(frozen=True)
class Header:
    """What a file's header promises about its pixels.

    Attributes
    ----------
    width, height : int
        Pixels, as stored (before any orientation is applied).
    bits : int
        Of one sample.
    samples : int
        Stored for one pixel.
    body : bytes
        The file as it is to be handed to a decoder: the orientation of a TIFF set to 1, a PNG's texts left out.
    orientation : int or None
        1 … 8 where the header itself says it; None where only the decoder's metadata can tell (JPEG, PNG).
    pages : int
        Pictures in the file, at most `MAX_PAGES`.
    white_is_zero : bool
        Whether grey runs from white to black.
    color : str
        "grey", "rgb" or "other".
    alpha : str
        "none", "straight", "premultiplied" or "unknown" (only TIFF says).
    planar : bool
        Whether the samples lie in separate planes.
    missing : bool
        Whether there is less data than the picture needs, as far as the header shows it.
    """

    width: int
    height: int
    bits: int
    samples: int
    body: bytes
    orientation: int | None = None
    pages: int = 1
    white_is_zero: bool = False
    color: str = "other"
    alpha: str = "none"
    planar: bool = False
    missing: bool = False


def sniff(data: bytes) -> str:
    """Tell what bytes are from their content alone.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    str
        One of `ACCEPTED`, or another word: "animated GIF", "GIF", "animated WebP", "WebP", "HEIC", "AVIF", "PDF",
        "video", "web page", "drawing", "text", "archive", "DICOM", …, "unknown".
    """
    for offset, magic, kind in _PLAIN_MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return "animated GIF" if kind == "GIF" and _gif_is_animated(data) else kind
    if data[:4] == b"RIFF":
        if data[8:12] == b"WEBP":
            return "animated WebP" if data[12:16] == b"VP8X" and data[20:21] and data[20] & 0x02 else "WebP"
        return "video" if data[8:12] == b"AVI " else "unknown"
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"):
            return "HEIC"
        return "AVIF" if brand in (b"avif", b"avis") else "video"
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video"
    if data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "BMP"
    return _sniff_text(data[:4096])


def read_header(kind: str, data: bytes) -> Header:
    """Read the size of the picture and the way it is stored, decoding nothing.

    Parameters
    ----------
    kind : str
        One of `ACCEPTED`.
    data : bytes
        The whole file.

    Returns
    -------
    Header

    Raises
    ------
    HeaderError
        The header is cut short, contradicts itself, or describes an animation or a type of sample that can't be read.
    """
    try:
        return {"JPEG": _jpeg, "PNG": _png, "BMP": _bmp, "TIFF": _tiff}[kind](data)
    except (struct.error, IndexError, OverflowError) as error:
        raise HeaderError("ends before its header does: it was cut short, so copy or export it again.") from error


def png_is_whole(header: Header) -> bool:
    """Tell whether a PNG's data unpack to as many bytes as its header promises.

    Decoders take data that end after any full row for the whole picture and leave the rest black.

    Parameters
    ----------
    header : Header
        Of a PNG, its size already found acceptable.
    """
    body = header.body
    interlaced = body[28]

    def row_bytes(width: int) -> int:
        return (width * header.bits * header.samples + 7) // 8 + 1 if width else 0

    if interlaced:
        passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        missing = sum(
            row_bytes((header.width - x + dx - 1) // dx) * ((header.height - y + dy - 1) // dy)
            for x, y, dx, dy in passes
        )
    else:
        missing = row_bytes(header.width) * header.height
    unpacker, position = zlib.decompressobj(), 8
    try:
        while missing > 0 and position < len(body):
            length, chunk = struct.unpack_from(">I4s", body, position)
            piece = body[position + 8 : position + 8 + length] if chunk == b"IDAT" else b""
            while piece and missing > 0 and not unpacker.eof:
                missing -= len(unpacker.decompress(piece, 1 << 20))
                piece = unpacker.unconsumed_tail
            position += 12 + length
        while missing > 0 and not unpacker.eof:
            rest = unpacker.decompress(b"", 1 << 20)
            if not rest:
                break
            missing -= len(rest)
    except zlib.error:
        return False
    return missing <= 0


def _gif_is_animated(data: bytes) -> bool:
    return b"NETSCAPE2.0" in data or data.count(b"\x21\xf9\x04") > 1


def _sniff_text(head: bytes) -> str:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "text"
    text = head.decode("utf-8", errors="replace")
    strange = sum(c == "\ufffd" or (ord(c) < 32 and c not in "\t\n\r\f\x1b") for c in text)
    if "\0" in text or strange * 10 > len(text):
        return "unknown"
    start = text.lstrip("\ufeff \t\r\n").lower()[:1024]
    if start.startswith("<!doctype html") or "<html" in start or "<body" in start:
        return "web page"
    return "drawing" if "<svg" in start else "text"


def _jpeg(data: bytes) -> Header:
    position, size = 2, None
    for _ in range(MAX_PARTS):
        found = _JPEG_MARKER.search(data, position)  # stray bytes between segments are skipped, as decoders do
        if found is None:
            raise IndexError
        marker, position = found[1][0], found.end()
        if marker == 0xD9:
            raise HeaderError("holds no picture: it is an empty JPEG, so export it again.")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a body
            continue
        length = struct.unpack_from(">H", data, position)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise HeaderError("contradicts itself about its size: export it again.")
            bits, height, width, samples = struct.unpack_from(">BHHB", data, position + 2)
            size = width, height, bits, samples
        if marker == 0xDA:
            break
        position += length
    else:
        raise HeaderError("is cut into more pieces than any camera makes: save it again.")
    if size is None:
        raise HeaderError("never says how large its picture is: export it again.")
    width, height, bits, samples = size
    if bits != 8:
        raise HeaderError(f"is a JPEG with {bits} bits a sample, which Leuk doesn't read: save it as PNG or TIFF.")
    # A progressive JPEG may ask for the whole picture to be gone over again for every few bytes of its file.
    if data.count(b"\xff\xda") > 500:
        raise HeaderError("goes over its picture hundreds of times, as no camera does: export it again.")
    if data.find(b"\xff\xd9", position) < 0:
        raise HeaderError("ends before its picture does: it was cut short, so copy or export it again.")
    return Header(width, height, bits, samples, data, color="grey" if samples == 1 else "other")


def _png(data: bytes) -> Header:
    keep = [data[:8]]
    position, header, has_data = 8, None, False
    for _ in range(MAX_PARTS):
        if position + 12 > len(data):
            raise HeaderError("ends before its picture does: it was cut short, so copy or export it again.")
        length, chunk = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if header is None and chunk != b"IHDR":
            raise HeaderError("is damaged: a PNG must begin with its header, so export it again.")
        if end > len(data):
            raise HeaderError("ends before its picture does: it was cut short, so copy or export it again.")
        critical = not chunk[0] & 0x20
        if critical and zlib.crc32(data[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise HeaderError("is damaged: its checksums don't fit its content, so copy or export it again.")
        if chunk == b"IHDR":
            if header is not None or length != 13:
                raise HeaderError("is damaged: its header is malformed, so export it again.")
            header = struct.unpack_from(">IIBBBBB", data, position + 8)
        elif chunk == b"acTL":
            raise HeaderError("is an animated PNG: save one frame as a PNG and use that.")
        has_data = has_data or chunk == b"IDAT"
        # Texts and dates can hold a patient's name and be made to swell; only what shapes the pixels goes on.
        if critical or chunk == b"tRNS" or (chunk in (b"eXIf", b"iCCP") and length <= 1_000_000):
            keep.append(data[position:end])
        if chunk == b"IEND":
            break
        position = end
    else:
        raise HeaderError("is cut into more pieces than any camera makes: save it again.")
    if header is None or not has_data:
        raise HeaderError("holds no picture: it is an empty PNG, so export it again.")
    width, height, bits, color_type = header[:4]
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color_type, 0)
    color = "grey" if color_type in (0, 4) else "rgb" if color_type in (2, 6) else "other"
    return Header(width, height, bits, samples, b"".join(keep), color=color)


def _bmp(data: bytes) -> Header:
    size = struct.unpack_from("<I", data, 14)[0]
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    if width < 0:
        raise HeaderError("is damaged: its header gives a negative width, so export it again.")
    # A negative height means that rows run from top to bottom.
    return Header(width, abs(height), 8, max(1, bits // 8), data, orientation=1)


_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, width_of_word = ("Q", 8) if big else ("I", 4)
    count_code, count_size = ("Q", 8) if big else ("H", 2)
    entry_size = 20 if big else 12
    first = struct.unpack_from(order + word, data, 8 if big else 4)[0]

    def next_page(offset: int) -> int:
        entries = struct.unpack_from(order + count_code, data, offset)[0]
        return int(struct.unpack_from(order + word, data, offset + count_size + entries * entry_size)[0])

    if first + count_size > len(data):
        raise HeaderError("ends before its header does: it was cut short, so copy or export it again.")
    tags: dict[int, tuple[int, ...]] = {}
    orientation_at, pieces = None, 0
    entries = struct.unpack_from(order + count_code, data, first)[0]
    if entries > MAX_PARTS:
        raise HeaderError("is damaged: its header lists more than any camera writes, so export it again.")
    for index in range(entries):
        at = first + count_size + index * entry_size
        tag, kind, count = struct.unpack_from(order + "HH" + word, data, at)
        value_at = at + 4 + width_of_word
        code = _TIFF_TYPES.get(kind)
        if tag in (273, 324):
            pieces = count
        if tag not in (256, 257, 258, 262, 274, 277, 278, 284, 322, 323, 338, 339) or code is None or count < 1:
            continue
        if tag in tags:
            raise HeaderError("is damaged: its header says the same thing twice, so export it again.")
        if tag == 274 and kind == 3:
            orientation_at = value_at
        if struct.calcsize(code) * count > width_of_word:
            value_at = struct.unpack_from(order + word, data, value_at)[0]
        tags[tag] = struct.unpack_from(f"{order}{min(count, 16)}{code}", data, value_at)

    if 256 not in tags or 257 not in tags:
        raise HeaderError("never says how large its picture is: export it again.")
    width, height = tags[256][0], tags[257][0]
    samples = tags.get(277, (1,))[0]
    bits = tags.get(258, (1,))
    if not 1 <= samples <= 5 or len(set(bits)) != 1:
        raise HeaderError("holds an unusual set of channels: save it as an RGB picture of 8 bits a channel.")
    if bits[0] not in (1, 2, 4, 8, 12, 16) or any(f != 1 for f in tags.get(339, (1,))):
        raise HeaderError(f"holds {bits[0]}-bit samples of a kind that Leuk can't read: save it with 8 or 16 bits.")
    # A decoder reserves memory for a whole tile before it reads one.
    if tags.get(322, (0,))[0] * tags.get(323, (0,))[0] > max(4 * width * height, 1 << 22):
        raise HeaderError("is damaged: its tiles are larger than its picture, so export it again.")

    # Rows that no strip or tile holds would stay black without a word.
    planar = tags.get(284, (1,))[0] == 2 and samples > 1
    tile_width, tile_height = tags.get(322, (width,))[0], tags.get(323, tags.get(278, (height,)))[0]
    across, down = (-(-size // (step or size or 1)) for size, step in ((width, tile_width), (height, tile_height)))
    missing = pieces < across * down * (samples if planar else 1)

    photometric = tags.get(262, (1,))[0]
    plain = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(photometric, samples)
    alpha = "none"
    if samples > plain:
        alpha = {1: "premultiplied", 2: "straight"}.get(tags.get(338, (0,))[0], "unknown")

    pages, seen, offset = 1, {first}, next_page(first)
    while offset and offset not in seen and pages < MAX_PAGES:
        seen.add(offset)
        try:
            offset = next_page(offset)
        except (struct.error, OverflowError):
            break  # the chain leads out of the file; the first page may still be whole
        pages += 1

    orientation, body = tags.get(274, (1,))[0], data
    if orientation_at is not None and orientation != 1:
        # Some decoders turn the picture by themselves and some don't: ask all of them not to, and turn it once.
        patched = bytearray(data)
        struct.pack_into(order + "H", patched, orientation_at, 1)
        body = bytes(patched)
    elif orientation_at is None:
        orientation = 1
    return Header(
        width,
        height,
        bits[0],
        samples,
        body,
        orientation=orientation,
        pages=pages,
        white_is_zero=photometric == 0,
        color="grey" if photometric in (0, 1) else "rgb" if photometric == 2 else "other",
        alpha=alpha,
        planar=planar,
        missing=missing,
    )
