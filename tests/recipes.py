"""The corpus as a table: which file each tool makes, and what must become of it.

The commands run among the files of `tests.sources`, and write `$out`. Recipes are crossed where a
format has independent choices; each family says in a line what it is there for.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tests import recipes_odd
from tests.edits import after_start, appended, chunk, top_down
from tests.recipe import UNCHANGED, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL_EXIF = (
    "-Make=Maker",
    "-Model=A Camera",
    "-Artist=Ana Müller",
    "-Copyright=All of it",
    "-DateTimeOriginal=2020:02:29 12:34:56",
    "-OffsetTimeOriginal=+02:00",
    "-SubSecTimeOriginal=789",
    "-ExposureTime=1/125",
    "-FNumber=2.8",
    "-ISO=400",
    "-LensModel=50mm F1.8",
    "-UserComment=a note",
    "-XPTitle=a title",
    "-GPSLatitude=48.2",
    "-GPSLatitudeRef=N",
    "-GPSLongitude=16.36",
    "-GPSLongitudeRef=E",
    "-GPSAltitude=170",
)
FULL_XMP = (
    "-XMP-dc:Title=A title",
    "-XMP-dc:Subject=one",
    "-XMP-dc:Subject=two",
    "-XMP-xmp:Rating=4",
    "-XMP-photoshop:City=Vienna",
    "-XMP-exif:GPSLatitude=48.2",
    "-XMP-exif:GPSLongitude=16.36",
)
FULL_IPTC = (
    "-IPTC:Caption-Abstract=A caption",
    "-IPTC:Keywords=one",
    "-IPTC:Keywords=two",
    "-IPTC:City=Vienna",
    "-IPTC:ObjectName=An object",
)
LARGE_XMP = ("-XMP-dc:Description<=large.txt",)
CAMERA = ("-exif<=camera.exif",)
ORIENTATIONS = range(1, 9)
CMYK = {"cmyk=convert": "taken"}
NO_PROFILE = {"cmyk=convert": "color_mode"}
FRAMES = {"frames=first": "taken", "frames=all": "taken"}
ONE_BIT = {"one_bit=pass": UNCHANGED}
"""Black and white without gray has no edge to sharpen: refused, or by policy copied as it is."""
SIZES = ("1x1", "1x50", "50x1", "2x2", "7x3", "8x8", "15x17", "16x16", "17x33", "96x1")
TABLE_LOST = (
    *("PNG:BitDepth", "PNG:ColorType", "PNG:Palette", "PNG:Transparency"),
    "PNG:BackgroundColor",
)
"""A sharpened palette image has more colours than its palette."""

BMP_HEADER = (
    *("File:BMPVersion", "File:(Alpha|Red|Green|Blue)Mask", "File:BMP_0x.*"),
    *("File:NumColors", "File:NumImportantColors", "File:Compression", "File:ImageLength"),
    *("File:BitDepth", "File:ColorSpace", "File:RenderingIntent", "File:Gamma.*"),
    "File:(Red|Green|Blue)Endpoint",
)
"""A bitmap is written plainly, under the oldest header that can say what it is."""
GIF_TABLE = (
    *("GIF:BitsPerPixel", "GIF:HasColorMap", "GIF:ColorResolutionDepth", "GIF:BackgroundColor"),
    *("GIF:TransparentColor", "GIF:GIFVersion"),
)
"""A GIF gets a new palette."""
HEIC_CODED = (
    r"QuickTime:(HEVC|Gen|Constraint|QuickTime_|Min|Parallel|Average|Constant|Num|Temporal).*",
    r"QuickTime:(Major|Compatible)Brands?|File:(FileType|FileTypeExtension|MIMEType)",
    r"QuickTime:Color(Primaries|Profiles)|QuickTime:(Transfer|Matrix).*",
)
"""How the encoder codes, and that it says of colours what saying nothing means."""


def recipes() -> list[Recipe]:
    """The whole table, in order."""
    families = (
        *(_jpeg(), _jpeg_metadata(), _jpeg_odd(), _png(), _png_metadata(), _png_palettes()),
        *(_webp(), _tiff(), _tiff_depths(), _tiff_metadata(), _avif(), _bmp(), _pnm(), _gif()),
        *(_animations(), _heic(), _jxl(), _strangers(), *recipes_odd.families()),
    )
    return [recipe for family in families for recipe in family]


def _jpeg() -> Iterator[Recipe]:
    """Quality by sampling, the ways of coding, gray, sizes that fill no block."""
    samplings = {"444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "410": "4x2"}
    for quality, (name, sampling) in product((10, 50, 75, 90, 100), samplings.items()):
        make = f"cjpeg -quality {quality} -sample {sampling} rgb.ppm > $out"
        kept = name in {"444", "422", "420"}
        rare: tuple[str, ...] = () if kept else ("File:YCbCrSubSampling",)  # these become 4:4:4
        floor_db = 0.0 if kept else 35.0
        made = f"jpeg-q{quality}-{name}.jpg"
        yield Recipe(made, make, lossy=True, floor_db=floor_db, differs=rare)
    ways = {
        "progressive": "-progressive",
        "optimised": "-optimize",
        "restart": "-restart 1",
        "restart-blocks": "-restart 2B -progressive",
        "two-tables": "-quality 90,60 -qslots 0,1,1",
        "three-tables": "-qtables $tmp.q -qslots 0,1,2",
        "baseline-q25": "-quality 25 -baseline",
        "rgb": "-rgb",
        "float-dct": "-dct float",
    }
    tables = "seq 20 147 > $tmp.q && seq 10 73 >> $tmp.q"
    for (name, options), picture in product(ways.items(), ("rgb", "coffee", "rocket")):
        make = f"{tables} && cjpeg {options} {picture}.ppm > $out"
        yield Recipe(f"jpeg-{name}-{picture}.jpg", make, lossy=True)
    for quality, options in product((40, 85, 98), ("", "-progressive")):
        make = f"cjpeg -grayscale -quality {quality} {options} chelsea.ppm > $out"
        name = f"jpeg-gray-q{quality}{options}.jpg"
        yield Recipe(name, make, kind="gray8", lossy=True)
    huffman = ("File:EncodingProcess",)  # no encoder at hand writes arithmetic coding
    for options in ("", "-progressive"):
        make = f"cjpeg -arithmetic {options} coffee.ppm > $out"
        name = f"jpeg-arithmetic{options}.jpg"
        yield Recipe(name, make, "taken|damaged", lossy=True, differs=huffman)
    for size in SIZES:
        make = f"convert coffee.ppm -crop {size}+3+5 +repage ppm:- | cjpeg -sample 2x2 > $out"
        yield Recipe(f"jpeg-{size}.jpg", make, lossy=True)
    for quality in (60, 92):
        make = f"convert rgb.ppm -quality {quality} $out"
        yield Recipe(f"jpeg-im-q{quality}.jpg", make, lossy=True)
        make = f"vips jpegsave rgb.ppm $out --Q {quality} --trellis-quant --interlace"
        yield Recipe(f"jpeg-vips-q{quality}.jpg", make, lossy=True, differs=("JFIF:.*",))


def _jpeg_metadata() -> Iterator[Recipe]:
    """Every segment that an outside reader knows, alone and together."""
    plain = "cjpeg -quality 90 rgb.ppm > $out"
    tags = {
        "exif": FULL_EXIF,
        "xmp": FULL_XMP,
        "iptc": FULL_IPTC,
        "comment": ("-Comment=A comment: äöü",),
        "camera": CAMERA,
        "photoshop": ("-Photoshop:URL=http://example.org/", "-Photoshop:CopyrightFlag=1"),
        "large-xmp": LARGE_XMP,
        "all": (*FULL_EXIF, *FULL_XMP, *FULL_IPTC, "-Comment=all of it"),
        "all-large": (*FULL_EXIF, *LARGE_XMP, *FULL_IPTC),
        "little": ("-ExifByteOrder=Little-endian", *FULL_EXIF),
        "interop": ("-InteropIndex=R98", *FULL_EXIF),
        "fpxr-afcp": ("-AFCP:ObjectName=x", "-Comment=x"),
    }
    for name, options in tags.items():
        yield Recipe(f"jpeg-tags-{name}.jpg", plain, tags=options, lossy=True)
    for orientation in ORIENTATIONS:
        options = (f"-Orientation#={orientation}", *FULL_EXIF)
        yield Recipe(f"jpeg-turned-{orientation}.jpg", plain, tags=options, lossy=True)
    for orientation in (1, 6):
        thumbnail = "convert rgb.ppm -resize 40x40 $tmp.jpg && cjpeg rgb.ppm > $out"
        options = (*FULL_EXIF, "-ThumbnailImage<=$tmp.jpg", f"-Orientation#={orientation}")
        name = f"jpeg-thumbnail-{orientation}.jpg"
        yield Recipe(name, thumbnail, tags=options, lossy=True)
    for profile in ("srgb", "adobe", "prophoto"):
        make = f"cjpeg -icc {profile}.icc rgb.ppm > $out"
        yield Recipe(f"jpeg-icc-{profile}.jpg", make, lossy=True, needs=(f"{profile}.icc",))
    make = "cjpeg -grayscale -icc gray.icc rgb.ppm > $out"
    yield Recipe("jpeg-icc-gray.jpg", make, kind="gray8", lossy=True, needs=("gray.icc",))
    large = "cat srgb.icc > $tmp.icc && head -c 150000 /dev/zero >> $tmp.icc"
    make = f"{large} && cjpeg -icc $tmp.icc rgb.ppm > $out"
    yield Recipe("jpeg-icc-in-parts.jpg", make, lossy=True, needs=("srgb.icc",))
    for unit, name in ((0, "aspect"), (1, "inch"), (2, "cm")):
        options = (f"-JFIF:ResolutionUnit#={unit}", "-JFIF:XResolution=3", "-JFIF:YResolution=2")
        yield Recipe(f"jpeg-density-{name}.jpg", plain, tags=options, lossy=True)
    two = "cjpeg rgb.ppm > $tmp.jpg && wrjpgcom -comment one $tmp.jpg > $tmp.2.jpg"
    make = f"{two} && wrjpgcom -comment two $tmp.2.jpg > $out"
    yield Recipe("jpeg-two-comments.jpg", make, lossy=True)


def _jpeg_odd() -> Iterator[Recipe]:
    """Four inks, several images in one file, things behind the end."""
    cmyk = "convert rgb.ppm -profile srgb.icc -profile cmyk.icc"
    icc = ("srgb.icc", "cmyk.icc")
    for quality in (75, 95):
        make = f"{cmyk} -quality {quality} $out"
        name = f"jpeg-cmyk-icc-q{quality}.jpg"
        yield Recipe(name, make, "color_mode", "cmyk8", CMYK, lossy=True, needs=icc)
    make = "convert rgb.ppm -colorspace CMYK $out"
    yield Recipe("jpeg-cmyk.jpg", make, "color_mode", "cmyk8", NO_PROFILE, lossy=True)
    make = "convert rgb.ppm -colorspace CMYK -define jpeg:colorspace=ycck $out"
    yield Recipe("jpeg-ycck.jpg", make, "color_mode", "cmyk8", NO_PROFILE, lossy=True)
    make = f"{cmyk} $tmp.tif && vips jpegsave $tmp.tif $out --Q 90"
    yield Recipe("jpeg-cmyk-vips.jpg", make, "color_mode", "cmyk8", CMYK, lossy=True, needs=icc)
    two = "cjpeg rgb.ppm > $tmp.jpg && cjpeg -grayscale -quality 60 rgb.ppm > $tmp.gain.jpg"
    yield Recipe(
        "jpeg-gain-map.jpg",
        f"{two} && exiftool -q -o $tmp.x.jpg '-xmp<=gain.xmp' $tmp.jpg"
        " && cat $tmp.x.jpg $tmp.gain.jpg > $out",
        lossy=True,
        differs=("XMP-hdrgm:.*",),  # announces what is gone
    )
    yield Recipe("jpeg-two-in-one.jpg", f"{two} && cat $tmp.jpg $tmp.gain.jpg > $out", lossy=True)
    for name, behind in (("zeros", bytes(500)), ("text", b"left by some program\n" * 9)):
        make = "cjpeg rgb.ppm > $out"
        recipe = Recipe(f"jpeg-behind-{name}.jpg", make, lossy=True, edit=appended(behind))
        yield recipe
    for transform in (0, 1, 2):  # what Photoshop writes; beside JFIF's marker it says nothing
        marker = b"\xff\xee\0\x0eAdobe\0\x64\x40\0\0\0" + bytes((transform,))
        edit = after_start(marker)
        make = "cjpeg -sample 2x2 rgb.ppm > $out"
        yield Recipe(f"jpeg-adobe{transform}.jpg", make, lossy=True, edit=edit)
    rare = ("File:YCbCrSubSampling",)
    make = "cjpeg -rgb -sample 2x2 rgb.ppm > $out"
    yield Recipe("jpeg-rgb-420.jpg", make, lossy=True, floor_db=35, differs=rare)
    yield Recipe("jpeg-named.png", "cjpeg rgb.ppm > $out", lossy=True)
    yield Recipe(
        "jpeg-cut.jpg", "cjpeg rgb.ppm > $tmp.jpg && head -c 1500 $tmp.jpg > $out", "truncated"
    )


def _png() -> Iterator[Recipe]:
    """Every colour type in every depth, plain and interlaced; sizes."""
    kinds = {
        "rgb": ("rgb.ppm", "rgb8"),
        "rgb16": ("rgb16.ppm", "rgb16"),
        "rgba": ("rgba.pam", "rgba8"),
        "rgba16": ("rgba16.pam", "rgba16"),
        "gray": ("gray.pgm", "gray8"),
        "gray16": ("gray16.pgm", "gray16"),
        "ga": ("ga.pam", "graya8"),
        "ga16": ("ga16.pam", "graya16"),
    }
    for (name, (source, kind)), interlace in product(kinds.items(), ("none", "PNG")):
        make = f"convert {source} -interlace {interlace} $out"
        yield Recipe(f"png-{name}-{interlace.lower()}.png", make, kind=kind)
        options = "--interlace" if interlace == "PNG" else ""
        make = f"convert {source} $tmp.png && vips pngsave $tmp.png $out {options}"
        yield Recipe(f"png-vips-{name}-{interlace.lower()}.png", make, kind=kind)
    widened = ("PNG:BitDepth", "PNG:BackgroundColor")
    for bits, interlace in product((2, 4), ("none", "PNG")):
        make = f"convert gray.pgm -depth {bits} -interlace {interlace} -define png:bit-depth={bits}"
        name = f"png-gray{bits}-{interlace.lower()}.png"
        yield Recipe(name, f"{make} -define png:color-type=0 $out", kind="gray8", differs=widened)
    for interlace in ("none", "PNG"):
        make = f"convert gray.pgm -monochrome -interlace {interlace} -define png:color-type=0"
        name = f"png-gray1-{interlace.lower()}.png"
        yield Recipe(f"{name}", f"{make} $out", "color_mode", "gray1", ONE_BIT)
    keyed = ("PNG:ColorType", "PNG:Transparency")
    for source, kind in (("rgb.ppm", "rgba8"), ("rgb16.ppm", "rgba16")):
        make = f"pnmtopng -quiet -force -transparent rgb:00/00/00 {source} > $out"
        name = f"png-key-{source[:-4]}.png"
        yield Recipe(name, make, kind=kind, differs=keyed)
    for size in SIZES:
        make = f"convert coffee.ppm -crop {size}+3+5 +repage -define png:color-type=2 $out"
        yield Recipe(f"png-{size}.png", make)
    make = "convert rgb.ppm -depth 16 -define png:bit-depth=16 $out"
    yield Recipe("png-shallow16.png", make, kind="rgb16")


def _png_palettes() -> Iterator[Recipe]:
    """Palettes of each depth, with and without transparency."""
    for (bits, colours), interlace in product(((1, 2), (2, 4), (4, 16), (8, 256)), ("none", "PNG")):
        make = f"convert rgb.ppm +dither -colors {colours} -interlace {interlace}"
        name = f"png-palette{bits}-{interlace.lower()}.png"
        make = f"{make} -define png:bit-depth={bits} -define png:color-type=3 $out"
        yield Recipe(name, make, differs=TABLE_LOST)
    for bits in (2, 4, 8):
        make = (
            f"convert rgba.png $tmp.png && vips pngsave rgba.png $out --palette --bitdepth {bits}"
        )
        make = (
            f"convert rgba.pam $tmp.png && vips pngsave $tmp.png $out --palette --bitdepth {bits}"
        )
        yield Recipe(f"png-palette{bits}-alpha.png", make, kind="rgba8", differs=TABLE_LOST)


def _png_metadata() -> Iterator[Recipe]:
    """Every chunk that says something about an image."""
    plain = "convert rgb.ppm -strip $out"
    tags = {
        "exif": FULL_EXIF,
        "xmp": FULL_XMP,
        "camera": CAMERA,
        "iptc": FULL_IPTC,
        "text": ("-PNG:Title=A title", "-PNG:Author=Ana", "-PNG:Comment=äöü"),
        "time": ("-PNG:ModifyDate=2020:02:29 12:34:56",),
        "density": (
            "-PNG:PixelUnits#=1",
            "-PNG:PixelsPerUnitX=11811",
            "-PNG:PixelsPerUnitY=5906",
        ),
        "aspect": ("-PNG:PixelUnits#=0", "-PNG:PixelsPerUnitX=3", "-PNG:PixelsPerUnitY=2"),
        "gamma": ("-PNG:Gamma=1.8",),
        "primaries": (
            *("-PNG-cHRM:WhitePointX=0.3127", "-PNG-cHRM:WhitePointY=0.329"),
            *("-PNG-cHRM:RedX=0.64", "-PNG-cHRM:RedY=0.33"),
            *("-PNG-cHRM:GreenX=0.3", "-PNG-cHRM:GreenY=0.6"),
            *("-PNG-cHRM:BlueX=0.15", "-PNG-cHRM:BlueY=0.06"),
        ),
        "intent": ("-PNG:SRGBRendering#=1",),
        "all": (*FULL_EXIF, *FULL_XMP, *FULL_IPTC, "-PNG:Title=x", "-PNG:PixelsPerUnitX=9"),
    }
    for name, options in tags.items():
        yield Recipe(f"png-tags-{name}.png", plain, tags=options)
    for orientation in ORIENTATIONS:
        options = (f"-Orientation#={orientation}", "-Make=x")
        yield Recipe(f"png-turned-{orientation}.png", plain, tags=options)
    for profile in ("srgb", "adobe", "prophoto"):
        make = f"convert rgb.ppm -strip -profile {profile}.icc $out"
        yield Recipe(f"png-icc-{profile}.png", make, needs=(f"{profile}.icc",))
        make = f"convert rgb16.ppm -strip -profile {profile}.icc $out"
        yield Recipe(f"png-icc16-{profile}.png", make, kind="rgb16", needs=(f"{profile}.icc",))
    make = "convert gray.pgm -strip -profile gray.icc $out"
    yield Recipe("png-icc-gray.png", make, kind="gray8", needs=("gray.icc",))
    written = {
        "gamma": "-gamma 0.45455",
        "text": "-text $tmp.txt",
        "ztxt": "-ztxt $tmp.txt",
        "time": "-modtime '2020-02-29 12:34:56'",
        "phys": "-size '3 2 0'",
        "background": "-background rgb:ff/00/00",
        "interlaced": "-interlace",
        "histogram": "-hist -force",
    }
    words = "printf 'Title a title\\nAuthor Ana\\n' > $tmp.txt"
    for (name, written_with), bits in product(written.items(), ("", "16")):
        make = f"{words} && pnmtopng -quiet {written_with} rgb{bits}.ppm > $out"
        yield Recipe(f"png-pnm-{name}-rgb{bits}.png", make, kind=f"rgb{bits or 8}")
    signals = {
        "srgb": (bytes((1, 13, 0, 1)), "taken"),
        "p3": (bytes((12, 13, 0, 1)), "taken"),
        "pq": (bytes((9, 16, 0, 1)), "hdr"),
        "hlg": (bytes((9, 18, 0, 1)), "hdr"),
    }
    for (signal, (body, fate)), bits in product(signals.items(), ("", "16")):
        make = f"convert rgb{bits}.ppm -strip $out"
        name = f"png-cicp-{signal}{bits}.png"
        yield Recipe(name, make, fate, f"rgb{bits or 8}", edit=chunk(b"cICP", body))
    for name, kind, body in (
        ("sbit", b"sBIT", bytes((5, 6, 5))),
        ("light", b"cLLI", bytes(8)),
        ("private", b"prVT", b"something of somebody's"),
        ("private-safe", b"prVt", b"safe to copy"),
    ):
        yield Recipe(f"png-chunk-{name}.png", plain, edit=chunk(kind, body))
    yield Recipe(
        "png-cut.png", "convert rgb.ppm $tmp.png && head -c 3000 $tmp.png > $out", "truncated"
    )


def _webp() -> Iterator[Recipe]:
    """Lossy by quality, lossless, alpha, metadata, the container's forms."""
    rgba = "convert rgba.pam $tmp.png"
    for quality in (10, 30, 50, 75, 90, 100):
        make = f"cwebp -quiet -q {quality} rgb.ppm -o $out"
        yield Recipe(f"webp-q{quality}.webp", make, lossy=True)
        make = f"{rgba} && cwebp -quiet -q {quality} $tmp.png -o $out"
        yield Recipe(f"webp-alpha-q{quality}.webp", make, kind="rgba8", lossy=True)
    ways = {"sharp": "-sharp_yuv", "strong": "-strong -f 80", "simple": "-nostrong -segments 1"}
    ways |= {"photo": "-preset photo", "target": "-size 2000", "alpha-q": "-alpha_q 20"}
    for name, options in ways.items():
        make = f"{rgba} && cwebp -quiet {options} $tmp.png -o $out"
        yield Recipe(f"webp-{name}.webp", make, kind="rgba8", lossy=True)
    for level, options in product((0, 6, 9), ("", "-exact")):
        make = f"{rgba} && cwebp -quiet -z {level} {options} $tmp.png -o $out"
        yield Recipe(f"webp-lossless-alpha-{level}{options}.webp", make, kind="rgba8")
        make = f"cwebp -quiet -z {level} {options} coffee.ppm -o $out"
        yield Recipe(f"webp-lossless-{level}{options}.webp", make)
    for level in (20, 60):
        make = f"cwebp -quiet -near_lossless {level} rgb.ppm -o $out"
        yield Recipe(f"webp-near-{level}.webp", make)
    make = "convert rgb.ppm +dither -colors 9 $tmp.png && cwebp -quiet -lossless $tmp.png -o $out"
    yield Recipe("webp-few-colours.webp", make)
    for lossless in ("", "-lossless"):
        plain = f"cwebp -quiet {lossless} rgb.ppm -o $out"
        for name, tags in (
            ("exif", FULL_EXIF),
            ("xmp", FULL_XMP),
            ("camera", CAMERA),
            ("all", (*FULL_EXIF, *FULL_XMP)),
        ):
            yield Recipe(f"webp{lossless}-tags-{name}.webp", plain, tags=tags, lossy=not lossless)
        plain = f"cwebp -quiet {lossless} rgb.ppm -o $tmp.webp"
        for what, source in (("icc", "adobe.icc"), ("exif", "camera.exif"), ("xmp", "plain.xmp")):
            make = f"{plain} && webpmux -set {what} {source} $tmp.webp -o $out"
            needs = (source,) if what == "icc" else ()
            name = f"webp{lossless}-mux-{what}.webp"
            yield Recipe(name, make, lossy=not lossless, needs=needs)
    for orientation in ORIENTATIONS:
        make = "cwebp -quiet -lossless rgb.ppm -o $out"
        turned = (f"-Orientation#={orientation}", "-Make=x")
        yield Recipe(f"webp-turned-{orientation}.webp", make, tags=turned)
    for size in SIZES:
        crop = f"convert coffee.ppm -crop {size}+3+5 +repage $tmp.png"
        yield Recipe(
            f"webp-{size}.webp", f"{crop} && cwebp -quiet -q 80 $tmp.png -o $out", lossy=True
        )


