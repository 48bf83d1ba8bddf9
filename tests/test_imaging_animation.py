"""Animations and pages with `frames = all`: shown as they were, for as long, as often."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import codec
from sharpend.imaging.containers import apng, gifblocks, isotracks, pngchunks
from sharpend.imaging.metadata.blocks import Kind
from sharpend.policies import Frames, Policies

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sharpend.imaging.picture import Picture

HEIGHT, WIDTH = 20, 30
DURATIONS = [70, 200, 1000, 40]


def decoded(data: bytes, frames: Frames = Frames.ALL) -> Picture:
    """The image under a policy for frames."""
    policies = Policies(frames=frames)
    return codec.decode(BytesIO(data), max_pixels=10**6, max_bytes=10**7, policies=policies)


def again(data: bytes) -> bytes:
    """The file, read and written."""
    file = BytesIO()
    codec.encode(decoded(data), file)
    return file.getvalue()


def shown(data: bytes) -> list[NDArray[np.uint8]]:
    """Each frame as Pillow shows it, with nothing where it is transparent."""
    seen = []
    with Image.open(BytesIO(data)) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pixels = np.asarray(image.convert("RGBA"))
            seen.append(np.where(pixels[..., 3:] == 0, 0, pixels))
    return seen


def moving(*, transparent: bool) -> list[Image.Image]:
    """A square that wanders over a ground, or over nothing."""
    frames = []
    for step in range(4):
        pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        pixels[..., 0], pixels[..., 3] = 90, 0 if transparent else 255
        square = pixels[3 + step : 12 + step, 4 * step : 4 * step + 10]
        square[:] = (10 * step, 200, 30 + step, 255)
        frames.append(Image.fromarray(pixels))
    return frames


def animated(target: str, *, transparent: bool = False, **options: Any) -> bytes:  # noqa: ANN401
    """An animation as Pillow writes it."""
    first, *others = moving(transparent=transparent)
    file = BytesIO()
    options = {"duration": DURATIONS, "loop": 3, **options}
    first.save(file, target, save_all=True, append_images=others, **options)
    return file.getvalue()


LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "GIF": {},
    "WEBP": {"lossless": True, "exact": True},
}


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("target", LOSSLESS)
def test_an_animation_is_shown_as_it_was(target: str, *, transparent: bool) -> None:
    """Each frame, for as long, as often, in any format that moves."""
    disposal = {"disposal": 2} if target == "GIF" and transparent else {}
    before = animated(target, transparent=transparent, **LOSSLESS[target], **disposal)
    after = again(before)
    for one, other in zip(shown(before), shown(after), strict=True):
        assert np.array_equal(one, other)
    old, new = decoded(before), decoded(after)
    assert [frame.duration_ms for frame in new.frames] == DURATIONS
    assert old.loop == new.loop == 3
    assert [frame.disposal for frame in new.frames] == [frame.disposal for frame in old.frames]


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("transparent", [False, True])
def test_gif_keeps_its_disposal(disposal: int, *, transparent: bool) -> None:
    """What follows a frame follows it still, and its own 256 colours suffice for its box."""
    first, *others = moving(transparent=transparent)
    file = BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, disposal=disposal)
    before = file.getvalue()
    after = again(before)
    boxes = [(frame.disposal, frame.box) for frame in gifblocks.layout(before).frames]
    assert [(frame.disposal, frame.box) for frame in gifblocks.layout(after).frames] == boxes
    for one, other in zip(shown(before), shown(after), strict=True):
        assert np.array_equal(one, other)


def test_gif_carries_comments_and_xmp() -> None:
    """Extensions that are no pixels come through byte for byte."""
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    file = BytesIO()
    Image.new("P", (9, 9)).save(file, "GIF", comment=b"by Ana")
    data = file.getvalue()[:-1] + b"!\xff\x0bXMP DataXMP" + packet + trailer + b";"
    blocks = decoded(again(data)).carried
    assert blocks.data(Kind.XMP) == packet
    assert blocks.data(Kind.TEXT) == b"\x06by Ana\0"


def test_apng_of_no_denominator_means_hundredths() -> None:
    """A delay of n over 0 is n hundredths of a second."""
    data = animated("PNG")
    made = b""
    for kind, body in pngchunks.chunks(data):
        changed = body[:20] + (5).to_bytes(2) + bytes(2) + body[24:] if kind == b"fcTL" else body
        made += pngchunks.chunk(kind, changed)
    assert [frame.duration_ms for frame in decoded(data[:8] + made).frames] == [50] * 4


def test_apng_keeps_a_picture_that_is_no_frame() -> None:
    """What readers without animation show stays apart from what moves."""
    first, *others = moving(transparent=False)
    file = BytesIO()
    first.save(file, "PNG", save_all=True, append_images=others, default_image=True, duration=50)
    animation = apng.animation(pngchunks.chunks(again(file.getvalue())))
    assert animation is not None
    assert (animation.has_default, len(animation.timings)) == (True, 3)
    for one, other in zip(shown(file.getvalue()), shown(again(file.getvalue())), strict=True):
        assert np.array_equal(one, other)


def test_webp_keeps_what_lies_under_alpha_0() -> None:
    """Also in an animation, which libwebp's own encoder of animations forgets."""
    data = animated("WEBP", transparent=True, lossless=True, exact=True)
    before, after = decoded(data), decoded(again(data))
    for one, other in zip(before.frames, after.frames, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert other.alpha is not None
        assert np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]


