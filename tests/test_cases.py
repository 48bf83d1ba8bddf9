"""Files that people really drop into such a tool: each is taken or refused as it should be."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from sharpend.errors import ImageRefusedError
from sharpend.imaging.containers.pngchunks import chunk, chunks
from sharpend.policies import Frames, Policies
from tests import cases
from tests.conftest import photograph

RIGHT = [
    (name, right, policies)
    for table, policies in cases.TABLES.items()
    for name, right in cases.table(table).items()
]


def test_the_tables_are_whole() -> None:
    """Each file of the folder is in one table, and the other way round."""
    files = sorted(path.name for path in cases.FOLDER.iterdir() if path.suffix != ".json")
    assert files == sorted(name for name, *_ in RIGHT)


@pytest.mark.parametrize(("name", "right", "policies"), RIGHT, ids=[name for name, *_ in RIGHT])
def test_each_input_is_taken_or_refused_as_is_right(
    name: str, right: dict[str, Any], policies: Policies
) -> None:
    """With exactly its notes and losses, or with its reason and the setting that helps."""
    data = cases.bytes_of(name)
    if right["outcome"] != "taken":
        with pytest.raises(ImageRefusedError) as caught:
            cases.decoded(data, policies)
        assert (caught.value.reason, caught.value.setting) == (right["outcome"], right["setting"])
        return
    picture = cases.decoded(data, policies)
    assert (list(picture.notes), list(picture.losses)) == (right["notes"], right["losses"])
    assert cases.decoded(cases.written(picture), policies).losses == ()


def animated(target: str) -> bytes:
    """Three frames, as Pillow writes them."""
    images = [Image.fromarray(photograph(40, 50, seed=number)) for number in range(3)]
    file = BytesIO()
    images[0].save(file, target, save_all=True, append_images=images[1:])
    return file.getvalue()


def deep_animation() -> bytes:
    """An APNG of two frames with 16 bits per sample."""
    still = bytes(imagecodecs.png_encode(photograph(40, 50).astype(np.uint16) * 257))
    pixels = b"".join(body for kind, body in chunks(still) if kind == b"IDAT")
    told = [struct.pack(">5I2H2B", number, 50, 40, 0, 0, 1, 10, 0, 0) for number in (0, 1)]
    made = [(b"acTL", struct.pack(">2I", 2, 0)), (b"fcTL", told[0]), (b"IDAT", pixels)]
    made += [(b"fcTL", told[1]), (b"fdAT", struct.pack(">I", 2) + pixels), (b"IEND", b"")]
    return still[:33] + b"".join(chunk(*each) for each in made)


STACK_END = 31_072
"""Behind its last image lie directories that nothing refers to."""
ANIMATIONS = {
    **{target: animated(target) for target in ("PNG", "WEBP", "GIF", "AVIF", "TIFF")},
    "PNG of 16 bits": deep_animation(),
    "PNM": cases.bytes_of("pgm-4095.pgm") * 2,
    "ImageJ's stack": cases.bytes_of("tiff-imagej-one-ifd.tif")[:STACK_END],
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_further_frames_are_one_loss(name: str) -> None:
    """With `frames = "first"` the rest of an animation or a document is told, once."""
    picture = cases.decoded(ANIMATIONS[name], Policies(frames=Frames.FIRST))
    assert (len(picture.frames), len(picture.losses)) == (1, 1)
