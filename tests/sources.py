"""What the tools of the corpus begin with: small photographs as plain PNM, profiles, metadata.

Written without an imaging library, so that nothing of ours or of Pillow's is in the files.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage import data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8] | NDArray[np.uint16]

HEIGHT, WIDTH = 64, 96
PROFILES = Path("/usr/share/color/icc/ghostscript")
"""From Debian's libgs9-common."""
_ICC = {
    "srgb": "srgb.icc",
    "adobe": "a98.icc",
    "prophoto": "rommrgb.icc",
    "gray": "sgray.icc",
    "cmyk": "default_cmyk.icc",
}


def write(folder: Path) -> None:
    """Write every source into `folder`."""
    for name, pixels in _photographs().items():
        (folder / name).write_bytes(pam(pixels) if name.endswith(".pam") else pnm(pixels))
    for name, profile in _ICC.items():
        if (PROFILES / profile).exists():
            (folder / f"{name}.icc").write_bytes((PROFILES / profile).read_bytes())
    (folder / "camera.exif").write_bytes(camera_exif())
    (folder / "plain.xmp").write_text(xmp())
    (folder / "large.txt").write_text("A long description, word after word. " * 2500)
    (folder / "gain.xmp").write_text(
        xmp('xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"')
    )


def _photographs() -> dict[str, Pixels]:
    """Colour, gray, with alpha, in 8 and 16 bits."""
    portrait = np.asarray(data.astronaut())  # type: ignore[no-untyped-call]
    fine = _reduced(portrait[0:384, 60:444], 4)[8:72, :]  # 16 bits that are used
    deep = fine.astype(np.uint16)
    plain = (fine / 257).round().astype(np.uint8)
    gray = (plain.astype(np.float64) @ (0.299, 0.587, 0.114)).round().astype(np.uint8)[..., None]
    gray_deep = (fine @ (0.299, 0.587, 0.114)).round().astype(np.uint16)[..., None]
    alpha_deep = _alpha()
    alpha = (alpha_deep >> 8).astype(np.uint8)
    return {
        "rgb.ppm": plain,
        "rgb16.ppm": deep,
        "gray.pgm": gray,
        "gray16.pgm": gray_deep,
        "alpha.pgm": alpha[..., None],
        "rgba.pam": np.dstack([plain, alpha]),
        "rgba16.pam": np.dstack([deep, alpha_deep]),
        "ga.pam": np.dstack([gray, alpha]),
        "ga16.pam": np.dstack([gray_deep, alpha_deep]),
        "cut.pam": _cut_out(plain, alpha),
        "cut16.pam": _cut_out(deep, alpha_deep),
        "cut-ga.pam": _cut_out(gray, alpha),
        "coffee.ppm": _crop(data.coffee(), 120, 200, 61, 47),  # type: ignore[no-untyped-call]
        "chelsea.ppm": _crop(data.chelsea(), 90, 120, 64, 97),  # type: ignore[no-untyped-call]
        "rocket.ppm": _crop(data.rocket(), 100, 280, 96, 64),  # type: ignore[no-untyped-call]
    }


def _reduced(picture: NDArray[np.uint8], times: int) -> NDArray[np.float64]:
    """The mean of each block of pixels, 0..65535."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // times, times, width // times, times, channels)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3)) * 257
    return means


def _crop(picture: NDArray[np.uint8], row: int, column: int, height: int, width: int) -> Pixels:
    return np.ascontiguousarray(picture[row : row + height, column : column + width])


def _alpha() -> NDArray[np.uint16]:
    """A soft slope with a part of 0 and a part of full opacity."""
    slope = np.linspace(-0.3, 1.3, WIDTH)[None, :] + np.linspace(-0.1, 0.1, HEIGHT)[:, None]
    return (np.clip(slope, 0, 1) * 65535).round().astype(np.uint16)


def _cut_out(colors: NDArray[Any], alpha: NDArray[Any]) -> Pixels:
    """With alpha, and black where it is 0, as most programs write."""
    return np.dstack([np.where(alpha[..., None] > 0, colors, 0).astype(colors.dtype), alpha])


def pnm(pixels: Pixels) -> bytes:
    """Raw PPM or PGM."""
    kind = b"P6" if pixels.shape[2:] == (3,) else b"P5"
    most = np.iinfo(pixels.dtype).max
    return b"%s\n%d %d\n%d\n" % (kind, pixels.shape[1], pixels.shape[0], most) + _raw(pixels)


def pam(pixels: Pixels) -> bytes:
    """PAM with alpha."""
    kind = {2: b"GRAYSCALE_ALPHA", 4: b"RGB_ALPHA"}[pixels.shape[2]]
    head = b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    most = np.iinfo(pixels.dtype).max
    return head % (pixels.shape[1], pixels.shape[0], pixels.shape[2], most, kind) + _raw(pixels)


def _raw(pixels: Pixels) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def xmp(attributes: str = 'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="a film"') -> str:
    """A packet of XMP."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {attributes}/>'
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    )


