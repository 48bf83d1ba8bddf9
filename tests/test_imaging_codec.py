"""Round trips: what is read and written again is the same image, at a comparable size."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pillow_jxl  # noqa: F401 - another writer than ours
import pytest
from PIL import Image, ImageFile

from sharpend.errors import ImageRefusedError, Reason, TransientError
from sharpend.imaging import codec, extras
from sharpend.imaging.containers import jpegmetadata
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from tests.conftest import psnr

if TYPE_CHECKING:
    from numpy.typing import NDArray


HEIGHT, WIDTH = 90, 120


def scene() -> NDArray[np.uint8]:
    """An image with slopes, edges and some noise: neither flat nor all noise."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.stack([rows * 2, columns * 2, 127 + 90 * np.sin(rows / 9) * np.cos(columns / 7)], -1)
    waves[30:60, 40:80] = 230
    return np.clip(waves + rng.normal(0, 3, waves.shape), 0, 255).astype(np.uint8)


def soft_alpha() -> NDArray[np.uint8]:
    """All values of alpha, with a fully transparent band."""
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint32).reshape(HEIGHT, WIDTH) * 7
    values[:20] = 0
    return values.astype(np.uint8)


def image(mode: str) -> Image.Image:
    """The scene as Pillow's `mode`."""
    colour = Image.fromarray(scene())
    if mode == "P":
        return colour.quantize(40)
    plain = colour.convert("L" if mode.startswith("L") else "RGB")
    if mode.endswith("A"):
        plain.putalpha(Image.fromarray(soft_alpha()))
    return plain


def saved(picture: Image.Image, target: str, **options: object) -> BytesIO:
    """A file as somebody else wrote it."""
    extras.load(Format.HEIC)
    file = BytesIO()
    picture.save(file, target, **options)
    return file


def decode(file: BinaryIO) -> Picture:
    """Decode with generous limits."""
    return codec.decode(file, max_pixels=10_000_000, max_bytes=100_000_000)


def again(picture: Picture) -> tuple[Picture, int]:
    """The image after encoding and decoding, and the size of the file."""
    file = BytesIO()
    codec.encode(picture, file)
    return decode(file), len(file.getvalue())


LOSSLESS: dict[str, tuple[str, dict[str, object]]] = {
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True, "exact": True}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_deflate"}),
    "tiff-packbits": ("TIFF", {"compression": "packbits"}),
}
LOSSY: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 85}),
    "jpeg-422": ("JPEG", {"quality": 70, "subsampling": 1}),
    "jpeg-progressive": ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
    "webp": ("WEBP", {"quality": 80}),
    "avif": ("AVIF", {"quality": 80}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg", "quality": 90}),
}


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_return_the_same_bits(name: str, mode: str) -> None:
    """Colours, those under alpha 0 among them, and alpha come through a lossless file exactly."""
    target, options = LOSSLESS[name]
    source = image(mode)
    picture = decode(saved(source, target, **options))
    result, _ = again(picture)
    wanted = (
        source.convert({"L": "RGB", "LA": "RGBA"}[mode])
        if "webp" in name and "L" in mode
        else source
    )
    expected = np.asarray(wanted).reshape(HEIGHT, WIDTH, -1)
    channels = expected.shape[2] - (mode[-1] == "A")
    for each in (picture, result):
        assert np.array_equal(each.pixels, expected[..., :channels])
        if mode[-1] == "A":
            assert each.alpha is not None
            assert np.array_equal(each.alpha, soft_alpha())
        else:
            assert each.alpha is None
    assert result.format == target
    assert picture.notes == ()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_return_comparable_quality(name: str, mode: str) -> None:
    """A second generation stays close to the first and of about its size."""
    target, options = LOSSY[name]
    file = saved(image(mode), target, **options)
    picture = decode(file)
    result, size = again(picture)
    assert result.pixels.shape == picture.pixels.shape
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3 if mode == "RGB" or name == "webp" else 1)
    assert psnr(result.pixels, picture.pixels, data_range=255) > 38
    assert 0.8 < size / len(file.getvalue()) < 1.8


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("target", ["WEBP", "AVIF"])
def test_alpha_of_lossy_pictures_is_exact(target: str, mode: str) -> None:
    """Lossy colours never touch alpha."""
    picture = decode(saved(image(mode), target, quality=100))
    result, _ = again(picture)
    assert picture.alpha is not None
    assert result.alpha is not None
    assert np.array_equal(result.alpha, picture.alpha)


