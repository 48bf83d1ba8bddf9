"""Decoded image: frames of pixels, metadata, and options for writing it again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
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
    """Display time of a frame of an animation."""
    disposal: int = 0
    """Disposal method after that time, in its format's own numbers."""
    box: tuple[int, int, int, int] | None = None
    """GIF only: left, top, right, bottom of what it paints; None for all."""
    is_shown: bool = True
    """False for the image that an APNG has only for readers without animation."""
    premultiplied: bool = False
    """True if the pixels are multiplied by alpha."""
    unsharpened: NDArray[Sample] | None = None
    """TIFF only: H x W x N, the pixels' dtype, further samples of each pixel (infrared, saved
    selections, spot colours), carried bit for bit."""

    def with_pixels(self, pixels: NDArray[Sample]) -> Frame:
        """Replace the pixels by others of the same shape and dtype."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True, slots=True)
class Picture:
    """Content of one image file."""

    frames: tuple[Frame, ...]
    """At least one, but for a file that is passed on."""
    format: Format = Format.PNG
    notes: tuple[str, ...] = ()
    """Notes on changes of layout and form, for example a palette written as RGB."""
    losses: tuple[str, ...] = ()
    """Content of the file that the output will not hold, a sentence each: second images, video,
    layers, unknown data. Its source is not deleted unless the folder's owner accepts that."""
    lossy: bool = False
    """Its file's coding changed the colours: edges to what alpha hides ring in what is visible."""
    loop: int | None = None
    """Loop count of an animation, 0 for ever; None if its file does not say."""
    as_it_is: bytes = b""
    """The whole file, where its compressed pixels are passed on; there are no frames then."""
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
        """Make an image without metadata from pixels."""
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
        """Pixels of the first frame."""
        return self.frames[0].pixels

    @property
    def alpha(self) -> NDArray[Sample] | None:
        """Alpha channel of the first frame."""
        return self.frames[0].alpha

    @property
    def carried(self) -> Carried:
        """Metadata of the file, further pages excepted."""
        return self.frames[0].carried

    def with_notes(self, *added: tuple[Sequence[str], Sequence[str]]) -> Picture:
        """Add pairs of notes and losses, each sentence once; none to a file passed on whole."""
        if self.as_it_is:
            return self
        notes = chain(self.notes, *(each for each, _ in added))
        losses = chain(self.losses, *(each for _, each in added))
        return replace(self, notes=tuple(dict.fromkeys(notes)), losses=tuple(dict.fromkeys(losses)))

    def with_frames(self, frames: Sequence[Frame]) -> Picture:
        """Replace the frames."""
        return replace(self, frames=tuple(frames))
