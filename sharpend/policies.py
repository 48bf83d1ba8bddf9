"""Policies of a folder: image handling, sources, and names of outputs.

The settings take these values as they are spelled here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

_DAY = 24 * 60
_HOUR, _MINUTE = "[01][0-9]|2[0-3]", "[0-5][0-9]"
_HOURS = rf"({_HOUR}):({_MINUTE}) ?- ?({_HOUR}|24):({_MINUTE})"


class Metadata(StrEnum):
    """Policy for metadata in the output."""

    KEEP = "keep"
    STRIP = "strip"
    """Only what the pixels need to be shown right stays: ICC profile, orientation, resolution."""
    STRIP_GPS = "strip-gps"
    """All but where it was taken."""


class Thumbnail(StrEnum):
    """Policy for the EXIF thumbnail."""

    KEEP = "keep"
    REFRESH = "refresh"
    """Made anew from the sharpened image, at the size that it had."""
    DROP = "drop"


class Frames(StrEnum):
    """Policy for animations and files of many pages."""

    REFUSE = "refuse"
    FIRST = "first"
    """The first frame or page alone is sharpened and written."""
    ALL = "all"


class Cmyk(StrEnum):
    """Policy for CMYK images."""

    REFUSE = "refuse"
    CONVERT = "convert"
    """To sRGB through the file's own profile, or `cmyk_profile` where it has none."""


class OneBit(StrEnum):
    """Policy for images of pure black and white."""

    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105 - no password
    """The output is the input, byte for byte."""


class Losses(StrEnum):
    """Policy for images with content that the output cannot hold: a video, layers, a depth map."""

    KEEP = "keep"
    """The source stays where it is, even where sources are deleted."""
    ACCEPT = "accept"
    REFUSE = "refuse"


class Compression(StrEnum):
    """Policy for formats that are compressed with more or less effort."""

    FAST = "fast"
    SMALL = "small"
    """Smaller files, for more time."""


class SourcePolicy(StrEnum):
    """Handling of an input after its output is committed."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class Sidecars(StrEnum):
    """Handling of the sidecars (`.xmp`, `.aae`) of an input."""

    LEAVE = "leave"
    FOLLOW = "follow"
    """They are moved into the archive with the input."""
    COPY = "copy"
    """The same, and before that they are copied beside the output, under its name."""


class ExistingPolicy(StrEnum):
    """Handling of a foreign file that has the output's name."""

    SUFFIX = "suffix"
    SKIP = "skip"
    REPLACE = "replace"


class CollisionPolicy(StrEnum):
    """Handling of an output name that another input's output has."""

    NUMBER = "number"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Policies:
    """One value of each image policy."""

    metadata: Metadata = Metadata.KEEP
    thumbnail: Thumbnail = Thumbnail.KEEP
    frames: Frames = Frames.REFUSE
    cmyk: Cmyk = Cmyk.REFUSE
    one_bit: OneBit = OneBit.REFUSE
    provenance: bool = False
    """True if the output's XMP names the model that made it, and the input file."""
    cmyk_profile: str = field(default="", repr=False)
    """Path of the ICC profile of CMYK images that have none; empty: those are refused."""
    losses: Losses = field(default=Losses.KEEP, repr=False)
    """Not part of `Options.digest`: it changes no output."""
    compression: Compression = field(default=Compression.FAST, repr=False)


@dataclass(frozen=True, slots=True)
class Hours:
    """Range of local times of day, in minutes since midnight; it may pass midnight.

    Only the time of day counts, so a clock that is set forward or back for summer time needs no
    rule: an hour that is skipped is not missed, and one that comes twice counts twice.
    """

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read `20:00-06:00`.

        Raises:
            ValueError: it is no range, or an empty one.
        """
        found = re.fullmatch(_HOURS, text)
        if found is None:
            raise ValueError('must be ranges such as "20:00-06:00"')
        hours = cls(int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4]))
        if hours.begin == hours.end or hours.end > _DAY:
            raise ValueError('must be ranges such as "20:00-06:00", the whole day "00:00-24:00"')
        return hours

    def includes(self, minute: int) -> bool:
        """Return whether a minute of the day is in the range; its end is not."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        ends = (self.begin, self.end)
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in ends)