def _tiff() -> Iterator[Recipe]:
    """Compression by depth by layout."""
    packings = {
        "none": "-c none",
        "lzw": "-c lzw",
        "lzw2": "-c lzw:2",
        "zip": "-c zip",
        "zip2": "-c zip:2",
        "packbits": "-c packbits",
        "zstd2": "-c zstd:2",
        "lzma": "-c lzma",
    }
    sources = {
        "rgb": ("rgb.ppm", "rgb8"),
        "gray": ("gray.pgm", "gray8"),
        "rgb16": ("rgb16.ppm", "rgb16"),
        "gray16": ("gray16.pgm", "gray16"),
    }
    for (packing, options), (name, (source, kind)) in product(packings.items(), sources.items()):
        make = f"convert {source} -compress None $tmp.tif && tiffcp {options} $tmp.tif $out"
        yield Recipe(f"tiff-{name}-{packing}.tif", make, kind=kind)
    layouts = {
        "strips": "-s -r 16",
        "tiles": "-t -w 32 -l 32",
        "tiles-lzw": "-t -w 16 -l 48 -c lzw:2",
        "planes": "-p separate",
        "planes-zip": "-p separate -c zip:2",
        "plane-tiles": "-p separate -t -w 32 -l 32 -c lzw",
        "big-endian": "-B",
        "big-endian-lzw": "-B -c lzw:2",
        "bigtiff": "-8",
        "bigtiff-be": "-8 -B -c zip",
        "lsb": "-f lsb2msb -c lzw",
    }
    for (layout, options), name in product(layouts.items(), ("rgb", "rgb16")):
        make = f"convert {name}.ppm -compress None $tmp.tif && tiffcp {options} $tmp.tif $out"
        if name == "rgb16" and "separate" in options:  # tiffcp: 8 bits only
            packing = "Zip" if "zip" in options else "None"
            make = f"convert rgb16.ppm -interlace plane -compress {packing} $out"
        kind = "rgb8" if name == "rgb" else "rgb16"
        yield Recipe(f"tiff-{name}-{layout}.tif", make, kind=kind)
    for name, options in (("jpeg", "jpeg:90"), ("jpeg-rgb", "jpeg:r:90")):
        plain = "convert rgb.ppm -compress None $tmp.tif"
        make = f"{plain} && tiffcp -r 16 -c {options} $tmp.tif $out"
        full = ("IFD0:YCbCrSubSampling",)  # said, where saying nothing means the same
        yield Recipe(f"tiff-{name}.tif", make, lossy=True, floor_db=46, differs=full)
        make = f"{plain} && tiffcp -t -w 32 -l 32 -c {options} $tmp.tif $out"
        yield Recipe(f"tiff-{name}-tiles.tif", make, lossy=True, floor_db=46, differs=full)
    for name in ("webp", "lerc"):
        make = f"convert rgb.ppm -compress None $tmp.tif && tiffcp -c {name} $tmp.tif $out"
        yield Recipe(f"tiff-{name}.tif", make, "format_not_allowed")
    make = "convert rgb.ppm $tmp.png && vips tiffsave $tmp.png $out --tile"
    copies = ("IFD[1-9].*", "SubIFD.*", "IFD0:SampleFormat")  # the smaller ones are not kept
    for name, options in (("", "--pyramid"), ("-sub", "--pyramid --subifd")):
        pyramid = f"{make} {options} --tile-width 16 --tile-height 16"
        yield Recipe(f"tiff-pyramid{name}.tif", pyramid, differs=copies)


