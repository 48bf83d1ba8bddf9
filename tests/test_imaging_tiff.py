"""TIFF's rare forms, made tag by tag: what is carried, named, chosen, or refused for its reason."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging import codec
from sharpend.imaging.metadata_policy import finished
from sharpend.imaging.transparency import fill
from sharpend.policies import Cmyk, Frames, Metadata, Policies
from tests import tiffs
from tests.conftest import photograph
from tests.selected import fast_where
from tests.test_sharpener import sharpener
from tests.tiffs import EXIF, GPS, NOTE, SHORT, SUB_IFDS, Tiff, tags_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sharpend.imaging.picture import Picture

HIGH, WIDE = 24, 32
PACKINGS = ("deflate", "lzw", "zstd")
GRAY = photograph(HIGH, WIDE)[..., :1]
GRAY_BYTES = GRAY.tobytes()
SIZE = HIGH, WIDE
ALL = Policies(frames=Frames.ALL)


def read(data: bytes | bytearray, policies: Policies = ALL) -> Picture:
    """The image of a file, all pages by default."""
    return codec.decode(BytesIO(bytes(data)), max_pixels=10**6, max_bytes=10**8, policies=policies)


def written(picture: Picture) -> bytes:
    """The file of an image."""
    file = BytesIO()
    codec.encode(picture, file)
    return file.getvalue()


def refused(data: bytes | bytearray) -> ImageRefusedError:
    """The refusal of a file."""
    with pytest.raises(ImageRefusedError) as caught:
        read(data)
    return caught.value


def saved(values: NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401 - tifffile's
    """A file as tifffile writes it."""
    file = BytesIO()
    tifffile.imwrite(file, values, **{"metadata": None, "software": False, **options})
    return file.getvalue()


def gray(tags: tiffs.Tags | None = None, order: str = "<") -> Tiff:
    """A gray image with these tags more."""
    made = Tiff(order)
    made.page(GRAY_BYTES, tags or {}, SIZE)
    return made


# What cannot be read.


@pytest.mark.parametrize(
    ("order", "tag", "place"),
    fast_where(
        lambda order, _, place: order == "<" or place == 2**31,
        product(
            "<>",
            (EXIF, GPS, 400, 33424, 40965, 51000),
            (0, 1, 7, 8, 50, 10_000, 2**31, 2**32 - 1),
        ),
    ),
)
def test_a_pointer_to_nowhere_is_left_out_and_named(order: str, tag: int, place: int) -> None:
    """Wherever it leads, the pixels are whole, all other tags stay, and the note says which."""
    made = Tiff(order)
    pointer = made.numbers(place, kind=tiffs.IFD)
    made.page(GRAY_BYTES, {tag: pointer, 270: (2, b"described\0")}, SIZE)
    picture = read(made.data)
    (note,) = picture.notes
    assert str(tag) in note
    assert picture.losses == ()
    (tags,) = tags_of(written(picture))
    assert tags[270,] == b"described\0"
    assert (tag,) not in tags
    assert np.array_equal(picture.pixels, GRAY)


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [(7, 500, 99_999_999), (7, 2**31, 8), (99, 1, 1), (2, 600, 8), (5, 2**29, 8)],
)
@pytest.mark.parametrize("tag", [305, 700, 33723, 34675, 65000])
def test_a_value_that_is_not_there_is_left_out_and_named(
    tag: int, kind: int, count: int, value: int
) -> None:
    """Beyond the end, larger than the file, or of no type that exists."""
    data = gray({tag: (7, b"12345678")}).data
    at = data.index(struct.pack("<HHI", tag, 7, 8))
    struct.pack_into("<HHII", data, at, tag, kind, count, value)
    picture = read(data)
    if (kind, count) == (2, 600):  # these bytes are there, whatever they are
        assert picture.notes == ()
    else:
        assert [str(tag) in note for note in picture.notes] == [True]


@pytest.mark.parametrize("tag", [256, 257, 273, 279])
def test_tables_of_the_pixels_decide(tag: int) -> None:
    """Where size, strips or their sizes are not there, nothing is made up."""
    data = gray().data
    at = data.index(struct.pack("<HHI", tag, 4, 1))
    struct.pack_into("<HHII", data, at, tag, 4, 300, 10_000)
    assert refused(data).reason in {Reason.TRUNCATED, Reason.DAMAGED}


def test_a_file_that_ends_within_its_pixels_is_truncated() -> None:
    """Tags in front of the pixels do not make it whole."""
    made = Tiff()
    place = made.image(GRAY_BYTES, {}, SIZE)
    struct.pack_into("<I", made.data, 4, place)
    strip = made.data.index(struct.pack("<HHI", 273, 4, 1)) + 8
    struct.pack_into("<I", made.data, strip, len(made.data))
    assert refused(made.data + GRAY_BYTES[:-1]).reason is Reason.TRUNCATED
    assert np.array_equal(read(made.data + GRAY_BYTES).pixels, GRAY)


@pytest.mark.parametrize(("tag", "size"), [(700, 20_000_000), (65000, 17_000_000)])
def test_tags_of_any_size_are_kept(tag: int, size: int) -> None:
    """The limit for tables that are parsed is none for what is passed on."""
    value = (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"a" * size)[:size]
    picture = read(gray({tag: (7, value)}).data)
    assert (picture.notes, picture.losses) == ((), ())
    (tags,) = tags_of(written(finished(picture, Policies(), None)))
    assert tags[tag,] == value


def test_of_a_tag_that_is_there_twice_the_first_counts() -> None:
    """As libtiff takes it."""
    data = gray({270: (2, b"one\0"), 271: (2, b"two\0")}).data
    at = data.index(struct.pack("<HH", 271, 2))
    struct.pack_into("<H", data, at, 270)
    (tags,) = tags_of(written(read(data)))
    assert tags[270,] == b"one\0"


def test_without_positions_unknown_directories_go() -> None:
    """A private directory may tell a position; with strip-gps it goes, and a note says so."""
    made = Tiff()
    gps = made.directory({1: (2, b"N\0"), 2: (7, b"somewhere")})
    kodak = made.directory({1: (2, b"who knows\0")})
    exif = made.directory({36867: (2, b"2020:01:01 00:00:00\0")})
    pointers = {EXIF: exif, GPS: gps, 33424: kodak}
    made.page(GRAY_BYTES, {tag: made.numbers(at) for tag, at in pointers.items()}, SIZE)
    kept = finished(read(made.data), Policies(metadata=Metadata.STRIP_GPS), None)
    (tags,) = tags_of(written(kept))
    assert {path[0] for path in tags} & {EXIF, GPS, 33424} == {EXIF}
    assert ["unknown meaning" in note for note in kept.notes] == [True]
    (tags,) = tags_of(written(read(made.data)))
    assert tags[33424, 1] == b"who knows\0"
    assert tags[GPS, 2] == b"somewhere"


def test_without_positions_private_tags_and_maker_notes_go() -> None:
    """Of the page and of EXIF; a note names them, and the others stay."""
    made = Tiff()
    exif = made.directory({NOTE: (7, b"52.5 N, 13.4 E"), 36867: (2, b"2020:01:01 00:00:00\0")})
    tags = {EXIF: made.numbers(exif), 271: (2, b"Acme\0"), 65_000: (2, b"52.5 N\0")}
    made.page(GRAY_BYTES, tags, SIZE)
    kept = finished(read(made.data), Policies(metadata=Metadata.STRIP_GPS), None)
    output = written(kept)
    (found,) = tags_of(output)
    assert b"52.5 N" not in output
    assert found[271,] == b"Acme\0"
    assert {path for path in found if path[0] == EXIF} == {(EXIF,), (EXIF, 36867)}
    assert kept.notes == (
        "removed its maker note (MakerNote), which may contain GPS data",
        "removed tags of unknown meaning that may contain GPS data: 65000 (OwnerName)",
    )
    assert b"52.5 N" in written(read(made.data))


# Maker notes.


def with_note(order: str, *, behind: bool, packed: bool = False) -> tuple[bytes, int]:
    """A file with a maker note in front of the pixels or behind them, and its offset."""
    made = Tiff(order)
    note = b"Canon" + bytes(range(200))

    def exif() -> tuple[int, bytes]:
        return made.numbers(made.directory({NOTE: (7, note), 36867: (2, b"2020:01:01\0")}))

    pixels: bytes = bytes(imagecodecs.deflate_encode(GRAY_BYTES)) if packed else GRAY_BYTES
    tags: tiffs.Tags = {259: made.numbers(8 if packed else 1, kind=SHORT)}
    if behind:
        tags[273], tags[279] = made.numbers(made.put(pixels)), made.numbers(len(pixels))
    tags[EXIF] = exif()
    made.page(b"" if behind else pixels, tags, SIZE)
    return bytes(made.data), made.data.index(note)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_maker_notes_keep_their_offset(order: str, behind: bool) -> None:  # noqa: FBT001 - a case
    """What such a note refers to counts from the start of the file, so it lies where it lay."""
    data, at = with_note(order, behind=behind)
    picture = read(data)
    assert picture.notes == ()
    output = written(picture)
    assert output.index(b"Canon") == at
    (tags,) = tags_of(output)
    assert tags[EXIF, NOTE] == b"Canon" + bytes(range(200))
    assert len(output) < len(data) + 100
    assert np.array_equal(read(output).pixels, GRAY)


def test_a_maker_note_that_has_to_move_is_noted() -> None:
    """Behind one compressed strip, which may grow, it cannot stay."""
    data, _ = with_note("<", behind=True, packed=True)
    picture = read(data)
    assert ["MakerNote" in note for note in picture.notes] == [True]
    (tags,) = tags_of(written(picture))
    assert tags[EXIF, NOTE] == b"Canon" + bytes(range(200))


# Pages, copies, masks and what is none of them.

SMALL = GRAY_BYTES[: 6 * 8]


def numbers(value: int) -> tuple[int, bytes]:
    """One short number, as a tag's value."""
    return SHORT, struct.pack("<H", value)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({254: numbers(1)}, "smaller copies"),
        ({255: numbers(2)}, "smaller copies"),
        ({}, "preview of 8 x 6"),
        ({254: numbers(0)}, "preview of 8 x 6"),
        ({254: numbers(4)}, "transparency mask"),
    ],
)
def test_copies_and_masks_are_no_pages(
    tags: tiffs.Tags,
    told: str,
    first: bool,  # noqa: FBT001 - a case
) -> None:
    """In front of the image or behind it; a sentence says that they are gone."""
    made = Tiff()
    for is_copy in (first, not first):
        if is_copy:
            made.page(SMALL, tags | {271: (2, b"a maker\0")}, (6, 8))
        else:
            made.page(GRAY_BYTES, {}, SIZE)
    picture = read(made.data, Policies())
    assert picture.size == SIZE
    assert [told in text for text in (*picture.notes, *picture.losses)] == [True]
    (kept,) = tags_of(written(picture))
    assert ((271,) in kept) == first  # a copy in front tells what the whole file is