@pytest.mark.parametrize(
    ("target", "transparency", "channels"),
    [("PNG", None, 3), ("PNG", 5, 4), ("PNG", bytes(range(0, 240, 6)), 4), ("TIFF", None, 3)],
)
def test_palette_becomes_colours(target: str, transparency: object, channels: int) -> None:
    """A palette image is written in the same format with the colours it shows, and says so."""
    source = image("P")
    options = {} if transparency is None else {"transparency": transparency}
    file = saved(source, target, **options)
    expected = np.asarray(Image.open(file).convert("RGBA"))
    picture = decode(file)
    result, _ = again(picture)
    for each in (picture, result):
        assert np.array_equal(each.pixels, expected[..., :3])
        assert (each.alpha is not None) == (channels == 4)
        if each.alpha is not None:
            assert np.array_equal(each.alpha, expected[..., 3])
    assert "palette" in picture.notes[0]
    assert (result.format, result.notes) == (target, ())


def test_transparent_colour_becomes_alpha() -> None:
    """A PNG's single transparent colour turns into alpha without touching the colours."""
    pixels = scene()
    pixels[:9] = (1, 2, 3)
    picture = decode(saved(Image.fromarray(pixels), "PNG", transparency=(1, 2, 3)))
    result, _ = again(picture)
    for each in (picture, result):
        assert each.alpha is not None
        assert np.array_equal(each.alpha == 0, (pixels == (1, 2, 3)).all(axis=2))
        assert np.array_equal(each.pixels, pixels)
    assert "alpha" in picture.notes[0]


@pytest.mark.parametrize("bits", [2, 4])
def test_transparent_gray_of_few_bits(bits: int) -> None:
    """In gray of 2 and 4 bits the transparent value means the stored one, not the widened one."""
    step = 255 // (2**bits - 1)
    values = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 2**bits * step).astype(np.uint8)
    picture = decode(saved(Image.fromarray(values), "PNG", bits=bits, transparency=2))
    assert picture.alpha is not None
    assert np.array_equal(picture.pixels[..., 0], values)
    assert np.array_equal(picture.alpha == 0, values == 2 * step)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_written_as_it_was(subsampling: int, *, progressive: bool) -> None:
    """Quantisation tables, subsampling and scan order of the source are used again."""
    file = saved(image("RGB"), "JPEG", quality=77, subsampling=subsampling, progressive=progressive)
    output = BytesIO()
    codec.encode(decode(file), output)
    with Image.open(file) as before, Image.open(output) as after:
        assert isinstance(before, type(after))
        assert after.quantization == before.quantization  # type: ignore[attr-defined]
        assert after.layer == before.layer  # type: ignore[attr-defined]
        assert ("progressive" in after.info) == progressive


@pytest.mark.parametrize("jfif", [False, True])
@pytest.mark.parametrize("transform", [0, 1, 2])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_adobes_marker_stays_and_means_the_same(
    transform: int, subsampling: int, *, jfif: bool
) -> None:
    """Photoshop's JPEGs keep it; beside JFIF's it says nothing, alone it tells RGB from YCbCr."""
    data = saved(image("RGB"), "JPEG", quality=90, subsampling=subsampling).getvalue()
    marker = b"\xff\xee\0\x0eAdobe\0\x64\x40\0\0\0" + bytes((transform,))
    data = (data[:20] if jfif else data[:2]) + marker + data[20:]
    picture = decode(BytesIO(data))
    output = BytesIO()
    codec.encode(picture, output)
    found = decode(output)
    assert np.abs(found.pixels.astype(int) - picture.pixels).mean() < 2
    assert [block.where for block in found.carried.blocks] == [
        jpegmetadata.JFIF,
        jpegmetadata.ADOBE,
    ][not jfif :]
    assert output.getvalue().count(marker) == 1
    turned_full = transform == 0 and not jfif and subsampling != 0
    assert picture.notes == ("its chroma subsampling was replaced by full colour",) * turned_full


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("quality", [10, 40, 60, 75, 90, 100])
def test_webp_quality_is_recognised(quality: int, *, alpha: bool) -> None:
    """A lossy WebP is written again at no less than the quality it had, and about its size."""
    file = saved(image("RGBA" if alpha else "RGB"), "WEBP", quality=quality)
    picture = decode(file)
    chosen = picture.frames[0].encoding["quality"]
    assert isinstance(chosen, int)
    assert chosen >= quality - 1
    _, size = again(picture)
    assert 0.9 < size / len(file.getvalue()) < 1.6


