"""`inspect`: what it says of a file is so, in every container, and its exit status too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageFilter
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from skimage import data

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.imaging.metadata import xmp
from sharpend.imaging.metadata.provenance import Provenance
from tests.cameras import THUMBNAIL, Camera

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RECORD = Provenance("lite-x4", "1" * 64, "2" * 64, "3" * 64, "1.2.0")
PACKET = xmp.with_record(b"", RECORD.fields())
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x06\x1c\x02\x50\0\1a"
NOTHING = {
    "exif_bytes": 0,
    "xmp_bytes": 0,
    "iptc": False,
    "icc": "",
    "icc_bytes": 0,
    "dpi": None,
    "comment": "",
    "thumbnail_bytes": 0,
    "orientation": 1,
    "gps": False,
    "provenance": None,
}


@pytest.fixture(autouse=True)
def surroundings(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside."""
    monkeypatch.chdir(bare.parent)


def exif(*, gps: bool = False) -> bytes:
    """EXIF that turns the image, with or without a position."""
    data = Image.Exif()
    data[274], data[305] = 6, "firmware"
    if gps:
        data[0x8825] = {1: "N"}
    return data.tobytes()


def save(name: str, mode: str = "RGB", **options: object) -> str:
    """An image of 40 x 24 pixels under this name."""
    Image.new(mode, (40, 24)).save(name, None, **options)
    return name


