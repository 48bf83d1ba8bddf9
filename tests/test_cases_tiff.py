"""TIFFs as programs really write them: each is sharpened, or refused for its true reason.

`tests/data/cases/tiff.json` says for each what it is, and which notes and losses it has, or the
reason and the setting of its refusal.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from sharpend.imaging import codec
from sharpend.model.runtime import Placement
from sharpend.task import Failed, Staged
from sharpend.workers.pipeline import Pipeline
from tests import outside, tiffs
from tests.recipe import installed
from tests.test_pipeline import Bench

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.conftest import Networks

FOLDER = Path(__file__).parent / "data" / "cases"
CASES: dict[str, dict[str, Any]] = json.loads((FOLDER / "tiff.json").read_text())
TAKEN = [name for name, case in CASES.items() if "reason" not in case]
CODED_ANEW = {
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339, 347,
}  # fmt: skip
"""Tags that say how the pixels lie in the file: their values may be others."""
MAY_DIFFER = CODED_ANEW | {tiffs.EXIF, tiffs.GPS, tiffs.INTEROPERABILITY, 33424}
"""With the pointers, whose values are offsets."""


@pytest.fixture(scope="module")
def worker() -> Pipeline:
    """A worker's pipeline; its networks stay loaded."""
    return Pipeline(Placement(device="cpu", precision="float32"), crop_px=64)


@pytest.fixture
def bench(tmp_path: Path, networks: Networks) -> Bench:
    """Empty folders."""
    return Bench(tmp_path, networks.student)


def ran(worker: Pipeline, bench: Bench, name: str, strength: float) -> Staged | Failed:
    """One case through the whole pipeline."""
    source = bench.source / name
    source.write_bytes((FOLDER / name).read_bytes())
    return worker.run(bench.task(source, options=replace(bench.options, strength=strength)))


def read(path: Path) -> NDArray[Any]:
    """The largest page, as tifffile reads it: H x W x N."""
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
        largest = max(pages, key=lambda page: page.imagewidth * page.imagelength)
        values = np.asarray(largest.asarray())
        spread = 17 if largest.bitspersample == 4 else 1
    joined: NDArray[Any] = values.reshape(*values.shape[:2], -1) * values.dtype.type(spread)
    return joined


def sentences(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and losses of a case."""
    with (FOLDER / name).open("rb") as file:
        picture = codec.decode(file, max_pixels=10**6, max_bytes=10**6)
    return picture.notes, picture.losses


def test_the_table_is_whole() -> None:
    """Each file of the folder is in the table, and the other way round."""
    assert sorted(path.name for path in FOLDER.glob("tiff-*.tif")) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_each_is_sharpened_or_refused_as_the_table_says(
    worker: Pipeline, bench: Bench, name: str
) -> None:
    """With exactly its notes and losses, or with its reason and the setting that helps."""
    case, outcome = CASES[name], ran(worker, bench, name, 1)
    if "reason" in case:
        assert isinstance(outcome, Failed)
        assert (outcome.reason, outcome.setting) == (case["reason"], case.get("setting"))
        return
    assert isinstance(outcome, Staged)
    for told, wanted in zip(sentences(name), (case.get("notes"), case.get("losses")), strict=True):
        assert len(told) == len(wanted or ())
        assert all(part in text for part, text in zip(wanted or (), told, strict=True))


@pytest.mark.parametrize("name", TAKEN)
def test_every_bit_comes_back_at_strength_0(worker: Pipeline, bench: Bench, name: str) -> None:
    """All samples, of whatever kind and number, in the same sample format."""
    assert isinstance(ran(worker, bench, name, 0), Staged)
    before, after = read(FOLDER / name), read(bench.made)
    assert after.dtype == before.dtype
    assert np.array_equal(before, after)


@pytest.mark.parametrize("name", TAKEN)
def test_colours_change_at_full_strength_and_nothing_else(
    worker: Pipeline, bench: Bench, name: str
) -> None:
    """Samples behind the colours are those of the input."""
    assert isinstance(ran(worker, bench, name, 1), Staged)
    before, after = read(FOLDER / name), read(bench.made)
    colors = 3 if before.shape[2] >= 3 else 1
    assert not np.array_equal(before[..., :colors], after[..., :colors])
    assert np.array_equal(before[..., colors:], after[..., colors:])


@pytest.mark.parametrize("name", TAKEN)
def test_every_tag_is_found_again_or_named(worker: Pipeline, bench: Bench, name: str) -> None:
    """In the page that is the picture, and in the directories below it, byte for byte."""
    assert isinstance(ran(worker, bench, name, 0), Staged)
    told = " ".join(sum(sentences(name), ()))
    gone = {37724: "layers", 52545: "credentials"}
    pages = tiffs.tags_of((FOLDER / name).read_bytes())
    (after,) = tiffs.tags_of(bench.made.read_bytes())
    picture = max(pages, key=lambda page: int.from_bytes(page[256,], "little"))
    assert len(pages) == 1 or "not kept" in told
    for path, value in picture.items():
        if str(path[-1]) in told or gone.get(path[-1], "\0") in told:
            continue
        assert path in after
        assert path[-1] in MAY_DIFFER or after[path] == value, path


@pytest.mark.parametrize("order", "<>")
def test_the_walker_sees_what_was_written(order: str) -> None:
    """The reader of these tests finds all tags, also those below pointers."""
    made = tiffs.Tiff(order)
    below = made.directory({tiffs.NOTE: (7, b"a note of some length")})
    made.page(bytes(6), {tiffs.EXIF: made.numbers(below), 270: (2, b"text\0")}, (2, 3))
    (found,) = tiffs.tags_of(bytes(made.data))
    assert found[270,] == b"text\0"
    assert found[tiffs.EXIF, tiffs.NOTE] == b"a note of some length"


OF_EXIFTOOL = (
    "Missing required",  # tags that the input lacks as well
    "SamplesPerPixel", "Compression",  # values that it does not know
    "Oversized IFD0 TileByteCounts",  # tiles reach beyond the edges of images
    "Bad format (129)",  # EXIF 3.0
    "Non-standard", "Odd offset",
)  # fmt: skip


UNLIKE = {
    "tiff-thumb-first.tif",  # vips reads the first page of the input, the thumbnail
}


def test_other_programs_read_the_outputs(worker: Pipeline, bench: Bench) -> None:
    """Exiftool finds nothing wrong that was not in the input, and vips the same samples."""
    if missing := [tool for tool in ("exiftool", "vips") if not installed(tool)]:
        pytest.skip(f"{', '.join(missing)} not installed")
    kept = bench.output / "kept"
    kept.mkdir()
    for name in TAKEN:
        assert isinstance(ran(worker, bench, name, 0), Staged)
        bench.made.rename(kept / name)
    faults = outside.warnings([kept / name for name in TAKEN])
    for name in TAKEN:
        assert [text for text in faults[name] if not any(one in text for one in OF_EXIFTOOL)] == []
    before = outside.samples([FOLDER / name for name in TAKEN], bench.source / "a")
    after = outside.samples([kept / name for name in TAKEN], bench.source / "b")
    assert len(before) > 25
    assert {name for name in before if before[name] != after[name]} == UNLIKE