def _tiff_depths() -> Iterator[Recipe]:
    """What a sample can be: taken where it is 8, 16 or 32 (float) bits of gray or RGB."""
    for alpha, bits in product(("associated", "unassociated"), ("", "16")):
        make = f"convert rgba{bits}.pam -define tiff:alpha={alpha} $out"
        kind = f"rgba{bits or 8}"
        yield Recipe(f"tiff-rgba{bits}-{alpha}.tif", make, kind=kind)
        make = f"convert ga{bits}.pam -define tiff:alpha={alpha} $out"
        yield Recipe(f"tiff-ga{bits}-{alpha}.tif", make, kind=f"graya{bits or 8}")
    bits_lost = ("IFD0:BitsPerSample", "IFD0:PhotometricInterpretation", ".*:Compression")
    for name, options in (
        ("none", "-compress None"),
        ("g3", "-compress Fax"),
        ("g4", "-compress Group4"),
        ("lzw", "-compress LZW"),
        ("white", "-compress None -define quantum:polarity=min-is-white"),
    ):
        make = f"convert gray.pgm -monochrome -depth 1 -type Bilevel {options} $out"
        yield Recipe(f"tiff-bilevel-{name}.tif", make, "color_mode", "gray1", ONE_BIT)
    make = "convert gray.pgm -depth 4 $out"
    yield Recipe("tiff-gray4.tif", make, "taken|bit_depth|color_mode", "gray8", differs=bits_lost)
    for bits in ("", "16"):
        make = f"convert gray{bits}.pgm -define quantum:polarity=min-is-white $out"
        yield Recipe(f"tiff-white{bits}.tif", make, kind=f"gray{bits or 8}")
    table = ("IFD0:ColorMap", *bits_lost, "IFD0:SamplesPerPixel")
    for colours in (2, 16, 256):
        make = f"convert rgb.ppm +dither -colors {colours} -type Palette $out"
        # Its palette has 16 bits for each colour.
        yield Recipe(f"tiff-palette{colours}.tif", make, lossy=True, floor_db=54, differs=table)
    cmyk = "convert rgb.ppm -profile srgb.icc -profile cmyk.icc"
    icc = ("srgb.icc", "cmyk.icc")
    yield Recipe("tiff-cmyk-icc.tif", f"{cmyk} $out", "color_mode", "cmyk8", CMYK, needs=icc)
    make = "convert rgb.ppm -colorspace CMYK $out"
    yield Recipe("tiff-cmyk.tif", make, "color_mode", "cmyk8", NO_PROFILE)
    make = f"{cmyk} -depth 16 $out"
    yield Recipe("tiff-cmyk16-icc.tif", make, "color_mode|bit_depth", "cmyk16", needs=icc)
    casts = {"float": 6, "double": 8, "int": 5, "uint": 4, "complex": 7, "short": 3, "char": 1}
    for name in casts:
        make = f"vips cast rgb16.ppm $out {name}"
        fate = "color_mode|bit_depth" if name in {"complex", "short", "char"} else "bit_depth"
        if name in {"float", "double"}:
            fate = "taken"
        yield Recipe(f"tiff-{name}.tif", make, fate, kind="rgb64" if name == "double" else "rgb32")
    for space, fate in (
        ("lab", "color_mode|bit_depth"),
        ("labs", "color_mode|bit_depth"),
        ("xyz", "color_mode|bit_depth"),
    ):
        make = f"vips colourspace rgb.ppm $tmp.v {space} && vips tiffsave $tmp.v $out"
        yield Recipe(f"tiff-{space}.tif", make, fate)
    make = "convert rgb.ppm -colorspace Lab $out"
    yield Recipe("tiff-lab-im.tif", make, "color_mode")
    for source, kind in product(("gray16.pgm", "rgb16.ppm"), ("float", "double")):
        make = (
            f"vips cast {source} $tmp.v {kind} && vips tiffsave $tmp.v $out --compression deflate"
        )
        depth = source[:-6] + ("32" if kind == "float" else "64")
        name = f"tiff-{source[:-6]}-{kind}-zip.tif"
        yield Recipe(name, make, kind=depth, differs=("IFD0:Predictor",))
    make = "convert rgb16.ppm -depth 12 $out"
    yield Recipe("tiff-rgb12.tif", make, kind="rgb16", differs=bits_lost)
    make = "convert rgb.ppm coffee.ppm rocket.ppm $out"
    yield Recipe("tiff-pages.tif", make, "pages", fates=FRAMES, frames=3)
    make = "convert rgb.ppm gray.pgm -compress LZW $out"
    yield Recipe("tiff-pages-mixed.tif", make, "pages", fates=FRAMES, frames=2)
    make = "convert rgb16.ppm rgb16.ppm -compress Zip $out"
    yield Recipe("tiff-pages16.tif", make, "pages", "rgb16", FRAMES, frames=2)
    yield Recipe(
        "tiff-cut.tif",
        "convert rgb.ppm $tmp.tif && head -c 9000 $tmp.tif > $out",
        "truncated|damaged",
    )


