"""Files that other readers show without complaint, made byte by byte: taken, and nothing unsaid."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.containers import jpeglayout, riff
from sharpend.imaging.containers.pngchunks import HEADER_END, SIGNATURE, chunk, chunks
from sharpend.imaging.metadata_policy import finished
from sharpend.policies import Frames, Metadata, Policies
from tests import edits
from tests.cases import decoded, written
from tests.isofiles import box
from tests.tiffs import SHORT, Tiff

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tests.recipe import Edit

HEIGHT, WIDTH, ROWS = 20, 30, 12
PIXELS = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
ALL = Policies(frames=Frames.ALL)
PACKED: dict[int, Callable[[bytes], bytes | bytearray]] = {
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32946: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: imagecodecs.lzma_encode,
    50000: imagecodecs.zstd_encode,
}
"""Compressions of TIFF."""


def unfinished(packed: bytes) -> bytes:
    """The same bytes deflated, without a last block and checksum."""
    stream = zlib.compressobj()
    return stream.compress(zlib.decompress(packed)) + stream.flush(zlib.Z_SYNC_FLUSH)


ENDS: dict[str, tuple[set[int], Edit]] = {
    "padded rows": (set(PACKED), lambda packed: packed),
    "zeros behind": (set(PACKED), edits.appended(bytes(7))),
    "bytes behind": (set(PACKED), edits.appended(b"left")),
    "no checksum": ({8, 32946}, edits.cut(4)),
    "no last block": ({8, 32946}, unfinished),
}
"""How strips end, and in which compressions they may."""


def strips(kind: int, end: Edit, *, padding: bytes = b"") -> bytes:
    """A TIFF of two strips, the second with fewer rows and what pads it."""
    tiff = Tiff()
    size = ROWS * WIDTH * 3
    raw = [PIXELS[:ROWS].tobytes(), PIXELS[ROWS:].tobytes()]
    raw[1] += padding * (size - len(raw[1]))
    packed = [end(bytes(PACKED[kind](each))) for each in raw]
    tags = {
        258: tiff.numbers(8, 8, 8, kind=SHORT),
        259: tiff.numbers(kind, kind=SHORT),
        262: tiff.numbers(2, kind=SHORT),
        277: tiff.numbers(3, kind=SHORT),
        273: tiff.numbers(*map(tiff.put, packed)),
        278: tiff.numbers(ROWS),
        279: tiff.numbers(*map(len, packed)),
    }
    tiff.page(b"", tags, (HEIGHT, WIDTH))
    return bytes(tiff.data)


@pytest.mark.parametrize(
    ("end", "kind"),
    [(end, kind) for end, (kinds, _) in ENDS.items() for kind in sorted(kinds)],
)
def test_strips_may_hold_more_than_their_rows(kind: int, end: str) -> None:
    """Every pixel is there, so the file is whole, as it is for libtiff; unknown bytes are named."""
    data = strips(kind, ENDS[end][1], padding=b"\x55" * (end == "padded rows"))
    picture = decoded(data)
    assert np.array_equal(picture.pixels, PIXELS)
    assert picture.notes == ()
    assert [loss.split()[0] for loss in picture.losses] == ["8"] * (end == "bytes behind")


@pytest.mark.parametrize("kind", PACKED)
def test_strips_must_hold_all_their_rows(kind: int) -> None:
    """A strip that is cut in its middle, or whose checksum is wrong, is damaged."""
    broken = [lambda packed: packed[: len(packed) * 2 // 3]]
    broken += [lambda packed: packed[:-4] + b"four"] * (kind == 8)
    for end in broken:
        with pytest.raises(ImageRefusedError) as caught:
            decoded(strips(kind, end))
        assert caught.value.reason is Reason.DAMAGED


@pytest.mark.parametrize(("order", "target"), [*product("<>", ["header", "itself"])])
def test_a_last_page_may_link_to_what_is_no_further_one(order: str, target: str) -> None:
    """The first page is all there is."""
    tiff = Tiff(order)
    place = tiff.page(PIXELS[..., 0].tobytes(), {}, (HEIGHT, WIDTH))
    struct.pack_into(order + "I", tiff.data, tiff.links[-1], 3 if target == "header" else place)
    picture = decoded(bytes(tiff.data), ALL)
    assert [frame.pixels.tolist() for frame in picture.frames] == [PIXELS[..., :1].tolist()]


@pytest.mark.parametrize("options", [{"imagej": True}, {}, {"ome": True}])
def test_copies_of_values_are_no_loss(options: dict[str, Any]) -> None:
    """Tifffile leaves them behind a stack and its pages; other bytes that lie there are one."""
    file = BytesIO()
    tifffile.imwrite(file, np.stack([PIXELS[..., 0]] * 3), **options, photometric="minisblack")
    assert decoded(file.getvalue(), ALL).losses == ()
    (loss,) = decoded(file.getvalue() + b"something else", ALL).losses
    assert "bytes behind its last image" in loss


def test_jpeg_in_planes_is_written_in_planes() -> None:
    """Each plane is a gray JPEG."""
    file = BytesIO()
    planes = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8), 64).reshape(1, 64, 64)
    colours = np.concatenate([planes, planes[:, ::-1], planes.transpose(0, 2, 1)])
    tifffile.imwrite(file, colours, photometric="rgb", planarconfig="separate", compression="jpeg")
    picture = decoded(file.getvalue())
    output = written(picture)
    with tifffile.TiffFile(BytesIO(output)) as made:
        page = made.pages.first
        assert (page.compression, page.planarconfig) == (7, 2)
    assert np.abs(decoded(output).pixels.astype(int) - picture.pixels).max() <= 3


def animated(*, frames: int, place: int) -> bytes:
    """An APNG of two frames that announces so many, before the chunk of this number."""
    file = BytesIO()
    images = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    images[0].save(file, "PNG", save_all=True, append_images=images[1:], duration=50)
    parts = [each for each in chunks(file.getvalue()) if each[0] not in {b"acTL", b"IHDR"}]
    parts.insert(place, (b"acTL", struct.pack(">2I", frames, 0)))
    head = file.getvalue()[:HEADER_END]
    return head + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_an_animation_has_the_frames_that_are_there(frames: int) -> None:
    """However many its first chunk announces."""
    picture = decoded(animated(frames=frames, place=0), ALL)
    assert [frame.pixels.tolist() for frame in picture.frames] == [
        PIXELS.tolist(),
        PIXELS[::-1].tolist(),
    ]
    assert picture.losses == ()


@pytest.mark.parametrize("policy", [Frames.ALL, Frames.FIRST])
def test_frames_that_are_never_shown_are_a_loss(policy: Frames) -> None:
    """An animation that is announced behind its first image is shown as a still one."""
    picture = decoded(animated(frames=2, place=2), Policies(frames=policy))
    assert (len(picture.frames), len(picture.losses)) == (1, 1)
    assert np.array_equal(picture.pixels, PIXELS)


@pytest.mark.parametrize("bits", [24, 32])
def test_a_bitmap_may_not_tell_where_its_pixels_begin(bits: int) -> None:
    """They lie behind the header; a place inside it cannot be."""
    rows = np.zeros((4, 8, bits // 8), np.uint8)
    rows[..., :3] = PIXELS[:4, :8, ::-1]
    head = struct.pack("<IiiHHIIiiII", 40, 8, -4, 1, bits, 0, 0, 0, 0, 0, 0)
    for start in (0, 54):
        data = struct.pack("<2sIII", b"BM", 0, 0, start) + head + rows.tobytes()
        assert np.array_equal(decoded(data).pixels, PIXELS[:4, :8])
    with pytest.raises(ImageRefusedError) as caught:
        decoded(struct.pack("<2sIII", b"BM", 0, 0, 20) + head + rows.tobytes())
    assert caught.value.reason is Reason.DAMAGED


def photograph(**options: object) -> bytes:
    """A JPEG."""
    file = BytesIO()
    Image.fromarray(PIXELS).resize((96, 64)).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("segment", [b"\xff\xee\0\x08Adobe\0", b"\xff\xe0\0\x07JFIF\0"])
def test_a_short_segment_on_colours_is_carried_and_decides_nothing(segment: bytes) -> None:
    """libjpeg, too, ignores it."""
    data = photograph()
    picture = decoded(data[:20] + segment + data[20:])
    assert np.array_equal(picture.pixels, decoded(data).pixels)
    assert segment in written(picture)


def test_missing_scans_are_noted() -> None:
    """A progressive JPEG that ends in order after some of its scans is only coarser."""
    data = photograph(progressive=True)
    assert decoded(data).notes == ()
    (note,) = decoded(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9").notes
    assert "scans are missing" in note


def test_jpeg_ls_is_refused_by_its_name() -> None:
    """Its file begins as a JPEG does."""
    with pytest.raises(ImageRefusedError) as caught:
        decoded(bytes(imagecodecs.jpegls_encode(PIXELS)))
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED
    assert "JPEG-LS" in str(caught.value)


@pytest.mark.parametrize(
    "end",
    [
        b"v2_f37_29           " + b"LIVE_1234567        ",
        b'{"name":"video"}jxrs\x10\0\0\0',
        b"vivo{}\xff\xff\xff\xff\x1b*9HWfu\x84\x93\xa2\xb1",
    ],
)
def test_a_vendors_trailer_behind_a_video_stays_with_it(end: bytes) -> None:
    """Its lengths count from the end of the file."""
    picture = decoded(photograph() + edits.MP4 + end)
    assert written(picture).endswith(edits.MP4 + end)
    assert picture.losses == ()


def test_a_palette_that_is_missing_is_told_in_plain_words() -> None:
    """The refusal says nothing of what a library stumbled over."""
    tiff = Tiff()
    tiff.page(PIXELS[..., 0].tobytes(), {262: tiff.numbers(3, kind=SHORT)}, (HEIGHT, WIDTH))
    with pytest.raises(ImageRefusedError) as caught:
        decoded(bytes(tiff.data))
    assert caught.value.reason is Reason.DAMAGED
    assert "NoneType" not in str(caught.value)


def inner_jpeg(data: bytes, *, kind: int = 7, subsampling: tuple[int, int] = (2, 2)) -> bytes:
    """A TIFF whose only strip is a JPEG of 96 x 64."""
    tiff = Tiff()
    tags = {
        258: tiff.numbers(8, 8, 8, kind=SHORT),
        259: tiff.numbers(kind, kind=SHORT),
        262: tiff.numbers(6, kind=SHORT),
        277: tiff.numbers(3, kind=SHORT),
        530: tiff.numbers(*subsampling, kind=SHORT),
    }
    tiff.page(data, tags, (64, 96))
    return bytes(tiff.data)


@pytest.mark.parametrize(
    ("edit", "right"),
    [
        (edits.appended(b""), ""),
        (edits.cut(2), ""),
        (edits.appended(b"padding"), ""),
        (edits.cut(900), Reason.TRUNCATED),
        (lambda data: data[:1500] + bytes(300) + data[1800:], Reason.DAMAGED),
    ],
    ids=["whole", "no end mark", "padded", "cut", "hole"],
)
def test_damage_of_a_jpeg_in_a_tiff_is_heard(edit: Edit, right: str) -> None:
    """As it is in a file of its own."""
    data = inner_jpeg(edit(photograph(quality=95)))
    if not right:
        assert decoded(data).notes == ()
        return
    with pytest.raises(ImageRefusedError) as caught:
        decoded(data)
    assert caught.value.reason == right


def test_old_jpeg_in_a_tiff_is_refused_by_its_name() -> None:
    """Its colours are those of any JPEG, and not why it is refused."""
    with pytest.raises(ImageRefusedError) as caught:
        decoded(inner_jpeg(photograph(), kind=6))
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED
    assert "OJPEG" in str(caught.value)


@pytest.mark.parametrize("subsampling", [(1, 2), (2, 66)])
def test_a_rare_subsampling_becomes_full_colour(
    subsampling: tuple[int, int],
) -> None:
    """One that is rare, or none."""
    picture = decoded(inner_jpeg(photograph(), subsampling=subsampling))
    assert picture.notes == ("its chroma subsampling was replaced by full colour",)
    assert decoded(written(picture)).pixels.shape == (64, 96, 3)


def in_thirds() -> bytes:
    """A JPEG of 24 x 8 whose colours are three times as coarse across."""
    coded = []
    for values in (PIXELS[:8, :24, 0], PIXELS[:8, :8, 1], PIXELS[:8, :8, 2]):
        file = BytesIO()
        Image.fromarray(values).save(file, "JPEG", quality=95)
        coded.append(file.getvalue())
    frame, scan = coded[0].index(b"\xff\xc0"), coded[0].index(b"\xff\xda")
    size = struct.pack(">BHHB", 8, 8, 24, 3)
    head = b"\xff\xc0\0\x11" + size + bytes((1, 0x31, 0, 2, 0x11, 0, 3, 0x11, 0))
    scans = [
        b"\xff\xda\0\x08\1" + bytes((number,)) + each[each.index(b"\xff\xda") + 6 : -2]
        for number, each in enumerate(coded, start=1)
    ]
    return coded[0][:frame] + head + coded[0][frame + 13 : scan] + b"".join(scans) + b"\xff\xd9"


def test_a_sampling_that_libtiff_refuses_is_no_damage() -> None:
    """A JPEG whose colours are three times as coarse is read as other programs read it."""
    picture = decoded(in_thirds())
    with Image.open(BytesIO(in_thirds())) as image:
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.notes == ("its chroma subsampling was replaced by full colour",)


@pytest.mark.parametrize(
    ("content", "note", "loss"),
    [
        (b"jumb" + bytes(8) + b"jumdc2pa", "content credentials", ""),
        (b"jumb" + bytes(8) + b"jumdjson", "", "JUMBF data"),
        (b"RESI" + bytes(8), "", "JPEG XT"),
    ],
)
def test_a_box_in_a_jpeg_is_named_as_what_it_is(content: bytes, note: str, loss: str) -> None:
    """Only content credentials are no loss; a box may be spread over two segments."""
    pieces = [content[: len(content) // 2 + 4], content[len(content) // 2 + 4 :]]
    segments = b""
    for number, piece in enumerate(pieces, start=1):
        body = (
            b"JP\0\1" + number.to_bytes(4) + bytes(4) + (content[:4] if number > 1 else b"") + piece
        )
        segments += b"\xff\xeb" + (2 + len(body)).to_bytes(2) + body
    data = photograph()
    picture = decoded(data[:20] + segments + data[20:])
    assert [bool(note)] == [note in "".join(picture.notes) and bool(picture.notes)]
    assert [bool(loss)] == [loss in "".join(picture.losses) and bool(picture.losses)]


def portable(*parts: tuple[bytes, bytes], kind: int = 2, behind: bytes = b"") -> bytes:
    """A PNG of these chunks behind its header: 8 bits, this colour type."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + b"".join(chunk(*part) for part in parts) + (behind or chunk(b"IEND", b""))


