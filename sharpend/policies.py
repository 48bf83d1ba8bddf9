"""Policies of a folder: image handling, sources, and names of outputs.

The settings take these values as they are spelled here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


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


class SourcePolicy(StrEnum):
    """Handling of an input after its output is committed."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


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
    """True if the output tells, in its XMP, which model made it of which file."""
    cmyk_profile: str = field(default="", repr=False)
    """Path of the ICC profile of CMYK images that have none; empty: those are refused."""
    losses: Losses = field(default=Losses.KEEP, repr=False)
    """Not part of `Options.digest`: it changes no output."""
