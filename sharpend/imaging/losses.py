"""Content of an image that its output will not hold: the policy that refuses such images.

Owns the refusal. The losses are found by each container. What a policy removes is a note, but for
data behind the image: a video or an archive is no metadata, so its removal is a loss, too.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.metadata.blocks import TRAILER
from sharpend.policies import Losses, Metadata

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture
    from sharpend.policies import Policies

SETTING = "pictures.losses"
BEHIND = "the data behind its image (a video, an archive), which may hold metadata, is not kept"


def check(picture: Picture, policies: Policies) -> Picture:
    """Return the image with all that it will lose, unless policy refuses that.

    Args:
        picture: as it was decoded, or the unchanged file, which loses nothing.
        policies: of its folder.

    Raises:
        ImageRefusedError: `would_lose`, with each loss.
    """
    if policies.metadata is not Metadata.KEEP and has_trailer(picture):
        picture = replace(picture, losses=(*picture.losses, BEHIND))
    if picture.losses and policies.losses is Losses.REFUSE:
        raise ImageRefusedError(
            Reason.WOULD_LOSE,
            f"its output would lack content: {'; '.join(picture.losses)}; "
            f"set {SETTING} to keep to have it sharpened and its source kept",
            setting=SETTING,
        )
    return picture


def has_trailer(picture: Picture) -> bool:
    """Return whether data behind the image is carried."""
    blocks = chain.from_iterable(frame.carried.blocks for frame in picture.frames)
    return any(block.where == TRAILER for block in blocks)
