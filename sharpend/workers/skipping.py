"""Skip images that are sharp already: copy them unchanged if the folder allows it.

Owns the rule: every frame is above the threshold, and no other setting of the folder changes the
file's bytes. Runs after decoding and measuring; the model is not run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.imaging import codec
from sharpend.imaging.picture import Picture
from sharpend.policies import Cmyk, Frames, Metadata, Thumbnail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from sharpend.model.cues import Cues
    from sharpend.task import Options


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
    against = _violated_setting(file, options)
    if against:
        note = f"{text}; not copied unchanged, because {against} changes its bytes"
        return replace(picture, notes=(*picture.notes, note))
    file.seek(0)
    note = f"{text}, above model.skip_sharp_above = {options.skip_sharp_above:g}: copied unchanged"
    return Picture((), picture.format, (note,), as_it_is=file.read(), declared=picture.size)


def _softest(cues: Sequence[Cues]) -> float:
    return min(one.sharpness for one in cues)


def setting_against(options: Options) -> str:
    """Setting that an unchanged copy of any file would violate, or ""."""
    policies = options.policies
    if policies.metadata is not Metadata.KEEP:
        return f"pictures.metadata = {policies.metadata}"
    if policies.thumbnail is not Thumbnail.KEEP:
        return f"pictures.thumbnail = {policies.thumbnail}"
    if policies.provenance:
        return "pictures.provenance = true"
    return ""


def _violated_setting(file: BinaryIO, options: Options) -> str:
    """Setting that an unchanged copy of this file would violate, or ""."""
    against, policies = setting_against(options), options.policies
    if against:
        return against
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
