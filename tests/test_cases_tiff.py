"""TIFFs as programs really write them: each is sharpened, or refused for its true reason.

`cases` has the inputs and what is right for them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from sharpend.attempt import Failed, Staged
from tests import cases, inventory, outside, tiffs
from tests.cases import bytes_of
from tests.recipe import installed
from tests.test_pipeline import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sharpend.workers.pipeline import Pipeline
    from tests.conftest import Networks

RIGHT = cases.table("tiff")
TAKEN = cases.taken("tiff")


@pytest.fixture
def bench(tmp_path: Path, networks: Networks) -> Bench:
    """Empty folders."""
    return Bench(tmp_path, networks.student)


def ran(worker: Pipeline, bench: Bench, name: str, strength: float) -> Staged | Failed:
    """One case through the whole pipeline."""
    source = bench.source / name
    source.write_bytes(bytes_of(name))
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


@pytest.mark.parametrize("name", RIGHT)
def test_the_pipeline_takes_or_refuses_it_as_the_decoder_does(
    worker: Pipeline, bench: Bench, name: str
) -> None:
    """Nothing that comes behind decoding refuses it for another reason."""
    outcome = ran(worker, bench, name, 1)
    assert getattr(outcome, "reason", "taken") == RIGHT[name]["outcome"]


@pytest.mark.parametrize("name", TAKEN)
def test_every_bit_comes_back_at_strength_0(worker: Pipeline, bench: Bench, name: str) -> None:
    """All samples, of whatever kind and number, in the same sample format."""
    assert isinstance(ran(worker, bench, name, 0), Staged)
    before, after = read(cases.FOLDER / name), read(bench.made)
    assert after.dtype == before.dtype
    assert np.array_equal(before, after)


@pytest.mark.parametrize("name", TAKEN)
def test_colours_change_at_full_strength_and_nothing_else(
    worker: Pipeline, bench: Bench, name: str
) -> None:
    """Samples behind the colours are those of the input."""
    assert isinstance(ran(worker, bench, name, 1), Staged)
    before, after = read(cases.FOLDER / name), read(bench.made)
    colors = 3 if before.shape[2] >= 3 else 1
    assert not np.array_equal(before[..., :colors], after[..., :colors])
    assert np.array_equal(before[..., colors:], after[..., colors:])


@pytest.mark.parametrize("name", TAKEN)
def test_every_tag_is_found_again_or_named(worker: Pipeline, bench: Bench, name: str) -> None:
    """In the page that is the image, and in the directories below it, byte for byte."""
    assert isinstance(ran(worker, bench, name, 0), Staged)
    told = " ".join((*RIGHT[name]["notes"], *RIGHT[name]["losses"]))
    assert inventory.lost(bytes_of(name), bench.made.read_bytes(), told) == []


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


@pytest.mark.slow
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
    before = outside.samples([cases.FOLDER / name for name in TAKEN], bench.source / "a")
    after = outside.samples([kept / name for name in TAKEN], bench.source / "b")
    assert len(before) > 25
    assert {name for name in before if before[name] != after[name]} == UNLIKE
