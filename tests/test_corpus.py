"""Hundreds of files that other programs made, through the real command, seen by other programs.

Each is written or refused with a reason, as the table of recipes says, and what is written differs
from its source in its sharpness alone. The fields that cannot stay as they are are in a list.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sharpend.errors import Reason
from tests import corpus as makers
from tests import inventory, outside, sources
from tests.conftest import psnr
from tests.daemons import surroundings
from tests.recipe import TAKEN, UNCHANGED, Recipe, installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.corpus import Corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LEAST = 600
"""Files of a whole corpus."""
ENDS = {"sharpened": TAKEN, "unchanged": UNCHANGED}
MTIME_NS, MODE = 1_262_304_000_123_456_000, 0o640
UNLIKE_DB = 70.0
"""More likeness than this is no sharpening."""

FLOOR_DB = {"jpg": 45, "png": 45, "webp": 31, "avif": 39, "tif": 49, "heic": 33, "jxl": 33}
"""What writing a file a second time leaves at least of it, PSNR. Measured with the tools themselves
at the quality that the file had: cjpeg 46.1 to 57 dB (quality 50 to 100), cwebp 31.6, 37.2, 43.0
and 44.9 dB (10, 50, 90, 100), avifenc 47.5 dB (4:4:4) and 41.1 dB (4:2:0)."""

MAY_DIFFER: Mapping[str, str] = {
    r"SourceFile|ExifTool:.*": "the reader's own",
    r"System:.*": "the file system's; date and mode have a test of their own",
    r"Composite:.*": "made up from the others",
    r"IFD\d:(Strip|Tile)(Offsets|ByteCounts)": "where the data lies",
    r"IFD\d:RowsPerStrip": "how the data is divided",
    r"IFD\d:(Preview|Thumbnail)(Image)?(Start|Offset)": "where the data lies",
    r"IFD0:(PreviewImage.*|JPEGTables)": "a TIFF's own picture, which exiftool takes for a preview",
    r"IFD\d:FillOrder": "the order of bits in the data's bytes",
    r"QuickTime:MediaData(|Size|Offset)": "the picture itself",
    r"QuickTime:Handler(Description|VendorID)": "the name of the encoder",
    r"RIFF:VP8Version": "the encoder's choice of filter",
    r"PNG:Interlace": "the encoder writes rows from top to bottom",
}
"""Fields that are of the file and not of the image, and why."""


@dataclass
class Run:
    """What one `sharpend once` did with some files of the corpus."""

    base: Path
    recipes: tuple[Recipe, ...]
    policy: str
    status: int
    said: str
    told: dict[str, dict[str, Any]]

    def source(self, recipe: Recipe) -> Path:
        """The input of a recipe."""
        return self.base / "in" / recipe.name

    def output(self, recipe: Recipe) -> Path:
        """Where its output is or would be."""
        return self.base / "out" / recipe.name

    def fate(self, recipe: Recipe) -> str:
        """What became of it: taken, unchanged, a reason, or that nothing was reported."""
        line = self.told.get(recipe.name)
        if line is None:
            return "nothing was told of it"
        return str(ENDS.get(line["outcome"], line["reason"]))

    @cached_property
    def taken(self) -> list[Recipe]:
        """Those with an output that the table wants."""
        return [
            recipe
            for recipe in self.recipes
            if {TAKEN, UNCHANGED} & recipe.fate_under(self.policy) and self.output(recipe).exists()
        ]

    @cached_property
    def fields(self) -> dict[str, tuple[outside.Fields, outside.Fields]]:
        """What exiftool says of input and output."""
        before = outside.fields([self.source(recipe) for recipe in self.taken])
        after = outside.fields([self.output(recipe) for recipe in self.taken])
        return {name: (before[name], after[name]) for name in before}

    @cached_property
    def pixels(self) -> dict[str, tuple[outside.Frames, outside.Frames]]:
        """What outside decoders make of input and output; no frames where they cannot read."""
        bench, still = self.base / "pixels", not self.policy
        inputs, outputs = map(self.source, self.taken), map(self.output, self.taken)
        before = outside.pixels(list(inputs), bench / "before", first=still)
        after = outside.pixels(list(outputs), bench / "after", first=still)
        return {
            recipe.name: (before.get(recipe.like or recipe.name, []), after.get(recipe.name, []))
            for recipe in self.taken
        }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The files, made once."""
    pytest.importorskip("skimage.data", reason="the photographs are scikit-image's")
    made = makers.make(tmp_path_factory.mktemp("corpus"))
    if not made.made:
        pytest.skip("none of the tools that make the corpus is installed")
    if missing := [reader for reader in outside.READERS if not installed(reader)]:
        pytest.skip(f"nothing to see the outputs with: {', '.join(missing)} not installed")
    for recipe in made.made:
        path = made.folder / recipe.name
        path.chmod(MODE)
        os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return made


