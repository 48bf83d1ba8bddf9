"""The odd part of the corpus: cut-outs, second images, files whose metadata or end is broken.

Whatever people drop into a folder and tools rarely write: made by a tool, then changed by `edits`.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from itertools import product
from typing import TYPE_CHECKING

from tests import cases, edits
from tests.inventory import parts_of
from tests.isofiles import box
from tests.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = {"frames=first": "taken", "frames=all": "taken"}
PNG = "convert rgb.ppm -strip $tmp.png"
BEYOND = 99_999_999
HIDDEN = b"hidden behind it"
HEIF_FORM = (r"QuickTime:.*|Meta:.*|File:(FileType.*|MIMEType)",)
"""The boxes are written anew; the test of parts tells which of them are lost."""
BMP_FORM = (r"File:(BMPVersion|Compression|ColorSpace|.*(Mask|Endpoint)|Gamma.*|RenderingIntent)",)
GIF_FORM = (r"GIF:(BitsPerPixel|HasColorMap|ColorResolutionDepth|BackgroundColor|.*Version)",)
TRAILERS = (r"(File:)?(Trailer|Samsung|EmbeddedVideo|ZIP).*",)


def families() -> tuple[Iterator[Recipe], ...]:
    """All of them."""
    return (
        *(_cut_outs(), _animated_cut_outs(), _jpeg(), _png(), _gif_and_webp(), _tiff()),
        *(_heif(), _jxl(), _suffixes()),
    )


def _cut_outs() -> Iterator[Recipe]:
    """A subject on nothing, black below, in every format with alpha."""
    deep = "convert cut16.pam $tmp.png"
    plain = "convert cut.pam $tmp.png"
    ways = {
        "png": ("convert cut.pam $out", "rgba8", False),
        "16.png": ("convert cut16.pam $out", "rgba16", False),
        "gray.png": ("convert cut-ga.pam $out", "graya8", False),
        "lossless.webp": (
            f"{plain} && cwebp -quiet -lossless -exact $tmp.png -o $out",
            "rgba8",
            False,
        ),
        "lossy.webp": (f"{plain} && cwebp -quiet -q 90 $tmp.png -o $out", "rgba8", True),
        "avif": (f"{plain} && avifenc -s 10 $tmp.png $out", "rgba8", True),
        "10.avif": (f"{deep} && avifenc -s 10 -d 10 $tmp.png $out", "rgba10", True),
        "12.avif": (f"{deep} && avifenc -s 10 -d 12 $tmp.png $out", "rgba12", True),
        "gray.avif": (
            "convert cut-ga.pam $tmp.png && avifenc -s 10 -y 400 $tmp.png $out",
            "graya8",
            True,
        ),
        "bmp": ("convert cut.pam -define bmp:format=bmp4 $out", "rgba8", False),
        "jxl": (f"{plain} && cjxl --quiet -e 3 -d 0 $tmp.png $out", "rgba8", False),
        "16.jxl": (f"{deep} && cjxl --quiet -e 3 -d 0 $tmp.png $out", "rgba16", False),
        "lossy.jxl": (f"{plain} && cjxl --quiet -e 3 -d 1 $tmp.png $out", "rgba8", True),
    }
    form = {"bmp": BMP_FORM, "12.avif": ("QuickTime:CompatibleBrands",)}
    for name, (make, kind, lossy) in ways.items():
        differs = form.get(name, ())
        floor_db = 36.0 if lossy else 0.0
        made = f"cutout-{name}" if "." in name else f"cutout.{name}"
        yield Recipe(made, make, kind=kind, lossy=lossy, floor_db=floor_db, differs=differs)
    for alpha, bits in product(("associated", "unassociated"), ("", "16")):
        make = f"convert cut{bits}.pam -define tiff:alpha={alpha} $out"
        yield Recipe(f"cutout{bits}-{alpha}.tif", make, kind=f"rgba{bits or 8}")
    heic = "heif-enc -q 80 $tmp.png -o $out"
    yield Recipe("cutout.heic", f"{plain} && {heic}", kind="rgba8", lossy=True, differs=HEIF_FORM)
    hard = "-channel A -threshold 50% +channel"
    table = (*GIF_FORM, "GIF:TransparentColor")
    yield Recipe("cutout.gif", f"convert cut.pam {hard} $out", kind="rgba8", differs=table)
    keyed = (r"PNG:(BitDepth|ColorType|Palette|Transparency|BackgroundColor)",)
    palette = f"{plain} && vips pngsave $tmp.png $out --palette --bitdepth 8"
    yield Recipe("cutout-palette.png", palette, kind="rgba8", differs=keyed)
    for source, kind in (("gray.pgm", "graya8"), ("gray16.pgm", "graya16")):
        make = f"pnmtopng -quiet -force -transparent rgb:00/00/00 {source} > $out"
        yield Recipe(f"key-{source[:-4]}.png", make, kind=kind, differs=keyed)


def _animated_cut_outs() -> Iterator[Recipe]:
    """Two frames of a subject on nothing."""
    two = "convert cut.pam $tmp-0.png && convert cut.pam -flop $tmp-1.png"
    pair = "$tmp-0.png $tmp-1.png"
    webp = f"{two} && img2webp -lossless -d 80 {pair} -o $out"
    hard = "-channel A -threshold 50% +channel"
    gif = f"convert -dispose Background -delay 9 -loop 0 cut.pam \\( cut.pam -flop \\) {hard} $out"
    for name, make, differs in (
        ("cutout-animated.png", f"{two} && apngasm $out {pair} 1 10", ("PNG:ColorType",)),
        ("cutout-animated.webp", webp, ()),
        ("cutout-animated.gif", gif, (*GIF_FORM, "GIF:TransparentColor")),
    ):
        yield Recipe(name, make, "animated", "rgba8", FRAMES, frames=2, differs=differs)


def _jpeg() -> Iterator[Recipe]:
    """Sampling told in odd ways, what lies behind, a missing end, broken profiles."""
    plain = "cjpeg -sample 2x2 rgb.ppm > $out"
    rare: tuple[str, ...] = ("File:YCbCrSubSampling",)
    for name, sample, differs in (
        ("22-12", "2x2,1x2,1x2", ()),
        ("21-11", "2x1,1x1,1x1", ()),
        ("full-21", "2x1,2x1,2x1", ()),
        ("full-12", "1x2,1x2,1x2", ()),
        ("22-21", "2x2,2x1,2x1", rare),  # 4:4:0
    ):
        make, floor_db = f"cjpeg -sample {sample} rgb.ppm > $out", 35.0 if differs else 0.0
        made = f"odd-sampling-{name}.jpg"
        yield Recipe(made, make, lossy=True, floor_db=floor_db, differs=differs)
    yield Recipe("no-end.jpg", plain, lossy=True, edit=edits.cut(2))
    progressive = "cjpeg -progressive rgb.ppm > $out"
    yield Recipe("no-end-progressive.jpg", progressive, lossy=True, edit=edits.cut(2))
    motion = ("-XMP-GCamera:MotionPhoto=1", "-XMP-GCamera:MotionPhotoVersion=1")
    edit = edits.appended(edits.MP4)
    yield Recipe("motion.jpg", plain, tags=motion, lossy=True, edit=edit, differs=TRAILERS)
    samsung = dict(parts_of(cases.bytes_of("jpeg-samsung.jpg")))["behind"]
    for name, first in (("", edits.appended(b"")), ("-no-end", edits.cut(2))):
        edit = edits.both(first, edits.appended(samsung))
        yield Recipe(f"samsung{name}.jpg", plain, lossy=True, edit=edit, differs=TRAILERS)
    whole, tall = "jpeg-q75-420.jpg", ("File:ImageHeight",)
    edit = edits.late_height
    yield Recipe("late-height.jpg", plain, lossy=True, edit=edit, differs=tall, like=whole)
    edit = edits.appended(_archive())
    yield Recipe("archive.jpg", plain, lossy=True, edit=edit, differs=TRAILERS)
    large = "cat srgb.icc > $tmp.icc && head -c 150000 /dev/zero >> $tmp.icc"
    make = f"{large} && cjpeg -icc $tmp.icc rgb.ppm > $out"
    edit = edits.without_segment(b"ICC_PROFILE\0\2")
    yield Recipe(
        "icc-hole.jpg",
        make,
        lossy=True,
        needs=("srgb.icc",),
        edit=edit,
        differs=("ICC.*",),
    )


def _png() -> Iterator[Recipe]:
    """Chunks that are rare, damaged or behind the end; a missing end."""
    for bits, interlace in product(("", "16"), ("none", "PNG")):
        make, kind = f"convert rgb{bits}.ppm -interlace {interlace} $out", f"rgb{bits or 8}"
        name = f"{bits or 8}-{interlace.lower()}.png"
        whole = f"png-rgb{bits}-none.png"
        neither = edits.both(edits.cut(12), edits.without_adler)
        for lacks, edit in (
            ("adler", edits.without_adler),
            ("end", edits.cut(12)),
            ("both", neither),
        ):
            yield Recipe(f"no-{lacks}-{name}", make, kind=kind, edit=edit, like=whole)
    rare = {
        "sPLT": b"a palette\0\x08" + bytes(range(12)),
        "pCAL": b"a unit\0\0\0\0\0\0\0\0\xff\0\2m\0001\0002",
        "sTER": b"\0",
        "oFFs": bytes(9),
        "gIFg": b"\0\0\0\x0a",
        "vpAg": bytes(9),
        "mkBF": b"layers of Fireworks",
        "iDOT": bytes(28),
        "caBX": b"\0\0\0\x10jumbc2pa....",
    }
    plain = "convert rgb.ppm -strip $out"
    for (kind, body), bits in product(rare.items(), ("", "16")):
        old = (r"PNG:(Apple.*|.*Unknown.*)|JUMBF.*",) if kind in {"iDOT", "mkBF", "caBX"} else ()
        make = plain.replace("rgb.", f"rgb{bits}.")
        yield Recipe(
            f"chunk-{kind}{bits}.png",
            make,
            kind=f"rgb{bits or 8}",
            edit=edits.chunk(kind.encode(), body),
            differs=old,
        )
    profile = b"a profile\0\0" + zlib.compress(bytes(3000))
    for kind, body in (("iCCP", profile), ("tEXt", b"Title\0a title"), ("tIME", bytes(7))):
        edit = edits.wrong_checksum(kind.encode(), body)
        gone = (r"PNG:(ProfileName|ICC_Profile|Title|ModifyDate)|ICC.*",)
        yield Recipe(f"bad-crc-{kind}.png", plain, edit=edit, differs=gone)
    edit = edits.chunk(b"iCCP", profile[:40])
    gone = (r"PNG:(ProfileName|ICC_Profile)|ICC.*",)
    yield Recipe("icc-broken.png", plain, edit=edit, differs=gone)
    yield Recipe("surplus.png", plain, edit=edits.behind_pixels(HIDDEN))
    edit = edits.appended(_archive())
    yield Recipe("archive.png", plain, edit=edit, differs=TRAILERS)
    told = struct.pack(">5I2H2B", 0, 96, 64, 0, 0, 1, 10, 0, 0)
    edit = edits.both(edits.chunk(b"fcTL", told), edits.chunk(b"acTL", struct.pack(">2I", 1, 0)))
    form = (r"File:(FileType.*|MIMEType)|PNG:Animation.*",)
    yield Recipe("one-frame.png", plain, edit=edit, differs=form)


def _gif_and_webp() -> Iterator[Recipe]:
    """A missing end, data behind it, animations of one frame, chunks that no flag tells of."""
    gif = "convert rgb.ppm $out"
    yield Recipe("no-end.gif", gif, edit=edits.cut(1), differs=GIF_FORM)
    yield Recipe("behind.gif", gif, edit=edits.appended(b"left behind " * 40), differs=GIF_FORM)
    yield Recipe("surplus.gif", gif, edit=edits.behind_codes(HIDDEN), differs=GIF_FORM)
    one = "convert -delay 10 -loop 3 rgb.ppm $out"
    yield Recipe("one-frame.gif", one, differs=(*GIF_FORM, "GIF:(AnimationIterations|Duration)"))
    webp = "cwebp -quiet -lossless rgb.ppm -o $tmp.webp"
    mux = f"{webp} && webpmux -set exif camera.exif $tmp.webp -o $out"
    yield Recipe("unknown-chunk.webp", mux, edit=edits.riff(b"TEST", b"what is this"))
    flags = ("RIFF:WebP_Flags",)
    yield Recipe("no-flags.webp", mux, edit=edits.without_flags, differs=flags)
    one = f"{PNG} && img2webp -lossless -d 80 $tmp.png -o $out"
    form = (r"File:FileType.*|RIFF:.*",)
    yield Recipe("one-frame.webp", one, differs=form)


def _tiff() -> Iterator[Recipe]:
    """Further samples, second pages, layers, pointers that lead nowhere."""
    for name, bands in (
        ("4", "alpha.pgm"),
        ("5", "alpha.pgm gray.pgm"),
        ("6", "alpha.pgm gray.pgm gray.pgm"),
    ):
        make = f"vips bandjoin 'rgb.ppm {bands}' $out"
        yield Recipe(f"samples-{name}.tif", make, kind="rgba8")
    plain = "convert rgb.ppm -compress None $tmp.tif"
    small = "convert rgb.ppm -resize 24x16! -compress None $tmp.2.tif"
    two = f"{plain} && {small} && tiffcp $tmp.tif $tmp.2.tif $out"
    for compression in ("None", "Zip"):
        make = f"convert rgb.ppm -define tiff:rows-per-strip=64 -compress {compression} $out"
        edit = edits.behind_strip(HIDDEN)
        yield Recipe(f"surplus-{compression.lower()}.tif", make, edit=edit)
    pages = ("IFD1:.*",)
    yield Recipe("pages-of-two-sizes.tif", two, "pages", fates=FRAMES, frames=2)
    yield Recipe("preview.tif", f"{two} && tiffset -d 1 -u 297 $out", differs=pages)
    yield Recipe("thumbnail.tif", f"{two} && tiffset -d 1 -s 254 1 $out", differs=pages)
    mask = "convert gray.pgm -monochrome -compress None $tmp.2.tif"
    make = f"{plain} && {mask} && tiffcp $tmp.tif $tmp.2.tif $out && tiffset -d 1 -s 254 4 $out"
    yield Recipe("mask.tif", make, differs=pages)
    make = "convert rgb.ppm -compress None $out"
    layers = b"Adobe Photoshop Document Data Block\0" + bytes(range(200))
    broken: dict[str, tuple[int, int, int, bytes | int]] = {
        "layers": (37724, 7, len(layers), layers),
        "credentials": (52545, 7, 40, b"\0\0\0\x28jumb" + bytes(32)),
        "exif-beyond": (34665, 4, 1, BEYOND),
        "gps-zero": (34853, 4, 1, 0),
        "private-beyond": (65000, 7, 500, BEYOND),
        "text-beyond": (270, 2, 500, BEYOND),
        "profile-beyond": (34675, 7, 500, BEYOND),
        "private": (65000, 7, 500, bytes(range(250)) * 2),
        "utf8": (315, 129, 8, "Ana Mü\0".encode()),
        "geo": (33550, 12, 3, bytes(24)),
        "large": (700, 1, 700_000, b" " * 700_000),
    }
    gone = (r"(IFD0|ExifIFD|JUMBF|Photoshop|XMP|ICC).*",)
    for name, entry in broken.items():
        left = () if name in {"private", "utf8", "geo", "large"} else gone
        yield Recipe(f"tag-{name}.tif", make, edit=edits.tagged(entry), differs=left)


def _heif() -> Iterator[Recipe]:
    """Images, data and padding beside the image."""
    for suffix, encode in (
        ("avif", "avifenc -s 10 $tmp.png $out"),
        ("heic", "heif-enc $tmp.png -o $out"),
    ):
        for name, edit in {
            "gain-map": edits.auxiliary(edits.APPLE),
            "depth": edits.auxiliary(edits.DEPTH),
            "further": edits.further,
            "video": edits.with_box(box(b"mpvd", edits.MP4)),
            "unknown": edits.with_box(box(b"sefd", b"of some vendor")),
            "short-padding": edits.with_box(box(b"free", bytes(999))[:300]),
        }.items():
            make = f"{PNG} && {encode}"
            yield Recipe(f"beside-{name}.{suffix}", make, lossy=True, edit=edit, differs=HEIF_FORM)
    alpha = "convert cut16.pam $tmp.png && heif-enc -q 80 -b 10 $tmp.png -o $out"
    yield Recipe("cutout-10.heic", alpha, kind="rgba10", lossy=True, differs=HEIF_FORM)


def _jxl() -> Iterator[Recipe]:
    """Deep ones, colours told by numbers, packed boxes."""
    boxes = ("File:FileType", "File:Image(Width|Height)", "Jpeg2000:.*")
    for source, kind in (("gray16.pgm", "gray16"), ("rgba16.pam", "rgba16")):
        make = f"convert {source} -strip $tmp.png && cjxl --quiet -e 3 -d 0 $tmp.png $out"
        yield Recipe(f"deep-{source[:-4]}.jxl", make, kind=kind)
    for name, space in (("p3", "RGB_D65_DCI_Rel_SRG"), ("linear", "RGB_D65_SRG_Rel_Lin")):
        make = f"cjxl --quiet -e 3 -d 0 -x color_space={space} rgb.ppm $out"
        yield Recipe(f"numbers-{name}.jxl", make, differs=boxes)
    make = f"{PNG} && cjxl --quiet -e 3 -d 0 $tmp.png $out"
    tags = ("-Artist=Ana", "-GPSLatitude=48.2", "-XMP-dc:Title=A title")
    for packed in (0, 1):
        options = ("-api", f"Compress={packed}", *tags)
        yield Recipe(f"packed-{packed}.jxl", make, tags=options, differs=boxes)


def _suffixes() -> Iterator[Recipe]:
    """Names that cameras, editors and old programs give."""
    for suffix in ("jfif", "jif", "jpe", "mpo", "JPEG"):
        make = "cjpeg rgb.ppm > $tmp.jpg && cp $tmp.jpg $out"
        yield Recipe(f"suffix-{suffix.lower()}.{suffix}", make, lossy=True, floor_db=45)
    yield Recipe("suffix-dib.dib", "convert rgb.ppm bmp:$out", differs=BMP_FORM)
    three = "convert rgb.ppm $tmp-0.png && convert rgb.ppm -flip $tmp-1.png"
    apng = f"{three} && apngasm $tmp.png $tmp-0.png $tmp-1.png 1 10 && cp $tmp.png $out"
    keyed = ("PNG:(ColorType|Transparency)",)
    yield Recipe("suffix-apng.apng", apng, "animated", fates=FRAMES, frames=2, differs=keyed)
    hif = "convert rgb16.ppm $tmp.png && heif-enc -q 80 -b 10 $tmp.png -o $tmp.heic"
    make = f"{hif} && cp $tmp.heic $out"
    name = "suffix-hif.hif"
    yield Recipe(name, make, kind="rgb10", lossy=True, floor_db=33.0, differs=HEIF_FORM)


def _archive() -> bytes:
    """A ZIP of one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), b"hidden behind an image")
    return made.getvalue()