def inspected(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status of `inspect --json`, and what it says of each file."""
    status = main(["inspect", "--json", *names])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_a_plain_picture_carries_nothing(capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    """Its size, its channels, and no made-up metadata."""
    status, (told,) = inspected(capsys, save(f"a.{suffix}"))
    assert status == ExitCode.OK
    assert told == {
        "file": f"a.{suffix}",
        "format": {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()),
        "width": 40,
        "height": 24,
        "bits": 8,
        "channels": 3,
        "alpha": False,
        "frames": 1,
        "carries": NOTHING,
        "sharpness": None,
        "passed_on": False,
        "notes": [],
        "losses": [],
        "taken": True,
    }


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("gps", [False, True])
def test_metadata_is_found_in_every_container(
    capsys: pytest.CaptureFixture[str], suffix: str, *, gps: bool
) -> None:
    """EXIF, XMP, ICC, orientation, position and our record, wherever the container keeps them."""
    info, tags = PngInfo(), ImageFileDirectory_v2()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=gps)
    tags.tagtype[700] = 1
    tags[700], tags[274], tags[0x8769] = PACKET, 6, {36867: "2024:05:01 10:00:00"}
    if gps:
        tags[0x8825] = {1: "N"}
    options: dict[str, object] = {"exif": exif(gps=gps), "xmp": PACKET, "pnginfo": info}
    if suffix == "tif":
        options = {"tiffinfo": tags}
    _, (told,) = inspected(capsys, save(f"a.{suffix}", "RGB", icc_profile=ICC, **options))
    carries = told["carries"]
    assert carries.pop("exif_bytes") > 0
    assert carries == {
        **{name: value for name, value in NOTHING.items() if name != "exif_bytes"},
        "xmp_bytes": len(PACKET),
        "icc": "sRGB built-in",
        "icc_bytes": len(ICC),
        "orientation": 6,
        "gps": gps,
        "provenance": {
            "model": "lite-x4",
            "model_digest": "1" * 64,
            "options_digest": "2" * 64,
            "input_digest": "3" * 64,
            "version": "1.2.0",
        },
    }


@pytest.mark.parametrize(("unit", "factor"), [(2, 1), (3, 2.54)])
def test_resolution_and_iptc_of_a_tiff(
    capsys: pytest.CaptureFixture[str], unit: int, factor: float
) -> None:
    """Per inch, whatever the unit."""
    tags = ImageFileDirectory_v2()
    tags[282], tags[283], tags[296] = IFDRational(100), IFDRational(401, 2), unit
    tags.tagtype[33723] = 7
    tags[33723] = b"\x1c\x02\x50\0\2me"
    _, (told,) = inspected(capsys, save("a.tif", tiffinfo=tags))
    assert told["carries"]["dpi"] == pytest.approx([100 * factor, 200.5 * factor])
    assert told["carries"]["iptc"]


def jpeg_with_everything() -> str:
    """A JPEG with a comment, IPTC, a position in XMP, and a thumbnail."""
    packet = b'<a xmlns:e="e" e:GPSLatitude="1"/>'
    segment = b"\xff\xed" + (len(IPTC) + 2).to_bytes(2) + IPTC
    return save(
        "a.jpg",
        exif=Camera().block(gps=False),
        xmp=packet,
        dpi=(72, 96),
        comment=b"hi\x1b",
        extra=segment,
    )


def test_people_read_it_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One indented block per file; control characters are spelled out."""
    assert main(["inspect", jpeg_with_everything(), save("b.png", "LA")]) == ExitCode.OK
    first, second = capsys.readouterr().out.split("\nb.png")
    assert first.startswith("a.jpg: would be sharpened\n  JPEG, 40 x 24, 8 bits, RGB, no alpha\n")
    for line in ("IPTC: yes", "position (GPS): yes", "orientation: 6", "comment: hi\\x1b"):
        assert f"\n  {line}" in first
    assert "\n  resolution: 72 x 96 dpi" in first
    assert f"\n  thumbnail: {len(THUMBNAIL)} bytes" in first
    assert second == (
        ": would be sharpened\n  PNG, 40 x 24, 8 bits, gray, with alpha\n"
        "  position (GPS): no\n  orientation: 1\n"
    )


@pytest.mark.parametrize(("blur_px", "word"), [(0, "sharp"), (0.7, "slightly soft"), (2, "soft")])
def test_how_sharp_it_is(capsys: pytest.CaptureFixture[str], blur_px: float, word: str) -> None:
    """A number, and a word for it."""
    picture = Image.fromarray(data.astronaut()[:256, 100:356])  # type: ignore[no-untyped-call]
    picture.filter(ImageFilter.GaussianBlur(blur_px)).save("a.png")
    _, (told,) = inspected(capsys, "a.png")
    assert (told["passed_on"], told["notes"]) == (False, [])
    main(["inspect", "a.png"])
    assert f"\n  sharpness: {told['sharpness']:.2f}, {word}\n" in capsys.readouterr().out


def test_what_would_pass_untouched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `skip_sharp` a sharp image would be passed on, unless a policy is against it."""
    monkeypatch.setenv("SHARPEND_MODEL__SKIP_SHARP", "true")
    Image.fromarray(data.astronaut()[:256, 100:356]).save("a.png")  # type: ignore[no-untyped-call]
    _, (told,) = inspected(capsys, "a.png")
    assert told["passed_on"]
    main(["inspect", "a.png"])
    assert capsys.readouterr().out.startswith("a.png: would be copied\n")
    monkeypatch.setenv("SHARPEND_PICTURES__PROVENANCE", "true")
    _, (told,) = inspected(capsys, "a.png")
    assert not told["passed_on"]
    assert "pictures.provenance = true changes its bytes" in told["notes"][0]


def test_our_record_is_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Which version and model made it, of what."""
    main(["inspect", save("a.jpg", xmp=PACKET)])
    told = capsys.readouterr().out
    assert "\n  made by sharpend 1.2.0 with lite-x4\n" in told
    assert f"  input {'3' * 64}\n" in told


def test_a_refusal_is_reported_with_its_reason_and_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the limits that are set; exit 65, and the other files are reported all the same."""
    monkeypatch.setenv("SHARPEND_LIMITS__MAX_MEGAPIXELS", "0.0001")
    path = save("a.png")
    status, (refused, other) = inspected(capsys, path, path)
    assert status == ExitCode.SOME_QUARANTINED
    assert refused == other
    assert (refused["format"], refused["width"], refused["height"]) == ("PNG", 40, 24)
    assert (refused["taken"], refused["reason"]) == (False, "too_many_pixels")
    assert refused["setting"] == "limits.max_megapixels"
    assert main(["inspect", path]) == ExitCode.SOME_QUARANTINED
    told = capsys.readouterr().out
    assert told.startswith("a.png: would be refused: too_many_pixels: ")
    assert told.endswith("\n  setting: limits.max_megapixels\n  PNG, 40 x 24, 8 bits\n")


def test_what_is_no_picture_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A text and a folder, each with its own reason."""
    (tmp_path / "text").write_text("no picture, but some words about one")
    status, told = inspected(capsys, "text", ".")
    assert status == ExitCode.SOME_QUARANTINED
    assert [each["reason"] for each in told] == ["not_an_image", "not_a_regular_file"]


def test_a_missing_file_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit 66, whatever the others are."""
    (tmp_path / "text").write_text("")
    status, told = inspected(capsys, "away.jpg", "text", save("a.png"))
    assert status == ExitCode.INPUT_MISSING
    assert told[0] == {"file": "away.jpg", "taken": False, "error": "No such file or directory"}
    assert [each["taken"] for each in told] == [False, False, True]
    assert main(["inspect", "away.jpg"]) == ExitCode.INPUT_MISSING
    assert capsys.readouterr().out == "away.jpg: cannot be read: No such file or directory\n"


def test_a_short_density_is_no_density(capsys: pytest.CaptureFixture[str]) -> None:
    """A JFIF segment that ends early is reported as absent, and the image is taken."""
    name = save("a.jpg")
    data = Path(name).read_bytes()
    length = int.from_bytes(data[4:6])
    short = data[:2] + b"\xff\xe0\0\x09JFIF\0\1\1" + data[4 + length :]
    Path(name).write_bytes(short)
    status, (told,) = inspected(capsys, name)
    assert (status, told["carries"]["dpi"]) == (ExitCode.OK, None)


CASES = Path(__file__).parent / "data/cases"


@pytest.mark.parametrize(("policy", "status"), [("keep", 0), ("refuse", 65)])
def test_losses_are_reported_before_they_happen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, policy: str, status: int
) -> None:
    """With the verdict that `pictures.losses` gives."""
    monkeypatch.setenv("SHARPEND_PICTURES__LOSSES", policy)
    code, (told,) = inspected(capsys, str(CASES / "jxl-brob.jxl"))
    assert (code, told["losses"]) == (0, [])
    code, (told,) = inspected(capsys, str(CASES / "tiff-layers.tif"))
    assert (code, told["losses"]) == (status, ["its layers were not kept"])
    assert told.get("setting") == (None if policy == "keep" else "pictures.losses")
    main(["inspect", str(CASES / "tiff-layers.tif")])
    assert "loss: its layers were not kept" in capsys.readouterr().out
