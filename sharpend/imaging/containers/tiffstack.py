"""ImageJ stacks: several images under one TIFF directory.

Owns how many images there are, where they lie, and the lines of the description that tell of them.
ImageJ writes the images uncompressed, one behind the other, and a directory for the first alone.

Source: ImageJ's TiffDecoder and FileInfo (`images=`, `slices=`, `channels=`, `frames=`).
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from sharpend.imaging.containers.tiffpage import UNCOMPRESSED
from sharpend.imaging.reading import truncated

if TYPE_CHECKING:
    import tifffile

    from sharpend.imaging.metadata.ifd import Ifd

_DESCRIPTION = 270
_OF_STACK = frozenset({_DESCRIPTION, 50838, 50839})
"""ImageDescription, and ImageJ's metadata of all images with their sizes."""
_START = b"ImageJ="
_IMAGES = re.compile(rb"^images=(\d{1,9})$", re.MULTILINE)
_COUNTS = re.compile(rb"^(images|slices|channels|frames|hyperstack|mode|loop)=.*\n?", re.MULTILINE)


def count_of(page: tifffile.TiffPage, tags: Ifd, size: int) -> int:
    """Count the images under the only directory of a file of `size` bytes.

    A file with room for the first image only has an old description, and no stack.

    Raises:
        ImageRefusedError: `truncated`, where it has room for some of them.
    """
    declared = declared_images(tags)
    if declared < 2 or page.compression != UNCOMPRESSED or not _is_contiguous(page):  # noqa: PLR2004
        return 1
    there = (size - page.dataoffsets[0]) // sum(page.databytecounts)
    if 1 < there < declared:
        raise truncated()
    return declared if there >= declared else 1


def declared_images(tags: Ifd) -> int:
    """Number of images that ImageJ's description declares; 1 without one."""
    entry = tags.entries.get(_DESCRIPTION)
    if entry is None or not entry.data.startswith(_START):
        return 1
    found = _IMAGES.search(entry.data)
    return int(found[1]) if found else 1


def data_of(page: tifffile.TiffPage, count: int) -> list[tuple[int, int]]:
    """List start and end of the strips of `count` images."""
    size = sum(page.databytecounts)
    return [
        (at + number * size, at + number * size + length)
        for number in range(count)
        for at, length in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]


def images_of(page: tifffile.TiffPage, count: int) -> list[tifffile.TiffPage]:
    """List the images as pages."""
    size = sum(page.databytecounts)
    found = []
    for number in range(count):
        image = copy.copy(page)
        image.dataoffsets = tuple(at + number * size for at in page.dataoffsets)
        found.append(image)
    return found


def tags_of(tags: Ifd, count: int) -> list[Ifd]:
    """Give each image its tags: ImageJ's description of the stack stands with the first alone."""
    rest = {tag: entry for tag, entry in tags.entries.items() if tag not in _OF_STACK}
    return [tags, *[replace(tags, entries=rest)] * (count - 1)]


def without_counts(tags: Ifd) -> Ifd:
    """Remove the lines of the description that count images which are gone."""
    entry = tags.entries[_DESCRIPTION]
    described = replace(entry, data=_COUNTS.sub(b"", entry.data))
    return replace(tags, entries={**tags.entries, _DESCRIPTION: described})


def _is_contiguous(page: tifffile.TiffPage) -> bool:
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    return bool(places) and all(at + size == after for (at, size), (after, _) in pairwise(places))
