"""What programs that are not ours see in a file: exiftool's fields, pixels, coding.

One process reads many files, because starting takes longer than reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from tests.recipe import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Fields = dict[str, str]
Frame: TypeAlias = "NDArray[np.uint16]"
"""H x W x C, 0..65535."""
Frames: TypeAlias = "list[NDArray[np.uint16]]"
Thing = TypeVar("Thing")
READERS = ("exiftool", "convert", "identify", "vips", "webpinfo", "avifdec", "djxl")
"""The programs that are asked."""
AT_ONCE = 40
"""Files for one process: some end at the first that they cannot read."""


def fields(files: Sequence[Path]) -> dict[str, Fields]:
    """All that exiftool reports of each file, by its name; long values as their digests."""
    wanted = ("-j", "-G1:4", "-a", "-b", "-U", "-ee", "-api", "LargeFileSupport=1")
    if not files:
        return {}
    told = json.loads(_said("exiftool", *wanted, "-charset", "filename=UTF8", *files))
    return {os.path.basename(one["SourceFile"]): _merged(one) for one in told}


def warnings(files: Sequence[Path]) -> dict[str, list[str]]:
    """Lists what exiftool finds wrong with each file's structure, by its name."""
    told = json.loads(_said("exiftool", "-j", "-a", "-G4", "-validate", "-warning", *files))
    return {
        os.path.basename(one["SourceFile"]): [
            str(value) for key, value in one.items() if key.endswith("Warning")
        ]
        for one in told
    }


def samples(files: Sequence[Path], bench: Path) -> dict[str, bytes]:
    """All samples of each file's first page as vips reads them, in its own byte order."""
    bench.mkdir(parents=True, exist_ok=True)
    orders = [f"vips rawsave {file} {bench / file.name}.raw" for file in files]
    for some in _some(orders):
        _said("bash", "-c", "\n".join(some))
    made = {file.name: bench / f"{file.name}.raw" for file in files}
    return {name: path.read_bytes() for name, path in made.items() if path.exists()}


def _merged(told: dict[str, Any]) -> Fields:
    """One entry for each group and name; exiftool counts copies through all groups."""
    found: dict[str, list[str]] = {}
    for key, value in told.items():
        found.setdefault(re.sub(r"Copy\d+:", "", key), []).append(_short(value))
    return {key: " & ".join(values) for key, values in found.items()}


def jpeg_coding(files: Sequence[Path]) -> dict[str, list[str]]:
    """Of each JPEG's components: how much coarser it is stored, and a digest of its table.

    Factors of 2x2, 1x2, 1x2 say the same as 2x1, 1x1, 1x1.
    """
    return {os.path.basename(file): _components(file.read_bytes()) for file in files}


def _components(data: bytes) -> list[str]:
    """Read from the segments themselves (ITU-T T.81, B.2): tools print unused tables too."""
    at, tables, frame = 2, {}, b""
    while data[at + 1] != _START_OF_SCAN:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in _FRAMES:
            frame = body
        while marker == _TABLES and body:
            size = 128 if body[0] >> 4 else 64
            tables[body[0] & 15] = hashlib.sha256(body[1 : 1 + size]).hexdigest()[:8]
            body = body[1 + size :]
    parts = [frame[start : start + 3] for start in range(6, len(frame), 3)]
    wide, high = (max(part[1] >> 4 for part in parts), max(part[1] & 15 for part in parts))
    return [
        f"{wide // (part[1] >> 4)}x{high // (part[1] & 15)} {tables[part[2]]}" for part in parts
    ]


_START_OF_SCAN, _TABLES = 0xDA, 0xDB
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}


def lossless_webp(files: Sequence[Path]) -> dict[str, bool]:
    """Whether every frame of each WebP is stored without loss."""
    parts = re.split(r"(?m)^File: ", _said("webpinfo", *files))[1:] if files else []
    return {os.path.basename(part.split("\n", 1)[0]): "Format: Lossy" not in part for part in parts}


def kinds(files: Sequence[Path]) -> dict[str, str]:
    """Channels and bits of each file's first frame as ImageMagick counts them: rgba16."""
    found: dict[str, str] = {}
    for some in _some(files):
        said = _said("identify", "-format", "%f|%[channels]%z\n", *(f"{path}[0]" for path in some))
        for line in said.splitlines():
            name, kind = line.split("|")
            found.setdefault(name, kind.removeprefix("s"))
    return found


