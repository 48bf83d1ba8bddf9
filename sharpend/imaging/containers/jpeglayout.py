"""JPEG layout: all segments and scans of a file up to its end mark, and a stream of what decodes.

Owns the byte layout; decodes nothing. An end mark is looked for behind the scans only, where no
comment or thumbnail can hold one. A file without one ends with its last scan.

Source: ITU-T T.81 (JPEG), annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.reading import damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 0xDC
"""DNL, behind the first scan: the number of lines, where the frame header has 0."""
HEIGHT = slice(1, 3)
"""Place of the number of lines in a frame header."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15; DHT, JPG and DAC lie in between."""
ARITHMETIC = frozenset({0xC9, 0xCA})
"""SOF9 and SOF10, the arithmetic-coded frames that decoders read."""
START, END, SCAN = 0xD8, 0xD9, 0xDA
APP0, APP14, COMMENT = 0xE0, 0xEE, 0xFE
_APPLICATION = frozenset(range(0xE0, 0xF0))
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a payload."""
_MOST_SEGMENTS = 10_000
_LENGTH_BYTES = 2
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
AFTER_SCAN = re.compile(rb"\xff\xff*[\x01-\xcf\xd8-\xfe]")  # `\xff+` takes 20 times as long
"""A marker that ends a scan: stuffed zeros and restart markers do not."""
END_MARK = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker segment: the marker, and the ranges of its bytes."""

    marker: int
    start: int
    """Offset of the marker's 0xff."""
    payload: int
    """Offset behind the length field."""
    end: int
    """Offset behind the payload."""
    coded_end: int
    """SOS only: offset behind the scan's compressed data; otherwise `end`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Segments of one image of a JPEG file."""

    data: bytes
    segments: tuple[Segment, ...]
    """All between the start and the end mark, the scans among them."""
    end: int
    """Offset behind the end mark, or behind the last scan of a file without one."""
    has_end_mark: bool
    stray_bytes: int
    """Bytes between segments that belong to none."""
    stray_content: int = 0
    """Those of them that are no padding with zeros."""

    @property
    def scans(self) -> list[Segment]:
        """The scans, in their order."""
        return [segment for segment in self.segments if segment.marker == SCAN]

    @property
    def frame(self) -> Segment:
        """The frame header; raises `damaged` where there is none."""
        for segment in self.segments:
            if segment.marker in FRAMES:
                return segment
        raise damaged("a JPEG without a frame header", may_settle=False)

    def body(self, segment: Segment) -> bytes:
        """Return the payload of a segment."""
        return self.data[segment.payload : segment.end]

    def stream(self, wanted: Callable[[Segment], bool]) -> bytes:
        """Join the segments that decode the image, and `wanted` metadata, to a JPEG."""
        kept = [
            self.data[segment.start : segment.coded_end]
            for segment in self.segments
            if not is_metadata(segment.marker) or wanted(segment)
        ]
        return b"".join([b"\xff\xd8", *kept, END_MARK])

    def with_height(self) -> Parts:
        """Move the height from a DNL segment, which decoders skip, to the frame header."""
        lines = [segment for segment in self.segments if segment.marker == LINES]
        if any(self.body(self.frame)[HEIGHT]) or not lines:
            return self
        at = self.frame.payload + HEIGHT.start
        data = self.data[:at] + self.body(lines[0])[:2] + self.data[at + 2 :]
        kept = tuple(segment for segment in self.segments if segment.marker != LINES)
        return replace(self, data=data, segments=kept)


def is_metadata(marker: int) -> bool:
    """Return whether a segment is metadata, which no decoder needs: APPn or a comment."""
    return marker in _APPLICATION or marker == COMMENT


def parts(data: bytes, *, most_scans: int, stop: int | None = None) -> Parts:
    """Parse a JPEG up to its end mark.

    Args:
        data: the file.
        most_scans: scans that are accepted (`limits.max_scans`).
        stop: offset at which data behind the image is known to begin.

    Raises:
        ImageRefusedError: `truncated` where a segment ends early or no scan comes, `damaged`,
            `too_many_scans`.
    """
    stop = len(data) if stop is None else stop
    found: list[Segment] = []
    at, stray, content, scans = 2, 0, 0, 0
    while len(found) < _MOST_SEGMENTS:
        marker = _MARKER.search(data, at, stop)
        if not marker and not scans:
            raise truncated()
        if not marker or (marker[1][0] == START and scans):  # the next image begins
            return Parts(data, tuple(found), at, False, stray, content)
        content += len(data[at : marker.start()].strip(b"\0"))
        stray, at, code = stray + marker.start() - at, marker.end(), marker[1][0]
        if code == END:
            while data.startswith(END_MARK, at):  # some programs write another one
                at += len(END_MARK)
            return Parts(data, tuple(found), at, True, stray, content)
        if code not in _BARE and code != START:
            found.append(_segment(data, code, at, stop))
            at, scans = found[-1].coded_end, scans + (code == SCAN)
            _check_scans(scans, most_scans)
    raise damaged("too many JPEG segments", may_settle=False)


def _segment(data: bytes, marker: int, at: int, stop: int) -> Segment:
    """Parse the segment whose length field is at `at`."""
    length = int.from_bytes(data[at : at + 2])
    end = at + length
    if at + 2 > stop or end > stop:
        raise truncated()
    if length < _LENGTH_BYTES:
        raise damaged("a JPEG segment is shorter than its own length field")
    coded_end = end
    if marker == SCAN:
        following = AFTER_SCAN.search(data, end, stop)
        coded_end = following.start() if following else stop
    return Segment(marker, at - 2, at + 2, end, coded_end)


def _check_scans(scans: int, most: int) -> None:
    if scans > most:
        raise ImageRefusedError(
            Reason.TOO_MANY_SCANS,
            f"the JPEG has more than {most} scans, each of which costs the time of a whole image; "
            "raise limits.max_scans to let it through",
            setting="limits.max_scans",
        )
