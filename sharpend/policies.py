"""The choices of a folder's owner: about pictures, their sources, and the names of outputs.

Owns each choice's spelling: the settings take these values as they stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Metadata(StrEnum):
    """What of a picture's metadata reaches the output."""

    KEEP = "keep"
    STRIP = "strip"
    """Only what the pixels need to be shown right stays: ICC profile, orientation, resolution."""
    STRIP_GPS = "strip-gps"
    """All but where it was taken."""


class Thumbnail(StrEnum):
    """What becomes of the small picture inside EXIF."""

    KEEP = "keep"
    REFRESH = "refresh"
    """Made anew from the sharpened picture, at the size that it had."""
    DROP = "drop"


class Frames(StrEnum):
    """What is done with animations and files of many pages."""

    REFUSE = "refuse"
    FIRST = "first"
    """The first frame or page alone is sharpened and written."""
    ALL = "all"


class Cmyk(StrEnum):
    """What is done with pictures in printing colours."""

    REFUSE = "refuse"
    CONVERT = "convert"
    """To sRGB through the file's own profile; refused where it has none."""


class OneBit(StrEnum):
    """What is done with pictures of pure black and white."""

    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105 - no password
    """The output is the input, byte for byte."""


class SourcePolicy(StrEnum):
    """What becomes of an input whose output stands."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class ExistingPolicy(StrEnum):
    """What to do about a foreign file that has the output's name."""

    SUFFIX = "suffix"
    SKIP = "skip"
    REPLACE = "replace"


class CollisionPolicy(StrEnum):
    """What to do about an output's name that the output of another input has."""

    NUMBER = "number"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Policies:
    """One choice of each that is about pictures."""

    metadata: Metadata = Metadata.KEEP
    thumbnail: Thumbnail = Thumbnail.KEEP
    frames: Frames = Frames.REFUSE
    cmyk: Cmyk = Cmyk.REFUSE
    one_bit: OneBit = OneBit.REFUSE
    provenance: bool = False
    """Whether the output tells, in its XMP, which network made it of which file."""