def _tiff_metadata() -> Iterator[Recipe]:
    """Directories within directories, and every block that other formats have as well."""
    tags = {
        "exif": FULL_EXIF,
        "xmp": FULL_XMP,
        "iptc": FULL_IPTC,
        "all": (*FULL_EXIF, *FULL_XMP, *FULL_IPTC),
        "dates": ("-ModifyDate=2020:02:29 12:34:56", "-Software=a program", "-HostComputer=h"),
        "document": ("-DocumentName=a", "-PageName=b", "-ImageDescription=äöü", "-PageNumber=0 1"),
        "photoshop": ("-Photoshop:URL=http://example.org/", *FULL_IPTC),
        "density": ("-XResolution=300", "-YResolution=150", "-ResolutionUnit#=3"),
    }
    for (name, options), bits in product(tags.items(), ("", "16")):
        make = f"convert rgb{bits}.ppm -compress LZW $out"
        yield Recipe(f"tiff-tags-{name}{bits}.tif", make, tags=options, kind=f"rgb{bits or 8}")
    for orientation, bits in product(ORIENTATIONS, ("", "16")):
        make = f"convert rgb{bits}.ppm -compress LZW $out"
        options = (f"-Orientation#={orientation}", "-Make=x")
        name = f"tiff-turned-{orientation}{'-16' if bits else ''}.tif"
        yield Recipe(name, make, tags=options, kind=f"rgb{bits or 8}")
    make = "convert rgb.ppm $tmp.tif && tiffcp -B $tmp.tif $out"
    yield Recipe("tiff-tags-big-endian.tif", make, tags=(*FULL_EXIF, *FULL_XMP))
    make = "convert rgb.ppm $tmp.tif && tiffcp -8 $tmp.tif $out"
    yield Recipe("tiff-tags-bigtiff.tif", f"{make} && tiffset -s 315 Ana $out")
    for profile, bits in product(("adobe", "prophoto"), ("", "16")):
        make = f"convert rgb{bits}.ppm -profile {profile}.icc $out"
        name = f"tiff-icc{bits}-{profile}.tif"
        yield Recipe(name, make, kind=f"rgb{bits or 8}", needs=(f"{profile}.icc",))
    for tag, value in (
        (269, "name"),
        (285, "page"),
        (305, "software"),
        (315, "artist"),
        (33432, "copyright"),
    ):
        make = f"convert rgb.ppm $out && tiffset -s {tag} {value} $out"
        yield Recipe(f"tiff-set-{tag}.tif", make)