ROWS_OF_INDICES = b"".join(b"\0" + bytes(row) for row in PIXELS[..., 0] % 4)
COLORS = (b"PLTE", bytes(range(12)))
PIXEL_ROWS = b"".join(b"\0" + row.tobytes() for row in PIXELS)
IDAT = (b"IDAT", zlib.compress(PIXEL_ROWS))


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("missing", [1, 4])
def test_missing_rows_are_never_shown_as_black(kind: int, missing: int) -> None:
    """Pillow takes compressed pixels that end in order too early."""
    rows = PIXEL_ROWS if kind == 2 else ROWS_OF_INDICES
    packed = zlib.compress(rows[: -missing * (len(rows) // HEIGHT)])
    with pytest.raises(ImageRefusedError) as caught:
        decoded(portable(*[COLORS] * (kind == 3), (b"IDAT", packed), kind=kind))
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("data", "note", "loss"),
    [
        (portable((b"tRNS", b"\0\1"), IDAT), "tRNS chunk is damaged", ""),
        (portable((b"acTL", bytes((0, 0, 0, 3)) + bytes(4)), IDAT), "a single frame", ""),
        (portable((b"fdAT", b"\0\0\0\0abc"), IDAT), "", "fdAT chunk"),
        (portable(IDAT, behind=chunk(b"IEND", b"")[:-1] + b"\0"), "end chunk", ""),
    ],
    ids=["short key", "no frames", "pixels of no frame", "checksum of the end"],
)
def test_a_png_is_whole_whatever_is_wrong_beside_its_pixels(
    data: bytes, note: str, loss: str
) -> None:
    """What is left out is named."""
    picture = decoded(data)
    assert np.array_equal(picture.pixels, PIXELS)
    assert picture.alpha is None
    assert note in "".join(picture.notes)
    assert loss in "".join(picture.losses)


def test_the_padding_of_a_bitmaps_last_row_may_be_missing() -> None:
    """All pixels are there; its reserved bytes may hold anything."""
    pixels = PIXELS[:, :29]
    rows = np.zeros((HEIGHT, 88), np.uint8)
    rows[:, :87] = pixels[::-1, :, ::-1].reshape(HEIGHT, -1)
    head = struct.pack("<IiiHHIIiiII", 40, 29, HEIGHT, 1, 24, 0, 0, 0, 0, 0, 0)
    data = struct.pack("<2sI4sI", b"BM", 0, b"what", 54) + head + rows.tobytes()
    for cut, notes in ((0, 0), (1, 1)):
        picture = decoded(data[: len(data) - cut])
        assert np.array_equal(picture.pixels, pixels)
        assert len(picture.notes) == notes
    with pytest.raises(ImageRefusedError):
        decoded(data[:-2])


NUMBERS = b" ".join(b"%d" % value for value in PIXELS.ravel())
SIZE = b"%d %d\n255\n" % (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("data", "losses"),
    [
        (b"P6#made by hand\n" + SIZE + PIXELS.tobytes(), 0),
        (b"P6\n" + SIZE[:-1] + b"#at its end\n" + PIXELS.tobytes(), 0),
        (b"P3\n" + SIZE + NUMBERS + b"\n", 0),
        (b"P3\n" + SIZE + NUMBERS + b" 1 2 3", 1),
        (b"P3\n" + SIZE + NUMBERS + b"\nthe end", 1),
        ((b"P3\n" + SIZE + NUMBERS + b"\n") * 2, 1),
        (b"P3\n" + SIZE + b"#first row\n" + NUMBERS, 1),
    ],
)
def test_netpbm_is_read_as_netpbm_does(data: bytes, losses: int) -> None:
    """A comment may stand anywhere in the header; what lies behind plain pixels is named."""
    picture = decoded(data)
    assert np.array_equal(picture.pixels, PIXELS)
    assert len(picture.losses) == losses
    assert np.array_equal(decoded(written(picture)).pixels, PIXELS)


def test_transparency_around_the_first_frame_of_a_gif_stays() -> None:
    """Without a transparent pixel inside its box, programs would show a background around it."""
    file = BytesIO()
    Image.fromarray(PIXELS).quantize(16).crop((0, 0, 9, 9)).save(file, "GIF", transparency=15)
    data = bytearray(file.getvalue())
    data[6:10] = struct.pack("<HH", WIDTH, HEIGHT)
    picture = decoded(bytes(data))
    alpha = picture.alpha
    assert alpha is not None
    assert not alpha[9:].any()
    again = decoded(written(picture)).alpha
    assert again is not None
    assert np.array_equal(again, alpha)


def test_content_credentials_of_a_gif_do_not_stay() -> None:
    """They certify the original pixels."""
    file = BytesIO()
    Image.fromarray(PIXELS).quantize(16).save(file, "GIF")
    credentials = b"!\xff\x0bC2PA_GIF\1\0\0\4jumb\0"
    picture = decoded(file.getvalue()[:-1] + credentials + b";")
    assert "content credentials" in "".join(picture.notes)
    assert b"C2PA" not in written(picture)


@pytest.mark.parametrize("compression", [1, 32773])
def test_a_predictor_without_its_compression_means_nothing(compression: int) -> None:
    """Libtiff ignores it, so the numbers are those that are stored."""
    tiff = Tiff()
    raw = PIXELS.tobytes()
    packed = raw if compression == 1 else imagecodecs.packbits_encode(raw)
    tags = {
        258: tiff.numbers(8, 8, 8, kind=SHORT),
        259: tiff.numbers(compression, kind=SHORT),
        262: tiff.numbers(2, kind=SHORT),
        277: tiff.numbers(3, kind=SHORT),
        317: tiff.numbers(2, kind=SHORT),
    }
    tiff.page(bytes(packed), tags, (HEIGHT, WIDTH))
    picture = decoded(bytes(tiff.data))
    assert np.array_equal(picture.pixels, PIXELS)
    assert len(picture.notes) == 1
    assert np.array_equal(decoded(written(picture)).pixels, PIXELS)


def without_height(data: bytes, *, told: bool = True) -> bytes:
    """The same JPEG with its height behind the first scan, or nowhere."""
    frame = next(at for at in range(len(data)) if data[at : at + 2] in {b"\xff\xc0", b"\xff\xc2"})
    height = data[frame + 5 : frame + 7]
    marker = jpeglayout.AFTER_SCAN.search(data, data.index(b"\xff\xda") + 2)
    assert marker is not None
    end = marker.start()
    lines = b"\xff\xdc\0\4" + height if told else b""
    return data[: frame + 5] + b"\0\0" + data[frame + 7 : end] + lines + data[end:]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_may_tell_its_height_behind_its_first_scan(mode: str, options: Any) -> None:  # noqa: ANN401
    """Its pixels are those of the same JPEG with an ordinary header."""
    file = BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, "JPEG", **options)
    picture = decoded(without_height(file.getvalue()))
    assert np.array_equal(picture.pixels, decoded(file.getvalue()).pixels)
    assert Image.open(BytesIO(written(picture))).size == (WIDTH, HEIGHT)
    with pytest.raises(ImageRefusedError, match="tells the height"):
        decoded(without_height(file.getvalue(), told=False))


@pytest.mark.parametrize("bits", [3, 7, 9, 10, 12, 14, 15])
@pytest.mark.parametrize("kind", [1, 5, 8])
def test_samples_of_odd_depths_are_written_with_whole_bytes(kind: int, bits: int) -> None:
    """Scaled to 8 or 16 bits, from which each value can be told again."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (HEIGHT, WIDTH))
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    size = -(-WIDTH * bits // 8)
    raw = b"".join(int(row.ljust(8 * size, "0"), 2).to_bytes(size) for row in rows)
    made = Tiff()
    packed = bytes(PACKED.get(kind, bytes)(raw))
    tags = {
        258: made.numbers(bits, kind=SHORT),
        259: made.numbers(kind, kind=SHORT),
        273: made.numbers(made.put(packed)),
        278: made.numbers(HEIGHT),
        279: made.numbers(len(packed)),
    }
    made.page(b"", tags, (HEIGHT, WIDTH))
    picture = decoded(bytes(made.data))
    most = 255 if bits < 8 else 65_535
    whole = 8 if bits < 8 else 16
    assert np.array_equal(np.rint(picture.pixels[..., 0] * ((2**bits - 1) / most)), values)
    assert picture.notes == (f"its gray of {bits} bits was written with {whole}",)
    assert picture.losses == ()


@pytest.mark.parametrize("word", ["1_0", "+1", "-1", "0x1", "1.0", "\u0661"])
def test_only_digits_are_numbers_in_a_plain_image(word: str) -> None:
    """What Python's numbers may hold besides them is text here."""
    with pytest.raises(ImageRefusedError, match="contains text"):
        decoded(f"P2\n2 1\n255\n7 {word}\n".encode())


def broken_tiff(**tags: int) -> bytes:
    """A TIFF with other values of some tags."""
    made = Tiff()
    own = {int(tag[1:]): made.numbers(value) for tag, value in tags.items()}
    made.page(PIXELS[..., 0].tobytes(), own, (HEIGHT, WIDTH))
    return bytes(made.data)


def broken_png(color_type: int, bits: int, *before: bytes, packed: bytes = b"?") -> bytes:
    """A PNG with this header."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(parts)


BROKEN = {
    "more than one header": broken_png(2, 8, chunk(b"IHDR", bytes(13))),
    "which PNG does not have": broken_png(2, 4),
    "its palette": broken_png(3, 8),
    "its pixels cannot be decoded": broken_png(2, 8, packed=b"no zlib stream at all"),
    "the checksum of its compressed pixels": broken_png(
        6, 16, packed=zlib.compress(bytes(HEIGHT * (1 + 8 * WIDTH)))[:-1] + b"?"
    ),
    "no samples": broken_tiff(t277=0),
    "its tiles have no size": broken_tiff(t322=16),
    "its palette \\(ColorMap\\)": broken_tiff(t262=3),
}
"""What is wrong, and a file of which that is true."""


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_told_in_our_own_words(what: str) -> None:
    """Not in those of the library that found it."""
    with pytest.raises(ImageRefusedError, match=what) as caught:
        decoded(BROKEN[what])
    assert caught.value.reason is Reason.DAMAGED


def test_strips_without_rows_are_one_strip() -> None:
    """As libtiff takes a RowsPerStrip of 0."""
    assert decoded(broken_tiff(t278=0)).pixels.tolist() == PIXELS[..., :1].tolist()


def commented(start: bytes) -> bytes:
    """A JPEG in a TIFF, with a segment behind its first."""
    return inner_jpeg(edits.after_start(start)(photograph()))


@pytest.mark.parametrize(
    ("segment", "losses"),
    [
        (b"", ()),
        (
            b"\xff\xfe\0\6text",
            ("4 bytes of metadata in its compressed pixels are not in the output",),
        ),
    ],
)
def test_metadata_within_the_strips_of_a_tiff_is_a_loss(
    segment: bytes, losses: tuple[str, ...]
) -> None:
    """A JPEG of a strip may have a comment or EXIF, which no tag of the output can hold."""
    assert decoded(commented(segment)).losses == losses


GIF = BytesIO()
Image.fromarray(PIXELS[..., 0]).save(GIF, "GIF")


@pytest.mark.parametrize(
    ("data", "again"),
    [(photograph(), b"\xff\xd9"), (photograph(), b"\xff\xd9" * 3), (GIF.getvalue(), b";;")],
)
def test_an_end_mark_that_is_there_again_is_no_data(data: bytes, again: bytes) -> None:
    """Some programs append another one."""
    assert decoded(data + again).losses == decoded(data).losses == ()
    assert decoded(data + again + b"left").losses != ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_video_may_follow_an_image_without_end_mark(options: dict[str, Any]) -> None:
    """Whatever markers the video seems to hold, it is no part of the image, and kept."""
    data = photograph(**options)
    video = edits.MP4 + box(b"mdat", b"\xff\xd9\xff\xda\0\4\xff\xc4")
    picture = decoded(data[:-2] + video)
    assert np.array_equal(picture.pixels, decoded(data).pixels)
    assert (picture.notes, picture.losses) == (("its end mark was missing",), ())
    assert written(picture).endswith(video)


def with_thumbnail(thumbnail: bytes) -> bytes:
    """A JPEG with a larger thumbnail (MPF) behind it."""
    listed = b"II" + struct.pack("<HIHHHIII", 42, 8, 1, 0xB002, 7, 32, 26, 0)
    data = photograph()
    size = len(data) + 4 + len(b"MPF\0" + listed) + 32
    entries = struct.pack("<3I2H", 0x20030000, size, 0, 0, 0)
    entries += struct.pack("<3I2H", 0x10001, len(thumbnail), size - 20 - 8, 0, 0)
    body = b"MPF\0" + listed + entries
    return edits.after_start(b"\xff\xe2" + (2 + len(body)).to_bytes(2) + body)(data) + thumbnail


def test_bytes_behind_the_image_of_a_thumbnail_are_a_loss() -> None:
    """A camera's copy for its display may go, and no more than that."""
    assert decoded(with_thumbnail(photograph(quality=30))).losses == ()
    assert decoded(with_thumbnail(photograph(quality=30) + bytes(9))).losses == ()
    (loss,) = decoded(with_thumbnail(photograph(quality=30) + b"hidden")).losses
    assert loss.startswith("6 bytes of unknown data")


KEY = (b"tRNS", b"".join(int(value).to_bytes(2) for value in PIXELS[0, 0]))


@pytest.mark.parametrize(
    "parts",
    [
        (IDAT, KEY),
        (COLORS, (b"tRNS", bytes(5)), (b"IDAT", zlib.compress(ROWS_OF_INDICES))),
        ((b"tRNS", bytes(4)), COLORS, (b"IDAT", zlib.compress(ROWS_OF_INDICES))),
    ],
    ids=["behind the pixels", "longer than the palette", "before the palette"],
)
def test_transparency_out_of_place_counts_for_nothing(
    parts: tuple[tuple[bytes, bytes], ...],
) -> None:
    """As in libpng, so that an image is shown as browsers show it."""
    picture = decoded(portable(*parts, kind=3 if COLORS in parts else 2))
    assert picture.alpha is None
    assert "its tRNS chunk is damaged and was left out" in picture.notes


@pytest.mark.parametrize(("bits", "kind"), [(2, 0), (4, 0), (8, 0), (8, 2), (16, 0)])
def test_only_the_bits_of_a_sample_count_in_a_transparent_colour(bits: int, kind: int) -> None:
    """Section 11.3.1.1: decoders set the others to 0."""
    samples = 3 if kind else 1
    row = b"\0" + bytes(2 * samples)  # 16, 8, 4 or 2 bits of zero
    width = 16 // bits
    head = struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0)
    key = (1 << bits & 0xFFFF).to_bytes(2) * samples
    parts = ((b"IHDR", head), (b"tRNS", key), (b"IDAT", zlib.compress(row)), (b"IEND", b""))
    picture = decoded(SIGNATURE + b"".join(chunk(*each) for each in parts))
    assert picture.alpha is not None
    assert not picture.alpha.any()


