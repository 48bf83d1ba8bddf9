"""`skip_sharp`: what is sharp already passes byte for byte, and the model does not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from skimage import data

from sharpend.imaging.picture import Picture
from sharpend.model.device import PlacedModel
from sharpend.model.measuring import measure
from sharpend.policies import Cmyk, Frames, Metadata, Policies, Thumbnail
from sharpend.workers.skipping import skipped
from tests.cameras import Camera
from tests.conftest import photograph
from tests.test_pipeline import Bench, staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.attempt import Staged
    from sharpend.workers.pipeline import Pipeline
    from tests.conftest import Networks

ABOVE = -0.8


@pytest.fixture
def bench(tmp_path: Path, networks: Networks) -> Bench:
    """Empty folders."""
    return Bench(tmp_path, networks.student)


@pytest.fixture
def shipped(tmp_path: Path) -> Bench:
    """The same, for the default model: it leaves flat areas as they are."""
    return Bench(tmp_path, Path("lite-photo"))


def sharp() -> Image.Image:
    """A sharp photograph."""
    return Image.fromarray(data.astronaut()[:128, 150:278])  # type: ignore[no-untyped-call]


def soft() -> Image.Image:
    """The same, blurred."""
    return sharp().filter(ImageFilter.GaussianBlur(1.5))


def run(
    worker: Pipeline,
    bench: Bench,
    source: Path,
    policies: Policies | None = None,
    above: float | None = ABOVE,
    crispness: float = 0,
) -> Staged:
    """The job done where sharp images may pass."""
    options = replace(
        bench.options,
        policies=policies or Policies(),
        skip_sharp_above=above,
        crispness=crispness,
    )
    return staged(worker.run(bench.task(source, options=options, measure_agreement=True)))


def passed(bench: Bench, source: Path) -> bool:
    """Whether the staged file has the source's bytes."""
    return bench.made.read_bytes() == source.read_bytes()


