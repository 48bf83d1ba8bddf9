"""Copy images where that is better than to write them again.

Owns both rules. Images that are sharp already are copied if the folder allows it: every frame is
above the threshold; measuring tells that, and the model is not run. Images with
transparency that were coded with losses, or would be, are copied if sharpening changes little: no
more than it adds to the artefacts at the edge of a flat subject. Encoding that edge again changes
it by more. In both cases metadata that the folder does not let through is taken out of the copy,
whose compressed pixels stay; no other setting may change the file's bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.imaging import codec
from sharpend.imaging.depth import white
from sharpend.imaging.metadata import exif
from sharpend.imaging.metadata.blocks import Kind
from sharpend.imaging.picture import Picture
from sharpend.imaging.transparency import most_changed
from sharpend.imaging.unrecoded import reduced_copy
from sharpend.policies import Cmyk, Frames, Metadata, Thumbnail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from sharpend.imaging.picture import Frame
    from sharpend.model.cues import Cues
    from sharpend.task import Options

LITTLE_LEVELS = 4
"""Levels of 8 bits: the most that a model adds to a flat subject, by what lossy coding at usual
qualities left at its edge, be it text that has nothing but edge (`tests/test_transparency.py`).
To soft photographs it adds far more."""


def may_skip(cues: Sequence[Cues], options: Options) -> bool:
    """Return whether each frame of an image is above the folder's sharpness threshold."""
    above = options.skip_sharp_above
    return above is not None and bool(cues) and _softest(cues) > above


def skipped(file: BinaryIO, picture: Picture, cues: Sequence[Cues], options: Options) -> Picture:
    """Return the unchanged file, or the image with a note on the setting that forbids that.

    Args:
        file: its file, seekable; read, not closed.
        picture: as it was decoded.
        cues: of each of its frames.
        options: the folder's.

    Returns:
        The file as it is, without frames; or the image with a note of what stands against that.
    """
    text = f"it is sharp already: its sharpness is {_softest(cues):.2f}"
    line = f", above model.skip_sharp_above = {options.skip_sharp_above:g}"
    return _copied(file, picture, options, text, line)


def changes_little(picture: Picture, frames: Sequence[Frame], options: Options) -> bool:
    """Return whether a transparent image is better copied than sharpened and encoded again.

    Args:
        picture: as it was decoded.
        frames: its frames, sharpened; none of a file that is copied already.
        options: the folder's; crispness is asked for where a little more is wanted.
    """
    if options.crispness or not any(map(_has_hidden, picture.frames)):
        return False
    pairs = zip(picture.frames, frames, strict=True)
    return (picture.lossy or codec.is_lossy(picture)) and all(
        most_changed(before, after) <= LITTLE_LEVELS for before, after in pairs
    )


def _has_hidden(frame: Frame) -> bool:
    """Return whether alpha hides something; that of some files hides nothing."""
    return frame.alpha is not None and bool(frame.alpha.min() < white(frame.alpha.dtype))


def kept(file: BinaryIO, picture: Picture, options: Options) -> Picture:
    """Return the unchanged file of an image that sharpening changes little; else as `skipped`."""
    text = (
        f"sharpening changes none of its visible colours by more than {LITTLE_LEVELS} levels of"
        " 255, as little as the artefacts of its compression"
    )
    return _copied(file, picture, options, text)


def _copied(
    file: BinaryIO, picture: Picture, options: Options, cause: str, line: str = ""
) -> Picture:
    """Return the copied file with a note, or the image with one on what forbids that."""
    violated = _violated_setting(file, picture, options)
    against = violated and f"{violated} changes its bytes"
    file.seek(0)
    data, removed, notes = file.read(), _removed(options), list[str]()
    copy = data
    if removed and not against:
        try:
            copy, notes = reduced_copy(data, picture, options.policies)
        except ValueError as error:
            against = f"{removed} changes its metadata, and {error}"
    if against:
        note = f"{cause}; not copied unchanged, because {against}"
        return replace(picture, notes=(*picture.notes, note))
    copied = "copied unchanged" if copy == data else f"copied but for its metadata, by {removed}"
    notes = [f"{cause}{line}: {copied}", *notes]
    return Picture((), picture.format, tuple(notes), as_it_is=copy, declared=picture.size)


def _removed(options: Options) -> str:
    """Setting by which an unchanged copy has too much metadata, or ""."""
    policies = options.policies
    if policies.metadata is not Metadata.KEEP:
        return f"pictures.metadata = {policies.metadata}"
    if policies.thumbnail is Thumbnail.DROP:
        return f"pictures.thumbnail = {policies.thumbnail}"
    return ""


def _softest(cues: Sequence[Cues]) -> float:
    return min(one.sharpness for one in cues)


def setting_against(options: Options) -> str:
    """Setting that a copy of any file with the same pixels would violate, or ""."""
    return "pictures.provenance = true" if options.policies.provenance else ""


def _violated_setting(file: BinaryIO, picture: Picture, options: Options) -> str:
    """Setting that a copy of this file with the same pixels would violate, or ""."""
    against, policies = setting_against(options), options.policies
    if against:
        return against
    renews = policies.thumbnail is Thumbnail.REFRESH and policies.metadata is not Metadata.STRIP
    if renews and exif.thumbnail_of(picture.carried.data(Kind.EXIF)):
        return f"pictures.thumbnail = {policies.thumbnail}"
    if policies.frames is Frames.FIRST or policies.cmyk is Cmyk.CONVERT:
        return _violated_by_decoding(file, options)
    return ""


def _violated_by_decoding(file: BinaryIO, options: Options) -> str:
    """Setting that an unchanged copy of a file with more frames, or in CMYK, would violate."""
    frames = options.policies.frames
    strict = replace(
        options.policies,
        frames=Frames.ALL if frames is Frames.ALL else Frames.REFUSE,
        cmyk=Cmyk.REFUSE,
    )
    try:
        codec.decode(file, **options.limits, policies=strict)
    except ImageRefusedError as error:
        return error.setting or str(error)
    return ""