def test_progressive_noise_at_full_quality_is_written() -> None:
    """A progressive JPEG of more bytes than Pillow makes room for is written all the same."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    options = {"quality": 100, "subsampling": 0}
    picture = decode(saved(Image.fromarray(noise), "JPEG", **options))
    before = ImageFile.MAXBLOCK
    encoding = {**picture.frames[0].encoding, "progressive": True}
    _, size = again(Picture((Frame(noise, encoding=encoding),), Format.JPEG))
    assert size > 2 * 300 * 300
    assert before == ImageFile.MAXBLOCK


def test_unwritable_tiff_compression_becomes_deflate() -> None:
    """Where Pillow cannot write a TIFF's compression, nothing is lost and a note says so."""
    picture = decode(saved(image("RGBA"), "TIFF", compression="jpeg"))
    result, _ = again(picture)
    assert np.array_equal(result.pixels, picture.pixels)
    assert "deflate" in picture.notes[0]


def test_gray_jpeg_with_two_tables_stays_gray() -> None:
    """A gray JPEG that declares colour tables too is written with its own one."""
    picture = decode(saved(image("L"), "JPEG", qtables=[[3] * 64, [9] * 64]))
    result, _ = again(picture)
    assert picture.frames[0].encoding["qtables"] == [[3] * 64]
    assert result.pixels.shape == (HEIGHT, WIDTH, 1)


def test_phone_jpeg_with_a_second_picture_is_a_still() -> None:
    """An MPO file gives its first image, with a note about the others."""
    first, second = image("RGB"), image("RGB").resize((20, 20))
    file = saved(first, "MPO", save_all=True, append_images=[second])
    with Image.open(file) as opened:
        assert getattr(opened, "n_frames", 1) == 2
    picture = decode(file)
    assert (picture.format, picture.pixels.shape) == (Format.JPEG, (HEIGHT, WIDTH, 3))
    assert "further images" in picture.notes[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (53, 1), (7, 9)])
@pytest.mark.parametrize("target", list(Format))
def test_smallest_pictures_come_through(target: Format, shape: tuple[int, int]) -> None:
    """No size is too small or too odd for any format."""
    pixels = np.full((*shape, 3), 90, np.uint8)
    result, _ = again(decode(saved(Image.fromarray(pixels), target)))
    assert result.pixels.shape == pixels.shape
    assert psnr(result.pixels, pixels, data_range=255) > 35


def test_content_decides_not_the_position() -> None:
    """A file handle may stand anywhere."""
    file = saved(image("RGB"), "PNG")
    file.seek(11)
    assert decode(file).format is Format.PNG


@pytest.mark.parametrize("number", [errno.EIO, errno.EBUSY, errno.ESTALE])
def test_read_error_is_no_damage(number: int) -> None:
    """An error of the disk is transient: the image may be fine."""

    class Failing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() or size is None or size > 600:
                raise OSError(number, "broken")
            return super().read(size)

    with pytest.raises(TransientError) as caught:
        decode(Failing(saved(image("RGB"), "PNG").getvalue()))
    assert caught.value.reason is Reason.IO_ERROR


def test_no_memory_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of memory while decoding says nothing about the image."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(TransientError) as caught:
        decode(saved(image("RGB"), "PNG"))
    assert caught.value.reason is Reason.OUT_OF_MEMORY


def test_disk_error_while_writing_is_passed_on() -> None:
    """A full disk reaches the caller as the OSError that it is."""

    class Full(BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(errno.ENOSPC, f"no room for {type(data)}")

    with pytest.raises(OSError, match="no room") as caught:
        codec.encode(Picture.still(scene()), Full())
    assert caught.value.errno == errno.ENOSPC


def test_encoder_failure_is_a_refusal() -> None:
    """Whatever an encoder raises becomes one of our errors."""
    wide = np.zeros((1, 70_000, 1), np.uint8)
    with pytest.raises(ImageRefusedError) as caught:
        codec.encode(Picture.still(wide, format=Format.JPEG), BytesIO())
    assert caught.value.reason is Reason.INTERNAL


def test_decoders_and_encoders_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """What C libraries print of odd files would break a log of JSON lines."""
    coarse = saved(image("RGB"), "JPEG", qtables=[[400] * 64, [400] * 64])
    assert "Caution" in capfd.readouterr().err
    again(decode(coarse))
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