def test_a_sharp_file_passes_byte_for_byte(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that no decoder understands; the model does not run and no teacher is asked."""
    source = bench.source / "a.jpg"
    sharp().save(source, quality=91)
    with source.open("ab") as file:
        file.write(b"what follows the picture")
    monkeypatch.setattr(PlacedModel, "added", None)
    outcome = run(worker, bench, source)
    assert passed(bench, source)
    assert (outcome.height, outcome.width, outcome.pixels, outcome.frames) == (128, 128, 0, 0)
    assert outcome.sharpness is not None
    assert outcome.sharpness > ABOVE
    assert outcome.agreement is None
    (note,) = outcome.notes
    assert note == (
        f"it is sharp already: its sharpness is {outcome.sharpness:.2f}, "
        "above model.skip_sharp_above = -0.8: copied unchanged"
    )


@pytest.mark.parametrize("above", [None, 0.9])
def test_only_what_is_above_the_line_passes(
    worker: Pipeline, bench: Bench, above: float | None
) -> None:
    """Without the option, or with a line that it does not reach, an image is sharpened."""
    source = bench.source / "a.png"
    sharp().save(source)
    outcome = run(worker, bench, source, above=above)
    assert (outcome.notes, outcome.pixels) == ((), 128 * 128)
    assert not passed(bench, source)


def test_a_soft_file_is_sharpened(worker: Pipeline, bench: Bench) -> None:
    """The cue of the input is reported all the same."""
    source = bench.source / "a.png"
    soft().save(source)
    outcome = run(worker, bench, source)
    assert outcome.sharpness is not None
    assert outcome.sharpness < ABOVE
    assert (outcome.notes, outcome.frames) == ((), 1)


def test_what_is_transparent_is_not_judged(worker: Pipeline, bench: Bench) -> None:
    """Sharp colours that nobody sees let no soft image pass."""
    both = Image.new("RGBA", (256, 128))
    both.paste(sharp(), (128, 0))
    both.paste(soft(), (0, 0))
    alpha = np.zeros((128, 256), np.uint8)
    alpha[:, :128] = 255
    source = bench.source / "a.png"
    for hidden, frames in ((alpha, 1), (255 - alpha, 0)):
        both.putalpha(Image.fromarray(hidden))
        both.save(source)
        assert run(worker, bench, source).frames == frames
        bench.made.unlink()


@pytest.mark.parametrize(("frames", "passes"), [((sharp, sharp), True), ((sharp, soft), False)])
def test_every_frame_must_be_sharp(
    worker: Pipeline, bench: Bench, frames: tuple[Callable[[], Image.Image], ...], *, passes: bool
) -> None:
    """One soft frame and the animation is sharpened, all of it."""
    first, second = (made() for made in frames)
    source = bench.source / "a.webp"
    first.save(source, save_all=True, append_images=[second], duration=50, lossless=True)
    outcome = run(worker, bench, source, Policies(frames=Frames.ALL))
    assert (outcome.frames, passed(bench, source)) == ((0, True) if passes else (2, False))


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        (Policies(thumbnail=Thumbnail.REFRESH), "pictures.thumbnail = refresh"),
        (Policies(provenance=True), "pictures.provenance = true"),
        (Policies(Metadata.STRIP, provenance=True), "pictures.provenance = true"),
    ],
)
def test_a_policy_that_changes_bytes_comes_first(
    worker: Pipeline, bench: Bench, policies: Policies, told: str
) -> None:
    """The image is sharpened as any other, and a note says what stood against passing it on."""
    source = bench.source / "a.jpg"
    sharp().save(source, exif=Camera().block())
    outcome = run(worker, bench, source, policies)
    assert not passed(bench, source)
    assert outcome.frames == 1
    assert outcome.notes[0].endswith(f"; not copied unchanged, because {told} changes its bytes")


def test_a_thumbnail_that_is_not_there_forbids_nothing(worker: Pipeline, bench: Bench) -> None:
    """`refresh` renews those that a file has."""
    source = bench.source / "a.jpg"
    sharp().save(source, exif=Camera().block(thumbnail=b""))
    outcome = run(worker, bench, source, Policies(thumbnail=Thumbnail.REFRESH))
    assert outcome.frames == 0
    assert passed(bench, source)


def test_a_format_that_is_written_as_a_whole_is_sharpened(worker: Pipeline, bench: Bench) -> None:
    """Where metadata has to go: a TIFF's directories are not changed in place."""
    source = bench.source / "a.tif"
    sharp().save(source)
    outcome = run(worker, bench, source, Policies(Metadata.STRIP))
    assert outcome.frames == 1
    assert "because pictures.metadata = strip changes its metadata, and TIFF" in outcome.notes[0]


def test_frames_that_are_left_out_come_first(worker: Pipeline, bench: Bench) -> None:
    """`frames = "first"` of several is no copy; a still passes under it."""
    still, moving = bench.source / "still.png", bench.source / "moving.png"
    sharp().save(still)
    sharp().save(moving, save_all=True, append_images=[soft()])
    policies = Policies(frames=Frames.FIRST, cmyk=Cmyk.CONVERT)
    outcome = run(worker, bench, moving, policies)
    assert (outcome.frames, "pictures.frames" in outcome.notes[-1]) == (1, True)
    bench.made.unlink()
    assert run(worker, bench, still, policies).frames == 0
    assert passed(bench, still)


def test_colours_that_are_converted_come_first(bench: Bench) -> None:
    """`cmyk = "convert"` makes other bytes; here the conversion itself is left to its own tests."""
    source = bench.source / "a.jpg"
    sharp().convert("CMYK").save(source)
    picture = Picture.still(np.asarray(sharp()))
    options = replace(bench.options, policies=Policies(cmyk=Cmyk.CONVERT), skip_sharp_above=ABOVE)
    with source.open("rb") as file:
        kept = skipped(file, picture, [measure(picture.pixels)], options)
    assert kept.frames == picture.frames
    assert "pictures.cmyk" in kept.notes[-1]


def test_what_holds_nothing_has_no_sharpness(worker: Pipeline, bench: Bench) -> None:
    """An even area is neither sharp nor soft."""
    source = bench.source / "a.png"
    Image.new("RGB", (64, 64), (9, 90, 200)).save(source)
    assert run(worker, bench, source, above=None).sharpness is None
    bench.made.unlink()
    Image.fromarray(photograph(64, 64)).save(source)
    assert run(worker, bench, source, above=None).sharpness is not None


def cut_out(shown: Image.Image) -> Image.Image:
    """A round part of an image on nothing."""
    alpha = Image.new("L", shown.size)
    ImageDraw.Draw(alpha).ellipse((9, 9, 100, 90), 255)
    return Image.merge("RGBA", (*shown.split(), alpha))


def flat() -> Image.Image:
    """An even area."""
    return Image.new("RGB", (128, 128), (9, 90, 200))


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_a_lossy_cut_out_that_sharpening_hardly_changes_is_copied(
    worker: Pipeline, shipped: Bench, suffix: str
) -> None:
    """Byte for byte, with all that no decoder understands, and a note; the model has run."""
    source = shipped.source / f"a.{suffix}"
    cut_out(flat()).save(source, quality=70)
    outcome = run(worker, shipped, source, above=None)
    assert passed(shipped, source)
    assert (outcome.height, outcome.width, outcome.pixels, outcome.frames) == (128, 128, 0, 0)
    assert "infer" in outcome.stages_s
    (note,) = outcome.notes
    assert note.startswith("sharpening changes none of its visible colours by more than 4 levels")
    assert note.endswith(": copied unchanged")


@pytest.mark.parametrize(
    ("image", "suffix", "options"),
    [
        (cut_out(soft()), "webp", {"quality": 70}),
        (flat(), "webp", {"quality": 70}),
        (flat().convert("RGBA"), "avif", {"quality": 70}),
        (cut_out(flat()), "webp", {"lossless": True, "method": 6}),
        (cut_out(flat()), "png", {}),
    ],
    ids=["soft content", "no alpha", "idle alpha", "lossless WebP", "PNG"],
)
def test_no_other_image_is_copied_for_that(
    worker: Pipeline, shipped: Bench, image: Image.Image, suffix: str, options: dict[str, int]
) -> None:
    """What sharpening changes, what has no alpha, and what loses nothing is written again."""
    source = shipped.source / f"a.{suffix}"
    image.save(source, **options)  # type: ignore[arg-type]
    outcome = run(worker, shipped, source, above=None)
    assert (outcome.frames, outcome.notes) == (1, ())


@pytest.mark.parametrize(("second", "copied"), [(flat, True), (soft, False)])
def test_every_frame_must_be_hardly_changed(
    worker: Pipeline, shipped: Bench, second: Callable[[], Image.Image], *, copied: bool
) -> None:
    """One soft frame and the animation is encoded again, all of it."""
    source = shipped.source / "a.webp"
    both = [cut_out(flat()), cut_out(second()).rotate(180)]
    both[0].save(source, save_all=True, append_images=both[1:], duration=50, quality=80)
    outcome = run(worker, shipped, source, Policies(frames=Frames.ALL), above=None)
    assert passed(shipped, source) == copied
    assert outcome.frames == (0 if copied else 2)


def test_a_policy_that_changes_bytes_forbids_that_copy(worker: Pipeline, shipped: Bench) -> None:
    """The cut-out is encoded again, and a note says why."""
    source = shipped.source / "a.webp"
    cut_out(flat()).save(source, quality=70)
    outcome = run(worker, shipped, source, Policies(provenance=True), above=None)
    assert outcome.frames == 1
    assert "because pictures.provenance = true changes its bytes" in outcome.notes[-1]


def test_crispness_forbids_that_copy(worker: Pipeline, shipped: Bench) -> None:
    """Who asks for more than the model adds gets it, however little it is."""
    source = shipped.source / "a.webp"
    cut_out(flat()).save(source, quality=70)
    outcome = run(worker, shipped, source, above=None, crispness=0.1)
    assert (outcome.frames, outcome.notes) == (1, ())