def test_exif_of_a_png_may_have_the_prefix_of_jpeg() -> None:
    """Some writers put it there, and readers take it."""
    body = b"Exif\0\0" + Image.Exif().tobytes()[6:]
    picture = decoded(portable((b"eXIf", body), IDAT))
    assert picture.notes == ()
    assert body in written(picture)


@pytest.mark.parametrize("keyword", [b"GeoLocation", b"Location", b"exif:GPSLatitude", b"latitude"])
def test_texts_that_are_named_after_a_place_go_with_positions(keyword: bytes) -> None:
    """Only `strip-gps` takes them away."""
    picture = decoded(portable((b"tEXt", keyword + b"\x0048.2"), IDAT))
    assert b"48.2" in written(picture)
    assert b"48.2" not in written(finished(picture, Policies(metadata=Metadata.STRIP_GPS), None))


def test_a_deep_animation_names_the_setting_that_helps() -> None:
    """Its first frame can be sharpened."""
    rows = zlib.compress(bytes(HEIGHT * (1 + 6 * WIDTH)))
    shown = struct.pack(">4I2H2B", WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"acTL", struct.pack(">2I", 2, 0)), (b"fcTL", bytes(4) + shown)]
    parts += [(b"IDAT", rows), (b"fcTL", b"\0\0\0\1" + shown), (b"fdAT", b"\0\0\0\2" + rows)]
    with pytest.raises(ImageRefusedError) as caught:
        decoded(SIGNATURE + b"".join(chunk(*each) for each in [*parts, (b"IEND", b"")]), ALL)
    assert (caught.value.reason, caught.value.setting) == (Reason.BIT_DEPTH, "pictures.frames")


