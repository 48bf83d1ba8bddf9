"""The image between decoder and encoder: frames of pixels, and all that the file said besides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.blocks import Carried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sharpend.imaging.depth import Sample


@dataclass(frozen=True, slots=True)
class Frame:
    """A still image, a frame of an animation, or a page."""

    pixels: NDArray[Sample]
    """H x W x C, C 3 (RGB) or 1 (gray), sRGB-encoded or as its ICC profile says: never converted.
    As stored: an orientation tag is carried, not applied."""
    alpha: NDArray[Sample] | None = None
    """H x W, the pixels' dtype, 0 transparent; colours where it is 0 are kept too."""
    carried: Carried = field(default_factory=Carried)
    encoding: Mapping[str, Any] = field(default_factory=dict)
    """Save options that give the source's quality."""
    duration_ms: float = 0
    """How long a frame of an animation is shown."""
    disposal: int = 0
    """What becomes of it then, in its format's own numbers."""
    box: tuple[int, int, int, int] | None = None
    """GIF only: left, top, right, bottom of what it paints; None for all."""
    is_shown: bool = True
    """False for the image that an APNG has only for readers without animation."""

    def with_pixels(self, pixels: NDArray[Sample]) -> Frame:
        """The same frame showing something else of the same shape and dtype."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True, slots=True)
class Picture:
    """What one file holds."""

    frames: tuple[Frame, ...]
    """At least one, but for a file that is passed on."""
    format: Format = Format.PNG
    notes: tuple[str, ...] = ()
    """What had to change on the way, in words."""
    loop: int | None = None
    """How often an animation is shown, 0 for ever; None where its file does not say."""
    as_it_is: bytes = b""
    """The whole file, where policy passes it on untouched; there are no frames then."""
    declared: tuple[int, int] = (0, 0)
    """Height and width of such a file."""

    @classmethod
    def still(
        cls,
        pixels: NDArray[Sample],
        *,
        alpha: NDArray[Sample] | None = None,
        format: Format = Format.PNG,  # noqa: A002 - the field's name
    ) -> Picture:
        """An image of ours, which carries nothing."""
        return cls((Frame(pixels, alpha),), format)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame."""
        if not self.frames:
            return self.declared
        height, width, _ = self.pixels.shape
        return height, width

    @property
    def pixels(self) -> NDArray[Sample]:
        """Those of the first frame."""
        return self.frames[0].pixels

    @property
    def alpha(self) -> NDArray[Sample] | None:
        """That of the first frame."""
        return self.frames[0].alpha

    @property
    def carried(self) -> Carried:
        """What the file carries, apart from further pages."""
        return self.frames[0].carried

    def with_frames(self, frames: Sequence[Frame]) -> Picture:
        """The same image with other frames."""
        return replace(self, frames=tuple(frames))