def _avif() -> Iterator[Recipe]:
    """Sampling by depth, alpha, signals of colour, turned by the container."""
    png = "convert rgb.ppm -strip $tmp.png"
    for bits, sampling in product((8, 10, 12), ("444", "422", "420", "400")):
        make = f"{png} && avifenc -s 10 -d {bits} -y {sampling} $tmp.png $out"
        kind = f"gray{bits}" if sampling == "400" else f"rgb{bits}"
        profile = ("QuickTime:CompatibleBrands",) if bits == 12 else ()
        name = f"avif-{bits}-{sampling}.avif"
        yield Recipe(name, make, kind=kind, lossy=True, differs=profile)
    rgba = "convert rgba.pam $tmp.png"
    for quality, extra in product((0, 20, 45), ("", "-p")):
        make = f"{rgba} && avifenc -s 10 --min {quality} --max {quality} {extra} $tmp.png $out"
        name = f"avif-alpha-q{quality}{extra}.avif"
        straight = ("QuickTime:Unknown_prem",)  # colours are written as they are, not multiplied
        yield Recipe(name, make, kind="rgba8", lossy=True, floor_db=37, differs=straight)
    # A file does not tell its quality: all are written at one, which loses something of the best.
    for options in ("-l", "-l -y 444", "-r limited", "--autotiling", "-y 420"):
        make = f"{png} && avifenc -s 10 {options} $tmp.png $out"
        name = f"avif{options.replace(' ', '')}.avif"
        coded = ("QuickTime:MatrixCoefficients", "QuickTime:QuickTime_ColorRep_0x000a")
        yield Recipe(name, make, lossy=True, floor_db=36, differs=coded)
    for name, cicp, fate in (
        ("srgb", "1/13/6", "taken"),
        ("p3", "12/13/6", "taken"),
        ("bt709", "1/1/1", "taken"),
        ("pq", "9/16/9", "hdr"),
        ("hlg", "9/18/9", "hdr"),
    ):
        make = f"{png} && avifenc -s 10 --cicp {cicp} $tmp.png $out"
        matrix = ("QuickTime:MatrixCoefficients",)  # how the encoder codes, not what colours mean
        yield Recipe(f"avif-cicp-{name}.avif", make, fate, lossy=True, differs=matrix)
        make = f"{png} && avifenc -s 10 -d 10 --cicp {cicp} $tmp.png $out"
        made = f"avif-cicp10-{name}.avif"
        yield Recipe(made, make, fate, "rgb10", lossy=True, differs=matrix)
    for what, source in (("icc", "adobe.icc"), ("exif", "camera.exif"), ("xmp", "plain.xmp")):
        make = f"{png} && avifenc -s 10 --{what} {source} $tmp.png $out"
        needs = (source,) if what == "icc" else ()
        yield Recipe(f"avif-{what}.avif", make, lossy=True, needs=needs)
    make = (
        f"{png} && avifenc -s 10 --icc adobe.icc --exif camera.exif --xmp plain.xmp $tmp.png $out"
    )
    yield Recipe("avif-all.avif", make, lossy=True, needs=("adobe.icc",))
    yield Recipe(
        "avif-tags.avif",
        f"{png} && avifenc -s 10 $tmp.png $out",
        tags=(*FULL_EXIF, *FULL_XMP),
        lossy=True,
    )
    for name in ("irot 1", "irot 2", "irot 3", "imir 0", "imir 1"):
        make = f"{png} && avifenc -s 10 --{name} $tmp.png $out"
        yield Recipe(f"avif-{name.replace(' ', '-')}.avif", make, lossy=True)
        # What EXIF says besides is a second opinion, which viewers do not follow.
        make = f"{png} && avifenc -s 10 --{name} --exif camera.exif $tmp.png $out"
        turned = f"avif-camera-{name.replace(' ', '-')}.avif"
        yield Recipe(turned, make, lossy=True, tags=("-IFD0:Orientation#=8",))
    make = f"{png} && avifenc -s 10 --pasp 2,1 $tmp.png $out"
    yield Recipe("avif-stretched.avif", make, "format_not_allowed")
    make = f"{png} && avifenc -s 10 --grid 1x1 $tmp.png $out"
    yield Recipe("avif-grid.avif", make, lossy=True)