@pytest.mark.parametrize(
    ("tags", "size"),
    [({297: (3, bytes(4))}, (6, 8)), ({254: numbers(2)}, (6, 8)), ({}, (8, 6)), ({}, (20, 30))],
)
def test_small_pages_of_a_document_are_pages(tags: tiffs.Tags, size: tuple[int, int]) -> None:
    """Numbered, called a page, of other proportions, or not so small."""
    made = Tiff()
    made.page(GRAY_BYTES, {}, SIZE)
    made.page(bytes(size[0] * size[1]), tags, size)
    assert [frame.pixels.shape[:2] for frame in read(made.data).frames] == [SIZE, size]
    picture = read(made.data, Policies(frames=Frames.FIRST))
    assert ["other 1 pages" in text for text in picture.losses] == [True]


def test_the_thumbnail_of_exif_is_no_page() -> None:
    """Its directory has a JPEG instead of strips."""
    made = gray()
    jpeg = BytesIO()
    Image.new("RGB", (8, 6)).save(jpeg, "JPEG")
    data = jpeg.getvalue()
    at = made.put(data)
    thumbnail = {513: made.numbers(at), 514: made.numbers(len(data)), 259: numbers(6)}
    place = made.directory(thumbnail)
    struct.pack_into("<I", made.data, made.links[-1], place)
    picture = read(made.data, Policies())
    assert ["smaller copies" in note for note in picture.notes] == [True]