@pytest.fixture(scope="module")
def still(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything, with nothing added: strength 0."""
    return ran(corpus, corpus.made, tmp_path_factory.mktemp("still"), strength=0)


@pytest.fixture(scope="module")
def full(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything, sharpened."""
    return ran(corpus, corpus.made, tmp_path_factory.mktemp("full"), strength=1)


@pytest.fixture(params=["still", "full"])
def run(request: pytest.FixtureRequest) -> Run:
    """One after the other."""
    found: Run = request.getfixturevalue(request.param)
    return found


def ran(
    corpus: Corpus, chosen: Iterable[Recipe], base: Path, *, strength: float, policy: str = ""
) -> Run:
    """Send files of the corpus through the real command, under a policy like `frames=all`."""
    recipes = tuple(chosen)
    (base / "in").mkdir()
    for recipe in recipes:
        os.link(corpus.folder / recipe.name, base / "in" / recipe.name)
    settings = {
        "SHARPEND_MODEL__NAME": "lite-x4",  # the default leaves sharp images alone
        "SHARPEND_MODEL__STRENGTH": str(strength),
        "SHARPEND_AGREEMENT__SAMPLE": "0",
    }
    if policy:
        key, value = policy.split("=")
        settings[f"SHARPEND_PICTURES__{key.upper()}"] = value
    folders = ("--input", base / "in", "--output", base / "out", "--state", base / "state")
    done = subprocess.run(
        [sys.executable, "-m", "sharpend", "once", *map(str, folders), "--json"],
        check=False,
        capture_output=True,
        text=True,
        env=surroundings(settings),
        timeout=600,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {os.path.basename(line["input"]): line for line in lines if "input" in line}
    return Run(base, recipes, policy, done.returncode, done.stderr, told)


DEFAULTS = {
    "IFD0:PlanarConfiguration": '"Chunky"',
    "IFD0:SamplesPerPixel": "1",
    "IFD0:SampleFormat": '"Unsigned; Unsigned; Unsigned"',
}
"""What the absence of a TIFF's field means (TIFF 6.0, section 8)."""


def none_of(faults: Mapping[str, object]) -> None:
    """Fail with all that was found, one file a line."""
    text = "\n".join(f"{name}: {fault}" for name, fault in faults.items())
    assert not faults, f"{len(faults)} files\n{text}"


def differing(run: Run, recipe: Recipe) -> dict[str, str]:
    """The fields that changed and may not."""
    before, after = run.fields[recipe.name]
    excused = re.compile("|".join([*MAY_DIFFER, *recipe.differs]))
    return {
        field: f"{before.get(field)} -> {after.get(field)}"
        for field in sorted(before.keys() | after.keys())
        if _value(before, field) != _value(after, field) and not excused.fullmatch(field)
    }


def _value(fields: outside.Fields, field: str) -> str | None:
    return fields.get(field, DEFAULTS.get(re.sub(r"IFD\d", "IFD0", field)))


likeness = partial(psnr, data_range=65535)
"""In dB; what other programs read has 16 bits."""


def test_the_corpus_is_whole(corpus: Corpus) -> None:
    """Every recipe whose tools are there makes its file, and there are hundreds."""
    none_of(corpus.failed)
    if not corpus.skipped:
        assert len(corpus.made) >= LEAST


def test_each_file_has_its_end(run: Run) -> None:
    """Sharpened or refused for a reason of the closed list, as the table says; no traceback."""
    assert "Traceback" not in run.said, run.said
    assert run.status == 65
    faults = {}
    for recipe in run.recipes:
        fate, wanted = run.fate(recipe), recipe.fate_under()
        if recipe.lossy and recipe.has_alpha and wanted == {TAKEN}:
            wanted |= {UNCHANGED}  # copied where nothing is added, as at strength 0
        if fate not in wanted or fate not in {TAKEN, UNCHANGED, *Reason}:
            faults[recipe.name] = f"{fate}, and not {' or '.join(sorted(wanted))}"
        elif (fate in ENDS.values()) != run.output(recipe).exists():
            faults[recipe.name] = f"{fate}, and the output exists: {fate not in ENDS.values()}"
    none_of(faults)


def test_every_field_stays(run: Run) -> None:
    """Exiftool finds the same in input and output: the format, bits, channels and all metadata."""
    found = {recipe.name: differing(run, recipe) for recipe in run.taken}
    none_of({name: fields for name, fields in found.items() if fields})


def test_no_part_is_lost_without_a_note(run: Run) -> None:
    """Chunks, segments, boxes, items and tags are found again, or a note or a loss names them."""
    found = {}
    for recipe in run.taken:
        line = run.told[recipe.name]
        told = " ".join((*line["notes"], *line["losses"]))
        files = run.source(recipe).read_bytes(), run.output(recipe).read_bytes()
        found[recipe.name] = inventory.lost(*files, told)
    none_of({name: parts for name, parts in found.items() if parts})


def test_bits_and_channels(run: Run) -> None:
    """An output is what its recipe says: 16 bits stay 16, gray stays gray, alpha stays."""
    files = [recipe for recipe in run.taken if recipe.suffix not in {"avif", "heic", "hif", "jxl"}]
    found = outside.kinds([run.output(recipe) for recipe in files])
    none_of(
        {
            recipe.name: f"{found.get(recipe.name)}, and not {recipe.kind}"
            for recipe in files
            if found.get(recipe.name) != recipe.kind
        }
    )


def test_pixels_stay_at_strength_0(still: Run) -> None:
    """Lossless files bit for bit, alpha included; the others within one writing more."""
    faults = {}
    for recipe in still.taken:
        fault = _unequal(recipe, *still.pixels[recipe.name])
        if fault:
            faults[recipe.name] = fault
    none_of(faults)


def _unequal(recipe: Recipe, before: outside.Frames, after: outside.Frames) -> str:
    if not before or len(before) != len(after):
        return f"{len(before)} frames before, {len(after)} after"
    for one, other in zip(before, after, strict=True):
        if one.shape != other.shape:
            return f"{one.shape} before, {other.shape} after"
        like_db = likeness(_visible(one), _visible(other))
        if recipe.lossy and like_db < (recipe.floor_db or FLOOR_DB[recipe.suffix]):
            return f"{like_db:.1f} dB"
        if not recipe.lossy and not np.array_equal(one, other):
            return f"lossless, and {likeness(one, other):.1f} dB"
    return ""


def _visible(frame: outside.Frame) -> outside.Frame:
    """A frame with black under alpha 0: lossy files get other colours there."""
    has_alpha = frame.shape[2] in {2, 4}
    return frame * (frame[..., -1:] > 0) if has_alpha else frame


def test_alpha_stays_at_full_strength(full: Run) -> None:
    """Sharpening reaches the colours, and every bit of alpha is as it was."""
    faults = {}
    for recipe in full.taken:
        before, after = full.pixels[recipe.name]
        if not before or before[0].shape != after[0].shape or before[0].shape[2] not in {2, 4}:
            continue
        if not np.array_equal(before[0][..., -1], after[0][..., -1]):
            faults[recipe.name] = f"alpha: {likeness(before[0][..., -1], after[0][..., -1]):.1f} dB"
    none_of(faults)


def test_it_was_sharpened(full: Run) -> None:
    """What is larger than a few pixels did change at full strength."""
    faults = {}
    for recipe in full.taken:
        before, after = full.pixels[recipe.name]
        large = bool(before) and min(before[0].shape[:2]) > 40
        if large and before[0].shape == after[0].shape:
            like_db = likeness(before[0], after[0])
            if like_db > UNLIKE_DB:
                faults[recipe.name] = f"{like_db:.1f} dB"
    none_of(faults)


def test_coding_stays(run: Run) -> None:
    """JPEG keeps quantisation tables and sampling, WebP keeps lossless or lossy."""
    for suffix, read in (("jpg", outside.jpeg_coding), ("webp", outside.lossless_webp)):
        files = [
            recipe
            for recipe in run.taken
            if recipe.suffix == suffix and "File:YCbCrSubSampling" not in recipe.differs
        ]
        before = read([run.source(recipe) for recipe in files])
        after = read([run.output(recipe) for recipe in files])
        assert len(before) == len(after) == len(files)
        changed = {name for name in before if before[name] != after[name]}
        none_of({name: f"{before[name]} -> {after[name]}" for name in changed})


def test_date_and_mode_stay(run: Run) -> None:
    """The file's date and permissions are the input's."""
    states = {recipe.name: run.output(recipe).stat() for recipe in run.taken}
    none_of(
        {
            name: (state.st_mtime_ns, oct(state.st_mode))
            for name, state in states.items()
            if (state.st_mtime_ns, state.st_mode & 0o7777) != (MTIME_NS, MODE)
        }
    )


def under(policy: str, corpus: Corpus, base: Path) -> Run:
    """What a policy decides about the files that it is for; each fares as the table says."""
    chosen = [recipe for recipe in corpus.made if policy in recipe.fates]
    assert chosen
    run = ran(corpus, chosen, base, strength=0, policy=policy)
    assert "Traceback" not in run.said, run.said
    none_of(
        {
            recipe.name: f"{run.fate(recipe)}, and not {recipe.fates[policy]}"
            for recipe in chosen
            if run.fate(recipe) not in recipe.fate_under(policy)
        }
    )
    return run


def test_frames_all(corpus: Corpus, tmp_path: Path) -> None:
    """With `frames=all` durations, loops, disposal, fields and images stay."""
    run = under("frames=all", corpus, tmp_path)
    found = {recipe.name: _unlike(run, recipe) for recipe in run.taken}
    none_of({name: fault for name, fault in found.items() if fault})


def test_frames_first(corpus: Corpus, tmp_path: Path) -> None:
    """With `frames=first` the first image is written, as a still."""
    run = under("frames=first", corpus, tmp_path)
    faults = {}
    for recipe in run.taken:
        before, after = run.pixels[recipe.name]
        # The frames of an animated WebP are read as one image, one below the other.
        if not before or len(after) != 1:
            faults[recipe.name] = f"{len(before)} frames -> {len(after)}"
            continue
        shown = before[0][: after[0].shape[0], :, :3]
        if not recipe.lossy and not np.array_equal(shown, after[0][..., :3]):
            faults[recipe.name] = f"{before[0].shape} -> {after[0].shape}, and not the first"
    none_of(faults)


def test_one_bit_pass(corpus: Corpus, tmp_path: Path) -> None:
    """With `one_bit=pass` bilevel files come out byte for byte."""
    run = under("one_bit=pass", corpus, tmp_path)
    none_of(
        {
            recipe.name: "its bytes changed"
            for recipe in run.taken
            if run.output(recipe).read_bytes() != run.source(recipe).read_bytes()
        }
    )


INK_DB = 28.0
"""Two conversions of inks to sRGB are at least as like as this (29.9 to 30.4 measured)."""


def test_cmyk_convert(corpus: Corpus, tmp_path: Path) -> None:
    """With `cmyk=convert` a reader that knows profiles sees the same colours, none inverted."""
    run = under("cmyk=convert", corpus, tmp_path)
    profile = sources.PROFILES / "srgb.icc"
    if not profile.exists():
        pytest.skip(f"no profile to compare with: {profile}")
    before = outside.pixels([run.source(one) for one in run.taken], tmp_path / "b", profile=profile)
    after = outside.pixels([run.output(one) for one in run.taken], tmp_path / "a", profile=profile)
    faults = {}
    for recipe in run.taken:
        one, other = before[recipe.name][0][..., :3], after[recipe.name][0][..., :3]
        if one.shape != other.shape or likeness(one, other) < INK_DB:
            faults[recipe.name] = f"{one.shape} -> {other.shape}, {likeness(one, other):.1f} dB"
    none_of(faults)


def _unlike(run: Run, recipe: Recipe) -> str:
    """How an animation's timing, fields or images changed."""
    before, after = (outside.timing(path) for path in (run.source(recipe), run.output(recipe)))
    if before != after:
        return f"{before} -> {after}"
    if recipe.suffix in {"gif", "tif", "webp"}:
        shown = [[_seen(frame) for frame in frames] for frames in run.pixels[recipe.name]]
        if fault := _unequal(recipe, *shown):
            return fault
    return str(differing(run, recipe) or "")


def _seen(frame: outside.Frame) -> outside.Frame:
    """A frame without alpha where all of it is opaque: animations need alpha to paint with."""
    opaque = frame.shape[2] == 4 and bool(np.all(frame[..., 3] == 65_535))
    return frame[..., :3] if opaque else frame


UPRIGHT = '"Horizontal (normal)"'
"""The orientation that having none means."""


def has_metadata(recipe: Recipe) -> bool:
    """Whether a recipe is there for what the file says besides."""
    return bool(recipe.tags) or bool(re.search(r"icc|mux|camera|exif|density", recipe.name))


def test_strip_leaves_profile_density_and_orientation(corpus: Corpus, tmp_path: Path) -> None:
    """With `metadata=strip` nothing names camera, place or author."""
    chosen = [recipe for recipe in corpus.made if recipe.fate == TAKEN and has_metadata(recipe)]
    run = ran(corpus, chosen, tmp_path, strength=0, policy="metadata=strip")
    assert run.status == 0, run.said
    private = re.compile(
        r"(?i).*(GPS|Artist|Copyright|Make|Model|Lens|DateTimeOriginal|UserComment|XP|Title|Author"
        r"|Canon|IPTC|XMP|Photoshop|Comment|Serial|Owner|Thumbnail).*"
    )
    kept = re.compile(r"ICC.*|IFD0:Orientation|(JFIF:[XY]?Resolution|PNG-pHYs:Pixel).*")
    faults: dict[str, object] = {}
    for recipe in run.taken:
        before, after = run.fields[recipe.name]
        left = [field for field in after if private.fullmatch(field) and "ICC" not in field]
        gone = [
            field
            for field, value in before.items()
            if kept.fullmatch(field) and field not in after and value != UPRIGHT
        ]
        if left or gone:
            faults[recipe.name] = f"left: {left}, gone: {gone}"
    none_of(faults)


def test_strip_gps_takes_the_place_only(corpus: Corpus, tmp_path: Path) -> None:
    """With `metadata=strip-gps` no field mentions GPS or is of a maker note; all others stay."""
    chosen = [recipe for recipe in corpus.made if recipe.fate == TAKEN and has_metadata(recipe)]
    run = ran(corpus, chosen, tmp_path, strength=0, policy="metadata=strip-gps")
    assert run.status == 0, run.said
    gone = re.compile(r"(?i).*gps|Canon:")
    faults: dict[str, object] = {}
    for recipe in run.taken:
        left = [field for field in run.fields[recipe.name][1] if gone.match(field)]
        changed = {
            field: change
            for field, change in differing(run, recipe).items()
            if not gone.match(field)
        }
        if left or changed:
            faults[recipe.name] = f"left: {left}, changed: {changed}"
    none_of(faults)


@pytest.mark.parametrize("policy", ["thumbnail=drop", "thumbnail=refresh"])
def test_thumbnails(corpus: Corpus, tmp_path: Path, policy: str) -> None:
    """A thumbnail goes or is made anew, and the rest of EXIF stays."""
    chosen = [recipe for recipe in corpus.made if "thumbnail" in recipe.name and recipe.tags]
    run = ran(corpus, chosen, tmp_path, strength=1, policy=policy)
    assert run.status == 0, run.said
    for recipe in chosen:
        before, after = run.fields[recipe.name]
        had, has = (fields.get("IFD1:ThumbnailImage") for fields in (before, after))
        assert had
        assert has != had
        assert bool(has) == (policy == "thumbnail=refresh")
        changed = {field for field in differing(run, recipe) if not field.startswith("IFD1:")}
        assert changed == set()


def test_the_tools_are_named() -> None:
    """A recipe names its tools, so that what is missing is skipped and reported."""
    assert Recipe("x.jpg", "cjpeg a | jpegtran -x && no-such-tool b > $out").tools == {
        *("cjpeg", "jpegtran", "no-such-tool")
    }
    assert not installed("no-such-tool")
