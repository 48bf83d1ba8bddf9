"""Colours under alpha: the model is shown filled ones, and the stored ones come back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
import tifffile
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from sharpend.imaging import codec, extras
from sharpend.imaging.depth import narrowed, white
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.transparency import fill, most_changed
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.model.sharpener import Sharpener
from sharpend.model.weights import load
from sharpend.policies import Frames, Policies
from sharpend.workers.pipeline import Pipeline
from sharpend.workers.skipping import LITTLE_LEVELS
from tests.conftest import photograph
from tests.test_pipeline import Bench, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sharpend.attempt import Staged

    Pixels = NDArray[Any]
    Writer = Callable[[Pixels], bytes]
    """Makes a file of H x W x 4 uint8 pixels."""

CPU = Placement(device="cpu", precision="float32")
FLAT = (200, 190, 180)
HEIGHT, WIDTH = 96, 120


def soft_mask(width_px: float) -> NDArray[np.uint8]:
    """Alpha of a round subject whose edge is so many pixels wide."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = 36 - np.hypot(rows - HEIGHT // 2, columns - WIDTH // 2)
    alpha: NDArray[np.uint8] = np.clip(np.rint((depth / width_px + 0.5) * 255), 0, 255).astype("u1")
    return alpha


HARD, SOFT = soft_mask(0.01), soft_mask(6)


def cut_out(colors: Pixels, alpha: Pixels, hidden: Pixels | int = 0) -> Pixels:
    """RGBA with other colours where alpha is 0."""
    rgb = np.where(alpha[..., None] == 0, hidden, np.broadcast_to(colors, (HEIGHT, WIDTH, 3)))
    return np.dstack([rgb, alpha]).astype(np.uint8)


def blurred() -> NDArray[np.uint8]:
    """A soft photograph, to which a model adds much."""
    soft = ndimage.gaussian_filter(photograph(HEIGHT, WIDTH).astype(float), (1.2, 1.2, 0))
    pixels: NDArray[np.uint8] = np.rint(soft).astype(np.uint8)
    return pixels