def test_the_picture_may_lie_below_a_copy() -> None:
    """As some cameras write it: a copy is the page, and the image one of its SubIFDs."""
    made = Tiff()
    below = made.image(GRAY_BYTES, {254: numbers(0)}, SIZE)
    made.page(SMALL, {254: numbers(1), SUB_IFDS: made.numbers(below)}, (6, 8))
    picture = read(made.data, Policies())
    assert np.array_equal(picture.pixels, GRAY)


@pytest.mark.parametrize(
    "tags", [{33421: (3, bytes(4))}, {262: numbers(32803)}, {50706: (1, b"1")}]
)
def test_sensor_data_below_a_copy_is_camera_raw(tags: tiffs.Tags) -> None:
    """The preview of a raw file is not sharpened in place of its photograph."""
    made = Tiff()
    below = made.image(GRAY_BYTES, tags, SIZE)
    made.page(SMALL, {254: numbers(1), SUB_IFDS: made.numbers(below)}, (6, 8))
    error = refused(made.data)
    assert error.reason is Reason.FORMAT_NOT_ALLOWED
    assert "camera raw" in str(error)


def test_bytes_behind_everything_are_a_loss() -> None:
    """Something is appended that no tag leads to."""
    assert read(gray().data).losses == ()
    assert read(gray().data + bytes(100)).losses == ()
    assert ["10 bytes behind" in text for text in read(gray().data + b"PK\3\4 a ZIP").losses] == [
        True
    ]