def _bmp() -> Iterator[Recipe]:
    """Bitmaps of every depth, with run lengths, of both directions and headers."""
    no_density = ("File:PixelsPerMeter[XY]",)
    headers: dict[int, tuple[str, ...]] = {2: (*BMP_HEADER, *no_density), 3: BMP_HEADER}
    for version in (2, 3, 4):
        kind = f"-define bmp:format=bmp{version}"
        header = headers.get(version, BMP_HEADER)
        for name, make in (
            ("rgb", f"convert rgb.ppm {kind} $out"),
            ("coffee", f"convert coffee.ppm {kind} $out"),
            ("palette", f"convert rgb.ppm -colors 200 {kind} -compress None $out"),
            ("16-colours", f"convert rgb.ppm -colors 12 {kind} -compress None $out"),
            ("gray", f"convert gray.pgm {kind} -compress None $out"),
        ):
            yield Recipe(f"bmp{version}-{name}.bmp", make, differs=header)
    make = "convert gray.pgm -compress RLE $out"
    yield Recipe("bmp-rle.bmp", make, differs=BMP_HEADER)
    make = "convert gray.pgm -monochrome $out"
    yield Recipe("bmp-bilevel.bmp", make, "color_mode", "gray1", ONE_BIT)
    make = "convert rgba.pam -define bmp:format=bmp4 $out"
    yield Recipe("bmp-rgba.bmp", make, kind="rgba8", differs=BMP_HEADER)
    for name in ("RGB565", "ARGB4444", "ARGB1555"):
        make = f"convert rgb.ppm -define bmp:subtype={name} $out"
        # Readers differ in how 5 bits become 8.
        yield Recipe(f"bmp-{name.lower()}.bmp", make, lossy=True, floor_db=50, differs=BMP_HEADER)
    make = "convert rgb.ppm -flip $out"
    upside = (*BMP_HEADER, "File:ImageHeight")
    yield Recipe("bmp-top-down.bmp", make, edit=top_down, differs=upside)
    make = "convert rgb.ppm -density 300 -units PixelsPerInch $out"
    yield Recipe("bmp-density.bmp", make, differs=BMP_HEADER)