def noise(seed: int) -> NDArray[np.uint8]:
    """Colours that nobody sees."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def pillow(target: str, mode: str = "RGBA", **options: Any) -> Writer:  # noqa: ANN401 - Pillow's
    """Write with Pillow; two frames where the options ask for all."""

    def written(rgba: Pixels) -> bytes:
        if target in {Format.HEIC, Format.JXL}:
            extras.load(Format(target))
        image, file = Image.fromarray(rgba), BytesIO()
        more = {"append_images": [Image.fromarray(rgba[:, ::-1])]} if "save_all" in options else {}
        image.convert(mode).save(file, target, **options, **more)
        return file.getvalue()

    return written


def keyed(rgba: Pixels) -> bytes:
    """A PNG whose black is its transparent colour."""
    opaque, file = np.where(rgba[..., 3:] == 255, rgba[..., :3], 0), BytesIO()
    Image.fromarray(opaque).save(file, "PNG", transparency=(0, 0, 0))
    return file.getvalue()


def paletted(rgba: Pixels) -> bytes:
    """A PNG whose palette has transparent entries."""
    file = BytesIO()
    Image.fromarray(rgba).quantize(16).save(file, "PNG")
    return file.getvalue()


def ours(target: Format, bits: int = 8) -> Writer:
    """Write with the codec, with 16 bits all of them in use."""

    def written(rgba: Pixels) -> bytes:
        values = rgba.astype(np.uint16) * 257 if bits == 16 else rgba
        file = BytesIO()
        picture = Picture.still(values[..., :3].copy(), alpha=values[..., 3].copy(), format=target)
        codec.encode(picture, file)
        return file.getvalue()

    return written


def deep_jxl(rgba: Pixels) -> bytes:
    """A lossless JPEG XL of 16 bits."""
    return bytes(imagecodecs.jpegxl_encode(rgba.astype(np.uint16) * 257, lossless=True))


def deep_avif(bits: int, **options: Any) -> Writer:  # noqa: ANN401 - imagecodecs'
    """An AVIF of so many bits; its alpha is exact, and its colours but for other options."""

    def written(rgba: Pixels) -> bytes:
        values = narrowed(rgba.astype(np.uint16) * 257, bits)
        how = {"level": 100, "speed": 8, "bitspersample": bits} | options
        return bytes(imagecodecs.avif_encode(values, **how))

    return written


def deep_heic(rgba: Pixels) -> bytes:
    """A lossless HEIC of 10 bits."""
    plugin: Any = extras.load(Format.HEIC)
    plugin.options.SAVE_HDR_TO_12_BIT = False
    file, samples = BytesIO(), (rgba.astype(np.uint16) * 257).tobytes()
    options = {"quality": -1, "chroma": "444", "matrix_coefficients": 0}
    plugin.encode("RGBA;16", rgba.shape[1::-1], samples, file, **options)
    return file.getvalue()


def tiff(alpha: str, *, bits: int = 8, gray: bool = False) -> Writer:
    """A TIFF with straight or associated alpha."""

    def written(rgba: Pixels) -> bytes:
        values = rgba.astype(np.float64)
        if alpha == "assocalpha":
            values[..., :3] *= values[..., 3:] / 255
        if bits in {8, 16}:
            values = np.rint(values * (257 if bits == 16 else 1)).astype(f"u{bits // 8}")
        else:
            values = (values / 255).astype(f"f{bits // 8}")
        values, kind = (values[..., [1, 3]], "minisblack") if gray else (values, "rgb")
        file = BytesIO()
        tifffile.imwrite(
            file, values, photometric=kind, extrasamples=[alpha], planarconfig="contig"
        )
        return file.getvalue()

    return written


EXACT: dict[str, Writer] = {
    "png": pillow("PNG"),
    "gray.png": pillow("PNG", "LA"),
    "animated.png": pillow("PNG", save_all=True),
    "16.png": ours(Format.PNG, 16),
    "lossless.webp": pillow("WEBP", lossless=True, exact=True),
    "animated.webp": pillow("WEBP", save_all=True, lossless=True, exact=True),
    "tif": tiff("unassalpha"),
    "16.tif": tiff("unassalpha", bits=16),
    "gray.tif": tiff("unassalpha", gray=True),
    "heic": pillow("HEIF", quality=-1, chroma=444, matrix_coefficients=0),
    "jxl": pillow("JXL", lossless=True),
    "16.jxl": deep_jxl,
    "bmp": ours(Format.BMP),
    "32.tif": tiff("unassalpha", bits=32),
    "64.tif": tiff("unassalpha", bits=64),
}
"""Formats in which hidden colours survive."""
PREMULTIPLIED: dict[str, Writer] = {
    "premultiplied.tif": tiff("assocalpha"),
    "premultiplied16.tif": tiff("assocalpha", bits=16),
    "premultiplied-gray.tif": tiff("assocalpha", gray=True),
    "premultiplied32.tif": tiff("assocalpha", bits=32),
}
HARD_ONLY: dict[str, Writer] = {
    "gif": pillow("GIF"),
    "animated.gif": pillow("GIF", save_all=True, disposal=2),
    "palette.png": paletted,
    "key.png": keyed,
}
"""Formats that know only visible and not."""
LOSSY: dict[str, Writer] = {
    "webp": pillow("WEBP", quality=95, exact=True),
    "avif": pillow("AVIF", quality=100, subsampling="4:4:4"),
    "animated.avif": pillow("AVIF", save_all=True, quality=100, subsampling="4:4:4"),
    "10.avif": deep_avif(10),
    "12.avif": deep_avif(12),
    "10.heic": deep_heic,
    "lossy.jxl": pillow("JXL", quality=95),
}


CLEAN = {name: LOSSY[name] for name in ("avif", "animated.avif", "10.avif", "12.avif")}
"""Those whose own artefacts are below a level."""


ALL = Policies(frames=Frames.ALL)


def read(data: bytes) -> Picture:
    """All frames of a file."""
    return codec.decode(BytesIO(data), max_pixels=10**8, max_bytes=10**8, policies=ALL)


class Daylight:
    """Files through a worker with the default model."""

    def __init__(self, home: Path) -> None:
        self.home, self.count = home, 0
        self.worker = Pipeline(CPU, crop_px=64)

    def __call__(self, data: bytes, **options: float) -> tuple[Picture, Picture, Staged]:
        """What the file holds, what its output holds, and what is said of it."""
        self.count += 1
        home = self.home / str(self.count)
        home.mkdir()
        bench = Bench(home, Path("lite-photo"))
        source = bench.source / "a"
        source.write_bytes(data)
        task = bench.task(source, options=replace(bench.options, policies=ALL, **options))  # type: ignore[arg-type]
        told = staged(self.worker.run(task))
        return read(data), read(bench.made.read_bytes()), told


@pytest.fixture(scope="module")
def sharpened(tmp_path_factory: pytest.TempPathFactory) -> Daylight:
    """A worker whose model stays loaded."""
    return Daylight(tmp_path_factory.mktemp("daylight"))


def levels(pixels: Pixels) -> NDArray[np.float64]:
    """In levels of 8 bits."""
    return pixels.astype(np.float64) * 255 / white(pixels.dtype)


def changes(before: Picture, after: Picture) -> Iterator[NDArray[np.float64]]:
    """Change of each visible pixel in levels, frame by frame."""
    for one, other in zip(before.frames, after.frames, strict=True):
        assert one.alpha is not None
        assert other.alpha is not None
        assert np.array_equal(one.alpha, other.alpha)
        shown = one.alpha > 0
        yield abs(levels(other.pixels[shown]) - levels(one.pixels[shown]))


@pytest.mark.parametrize("crispness", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
@pytest.mark.parametrize("name", [*EXACT, *PREMULTIPLIED, *HARD_ONLY, *CLEAN])
def test_a_flat_subject_on_nothing_stays_flat(
    sharpened: Daylight, name: str, crispness: float
) -> None:
    """No pixel that shows changes by more than two levels, whatever the format and the edge."""
    writer = (EXACT | PREMULTIPLIED | HARD_ONLY | CLEAN)[name]
    for alpha in (HARD,) if name in HARD_ONLY else (HARD, SOFT):
        data = writer(cut_out(np.array(FLAT), alpha))
        before, after, _ = sharpened(data, crispness=crispness)
        assert len(after.frames) == 1 + ("animated" in name)
        for change in changes(before, after):
            assert change.max() <= 2


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_file_gets_no_ring(sharpened: Daylight, name: str) -> None:
    """Its own artefacts at the edge are sharpened a little: far less than black would be."""
    data = LOSSY[name](cut_out(np.array(FLAT), HARD))
    before, after, _ = sharpened(data)
    for change in changes(before, after):
        assert change.mean() < 1


CODED: dict[str, Writer] = {
    "webp-95": pillow("WEBP", quality=95, exact=True),
    "webp-80": pillow("WEBP", quality=80, exact=True),
    "webp-50": pillow("WEBP", quality=50, exact=True),
    "animated.webp": pillow("WEBP", save_all=True, quality=80, exact=True),
    "avif-75": pillow("AVIF", quality=75),
    "avif-50": pillow("AVIF", quality=50),
    "avif-90-444": pillow("AVIF", quality=90, subsampling="4:4:4"),
    "animated.avif": pillow("AVIF", save_all=True, quality=75),
    "10.avif-75": deep_avif(10, level=75, pixelformat="420"),
    "12.avif-75": deep_avif(12, level=75, pixelformat="420"),
    "heic-80": pillow("HEIF", quality=80),
    "heic-90-444": pillow("HEIF", quality=90, chroma=444),
    "jxl-95": pillow("JXL", quality=95),
    "jxl-80": pillow("JXL", quality=80),
}
"""Lossy encoders, which ring at the edge to hidden colours and bleed colour over it."""


def added_to(picture: Picture, **options: float) -> Iterator[tuple[Frame, Pixels]]:
    """Each frame, and what sharpening adds to its visible pixels in levels, before encoding."""
    for frame in picture.frames:
        shown = fill(frame)
        cues = model().measured(shown.pixels, shown.visible)
        sharp = model().sharpen(shown.pixels, cues=cues, **options)  # type: ignore[arg-type]
        made = shown.calmed(sharp) if picture.lossy else sharp
        assert frame.alpha is not None
        opaque = frame.alpha == white(frame.alpha.dtype)
        yield frame, abs(levels(made) - levels(shown.pixels))[opaque]


SWEEP = [
    pytest.param(name, below, marks=[] if below == "black" else pytest.mark.slow)
    for name in CODED
    for below in ("black", "white", "noise")
]


@pytest.mark.parametrize(("name", "hidden"), SWEEP)
def test_the_ring_of_a_lossy_cut_out_is_not_sharpened(name: str, hidden: str) -> None:
    """A flat subject's colours change by at most two levels before they are encoded again."""
    below = {"black": np.array(0), "white": np.array(255), "noise": noise(1)}[hidden]
    for alpha in (HARD, SOFT):
        for color in COLOURS:
            picture = read(CODED[name](cut_out(np.array(color), alpha, below)))
            assert picture.lossy
            for _, added in added_to(picture):
                assert added.size
                assert added.max() <= 2