# ImageJ's stacks.

STACK = np.stack([photograph(HIGH, WIDE, seed=seed)[..., 0] for seed in range(4)])


def stack(told: int = 4, there: int = 4) -> bytes:
    """Images under one directory, as ImageJ writes them."""
    made = Tiff()
    described = f"ImageJ=1.53\nimages={told}\nslices={told}\nunit=um\n".encode() + b"\0"
    made.page(bytes(len(GRAY_BYTES)), {270: (2, described)}, SIZE)
    strip = made.data.index(struct.pack("<HHI", 273, 4, 1)) + 8
    struct.pack_into("<I", made.data, strip, len(made.data))
    return bytes(made.data) + STACK[:there].tobytes()


def test_a_stack_under_one_directory_has_pages() -> None:
    """They are refused, or all written again where ImageJ looks for them."""
    with pytest.raises(ImageRefusedError) as caught:
        read(stack(), Policies())
    assert (caught.value.reason, caught.value.setting) == (Reason.PAGES, "pictures.frames")
    picture = read(stack())
    assert (picture.notes, picture.losses) == ((), ())
    output = written(picture)
    assert np.array_equal(np.stack([frame.pixels[..., 0] for frame in picture.frames]), STACK)
    (start,) = struct.unpack("<I", tags_of(output)[0][273,])
    assert output[start : start + STACK.nbytes] == STACK.tobytes()
    assert np.array_equal(tifffile.imread(BytesIO(output)), STACK)


def test_the_first_of_a_stack_tells_of_no_others() -> None:
    """The others are a loss, and the description counts them no more."""
    picture = read(stack(), Policies(frames=Frames.FIRST))
    assert ["other 3 pages" in text for text in picture.losses] == [True]
    assert len(picture.notes) == 1
    (tags,) = tags_of(written(picture))
    assert tags[270,] == b"ImageJ=1.53\nunit=um\n\0"