def _pnm() -> Iterator[Recipe]:
    """The plain formats: raw and as text, other largest values, comments."""
    for name, source, kind in (("ppm", "rgb.ppm", "rgb8"), ("pgm", "gray.pgm", "gray8")):
        yield Recipe(f"raw-{name}.{name}", f"cp {source} $out", kind=kind)
        make = f"convert {source} -compress None $out"
        yield Recipe(f"plain-{name}.{name}", make, kind=kind)
        make = f"convert {source} -set comment 'a comment' $out"
        yield Recipe(f"comment-{name}.{name}", make, kind=kind)
        make = f"pamdepth 15 {source} > $out"
        yield Recipe(f"most15-{name}.{name}", make, kind=kind.replace("8", "4"))
        make = f"pamdepth 1023 {source} > $out"
        yield Recipe(f"most1023-{name}.{name}", make, kind=kind.replace("8", "10"))
        make = f"convert {source} -depth 16 $out"
        yield Recipe(f"deep-{name}.{name}", make, kind=kind.replace("8", "16"))
    yield Recipe("deep16-ppm.ppm", "cp rgb16.ppm $out", kind="rgb16")
    for options in ("", "-compress None"):
        make = f"convert gray.pgm -monochrome {options} $out"
        name = "plain" if options else "raw"
        yield Recipe(f"{name}-pbm.pbm", make, "color_mode", "gray1", ONE_BIT)
    yield Recipe("alpha-pam.ppm", "cp rgba.pam $out", "format_not_allowed")
    yield Recipe("float-pfm.ppm", "convert rgb.ppm -flip pfm:$out", "format_not_allowed")
    make = "cat rgb.ppm rgb.ppm > $out"
    yield Recipe("two-ppm.ppm", make, "pages")
    for size in SIZES:
        make = f"convert coffee.ppm -crop {size}+3+5 +repage $out"
        yield Recipe(f"size-{size}.ppm", make)


def _gif() -> Iterator[Recipe]:
    """Stills: both versions, transparent, interlaced, with comments."""
    table = GIF_TABLE
    for colours in (2, 16, 64, 256):
        make = f"convert rgb.ppm -colors {colours} $out"
        yield Recipe(f"gif-{colours}.gif", make, differs=table)
    yield Recipe("gif-87a.gif", "convert rgb.ppm gif87:$out", differs=table)
    yield Recipe("gif-interlaced.gif", "convert rgb.ppm -interlace GIF $out", differs=table)
    make = "convert rgba.pam -channel A -threshold 50% +channel $out"
    yield Recipe("gif-transparent.gif", make, kind="rgba8", differs=table)
    make = "convert rgb.ppm -set comment 'a comment' $out"
    yield Recipe("gif-comment.gif", make, differs=table)
    yield Recipe("gif-gray.gif", "convert gray.pgm $out", differs=table)
    yield Recipe(
        "gif-tags.gif", "convert rgb.ppm $out", tags=("-Comment=x", *FULL_XMP), differs=table
    )
    make = "convert rgb.ppm $tmp.gif && gifsicle -O3 --careful $tmp.gif -o $out"
    yield Recipe("gif-sicle.gif", make, differs=table)
    make = "vips gifsave rgb.ppm $out"
    yield Recipe("gif-vips.gif", make, differs=table)


def _animations() -> Iterator[Recipe]:
    """Several frames: refused unless a policy says otherwise."""
    table = GIF_TABLE
    three = "\\( rgb.ppm -roll +0+0 \\) \\( rgb.ppm -roll +9+0 \\) \\( rgb.ppm -roll +0+9 \\)"
    boxes = "\\( rgb.ppm -crop 20x20+30+20 -negate \\) \\( rgb.ppm -crop 30x10+5+40 -negate \\)"
    for loop, disposal in product((0, 1, 5), ("None", "Background", "Previous")):
        first = f"convert -delay 12 -loop {loop} -dispose None rgb.ppm"
        make = f"{first} -dispose {disposal} {boxes} $out"
        name = f"gif-animated-{loop}-{disposal.lower()}.gif"
        yield Recipe(name, make, "animated", fates=FRAMES, frames=3, differs=table)
    make = "convert -delay 5 rgb.ppm -delay 50 \\( rgb.ppm -flip \\) -delay 7 rgb.ppm $out"
    yield Recipe("gif-delays.gif", make, "animated", fates=FRAMES, frames=3, differs=table)
    holes = "-alpha on -fuzz 30% -transparent white"
    make = f"convert -dispose Background -delay 9 -loop 0 {three} {holes} $out"
    yield Recipe(
        "gif-animated-transparent.gif", make, "animated", "rgba8", FRAMES, frames=3, differs=table
    )
    pngs = f"convert {three} $tmp-%d.png"
    for name, options in (
        ("lossless", "-lossless -d 120"),
        ("lossy", "-lossy -q 70 -d 40"),
        ("looped", "-loop 7 -lossless -d 500"),
        ("mixed", "-mixed -d 90"),
    ):
        make = f"{pngs} && img2webp {options} $tmp-0.png $tmp-1.png $tmp-2.png -o $out"
        lossy = name in {"lossy", "mixed"}
        yield Recipe(
            f"webp-animated-{name}.webp", make, "animated", fates=FRAMES, frames=3, lossy=lossy
        )
    gif = f"convert -delay 12 -loop 3 rgb.ppm {boxes} $tmp.gif"
    for name, options in (("", "-q 80 -lossy"), ("-exact", ""), ("-mixed", "-mixed -q 60")):
        make = f"{gif} && gif2webp -quiet {options} $tmp.gif -o $out"
        yield Recipe(
            f"webp-from-gif{name}.webp",
            make,
            "animated",
            fates=FRAMES,
            frames=3,
            lossy=name != "-exact",
        )
    make = f"{pngs} && apngasm $out $tmp-0.png $tmp-1.png $tmp-2.png"
    for name, options in (("plain", "1 10"), ("looped", "3 20 -l4"), ("skipped", "1 5 -f")):
        apng = f"{make} {options}"
        keyed = ("PNG:ColorType", "PNG:Transparency")
        made = f"apng-{name}.png"
        yield Recipe(made, apng, "animated", fates=FRAMES, frames=3, differs=keyed)
    y4m = f"{pngs} && avifenc -s 10 --fps 10 $tmp-0.png $tmp-1.png $tmp-2.png $out"
    # Its clock ticks otherwise, and the container tells of tracks; durations have their own test.
    clock = ("QuickTime:.*", "Track[12]:.*")
    yield Recipe(
        "avif-sequence.avif", y4m, "animated", fates=FRAMES, frames=3, lossy=True, differs=clock
    )
    apng = f"{pngs} && apngasm $tmp.png $tmp-0.png $tmp-1.png $tmp-2.png 1 10"
    make = f"{apng} && cjxl --quiet -e 3 -d 0 $tmp.png $out"
    yield Recipe(
        "jxl-animated.jxl", make, "animated", fates={"frames=all": "taken|animated"}, frames=3
    )


