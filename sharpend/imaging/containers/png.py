"""PNG: parse header and metadata chunks, read and write 16-bit pixels.

Owns which chunks are carried, as they are. Pillow reads palettes, small depths and animations, and
knows the modes of up to 8 bits; `pngpixels` reads all else and writes.

Source: PNG specification, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import color
from sharpend.imaging.containers import apng, pillow, pngheader, pngpixels, surplus, trailers
from sharpend.imaging.containers.container import Container
from sharpend.imaging.containers.pngchunks import (
    HEADER_END,
    PIXELS,
    Parts,
    chunk,
    frame_controls,
    is_ancillary,
    is_safe_to_copy,
    parts,
)
from sharpend.imaging.containers.pngheader import PALETTE
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata import icc, pngtext
from sharpend.imaging.metadata.blocks import CREDENTIALS, TRAILER, Block, Carried, Kind
from sharpend.imaging.picture import Frame, Picture
from sharpend.policies import Compression, Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from sharpend.imaging.containers.pillow import CarriedAndNotes, Options
    from sharpend.imaging.containers.surplus import Held
    from sharpend.imaging.depth import Sample
    from sharpend.imaging.source import Source

_INTERLACED_AT = 28
_KINDS = {
    b"eXIf": Kind.EXIF,
    b"iCCP": Kind.ICC,
    **dict.fromkeys((b"cHRM", b"cICP", b"cLLI", b"mDCV", b"gAMA", b"sBIT", b"sRGB"), Kind.COLOR),
    **dict.fromkeys((b"pCAL", b"sPLT"), Kind.COLOR),
    **dict.fromkeys((b"pHYs", b"sCAL", b"sTER"), Kind.DENSITY),
    **dict.fromkeys((b"iTXt", b"tEXt", b"zTXt", b"tIME"), Kind.TEXT),
}
"""Chunks that are carried. Of the others, those that are not safe to copy speak of the pixels as
they were stored; the rest are Kind.OTHER."""
_OF_OLD_PIXELS = (b"bKGD", b"hIST", b"iDOT")
"""Chunks that hold for the pixels as they were stored, and say nothing about others."""
_BYTE_BITS, _DEEP_BITS = 8, 16
_WITH_ALPHA = {2, 4}


def _transfer(found: Parts) -> int | None:
    """Read the transfer characteristics of a cICP chunk (ITU-T H.273), if present."""
    body = dict(found.sound()).get(b"cICP", b"")
    return body[1] if len(body) > 1 else None


def _blocks(found: Parts, behind: bytes) -> tuple[Block, ...]:
    """Extract the metadata chunks of a PNG, and what is carried from behind its end."""
    bits, color_type = _stored(found)
    carried = [
        Block(_kind(kind, body), body, kind) for kind, body in found.sound() if _is_carried(kind)
    ]
    if not bits % 8 and color_type != PALETTE:
        # A background colour holds as long as samples are stored as they were.
        carried += [Block(Kind.OTHER, body, at) for at, body in found.sound() if at == b"bKGD"]
    if behind:
        carried.append(Block(Kind.OTHER, behind, TRAILER))
    return tuple(carried)


def _stored(found: Parts) -> tuple[int, int]:
    """Bits per sample and colour type."""
    header = found.chunks[0].body
    return header[8], header[9]


def _left_out(found: Parts, carried: Iterable[Block], data: bytes) -> list[str]:
    """List notes on the chunks of a PNG that are dropped."""
    notes = ["its interlacing was not kept"] * bool(data[_INTERLACED_AT])
    kinds = [kind for kind, _ in found.sound()]
    if b"PLTE" in kinds and _stored(found)[1] != PALETTE:
        notes.append("its palette (PLTE), which only suggests colours, was not kept")
    if b"acTL" in kinds and apng.frame_count(found) == 1:
        notes.append("its animation of a single frame was written as a still image")
    return [*_unsound(found), *notes, *_untrue(found, carried)]


def _unsound(found: Parts) -> list[str]:
    """List notes on what is damaged, but no pixel is made of."""
    notes = ["its end chunk was missing or damaged"] * (not found.has_end)
    return notes + [f"its {kind} chunk is damaged and was left out" for kind in found.unsound]


def _untrue(found: Parts, carried: Iterable[Block]) -> list[str]:
    """List notes on chunks that speak of the file as it was."""
    kinds = [kind for kind, _ in found.sound()]
    notes = [CREDENTIALS] * (b"caBX" in kinds)
    kept = {block.where for block in carried}
    return notes + [
        f"its {kind.decode()} chunk describes the old pixel data and was left out"
        for kind in _OF_OLD_PIXELS
        if kind in kinds and kind not in kept
    ]


def _losses(found: Parts, carried: Iterable[Block]) -> list[str]:
    """List the chunks of unknown content that must not be copied to an image that has changed."""
    kept = {block.where for block in carried} | PIXELS | {b"caBX", *_OF_OLD_PIXELS}
    kinds = dict.fromkeys(kind for kind, _ in found.sound())
    if b"fcTL" not in kinds:
        kept -= {b"fdAT"}  # pixels of no frame
    kinds = dict.fromkeys(kind for kind in kinds if kind not in kept)
    return [f"its {kind.decode('latin-1')} chunk is not in the output" for kind in kinds]


def _kind(kind: bytes, body: bytes) -> Kind:
    return Kind.XMP if pngtext.is_xmp(kind, body) else _KINDS.get(kind, Kind.OTHER)


def _is_carried(kind: bytes) -> bool:
    return kind in _KINDS or (kind not in PIXELS and is_ancillary(kind) and is_safe_to_copy(kind))


def _read(source: Source) -> Picture:
    """Read a PNG; decoders get its pixels' chunks alone.

    Raises:
        ImageRefusedError: `truncated`, `damaged`, and as `pillow.Reading`.
    """
    source.wanted(frame_controls(source.data), Reason.ANIMATED)  # before their chunks take memory
    data, found = source.data, parts(source.data)
    pngheader.check(found)
    kept = trailers.kept_from(data, found.end)
    blocks = _blocks(found, data[kept:])
    notes = _left_out(found, blocks, data)
    lost = data[found.end : kept]
    losses = _losses(found, blocks) + trailers.unknown(lost)
    losses += trailers.unknown(found.end_body, "in its end chunk")
    metadata = Carried(blocks), notes
    color.check_not_hdr(_transfer(found), icc.profile_of(metadata[0]))
    held: list[Held] = []
    if source.header.bits == _DEEP_BITS:
        picture = _read_deep(source, found, metadata, held)
    else:
        picture = _reading(source, found, metadata, held)(replace(source, data=found.stream()))
        if len(picture.frames) == 1 and not picture.losses:  # announced wrongly, or not at all
            losses += pillow.dropped(apng.frame_count(found), 1)
    if not picture.frames:  # passed on, as the whole file
        return source.bilevel()
    return _without_wrong_depth(picture).with_notes(((), losses), surplus.named(held))


def _without_wrong_depth(picture: Picture) -> Picture:
    """Leave out a chunk that tells the significant bits of other channels than are written."""
    channels = picture.pixels.shape[2] + (picture.alpha is not None)
    wrong = [
        block
        for block in picture.carried.blocks
        if block.where == b"sBIT" and len(block.data) != channels
    ]
    if not wrong:
        return picture
    first, *others = picture.frames
    kept = tuple(block for block in first.carried.blocks if block not in wrong)
    first = replace(first, carried=replace(first.carried, blocks=kept))
    note = (
        f"its sBIT chunk describes {len(wrong[0].data)} of {channels} channels, so it is left out"
    )
    return picture.with_frames([first, *others]).with_notes(((note,), ()))


def _read_deep(
    source: Source, found: Parts, metadata: CarriedAndNotes, held: list[Held]
) -> Picture:
    """Read a PNG with 16 bits per sample; `held` is as of `_samples`.

    Raises:
        ImageRefusedError: `damaged`; `bit_depth` for an animation or a transparent colour.
    """
    carried, notes = metadata
    kinds = [kind for kind, _ in found.sound()]
    if kinds.count(b"fcTL") > 1 and source.wanted(2, Reason.ANIMATED) > 1:
        raise ImageRefusedError(
            Reason.BIT_DEPTH,
            "its samples are of 16 bits in an animation, which would not be kept;"
            " set pictures.frames to first to sharpen its first frame",
            setting="pictures.frames",
        )
    values = _samples(found, held)
    if b"tRNS" in kinds:
        notes.append("its transparent colour was written as an alpha channel")
    pixels, alpha = values, None
    if values.shape[2] in _WITH_ALPHA:
        pixels, alpha = (
            np.ascontiguousarray(values[..., :-1]),
            np.ascontiguousarray(values[..., -1]),
        )
    picture = Picture((Frame(pixels, alpha, carried, _encoding(source)),), Format.PNG)
    return picture.with_notes((notes, pillow.dropped(apng.frame_count(found), 1)))


def _samples(found: Parts, held: list[Held]) -> NDArray[Sample]:
    """Decode a still; `held` gets what its compressed pixels hold, where there may be surplus."""
    values, is_exact = pngpixels.decoded(found)
    held += [] if is_exact else found.held(first_only=True)
    return values


def _spliced(encoded: bytes, carried: Sequence[Block]) -> bytes:
    """Insert these chunks after the header of an encoder's PNG, which has no metadata."""
    made = [chunk(block.where, block.data) for block in carried if block.where != TRAILER]
    behind = b"".join(block.data for block in carried if block.where == TRAILER)
    return encoded[:HEADER_END] + b"".join(made) + encoded[HEADER_END:] + behind