def test_an_old_description_makes_no_stack() -> None:
    """A single image may still bear the description of the stack that it is from."""
    assert len(read(stack(there=1)).frames) == 1
    assert refused(stack(there=3)).reason is Reason.TRUNCATED


# Samples.


@pytest.mark.parametrize(
    ("colors", "types", "planes", "dtype"),
    fast_where(
        lambda _, types, __, dtype: dtype == "u1" or types == (2, 0),
        product(
            (1, 3),
            ((0,), (0, 2), (2, 0), (0, 0, 0), (1, 0), (0, 0, 2, 0, 0)),
            ("contig", "separate"),
            ("u1", "u2", "f4"),
        ),
    ),
)
def test_extra_samples_of_any_number_are_carried(
    colors: int, types: tuple[int, ...], planes: str, dtype: str
) -> None:
    """With their types; the one that is alpha is alpha, wherever it stands."""
    most = {"u1": 255, "u2": 65535, "f4": 1}[dtype]
    values = np.random.default_rng(1).random((HIGH, WIDE, colors + len(types))) * most
    values[..., :colors] /= 3
    values[..., colors:] = values[..., colors:] / 3 + most / 2
    values = values.astype(dtype)
    photometric = "rgb" if colors == 3 else "minisblack"
    shown = values if planes == "contig" else np.moveaxis(values, 2, 0)
    data = saved(shown, photometric=photometric, planarconfig=planes, extrasamples=types)
    picture = read(data)
    assert picture.pixels.shape[2] == colors
    assert (picture.alpha is not None) == any(types)
    assert (picture.notes, picture.losses) == ((), ())
    output = written(picture)
    assert np.array_equal(tifffile.imread(BytesIO(output)), shown)
    assert tags_of(output)[0][338,] == tags_of(data)[0][338,]


def test_extra_samples_of_cmyk_are_carried() -> None:
    """A spot colour beside inks that are converted."""
    profile = open_cmyk()
    values = np.random.default_rng(1).integers(0, 256, (HIGH, WIDE, 5), np.uint8)
    data = saved(values, photometric="separated", extrasamples=(0,), iccprofile=profile)
    picture = read(data, Policies(cmyk=Cmyk.CONVERT))
    output = tifffile.imread(BytesIO(written(picture)))
    assert np.array_equal(output[..., 3], values[..., 4])


def open_cmyk() -> bytes:
    """A CMYK profile of the system."""
    for path in ("/usr/share/color/icc/ghostscript/default_cmyk.icc",):
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            continue
    pytest.skip("icc-profiles-free (Ghostscript's CMYK profile) not installed")


def test_undefined_samples_count_as_unsigned() -> None:
    """As TIFF 6.0 tells readers to take them; the tag stays."""
    data = gray({339: numbers(4)}).data
    picture = read(data)
    assert np.array_equal(picture.pixels, GRAY)
    assert tags_of(written(picture))[0][339,] == struct.pack("<H", 4)