# A camera's EXIF as it is found in the wild: big-endian, maker notes whose offsets count from the
# start of the whole block (so they break when anything before them moves), a gap that no tag names.

_ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 2, 3, 4, 5, 7
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _UNDEFINED: 1}
_EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 0x8769, 0x8825, 0x927C
Entry = tuple[int, int, bytes]


def camera_exif() -> bytes:
    """An EXIF block (TIFF header first) with GPS and Canon-like maker notes."""
    main: list[Entry] = [
        (0x010F, _ASCII, b"Canon\0"),
        (0x0110, _ASCII, b"Canon EOS 5D\0"),
        (0x011A, _RATIONAL, struct.pack(">LL", 72, 1)),
        (0x011B, _RATIONAL, struct.pack(">LL", 72, 1)),
        (0x0128, _SHORT, struct.pack(">H", 2)),
        (0x0132, _ASCII, b"2019:07:01 12:00:00\0"),
        (_EXIF_IFD, _LONG, bytes(4)),
        (_GPS_IFD, _LONG, bytes(4)),
    ]
    notes: list[Entry] = [
        (0x0006, _ASCII, b"Canon EOS 5D\0"),
        (0x0007, _ASCII, b"Firmware 1.1.1\0"),
        (0x0009, _ASCII, b"An Owner With A Long Name\0"),
        (0x000C, _LONG, struct.pack(">L", 1234567890)),
    ]
    gps: list[Entry] = [
        (1, _ASCII, b"N\0"),
        (2, _RATIONAL, struct.pack(">6L", 48, 1, 12, 1, 3000, 100)),
        (3, _ASCII, b"E\0"),
        (4, _RATIONAL, struct.pack(">6L", 16, 1, 22, 1, 1000, 100)),
    ]
    exif_at = 8 + len(_directory(main, 8)) + 6  # the gap
    notes_at = exif_at + _size_of_exif()
    exif = _directory(_exif_entries(_directory(notes, notes_at)), exif_at)
    gps_at = exif_at + len(exif)
    main[6] = (_EXIF_IFD, _LONG, struct.pack(">L", exif_at))
    main[7] = (_GPS_IFD, _LONG, struct.pack(">L", gps_at))
    return (
        b"MM\0*"
        + struct.pack(">L", 8)
        + _directory(main, 8)
        + b"gap!!!"
        + exif
        + _directory(gps, gps_at)
    )


def _exif_entries(notes: bytes) -> list[Entry]:
    return [
        (0x829A, _RATIONAL, struct.pack(">LL", 1, 125)),
        (0x8827, _SHORT, struct.pack(">H", 200)),
        (0x9003, _ASCII, b"2019:07:01 12:00:00\0"),
        (_MAKER_NOTE, _UNDEFINED, notes),
    ]


def _size_of_exif() -> int:
    """Bytes before the maker notes, which come last."""
    return len(_directory(_exif_entries(b"12345"), 0)) - 6  # one odd byte is padded


def _directory(entries: Sequence[Entry], at: int) -> bytes:
    """One TIFF directory that is `at` bytes into the block, its values behind it."""
    behind = at + 2 + 12 * len(entries) + 4
    fields, values = b"", b""
    for tag, kind, value in entries:
        count = len(value) // _SIZES[kind]
        fields += struct.pack(">HHL", tag, kind, count)
        if len(value) <= 4:
            fields += value.ljust(4, b"\0")
            continue
        fields += struct.pack(">L", behind + len(values))
        values += value + b"\0" * (len(value) % 2)
    return struct.pack(">H", len(entries)) + fields + bytes(4) + values