def timing(file: Path) -> list[str]:
    """Each frame's duration and disposal, and the loops, as other programs tell them."""
    if file.suffix == ".gif":
        return _said("identify", "-format", "%T %D %[gif:loop]\n", file).splitlines()
    if file.suffix == ".webp":
        return re.findall(r"(?m)^\s*((?:Duration|Loop count)\s*:.*)$", _said("webpinfo", file))
    if file.suffix == ".avif":
        return re.findall(r"\[duration ([\d.]+) ", _said("avifdec", "--info", file))
    if file.suffix in {".png", ".apng"}:
        return _chunks(file.read_bytes())
    return _said("identify", "-format", "%wx%h %z %[channels]\n", file).splitlines()


def _chunks(data: bytes) -> list[str]:
    """The numbers of an APNG's acTL, and of each fcTL those of time and disposal."""
    found, at = [], 8
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"acTL":
            found.append(body.hex())
        if kind == b"fcTL":
            seconds = int.from_bytes(body[20:22]) / (int.from_bytes(body[22:24]) or 100)
            found.append(f"{seconds:.4f}")
        at += 12 + length
    return found


def pixels(
    files: Sequence[Path], bench: Path, *, first: bool = False, profile: Path | None = None
) -> dict[str, Frames]:
    """The frames of each file as outside decoders read them; what they cannot read is left out.

    Args:
        files: their names differ.
        bench: a folder for what is between.
        first: only the first of each.
        profile: where colours are wanted rather than numbers: the ICC profile to convert to.
    """
    bench.mkdir(parents=True, exist_ok=True)
    orders = [_decoding(file, bench / file.name, "[0]" if first else "", profile) for file in files]
    for some in _some(orders):
        _said("bash", "-c", "\n".join(some))
    made = {file.name: bench / f"{file.name}.pam" for file in files}
    return {name: list(_frames(path.read_bytes())) for name, path in made.items() if path.exists()}


def _decoding(file: Path, stem: Path, which: str, profile: Path | None) -> str:
    """The command that writes a file's frames as 16-bit PAM."""
    last = f"-depth 16 {stem}.pam"
    if profile is not None:
        return f"convert {file}{which} -profile {profile} {last}"
    if file.suffix == ".jxl":
        # djxl 0.7 writes no PNG of 16 bits with alpha.
        read = f"djxl --quiet {file} {stem}.png || vips copy {file} {stem}.png"
        return f"{{ {read}; }} && convert {stem}.png {last}"
    if file.suffix == ".avif":  # libheif neither undoes premultiplied alpha nor leaves ICC alone
        return f"avifdec -d 16 {file} {stem}.png && convert {stem}.png {last}"
    if file.suffix == ".webp" and not which:  # all frames as they are shown, one below the other
        return f"vips copy '{file}[n=-1]' {stem}.png && convert {stem}.png {last}"
    return f"convert {file}{which} {'-coalesce' if file.suffix == '.gif' else ''} {last}"


def _some(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    for start in range(0, len(things), AT_ONCE):
        yield things[start : start + AT_ONCE]


def _frames(data: bytes) -> Iterator[Frame]:
    """The images of a file of PAMs."""
    at = 0
    while at < len(data):
        end = data.index(b"ENDHDR\n", at) + 7
        head = dict(re.findall(rb"(?m)^(WIDTH|HEIGHT|DEPTH) (\d+)$", data[at:end]))
        height, width, depth = (int(head[key]) for key in (b"HEIGHT", b"WIDTH", b"DEPTH"))
        count = height * width * depth
        values = np.frombuffer(data, ">u2", count, end).astype(np.uint16)
        yield values.reshape(height, width, depth)
        at = end + 2 * count


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= 200:
        return text
    return f"{text[:40]}... sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _said(program: str, *arguments: str | Path) -> str:
    ran = subprocess.run(
        [program, *map(str, arguments)],
        check=False,
        capture_output=True,
        env={**os.environ, "PATH": PATH, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    return ran.stdout.decode(errors="replace")