@pytest.mark.parametrize(
    ("bits", "white", "packing"),
    fast_where(
        lambda _, white, packing: white == 1 or not packing,
        product(
            (16, 32, 64),
            (1, 255, 65535),
            (
                {},
                *({"compression": name} for name in PACKINGS),
                *({"compression": name, "predictor": 3} for name in PACKINGS),
            ),
        ),
    ),
)
def test_floating_point_keeps_range_and_bits(
    bits: int, white: int, packing: dict[str, Any]
) -> None:
    """Each value comes back, and the model sees it between 0 and 1."""
    values = (photograph(HIGH, WIDE) / 255 * min(white, 60000)).astype(f"f{bits // 8}")
    data = saved(values, photometric="rgb", **packing)
    picture = read(data)
    assert picture.pixels.dtype == np.float32
    assert 0.5 < picture.pixels.max() <= 1
    output = tifffile.imread(BytesIO(written(picture)))
    assert output.dtype == values.dtype
    assert np.array_equal(output, values)


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("kind", [1, 2])
def test_numbers_of_64_bits_come_back_exactly(kind: int, white: int) -> None:
    """Where they do not change, also far beyond white; else with what 32 bits lack added."""
    values = np.dstack([photograph(HIGH, WIDE), np.full((HIGH, WIDE), 255)]) / 255 * white
    values[3, 3, :3], values[4, 4, :3], values[5, 5, :3] = 1e300, -1e-300, 0.1
    picture = read(saved(values, photometric="rgb", extrasamples=(kind,)))
    output = tifffile.imread(BytesIO(written(picture)))
    assert output.dtype == np.float64
    assert np.array_equal(output, values)
    pixels = picture.pixels.astype(np.float32)
    pixels[8:16] *= 0.5
    halved = written(picture.with_frames([picture.frames[0].with_pixels(pixels)]))
    after = tifffile.imread(BytesIO(halved))
    assert np.array_equal(np.delete(after, np.s_[8:16], 0), np.delete(values, np.s_[8:16], 0))
    assert np.allclose(after[8:16, :, :3], values[8:16, :, :3] / 2, rtol=1e-6)


def test_floating_point_is_sharpened_as_other_depths_are() -> None:
    """Near what 16 bits get, finer than these, and no value is moved to 0 or 1."""
    pixels = photograph(64, 64)
    exact = read(saved((pixels / 255).astype(np.float32), photometric="rgb")).pixels
    deep = sharpener().sharpen(pixels.astype(np.uint16) * 257)
    assert np.abs(sharpener().sharpen(exact) * 65535 - deep).max() <= 0.51 + 0.02


def test_values_beyond_black_and_white_stay() -> None:
    """A few lights above white and colours below black are kept bit for bit."""
    values = (photograph(64, 64) / 255).astype(np.float32)
    values[5, 5], values[9, 9] = 40.5, -0.25
    picture = read(saved(values, photometric="rgb"))
    sharpened = picture.frames[0].with_pixels(sharpener().sharpen(picture.pixels))
    output = tifffile.imread(BytesIO(written(picture.with_frames([sharpened]))))
    assert (output[5, 5] == 40.5).all()
    assert (output[9, 9] == -0.25).all()
    assert not np.array_equal(output, values)


@pytest.mark.parametrize("kind", [1, 2])
def test_floating_point_cutouts_get_no_ring(kind: int) -> None:
    """A flat subject on nothing stays flat, with associated alpha and without."""
    rows, columns = np.mgrid[0:64, 0:64]
    inside = np.hypot(rows - 32, columns - 32) < 20
    values = np.where(inside[..., np.newaxis], [0.8, 0.7, 0.6, 1.0], 0).astype(np.float32)
    picture = read(saved(values, photometric="rgb", extrasamples=(kind,)))
    shown = fill(picture.frames[0])
    frame = shown.stored(picture.frames[0], sharpener().sharpen(shown.pixels))
    assert picture.frames[0].premultiplied == (kind == 1)
    assert np.abs(frame.pixels - values[..., :3]).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        (lambda values: values * 8, Reason.HDR, "above 1"),
        (lambda values: values - 0.5, Reason.BIT_DEPTH, "below 0"),
        (
            lambda values: np.where(values == values.max(), np.nan, values),
            Reason.BIT_DEPTH,
            "no numbers",
        ),
        (lambda values: values * 1e9, Reason.BIT_DEPTH, "beyond 65536"),
    ],
)
def test_floating_point_without_a_white_is_refused(change: Any, reason: Reason, told: str) -> None:  # noqa: ANN401 - a function
    """For its true reason."""
    values = (photograph(HIGH, WIDE) / 255) ** 2
    error = refused(saved(change(values).astype(np.float32), photometric="rgb"))
    assert error.reason is reason
    assert told in str(error)