def test_a_pointer_to_further_images_that_leads_to_none_is_named() -> None:
    """Pixels are no directory, and a directory without a size is no image."""
    tiff = Tiff()
    tiff.page(PIXELS[..., 0].tobytes(), {330: tiff.numbers(8)}, (HEIGHT, WIDTH))
    assert "330 (SubIFDs)" in "".join(decoded(bytes(tiff.data)).notes)
    tiff = Tiff()
    place = tiff.directory({65000: (2, b"a text of somebody\0")})
    tiff.page(PIXELS[..., 0].tobytes(), {330: tiff.numbers(place)}, (HEIGHT, WIDTH))
    assert decoded(bytes(tiff.data)).losses == ("a directory that is no image was not kept",)


def extended(*parts: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """A WebP of these chunks behind VP8X."""
    size = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    made = b"".join(
        riff.chunk(*each) for each in [(b"VP8X", bytes((flags, 0, 0, 0)) + size), *parts]
    )
    return b"RIFF" + struct.pack("<I", 4 + len(made)) + b"WEBP" + made


def chunks_of(image: NDArray[np.uint8], **options: object) -> list[tuple[bytes, bytes]]:
    """Chunks of a WebP that hold its pixels."""
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", **options)
    return [each for each in riff.chunks(file.getvalue()) if each[0] != b"VP8X"]


def test_flags_of_a_webp_follow_its_chunks() -> None:
    """Alpha that no flag tells of, an animation that is none, bits that mean nothing."""
    alpha = np.dstack([PIXELS, PIXELS[..., 0]])
    assert decoded(extended(*chunks_of(alpha, quality=80))).alpha is not None
    for flags in (2, 0xC1):
        picture = decoded(extended(*chunks_of(PIXELS, lossless=True), flags=flags))
        assert np.array_equal(picture.pixels, PIXELS)
        assert picture.losses == ()


def test_a_webp_may_tell_a_length_within_its_last_chunk() -> None:
    """The chunk is whole, and carried."""
    data = extended(*chunks_of(PIXELS, lossless=True), (b"TEST", b"what is this"))
    short = data[:4] + struct.pack("<I", len(data) - 8 - 6) + data[8:]
    picture = decoded(short)
    assert np.array_equal(picture.pixels, PIXELS)
    assert (picture.notes, picture.losses) == (("the length in its header was wrong",), ())
    assert b"what is this" in written(picture)


def test_a_bitmap_that_leaves_pixels_out_is_not_called_truncated() -> None:
    """Its coding has an end mark; without one the file is cut."""
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, 0, 0, 0, 256, 0)
    start = struct.pack("<2sIII", b"BM", 0, 0, 14 + 40 + 1024) + head + bytes(1024)
    for coded, reason in (
        (b"\5\7\0\2\2\2\5\1\0\1", Reason.FORMAT_NOT_ALLOWED),
        (b"\5\7", Reason.TRUNCATED),
    ):
        with pytest.raises(ImageRefusedError) as caught:
            decoded(start + coded)
        assert caught.value.reason is reason