COLOURS = (FLAT, (30, 60, 160), (240, 20, 20), (250, 240, 30), (90, 20, 140), (20, 200, 60))


def lettering() -> NDArray[np.uint8]:
    """Alpha of text, which is nowhere far from its edge."""
    image = Image.new("L", (WIDTH, HEIGHT))
    font = ImageFont.load_default(24)
    ImageDraw.Draw(image).text((4, 4), "Flat &\nthin\n1234", 255, font=font)
    return np.asarray(image)


def test_every_lossy_format_has_a_coder() -> None:
    """What is written with losses, or read from such, is in the table."""
    lossy = {Format.WEBP, Format.AVIF, Format.HEIC, Format.JXL}
    assert {read(writer(cut_out(blurred(), HARD))).format for writer in CODED.values()} == lossy


@pytest.mark.parametrize(("name", "below"), SWEEP)
def test_a_flat_subject_in_a_lossy_file_is_as_flat_in_the_output(
    sharpened: Daylight, name: str, below: str
) -> None:
    """From file to file no visible pixel changes by more than two levels, and no byte is added."""
    hidden = {"black": np.array(0), "white": np.array(255), "noise": noise(1)}[below]
    colours = COLOURS[2:3] if below == "black" else COLOURS
    for alpha in (HARD, SOFT, lettering()):
        for color in colours:
            data = CODED[name](cut_out(np.array(color), alpha, hidden))
            before, after, told = sharpened(data)
            assert max(change.max() for change in changes(before, after)) <= 2
            assert told.fingerprint.size == len(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", CODED)
def test_the_larger_model_adds_little_to_a_flat_subject(name: str) -> None:
    """What `base-photo` adds is copied over, too: no more than LITTLE_LEVELS, by any colour."""
    larger = Sharpener(load("base-photo"), CPU)
    for alpha in (HARD, SOFT, lettering()):
        for color in COLOURS:
            picture = read(CODED[name](cut_out(np.array(color), alpha)))
            for frame in picture.frames:
                shown = fill(frame)
                cues = larger.measured(shown.pixels, shown.visible)
                made = shown.calmed(larger.sharpen(shown.pixels, cues=cues))
                after = shown.stored(frame, made, is_lossy=True)
                assert most_changed(frame, after) <= LITTLE_LEVELS


@pytest.mark.parametrize("name", CODED)
def test_a_photograph_in_a_lossy_cut_out_is_sharpened_and_stays_lossy(
    sharpened: Daylight, name: str
) -> None:
    """No soft content passes for a flat subject, and its output has the coding of today."""
    before, after, told = sharpened(CODED[name](cut_out(blurred(), SOFT)))
    assert len(after.frames) == told.frames == 1 + ("animated" in name)
    assert after.lossy == codec.is_lossy(before)
    for change in changes(before, after):
        assert change.mean() > 1


@pytest.mark.parametrize("name", ["webp-80", "avif-75", "jxl-80"])
def test_encoding_alone_changes_a_flat_subject_by_more(name: str) -> None:
    """Why such files are copied: the same colours, encoded again, are further from what was."""
    picture = read(CODED[name](cut_out(np.array((240, 20, 20)), HARD)))
    shown, file = fill(picture.frames[0]), BytesIO()
    again = shown.stored(picture.frames[0], shown.pixels, is_lossy=True)
    codec.encode(picture.with_frames([again]), file)
    assert max(change.max() for change in changes(picture, read(file.getvalue()))) > 6


FAINT = pytest.mark.xfail(strict=True, reason="lite-photo adds but 0.45 levels to this AVIF")
"""A miss of the shipped weights: the same pixels over their true colours get 0.53 levels."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=FAINT if name == "avif-75" else ()) for name in CODED]
)
def test_a_photograph_cut_out_of_a_lossy_file_is_sharpened_to_its_edge(name: str) -> None:
    """Where content is, nothing passes for a ring: the mean added stays within a twentieth."""
    picture = read(CODED[name](cut_out(blurred(), HARD)))
    all_of_it = added_to(replace(picture, lossy=False))
    for (_, added), (_, every) in zip(added_to(picture), all_of_it, strict=True):
        assert every.mean() > 0.5
        assert added.mean() == pytest.approx(every.mean(), rel=0.05)


@pytest.mark.parametrize("name", EXACT)
def test_a_lossless_cut_out_has_no_ring_to_look_for(name: str) -> None:
    """No bit of its output can move by that rule."""
    assert not read(EXACT[name](cut_out(blurred(), SOFT))).lossy


@cache
def model() -> Sharpener:
    """The default model."""
    return Sharpener(load("lite-photo"), CPU)


def over_black(frame: Frame) -> Frame:
    """The frame with black under alpha 0."""
    assert frame.alpha is not None
    return frame.with_pixels(frame.pixels * (frame.alpha[..., None] > 0))


@pytest.mark.parametrize("alpha", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("name", LOSSY)
def test_no_hidden_colour_rings_in_a_lossy_output(name: str, alpha: Pixels) -> None:
    """Visible pixels over black change as over their own colour, or by two levels at most."""
    flat = np.array(FLAT)
    clean = read(LOSSY[name](cut_out(flat, alpha, flat)))
    worst = []
    for picture in (clean, clean.with_frames([over_black(frame) for frame in clean.frames])):
        filled = [(frame, fill(frame)) for frame in picture.frames]
        frames = [
            shown.stored(frame, model().sharpen(shown.pixels), is_lossy=codec.is_lossy(picture))
            for frame, shown in filled
        ]
        file = BytesIO()
        codec.encode(picture.with_frames(frames), file)
        worst.append(max(change.max() for change in changes(clean, read(file.getvalue()))))
    assert worst[1] <= max(worst[0], 2)


@pytest.mark.parametrize("name", [*EXACT, *PREMULTIPLIED, "key.png"])
def test_natural_content_is_sharpened_as_if_all_were_visible(
    sharpened: Daylight, name: str
) -> None:
    """The mean change is within a tenth of that with the true colours below."""
    writer = (EXACT | PREMULTIPLIED | HARD_ONLY)[name]
    before, after, _ = sharpened(writer(cut_out(blurred(), HARD)))
    whole = seen_gray(writer) if "gray" in name else blurred()
    for number, change in enumerate(changes(before, after)):
        way = -1 if number else 1
        shown, visible = np.ascontiguousarray(whole[:, ::way]), HARD[:, ::way] > 0
        sharp = model().sharpen(shown, cues=measure(shown, visible))
        true = abs(levels(sharp) - levels(shown))[visible].mean()
        assert change.mean() == pytest.approx(true, rel=0.1)
        assert true > 1


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        pytest.param(name, alpha, id=f"{name}-{edge}", marks=FAINT if faint else ())
        for name in CODED
        for edge, alpha in (("hard", HARD), ("soft", SOFT))
        for faint in [(name, edge) == ("avif-75", "hard")]
    ],
)
def test_natural_content_of_a_lossy_file_is_sharpened_as_if_all_were_visible(
    name: str, alpha: Pixels
) -> None:
    """The mean added is within a tenth of that to the same visible pixels over their true colours.

    A file that was coded over true colours has other visible pixels, so it compares encoders.
    """
    picture = read(CODED[name](cut_out(blurred(), alpha)))
    for number, (frame, (_, added)) in enumerate(
        zip(picture.frames, added_to(picture), strict=True)
    ):
        whole = blurred()[:, :: -1 if number else 1].astype(np.uint16) * 257
        whole = whole if frame.pixels.dtype == np.uint16 else (whole >> 8).astype(np.uint8)
        visible = fill(frame).visible
        true = frame.with_pixels(np.where(visible[..., None], frame.pixels, whole))  # type: ignore[index]
        cues = model().measured(true.pixels, visible)
        sharp = abs(levels(model().sharpen(true.pixels, cues=cues)) - levels(true.pixels))
        opaque = frame.alpha == white(frame.pixels.dtype)
        assert sharp[opaque].mean() > 0.5
        assert added.mean() == pytest.approx(sharp[opaque].mean(), rel=0.1)


def seen_gray(writer: Writer) -> Pixels:
    """The photograph as a gray file holds it."""
    opaque = np.full((HEIGHT, WIDTH), 255, np.uint8)
    return read(writer(cut_out(blurred(), opaque))).pixels


@pytest.mark.parametrize("name", EXACT)
def test_hidden_colours_steer_nothing_and_come_back(sharpened: Daylight, name: str) -> None:
    """Two files that look alike come out alike, each with its own hidden colours, bit for bit."""
    made = []
    for seed in (1, 2):
        data = EXACT[name](cut_out(blurred(), SOFT, noise(seed)))
        before, after, told = sharpened(data, crispness=1.0)
        for one, other in zip(before.frames, after.frames, strict=True):
            assert one.alpha is not None
            hidden = levels(one.alpha) < 31.5
            assert np.array_equal(one.pixels[hidden], other.pixels[hidden])
            assert not np.array_equal(one.pixels[~hidden], other.pixels[~hidden])
        made.append([(frame.pixels[frame.alpha > 0], told.sharpness) for frame in after.frames])  # type: ignore[operator]
    for (one, sharpness), (other, same) in zip(*made, strict=True):
        assert np.array_equal(one, other)
        assert sharpness == same


@pytest.mark.parametrize("name", [*EXACT, *PREMULTIPLIED])
def test_at_strength_0_every_bit_comes_back(sharpened: Daylight, name: str) -> None:
    """Nothing is filled, divided or multiplied for good."""
    data = (EXACT | PREMULTIPLIED)[name](cut_out(blurred(), SOFT, noise(1)))
    before, after, _ = sharpened(data, strength=0)
    for one, other in zip(before.frames, after.frames, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_colours_stay_below_alpha(sharpened: Daylight, bits: int) -> None:
    """What is sharpened is multiplied again: the file stays what it declares."""
    _, after, told = sharpened(tiff("assocalpha", bits=bits)(cut_out(blurred(), SOFT)), strength=2)
    assert after.frames[0].premultiplied
    assert after.alpha is not None
    assert (after.pixels <= after.alpha[..., None]).all()
    assert told.notes == ()


@pytest.mark.parametrize("bits", [8, 16])
def test_straight_colours_under_a_wrong_tag_are_not_clipped(sharpened: Daylight, bits: int) -> None:
    """Colours above alpha are no premultiplied ones: nothing is cut off, and a note says so."""
    straight = tiff("unassalpha", bits=bits)(cut_out(blurred(), SOFT, noise(1)))
    with tifffile.TiffFile(BytesIO(straight)) as file:
        at = file.pages[0].tags["ExtraSamples"].valueoffset  # type: ignore[union-attr]
    wrong = straight[:at] + b"\1" + straight[at + 1 :]
    before, after, told = sharpened(wrong, strength=0)
    assert np.array_equal(before.pixels, after.pixels)
    assert "read as straight" in told.notes[0]
    assert np.array_equal(sharpened(wrong)[1].pixels, sharpened(straight)[1].pixels)


def test_tiles_of_a_cut_out_leave_no_trace() -> None:
    """The fill is made before tiles are cut, so their size changes no bit."""
    wide = np.dstack([np.tile(blurred(), (3, 3, 1)), np.tile(SOFT, (3, 3))])
    shown = fill(Frame(wide[..., :3].copy(), wide[..., 3].copy()))
    cues = measure(shown.pixels, shown.visible)
    one, other = (
        Sharpener(load("lite-photo"), replace(CPU, tile_px=tile)).sharpen(
            shown.pixels, crispness=1.0, cues=cues
        )
        for tile in (128, 1024)
    )
    assert np.array_equal(one, other)


SIZES = [(1, 1), (1, 37), (3, 5), (17, 2), (64, 64), (101, 77)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("color", [(200, 190, 180), (1, 2, 3), (65535, 40000, 1), (777,)])
def test_the_fill_of_one_colour_is_this_colour(
    shape: tuple[int, int], color: tuple[int, ...]
) -> None:
    """Exactly, at any size and depth, however few pixels are visible."""
    dtype: Any = np.uint16 if max(color) > 255 else np.uint8
    random = np.random.default_rng(0)
    for share in (0.5, 0.02):
        alpha = np.where(random.random(shape) < share, np.iinfo(dtype).max, 0).astype(dtype)
        alpha[-1, 0] = np.iinfo(dtype).max
        garbage = random.integers(0, 256, (*shape, len(color)))
        pixels = np.where(alpha[..., None] > 0, np.array(color), garbage).astype(dtype)
        assert (fill(Frame(pixels, alpha)).pixels == np.array(color)).all()


def test_the_fill_follows_the_nearest_colours() -> None:
    """Left of two halves is filled with the left one's colour, right with the right one's."""
    pixels = np.zeros((40, 200, 3), np.uint8)
    pixels[:, 40:100], pixels[:, 100:160] = 50, 220
    alpha = np.where(pixels[..., 0] > 0, 255, 0).astype(np.uint8)
    filled = fill(Frame(pixels, alpha)).pixels
    assert abs(filled[:, 16:40].astype(int) - 50).max() <= 2
    assert abs(filled[:, 160:184].astype(int) - 220).max() <= 2


@pytest.mark.parametrize(("highest", "least"), [(255, 32), (24, 3), (3, 1), (1, 1)])
def test_less_than_an_eighth_of_the_highest_alpha_is_hidden(highest: int, least: int) -> None:
    """A faint overlay is judged by its own measure."""
    alpha = np.arange(highest + 1, dtype=np.uint8)[None]
    pixels = np.arange(3 * (highest + 1), dtype=np.uint32).reshape(1, -1, 3).astype(np.uint8)
    shown = fill(Frame(pixels, alpha))
    assert shown.visible is not None
    assert np.flatnonzero(shown.visible[0])[0] == least
    assert np.array_equal(shown.pixels[:, least:], pixels[:, least:])


def test_nothing_visible_and_nothing_hidden_are_left_alone() -> None:
    """Without a visible pixel there is no colour to fill with; an opaque frame is not copied."""
    pixels = blurred()
    nothing = fill(Frame(pixels, np.zeros_like(HARD)))
    assert nothing.visible is not None
    assert not nothing.visible.any()
    assert nothing.stored(Frame(pixels, np.zeros_like(HARD)), ~pixels).pixels.tolist() == (
        pixels.tolist()
    )
    opaque = fill(Frame(pixels, np.full_like(HARD, 255)))
    assert opaque.visible is None
    assert opaque.pixels is pixels


def test_premultiplied_colours_are_divided_and_multiplied_exactly() -> None:
    """Every colour of 8 bits under every alpha comes back, had it been changed and back."""
    alpha, color = np.mgrid[:256, :256].astype(np.uint8)
    pixels = np.minimum(color, alpha)[..., None]
    frame = Frame(pixels, alpha, premultiplied=True)
    shown = fill(frame)
    moved = replace(shown, pixels=np.bitwise_xor(shown.pixels, np.uint8(1)))  # all changed since
    again = moved.stored(frame, shown.pixels)
    assert np.array_equal(again.pixels, pixels)
