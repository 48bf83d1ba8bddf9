"""What kinds of image one job takes whole: 16 bits, frames and pages, owner, record, policies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from sharpend import __version__
from sharpend.imaging import codec
from sharpend.imaging.contents import contents_of
from sharpend.imaging.formats import Format
from sharpend.imaging.metadata.provenance import Provenance
from sharpend.imaging.picture import Frame, Picture
from sharpend.policies import Frames, OneBit, Policies
from tests.conftest import photograph
from tests.test_pipeline import Bench, staged, write

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.attempt import Staged
    from sharpend.workers.pipeline import Pipeline
    from tests.conftest import Networks

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def bench(tmp_path: Path, networks: Networks) -> Bench:
    """Empty folders."""
    return Bench(tmp_path, networks.student)


def run(worker: Pipeline, bench: Bench, source: Path, policies: Policies) -> Staged:
    """The job done under these policies."""
    options = replace(bench.options, policies=policies)
    return staged(worker.run(bench.task(source, options=options)))


def test_16_bits_come_out_as_16_bits(worker: Pipeline, bench: Bench) -> None:
    """More values than 8 bits have, near those of the same image in 8 bits."""
    pixels = photograph(64, 64)
    fine = pixels.astype(np.uint16) * 257
    source = write(bench.source / "deep.png", Picture((Frame(fine),)))
    run(worker, bench, source, Policies())
    deep = bench.decoded().pixels
    assert deep.dtype == np.uint16
    assert len(np.unique(deep)) > 256
    sharpened = worker.models.sharpener(bench.options.model).sharpen(pixels)
    assert np.abs(deep / 257 - sharpened).max() <= 0.51


def test_every_frame_is_sharpened(worker: Pipeline, bench: Bench) -> None:
    """An animation keeps its frames and times, and each frame is as sharp as it is alone."""
    frames = [Image.fromarray(photograph(40, 40, seed=seed)) for seed in (1, 2, 3)]
    source = bench.source / "moving.webp"
    frames[0].save(
        source, save_all=True, append_images=frames[1:], duration=[70, 80, 90], lossless=True
    )
    outcome = run(worker, bench, source, Policies(frames=Frames.ALL))
    assert (outcome.frames, outcome.pixels) == (3, 3 * 40 * 40)
    with bench.made.open("rb") as file:
        made = codec.decode(
            file, max_pixels=10**6, max_bytes=10**6, policies=Policies(frames=Frames.ALL)
        )
    assert [frame.duration_ms for frame in made.frames] == [70, 80, 90]
    sharpener = worker.models.sharpener(bench.options.model)
    for frame, before in zip(made.frames, frames, strict=True):
        assert np.array_equal(frame.pixels, sharpener.sharpen(np.asarray(before)))


def test_black_and_white_passes_as_it_is(worker: Pipeline, bench: Bench) -> None:
    """Where policy says so the staged file has the source's bytes, and a note says why."""
    source = bench.source / "fax.png"
    Image.new("1", (40, 30), 1).save(source)
    outcome = run(worker, bench, source, Policies(one_bit=OneBit.PASS))
    assert bench.made.read_bytes() == source.read_bytes()
    assert (outcome.height, outcome.width, outcome.pixels) == (30, 40, 0)
    assert "black and white" in outcome.notes[0]


def test_an_output_tells_how_it_was_made(worker: Pipeline, bench: Bench) -> None:
    """The record names model, options, input and version by what they are."""
    source = write(bench.source / "a.jpg", Picture.still(photograph(40, 40), format=Format.JPEG))
    policies = Policies(provenance=True)
    outcome = run(worker, bench, source, policies)
    assert contents_of(bench.decoded()).provenance == Provenance(
        model=worker.models.sharpener(bench.options.model).card.name,
        model_digest=outcome.model_digest,
        options_digest=replace(bench.options, policies=policies).digest,
        input_digest=hashlib.sha256(source.read_bytes()).hexdigest(),
        version=__version__,
    )


@needs_root
def test_the_owner_stays(worker: Pipeline, bench: Bench) -> None:
    """A daemon that runs as root gives the output to whom the source belongs."""
    source = write(bench.source / "theirs.png", Picture.still(photograph(40, 40)))
    os.chown(source, 12_345, 54_321)
    run(worker, bench, source, Policies())
    status = bench.made.stat()
    assert (status.st_uid, status.st_gid) == (12_345, 54_321)


def test_a_dropped_note_is_told(worker: Pipeline, bench: Bench) -> None:
    """Notes on what the output has differently reach the daemon."""
    file = BytesIO()
    Image.fromarray(photograph(40, 40)).quantize(16).save(file, "PNG")
    source = bench.source / "palette.png"
    source.write_bytes(file.getvalue())
    assert run(worker, bench, source, Policies()).notes == ("its palette was written as RGB",)