def test_webp_carries_background_and_metadata() -> None:
    """Of the whole animation, beside its frames."""
    options: dict[str, Any] = {
        "background": (1, 2, 3, 255),
        "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0",
        "xmp": b"<x/>",
    }
    data = again(animated("WEBP", lossless=True, icc_profile=b"profile" * 30, **options))
    with Image.open(BytesIO(data)) as image:
        assert image.info["background"] == (1, 2, 3, 255)
        assert image.info["icc_profile"] == b"profile" * 30
        assert image.info["xmp"] == b"<x/>"
        assert "exif" in image.info


@pytest.mark.parametrize("target", [*LOSSLESS, "TIFF"])
def test_the_first_alone(target: str) -> None:
    """`first` gives a still of the first frame or page."""
    data = animated(target, **LOSSLESS.get(target, {}))
    picture = decoded(data, Frames.FIRST)
    assert len(picture.frames) == 1
    file = BytesIO()
    codec.encode(picture, file)
    with Image.open(file) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert np.array_equal(np.asarray(image.convert("RGB")), shown(data)[0][..., :3])


def test_all_frames_together_are_limited() -> None:
    """The limit of pixels is for the sum: frames are all in memory at once."""
    with pytest.raises(ImageRefusedError, match="x 4 frames") as caught:
        codec.decode(
            BytesIO(animated("GIF")),
            max_pixels=3 * HEIGHT * WIDTH,
            max_bytes=10**6,
            policies=Policies(frames=Frames.ALL),
        )
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_pages_keep_what_is_their_own() -> None:
    """Size, depth, compression and tags of each page, and their order."""
    pages: list[tuple[NDArray[Any], int]] = [
        (np.arange(600, dtype=np.uint16).reshape(20, 30) * 100, 50000),
        (np.arange(900, dtype=np.uint8).reshape(15, 20, 3), 5),
    ]
    file = BytesIO()
    with tifffile.TiffWriter(file, byteorder=">", bigtiff=True) as writer:
        for pixels, compression in pages:
            told = {"description": f"page {compression}", "resolution": (100 + compression, 7)}
            made: Any = {"compression": compression, "predictor": True, "metadata": None, **told}
            writer.write(pixels, **made)
    with tifffile.TiffFile(BytesIO(again(file.getvalue()))) as written:
        assert (written.byteorder, written.is_bigtiff) == (">", True)
        for page, (pixels, compression) in zip(written.pages, pages, strict=True):
            assert isinstance(page, tifffile.TiffPage)
            assert np.array_equal(page.asarray(), pixels)
            assert page.compression == compression
            assert page.description == f"page {compression}"
            assert page.tags[282].value == (100 + compression, 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_avif_is_shown_as_often_as_before(count: int) -> None:
    """Pillow writes animations that are shown for ever."""
    first, *others = moving(transparent=False)
    file = BytesIO()
    first.save(file, "AVIF", save_all=True, append_images=others, duration=DURATIONS)
    data = isotracks.with_plays(file.getvalue(), count) if count else file.getvalue()
    assert decoded(data).loop == count
    assert isotracks.plays(again(data)) == count


@pytest.mark.skipif(not shutil.which("avifenc"), reason="avifenc is not installed")
@pytest.mark.parametrize(("turn", "quarters"), [(1, 1), (2, 2), (3, 3)])
def test_an_animation_that_is_turned_is_written_upright(
    turn: int, quarters: int, tmp_path: Path
) -> None:
    """Libavif crashes where it is to write the turn of an AVIF with several frames."""
    names = [tmp_path / f"{index}.png" for index in (0, 1)]
    for name, frame in zip(names, moving(transparent=False), strict=False):
        frame.convert("RGB").resize((96, 64), 0).save(name)
    path = tmp_path / "a.avif"
    command = ["avifenc", "-y", "444", "--min", "0", "--max", "9", "--irot", str(turn)]
    subprocess.run([*command, *map(str, names), str(path)], check=True, capture_output=True)
    picture = decoded(path.read_bytes())
    assert picture.size == ((96, 64) if quarters % 2 else (64, 96))
    assert picture.notes == (
        "its frames were rotated upright: an animation cannot be written turned",
    )
    once, twice = (shown(data) for data in (path.read_bytes(), again(path.read_bytes())))
    for before, after in zip(once, twice, strict=True):
        upright = np.rot90(before, quarters).astype(int)
        assert np.abs(upright - after).max() < 12