def _heic() -> Iterator[Recipe]:
    """What a telephone writes."""
    png = "convert rgb.ppm -strip $tmp.png"
    for quality, sampling in product((30, 60, 95), ("420", "422", "444")):
        options = f"-q {quality} -p chroma={sampling} -p preset=ultrafast"
        make = f"{png} && heif-enc {options} $tmp.png -o $out"
        yield Recipe(f"heic-q{quality}-{sampling}.heic", make, lossy=True, differs=HEIC_CODED)
    make = f"{png} && heif-enc -L -p chroma=444 --matrix_coefficients=0 $tmp.png -o $out"
    yield Recipe("heic-lossless.heic", make, lossy=True, differs=HEIC_CODED)
    make = "convert rgba.pam $tmp.png && heif-enc -q 80 $tmp.png -o $out"
    # Only what is lossless as a whole, and so of full colour, has an exact alpha.
    full = (*HEIC_CODED, "QuickTime:ChromaFormat", "QuickTime:ImageSpatialExtent")
    yield Recipe("heic-alpha.heic", make, kind="rgba8", lossy=True, differs=full)
    make = "convert gray.pgm $tmp.png && heif-enc -q 80 $tmp.png -o $out"
    yield Recipe("heic-gray.heic", make, kind="gray8", lossy=True, differs=HEIC_CODED)
    for bits in (10, 12):
        make = f"convert rgb16.ppm $tmp.png && heif-enc -q 80 -b {bits} $tmp.png -o $out"
        kind = f"rgb{bits}"
        yield Recipe(f"heic-{bits}.heic", make, kind=kind, lossy=True, differs=HEIC_CODED)
    make = (
        "cjpeg rgb.ppm > $tmp.jpg && exiftool -q -overwrite_original '-exif<=camera.exif' $tmp.jpg"
    )
    yield Recipe(
        "heic-camera.heic", f"{make} && heif-enc $tmp.jpg -o $out", lossy=True, differs=HEIC_CODED
    )
    yield Recipe(
        "heic-tags.heic",
        f"{png} && heif-enc $tmp.png -o $out",
        tags=(*FULL_EXIF, *FULL_XMP),
        lossy=True,
        differs=HEIC_CODED,
    )
    make = "convert rgb.ppm -strip -profile adobe.icc $tmp.png && heif-enc $tmp.png -o $out"
    yield Recipe("heic-icc.heic", make, lossy=True, needs=("adobe.icc",), differs=HEIC_CODED)
    further = (*HEIC_CODED, "Meta:.*", "QuickTime:.*")  # they are not kept
    yield Recipe(
        "heic-thumbnail.heic",
        f"{png} && heif-enc -t 40 $tmp.png -o $out",
        lossy=True,
        differs=further,
    )
    make = f"{png} && convert coffee.ppm $tmp.2.png && heif-enc $tmp.png $tmp.2.png -o $out"
    yield Recipe("heic-two.heic", make, "taken", lossy=True, differs=further)


def _jxl() -> Iterator[Recipe]:
    """Lossless, lossy, a JPEG repacked, deep."""
    # There is a box around the data where there is metadata, and only there.
    boxes = ("File:FileType", "File:Image(Width|Height)", "Jpeg2000:.*")
    png = "convert rgb.ppm -strip $tmp.png"
    for name, options, lossy in (
        ("lossless", "-d 0", False),
        ("d1", "-d 1", True),
        ("d4", "-d 4", True),
        ("modular", "-m 1 -d 1", True),
        ("container", "-d 0 --container=1", False),
        ("progressive", "-p -d 1", True),
    ):
        make = f"{png} && cjxl --quiet -e 3 {options} $tmp.png $out"
        yield Recipe(f"jxl-{name}.jxl", make, lossy=lossy, differs=boxes)
    for name, source, kind in (
        ("gray", "gray.pgm", "gray8"),
        ("rgba", "rgba.pam", "rgba8"),
        ("rgb16", "rgb16.ppm", "rgb16"),
    ):
        make = f"convert {source} -strip $tmp.png && cjxl --quiet -e 3 -d 0 $tmp.png $out"
        yield Recipe(f"jxl-{name}.jxl", make, kind=kind)
    make = "cjpeg -quality 90 rgb.ppm > $tmp.jpg && cjxl --quiet -e 3 $tmp.jpg $out"
    yield Recipe("jxl-from-jpeg.jxl", make, lossy=True, differs=boxes)
    make = f"{png} && cjxl --quiet -e 3 -d 0 $tmp.png $out"
    yield Recipe("jxl-tags.jxl", make, tags=(*FULL_EXIF, *FULL_XMP), differs=boxes)
    make = (
        "convert rgb.ppm -strip -profile adobe.icc $tmp.png && cjxl --quiet -e 3 -d 0 $tmp.png $out"
    )
    yield Recipe("jxl-icc.jxl", make, needs=("adobe.icc",))


def _strangers() -> Iterator[Recipe]:
    """Files that are no images of ours under names that are."""
    no = "format_not_allowed"
    yield Recipe("stranger-eps.jpg", "printf '%%!PS-Adobe-3.0 EPSF-3.0\n' > $out", no)
    yield Recipe("stranger-pdf.png", "printf '%%PDF-1.4\n' > $out", no)
    yield Recipe("stranger-psd.tif", "convert rgb.ppm psd:$out", no)
    yield Recipe("stranger-jp2.jpg", "convert rgb.ppm jp2:$out", no)
    yield Recipe("stranger-ico.png", "convert rgb.ppm ico:$out", no)
    yield Recipe("stranger-exr.tif", r"printf '\166\057\061\001\002\000\000\000' > $out", no)
    yield Recipe("stranger-tga.jpg", "convert rgb.ppm tga:$out", "not_an_image|format_not_allowed")
    yield Recipe(
        "stranger-svg.png", "printf '<svg xmlns=\"http://www.w3.org/2000/svg\"/>' > $out", no
    )
    yield Recipe("stranger-text.jpg", "printf 'no picture' > $out", "not_an_image")
    yield Recipe("stranger-empty.png", "true > $out", "empty")
