"""Content of an image that its output will not hold: the policy that refuses such images.

Owns the refusal. The losses are found by each container; a policy's own removals are notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.policies import Losses

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture
    from sharpend.policies import Policies

SETTING = "pictures.losses"


def check(picture: Picture, policies: Policies) -> Picture:
    """Return the image, unless policy refuses what it would lose.

    Args:
        picture: as it was decoded, or the unchanged file, which loses nothing.
        policies: of its folder.

    Raises:
        ImageRefusedError: `would_lose`, with each loss.
    """
    if picture.losses and policies.losses is Losses.REFUSE:
        raise ImageRefusedError(
            Reason.WOULD_LOSE,
            f"its output would lack content: {'; '.join(picture.losses)}; "
            f"set {SETTING} to keep to have it sharpened and its source kept",
            setting=SETTING,
        )
    return picture
