"""Listing of inputs in object storage."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sharpend.files.patterns import Patterns
from sharpend.intake.interface import FolderOptions, Step
from sharpend.intake.remote import NO_PATH, RemoteIntake
from tests.store_server import StoreServer, objects, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.intake.tally import Found

ODD = ["ü/ä b+%&?.png", "new\nline.png", "a'\"<>.png", "x" * 300 + ".png", "tab\t.png"]
NONE = ["a/../up.png", "./here.png", "a//twice.png", "folder/", ".hidden.png", "a.txt", "a.part"]


class Listing:
    """An intake, and the ledger's memory of what it reported."""

    def __init__(self, bucket: str, **options: object) -> None:
        given = FolderOptions(f"s3://{bucket}/in".encode(), **options)  # type: ignore[arg-type]
        self.known: set[Found] = set()
        self.now_s = 0.0
        self.last = Step(0.0)
        self.intake = RemoteIntake(given, fresh=self.fresh, chance=random.Random(1))

    def fresh(self, found: Sequence[Found]) -> list[Found]:
        """Those that were not reported."""
        return [one for one in found if one not in self.known]

    def step(self) -> list[str]:
        """The next step; the paths that it reports."""
        self.last = self.intake.step(self.now_s)
        self.known.update(self.last.settled)
        return [one.relative.decode() for one in self.last.settled]

    def whole(self) -> list[str]:
        """The paths that one whole list reports."""
        self.now_s = max(self.now_s, self.last.next_s)
        found = self.step()
        while self.last.settling:
            found += self.step()
        return found


def test_odd_keys(store: StoreServer) -> None:
    """Every key that is a path is an input; the others are counted and left alone."""
    bucket = store.bucket()
    store.fill(bucket, [*(f"in/{key}" for key in [*ODD, *NONE]), "inner/x.png"])
    listing = Listing(bucket)
    assert sorted(listing.whole()) == sorted(ODD)
    tally = listing.last.tally
    assert tally is not None
    assert (tally.found, tally.ignored, tally.left_alone[NO_PATH]) == (len(ODD), 2, 3)


@pytest.mark.slow
def test_ten_thousand_keys_come_by_pages(store: StoreServer) -> None:
    """A page is a step, so the daemon works on between two of them."""
    bucket = store.bucket()
    store.fill(bucket, [f"in/{number:05}.png" for number in range(10_000)])
    listing = Listing(bucket)
    store.asked.clear()
    assert len(listing.whole()) == 10_000
    assert store.asked == ["list"] * 10


def test_a_replaced_object_is_new(store: StoreServer) -> None:
    """Also where its size and its second are those of the one before."""
    bucket = store.bucket()
    put(bucket, "in/a.png", b"one")
    listing = Listing(bucket)
    assert (listing.whole(), listing.whole()) == (["a.png"], [])
    put(bucket, "in/a.png", b"two")
    assert listing.whole() == ["a.png"]


def test_an_object_is_looked_at_alone(store: StoreServer) -> None:
    """What was replaced after it was listed needs no whole list; what is gone is no input."""
    bucket = store.bucket()
    put(bucket, "in/a.png", b"one")
    listing = Listing(bucket)
    listing.whole()
    put(bucket, "in/a.png", b"two")
    store.asked.clear()
    listing.intake.unsettle(b"a.png")
    listing.intake.unsettle(b"gone.png")
    assert listing.step() == ["a.png"]
    assert store.asked == ["head", "head"]


@pytest.mark.parametrize("status", [400, 403])
def test_an_object_that_cannot_be_looked_at_holds_up_nothing(
    store: StoreServer, status: int
) -> None:
    """The folder goes on listing, and reports it like any other: its transfer tells the error."""
    bucket = store.bucket()
    put(bucket, "in/a.png", b"one")
    listing = Listing(bucket)
    store.refuses = lambda asked: (status, "Odd") if asked == "head" else None
    listing.intake.unsettle(b"a.png")
    assert listing.step() == []
    assert listing.last.paused is None
    assert listing.whole() == ["a.png"]


def test_folders_below_and_patterns(store: StoreServer) -> None:
    """`recursive = false` and `exclude` say the same of keys as of files."""
    bucket = store.bucket()
    for key in ("a.png", "b/c.png", "b/skip/d.png"):
        put(bucket, f"in/{key}", b"x")
    assert Listing(bucket, recursive=False).whole() == ["a.png"]
    assert Listing(bucket, patterns=Patterns(("skip/",))).whole() == ["a.png", "b/c.png"]
    assert Listing(bucket, only=[b"b/c.png", b"no.png"]).whole() == ["b/c.png"]


def test_a_store_that_is_out_of_reach_pauses_the_folder(store: StoreServer) -> None:
    """Nothing is concluded from it; the next list begins anew."""
    bucket = store.bucket()
    put(bucket, "in/a.png", b"x")
    listing = Listing(bucket)
    store.refuses = lambda _: (403, "InvalidAccessKeyId")
    assert listing.step() == []
    assert "access key" in (listing.last.paused or "")
    assert listing.last.next_s > listing.now_s
    store.reset()
    assert listing.whole() == ["a.png"]
    assert (listing.last.paused, list(objects(bucket))) == (None, ["in/a.png"])
