"""Extended attributes: tags and comments of an input are those of its output, where they can be."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.files.attributes import MOST_BYTES, attributes_of, copy_attributes
from sharpend.policies import Metadata, Policies
from tests.conftest import drop
from tests.mounts import disks, mounted
from tests.test_pipeline import Bench, staged

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.workers.pipeline import Pipeline
    from tests.conftest import Networks

TAGS = {
    "user.xdg.tags": "Urlaub, M\u00fcnchen".encode(),
    "user.xdg.comment": b"",
    "user.baloo.rating": b"8",
    "user.com.apple.FinderInfo": bytes(32),
    "user.hashtags": b"#sea",
}
NOT_OF_AN_OUTPUT = {
    "user.shatag.sha256": b"ab" * 32,
    "user.checksum.md5": b"cd" * 16,
    "user.MD5": b"ef",
    "user.sharpend.test": b"mark",
}


def tag(path: Path, attributes: dict[str, bytes]) -> None:
    """Give a file attributes."""
    for name, value in attributes.items():
        os.setxattr(path, name, value)


def tags(path: Path) -> dict[str, bytes]:
    """The attributes that a file has."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def test_an_output_has_the_tags_of_its_input(
    attributes: Path, networks: Networks, worker: Pipeline
) -> None:
    """All of them byte for byte, but for digests of the content and our own marks."""
    bench = Bench(attributes, networks.student)
    source = drop(bench.source, "a.png")
    tag(source, TAGS | NOT_OF_AN_OUTPUT)
    outcome = staged(worker.run(bench.task(source)))
    assert tags(bench.made) == TAGS
    assert outcome.notes == ()
    assert bench.made.stat().st_mtime_ns == source.stat().st_mtime_ns


@pytest.mark.parametrize("metadata", [Metadata.STRIP, Metadata.STRIP_GPS])
def test_tags_are_metadata(
    attributes: Path, networks: Networks, worker: Pipeline, metadata: Metadata
) -> None:
    """A folder that strips metadata publishes no tag either: a tag may be a name or a place."""
    bench = Bench(attributes, networks.student)
    bench.options = replace(bench.options, policies=Policies(metadata=metadata))
    source = drop(bench.source, "a.png")
    tag(source, TAGS)
    assert staged(worker.run(bench.task(source))).notes == ()
    assert tags(bench.made) == {}


def test_a_file_system_without_attributes_is_no_fault_of_the_image(
    attributes: Path, networks: Networks, worker: Pipeline
) -> None:
    """On a memory card the image is sharpened, and a note says what it lacks."""
    bench = Bench(attributes, networks.student)
    source = drop(bench.source, "a.png")
    tag(source, {"user.xdg.tags": b"sea"})
    with mounted(bench.output, "-t", "ramfs", "ramfs"):
        outcome = staged(worker.run(bench.task(source)))
        assert outcome.notes == ("1 extended attribute was not copied",)
        assert bench.made.stat().st_size == outcome.fingerprint.size > 0


def test_a_file_system_with_little_space_for_attributes_takes_some(
    attributes: Path, networks: Networks, worker: Pipeline
) -> None:
    """ext4 keeps one block of a file, and says of more of them that the disk is full."""
    bench = Bench(attributes, networks.student)
    source = drop(bench.source, "a.png")
    try:
        tag(source, {f"user.{number}": bytes(200) for number in range(20)})
    except OSError:
        pytest.skip("no file system with room for large attributes")
    with disks(attributes, "ext4") as (disk,):
        disk.mount(bench.output)
        outcome = staged(worker.run(bench.task(source)))
        made = len(tags(bench.made))
        assert 0 < made < 20
        assert outcome.notes == (f"{20 - made} extended attributes were not copied",)


def test_what_has_no_space_is_left_and_reported(attributes: Path) -> None:
    """The bound holds for names and values together; smaller ones still come along."""
    path = attributes / "a"
    path.touch()
    tag(path, {"user.small": b"1"})
    try:
        tag(path, {"user.large": bytes(MOST_BYTES - 5), "user.too": b"2" * 100})
    except OSError:
        pytest.skip("no file system with room for large attributes")
    with path.open("rb") as file:
        found, left = attributes_of(file.fileno())
    assert (set(found), left) == ({"user.small", "user.too"}, 1)


def test_an_exact_copy_has_all_attributes(attributes: Path) -> None:
    """An original that is archived on another disk loses none, digests included."""
    source, copy = attributes / "a", attributes / "b"
    source.touch()
    tag(source, TAGS | NOT_OF_AN_OUTPUT)
    with source.open("rb") as original, copy.open("wb") as made:
        copy_attributes(original.fileno(), made.fileno())
    assert tags(copy) == TAGS | NOT_OF_AN_OUTPUT