def _reading(
    source: Source, found: Parts, metadata: CarriedAndNotes, held: list[Held]
) -> pillow.Reading:
    """Pillow's way of reading up to 8 bits; `held` is as of `_samples`."""
    return pillow.Reading(
        partial(_carried, metadata),
        lambda source, _image, _count: _encoding(source),
        check=_unchecked,
        timed=apng.timed,
        ready=cache(partial(_decoded, source, found, held)),
    )


def _decoded(source: Source, found: Parts, held: list[Held]) -> NDArray[Sample] | None:
    """Pixels of a still of 8 bits; None where Pillow must read, or say what is wrong."""
    if pngpixels.is_plain(found):
        with suppress(imagecodecs.PngError):
            return _samples(found, held)
    with suppress(zlib.error):  # Pillow says what is wrong
        held += found.held(first_only=source.policies.frames is not Frames.ALL)
    return None


def _carried(metadata: CarriedAndNotes, source: Source, image: Image.Image) -> CarriedAndNotes:
    carried, notes = metadata
    if image.mode == "L" and source.header.bits < _BYTE_BITS:
        return carried, [*notes, f"its gray of {source.header.bits} bits was written with 8"]
    return metadata


def _unchecked(_source: Source, _carried: Carried) -> None:
    """Skip the check for high dynamic range, which has been made."""


def _encoding(source: Source) -> Options:
    return {"compression": source.policies.compression}


def _write(picture: Picture) -> bytes:
    encoded, *further = [
        pngpixels.encoded(frame, frame.encoding.get("compression", Compression.FAST))
        for frame in picture.frames
    ]
    if further:
        encoded = apng.assembled([encoded, *further], picture)
    return _spliced(encoded, picture.carried.blocks)


def _edited(data: bytes, edit: Callable[[Carried], Carried]) -> tuple[bytes, list[str]]:
    """Change the metadata chunks; see `Container.edited`."""
    found = parts(data)
    carried = Carried(_blocks(found, b""))
    notes = [*_unsound(found), *_untrue(found, carried.blocks)]
    return _spliced(found.stream(), edit(carried).blocks), notes


CONTAINER = Container(pngheader.probe, _read, _write, xmp_at=b"iTXt", edited=_edited)