def test_a_declared_white_counts() -> None:
    """Dark values of a large range are no high dynamic range where SMaxSampleValue says so."""
    values = photograph(HIGH, WIDE)[..., 0] / 255
    values[:2] = 40
    declared = [(341, 11, 1, 255.0, True)]
    data = saved(values.astype(np.float32), photometric="minisblack", extratags=declared)
    assert read(data).pixels.max() == 40 / 256
    assert refused(saved(values.astype(np.float32), photometric="minisblack")).reason is Reason.HDR


# Layouts.


@pytest.mark.parametrize("tile", [(40, 24), (100, 100), (16, 24), (1, 1), (15, 17)])
def test_tiles_become_multiples_of_16(tile: tuple[int, int]) -> None:
    """Which writers can make; the note tells both sizes."""
    high, wide = tile
    rows, columns = -(-HIGH // high), -(-WIDE // wide)
    padded = np.zeros((rows * high, columns * wide), np.uint8)
    padded[:HIGH, :WIDE] = GRAY[..., 0]
    made, places = Tiff(), []
    for row in range(rows):
        for column in range(columns):
            part = padded[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            places.append(made.put(part.tobytes()))
    sides = {322: made.numbers(wide), 323: made.numbers(high)}
    sizes = made.numbers(*[high * wide] * len(places))
    made.page(b"", {**sides, 324: made.numbers(*places), 325: sizes}, SIZE)
    picture = read(made.data)
    able = wide + -wide % 16, high + -high % 16
    assert ["became {} x {}".format(*able) in note for note in picture.notes] == [True]
    with tifffile.TiffFile(BytesIO(written(picture))) as file:
        page = file.pages.first
        assert (page.tilewidth, page.tilelength) == able
        assert np.array_equal(page.asarray(), GRAY[..., 0])


@pytest.mark.parametrize("told", [0, 1, len(GRAY_BYTES) - 1, len(GRAY_BYTES) + 100, 2**31])
def test_the_size_of_one_uncompressed_strip_follows_from_the_image(told: int) -> None:
    """Whatever StripByteCounts says, if the bytes are there."""
    data = gray().data
    at = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
    struct.pack_into("<I", data, at, told)
    assert np.array_equal(read(data).pixels, GRAY)


def test_gray_without_photometric_interpretation_is_black_at_0() -> None:
    """As libtiff shows it; the output says so."""
    data = gray().data
    at = data.index(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", data, at, 60000)
    picture = read(data)
    assert np.array_equal(picture.pixels, GRAY)
    assert tags_of(written(picture))[0][262,] == struct.pack("<H", 1)


@pytest.mark.parametrize("order", "<>")
def test_text_in_utf8_is_carried(order: str) -> None:
    """EXIF 3.0's type 129, in the page and below it, with its type."""
    made = Tiff(order)
    exif = made.directory({42033: (tiffs.UTF8, "Seriennummer ß".encode())})
    made.page(GRAY_BYTES, {270: (tiffs.UTF8, "Übung".encode()), EXIF: made.numbers(exif)}, SIZE)
    output = written(read(made.data))
    (tags,) = tags_of(output)
    assert tags[270,].decode() == "Übung"
    assert tags[EXIF, 42033].decode() == "Seriennummer ß"
    assert struct.pack(order + "HHI", 270, tiffs.UTF8, 6) in output


def test_pages_share_large_values() -> None:
    """A profile that thousands of pages point to does not grow the output thousandfold."""
    made = Tiff()
    at, profile = made.put(bytes(5000)), (7, struct.pack("<I", 0))
    for _ in range(20):
        made.page(GRAY_BYTES, {65001: profile}, SIZE)
    for _ in range(20):
        entry = made.data.index(struct.pack("<HHI", 65001, 7, 4))
        struct.pack_into("<HHII", made.data, entry, 65001, 7, 5000, at)
    picture = read(made.data)
    assert (len(picture.frames), picture.notes) == (20, ())
    output = written(picture)
    assert len(output) < len(made.data) + 1000
    assert all(tags[65001,] == bytes(5000) for tags in tags_of(output))
