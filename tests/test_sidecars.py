"""Sidecars stay with their image: into the archive, by choice beside the output, never torn off."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.commit import sidecars
from sharpend.commit.ages import Limits
from sharpend.commit.names import Naming
from sharpend.commit.results import Committed
from sharpend.commit.retention import prune_archive
from sharpend.files.access import Access
from sharpend.files.patterns import Patterns
from sharpend.files.sidecars import belongs_to, core, is_sidecar, possible_sidecars, renamed
from sharpend.policies import ExistingPolicy, Sidecars, SourcePolicy
from tests.shop import CommitShop, CrashError
from tests.test_commit import STEPS, across_disks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test has written is as good as old."""
    monkeypatch.setattr(sidecars, "SETTLED_S", 0.0)
    monkeypatch.setattr(sidecars, "UNLEASED_SETTLED_S", 0.0)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommitShop]:
    """A shop that archives its sources."""
    made = CommitShop(tmp_path)
    made.to = replace(made.to, source=SourcePolicy.ARCHIVE)
    yield made
    made.ledger.close()


def place(shop: CommitShop, *names: str) -> None:
    """Sidecars, or other files that are no inputs, in the input folder."""
    for name in names:
        path = shop.home / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def told(done: Committed) -> Mapping[str, object]:
    """The keys of its event, without what stands for nothing."""
    return done.finished_keys


FOLLOW = [
    ("IMG_1.jpg", ["IMG_1.xmp"]),
    ("IMG_1.jpg", ["IMG_1.jpg.xmp", "IMG_1.xmp"]),
    ("caf\udcff.jpg", ["caf\udcff.xmp"]),
    ("sub/IMG_1.JPG", ["sub/IMG_1.XMP"]),
    ("IMG_1234.HEIC", ["IMG_1234.AAE", "IMG_O1234.AAE", "IMG_1234.xmp"]),
    ("IMG_E1234.HEIC", ["IMG_1234.AAE", "IMG_E1234.aae"]),
    ("a.b.png", ["a.b.xmp", "a.b.png.Xmp"]),
    ("caf\u00e9 \U0001f4f7.png", ["caf\u00e9 \U0001f4f7.xmp"]),
]


@pytest.mark.parametrize(("image", "beside"), FOLLOW)
def test_sidecars_follow_their_image_into_the_archive(
    shop: CommitShop, image: str, beside: list[str]
) -> None:
    """All conventions of names are known, and the event reports each."""
    place(shop, *beside)
    shop.drop(image)
    done = shop.run()
    assert shop.files("in") == {}
    assert shop.files("archive") == {image: b"photo"} | {one: os.fsencode(one) for one in beside}
    assert {os.fsdecode(one) for one in done.archived} == set(beside)
    assert (done.warning, "sidecars" in told(done)) == ("", True)


STAY = [
    ("IMG_1.jpg", ["IMG_10.xmp", "IMG_1.xmp.bak", "other.xmp", "IMG_1.txt.xmp"]),
    ("IMG_1.jpg", ["IMG_1.CR2", "IMG_1.xmp"]),
    ("IMG_1.jpg", ["IMG_1.Cr9", "IMG_1.xmp"]),
    ("IMG_1.jpg", ["IMG_1.CR2.part", "IMG_1.xmp"]),
    ("IMG_1.jpg", [".IMG_1.CR2.Xa81Bc", "IMG_1.xmp"]),
    ("IMG_1234.HEIC", ["IMG_E1234.JPG", "IMG_1234.AAE"]),
    ("IMG_1.jpg", ["IMG_1.jpg.png", "IMG_1.jpg.xmp"]),
]


@pytest.mark.parametrize(("image", "others"), STAY)
def test_what_belongs_to_another_file_too_stays_with_it(
    shop: CommitShop, image: str, others: list[str]
) -> None:
    """A RAW that is there, or is still coming, keeps the sidecar that it shares."""
    place(shop, *others)
    shop.drop(image)
    done = shop.run()
    assert shop.files("in") == {one: one.encode() for one in others}
    assert shop.files("archive") == {image: b"photo"}
    assert told(done) == {}


def test_a_live_photo_takes_its_edits_along(shop: CommitShop) -> None:
    """Its video, which is no image, does not hold them back."""
    place(shop, "IMG_1234.MOV", "IMG_1234.AAE")
    shop.drop("IMG_1234.HEIC")
    shop.run()
    assert set(shop.files("archive")) == {"IMG_1234.HEIC", "IMG_1234.AAE"}
    assert set(shop.files("in")) == {"IMG_1234.MOV"}


def test_the_last_of_two_images_takes_the_sidecar_that_they_share(shop: CommitShop) -> None:
    """With the first it stays beside the second."""
    place(shop, "x.xmp")
    shop.drop("x.jpg")
    shop.drop("x.png")
    assert shop.run().archived == ()
    assert set(shop.files("in")) == {"x.png", "x.xmp"}
    assert shop.run().archived == (b"x.xmp",)
    assert shop.files("in") == {}


@pytest.mark.parametrize(
    ("source", "policy"),
    [
        (SourcePolicy.KEEP, Sidecars.FOLLOW),
        (SourcePolicy.DELETE, Sidecars.FOLLOW),
        (SourcePolicy.DELETE, Sidecars.COPY),
        (SourcePolicy.ARCHIVE, Sidecars.LEAVE),
    ],
)
def test_sidecars_stay_where_nothing_is_archived(
    shop: CommitShop, source: SourcePolicy, policy: Sidecars
) -> None:
    """Nothing is deleted that the output lacks."""
    shop.to = replace(shop.to, source=source, sidecars=policy)
    place(shop, "x.xmp")
    shop.drop("x.png")
    assert shop.run().archived == ()
    assert shop.files("in")["x.xmp"] == b"x.xmp"
    assert "x.xmp" not in shop.files("archive")


def test_an_excluded_sidecar_is_left_alone(shop: CommitShop) -> None:
    """`exclude` has the last word about each file of the input."""
    shop.to = replace(shop.to, left_alone=Patterns(("*.xmp",)))
    place(shop, "x.xmp", "x.png.xmp", "x.aae")
    shop.drop("x.png")
    assert shop.run().archived == (b"x.aae",)
    assert set(shop.files("in")) == {"x.xmp", "x.png.xmp"}


def test_nothing_in_the_archive_is_overwritten(shop: CommitShop) -> None:
    """The sidecar goes with the number of its image, or under the image's whole name."""
    for name in ("x.png", "x.xmp", "y.xmp"):
        (shop.home / "archive" / name).write_bytes(b"other")
    place(shop, "x.xmp", "x.png.xmp", "y.xmp")
    shop.drop("x.png")
    shop.drop("y.png")
    shop.run_all()
    assert shop.files("archive") == {
        **dict.fromkeys(["x.png", "x.xmp", "y.xmp"], b"other"),
        "x-2.png": b"photo",
        "x-2.xmp": b"x.xmp",
        "x-2.png.xmp": b"x.png.xmp",
        "y.png": b"photo",
        "y.png.xmp": b"y.xmp",
    }


@pytest.mark.parametrize("far", [False, True], ids=["one disk", "two disks"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_tears_no_sidecar_from_its_image(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, step: str, *, far: bool
) -> None:
    """Killed at any step, the next start moves both, once, and copies both beside the output."""
    if far:
        across_disks(monkeypatch)
    shop.to = replace(shop.to, sidecars=Sidecars.COPY)
    place(shop, "a/x.xmp", "a/x.png.xmp")
    shop.drop("a/x.png")
    shop.crash_at = step
    with pytest.raises(CrashError):
        shop.run()
    shop.crash_at = ""
    shop.restart()
    shop.run_all()
    both = {"a/x.xmp": b"a/x.xmp", "a/x.png.xmp": b"a/x.png.xmp"}
    assert shop.files("in") == {}
    assert shop.files("archive") == {"a/x.png": b"photo"} | both
    assert shop.files("out") == {"a/x.png": b"sharp photo"} | both


def test_a_new_image_of_that_name_keeps_its_sidecar_after_a_crash(shop: CommitShop) -> None:
    """Both came between the crash and the restart."""
    shop.drop("x.png")
    shop.crash_at = "source_removed"
    with pytest.raises(CrashError):
        shop.run()
    shop.crash_at = ""
    shop.drop("x.png", b"another")
    place(shop, "x.xmp")
    shop.restart()
    assert set(shop.files("in")) == {"x.png", "x.xmp"}
    shop.run_all()
    assert shop.files("archive") == {
        "x.png": b"photo",
        "x-2.png": b"another",
        "x-2.xmp": b"x.xmp",
    }


def test_a_source_that_was_carried_away_takes_no_sidecar_along(shop: CommitShop) -> None:
    """Who moves an image by hand moves its sidecar, too."""
    place(shop, "a/x.xmp")
    shop.drop("a/x.png")
    job = shop.claim()
    attempt = shop.work(job)
    (shop.home / "in/a/x.png").unlink()
    assert shop.commit(job, attempt).archived == ()
    assert set(shop.files("in")) == {"a/x.xmp"}
    assert list((shop.home / "archive").iterdir()) == []


def test_a_sidecar_that_is_being_written_follows_later(shop: CommitShop) -> None:
    """Its image is archived at once, and the sidecar by the next attempt at it."""
    place(shop, "x.xmp")
    shop.drop("x.png")
    with (shop.home / "in/x.xmp").open("ab") as writer:
        done = shop.run()
        assert (done.disposal_pending, "x.xmp is still being written" in done.warning) == (
            True,
            True,
        )
        assert set(shop.files("in")) == {"x.xmp"}
        writer.write(b" and more")
    (again,) = shop.committer.recover(shop.to, 1.0)
    assert isinstance(again, Committed)
    assert again.archived == (b"x.xmp",)
    assert shop.files("archive") == {"x.png": b"photo", "x.xmp": b"x.xmp and more"}


def test_a_sidecar_that_just_came_may_be_half_a_file(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has it open now, but its writer may open it again: it follows a little later."""
    place(shop, "x.xmp")
    shop.drop("x.png")
    with monkeypatch.context() as soon:
        soon.setattr(sidecars, "SETTLED_S", 3600.0)
        soon.setattr(sidecars, "UNLEASED_SETTLED_S", 3600.0)
        assert shop.run().disposal_pending
        assert set(shop.files("in")) == {"x.xmp"}
    (done,) = shop.restart()
    assert isinstance(done, Committed)
    assert done.archived == (b"x.xmp",)
    assert shop.files("in") == {}


def test_links_and_giants_are_no_sidecars(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link is never followed or moved; a giant is left, with a word about it."""
    monkeypatch.setattr(sidecars, "MOST_BYTES", 5)
    place(shop, "x.png.xmp", "secret")
    (shop.home / "in/x.xmp").symlink_to("secret")
    shop.drop("x.png")
    done = shop.run()
    assert set(os.listdir(shop.home / "in")) == {"x.xmp", "x.png.xmp", "secret"}
    assert "x.png.xmp was left: it is larger than 5 bytes" in done.warning
    assert shop.state(b"x.png") == "disposed"


COPIES = [
    (Naming(), "x.png", "x.xmp", "x.xmp"),
    (Naming(suffix="-sharp"), "d/x.png", "d/x.xmp", "d/x-sharp.xmp"),
    (Naming(suffix="-sharp"), "d/x.png", "d/x.png.XMP", "d/x-sharp.png.XMP"),
    (Naming("{stem}.out"), "x.png", "x.xmp", "x.xmp"),
    (Naming("{stem}.out"), "x.png", "x.png.xmp", "x.out.xmp"),
    (Naming(suffix="-s"), "IMG_7.HEIC", "IMG_7.AAE", "IMG_7-s.AAE"),
]


@pytest.mark.parametrize(("naming", "image", "sidecar", "copy"), COPIES)
def test_by_choice_a_copy_is_beside_the_output(
    shop: CommitShop, naming: Naming, image: str, sidecar: str, copy: str
) -> None:
    """It has the output's name, by the convention that it had, and its own time."""
    shop.to = replace(shop.to, naming=naming, sidecars=Sidecars.COPY, source=SourcePolicy.KEEP)
    place(shop, sidecar)
    os.utime(shop.home / "in" / sidecar, (1, 1))
    shop.drop(image)
    done = shop.run()
    assert shop.files("out")[copy] == sidecar.encode()
    assert (shop.home / "out" / copy).stat().st_mtime == 1
    assert told(done) == {"sidecar_copies": [os.fsencode(copy)]}
    assert set(shop.files("in")) == {image, sidecar}


def test_copies_have_the_permissions_of_outputs(shop: CommitShop) -> None:
    """Who may read an output may read its sidecar."""
    shop.to = replace(shop.to, access=Access(mode=0o640), sidecars=Sidecars.COPY)
    place(shop, "x.xmp")
    shop.drop("x.png")
    shop.run()
    assert stat.S_IMODE((shop.home / "out/x.xmp").stat().st_mode) == 0o640


@pytest.mark.parametrize("existing", [ExistingPolicy.SUFFIX, ExistingPolicy.REPLACE])
def test_a_foreign_sidecar_in_the_output_is_replaced_by_choice_only(
    shop: CommitShop, existing: ExistingPolicy
) -> None:
    """The same policy decides as for outputs; without it the file stays, and the event says so."""
    shop.to = replace(shop.to, existing=existing, sidecars=Sidecars.COPY)
    (shop.home / "out/x.xmp").write_bytes(b"edited")
    place(shop, "x.xmp")
    shop.drop("x.png")
    done = shop.run()
    replaces = existing is ExistingPolicy.REPLACE
    assert shop.files("out")["x.xmp"] == (b"x.xmp" if replaces else b"edited")
    assert ("x.xmp was not copied" in done.warning) is not replaces
    assert shop.files("archive")["x.xmp"] == b"x.xmp"


@pytest.mark.parametrize("policy", [Sidecars.FOLLOW, Sidecars.LEAVE])
def test_sidecars_leave_the_archive_with_their_image(shop: CommitShop, policy: Sidecars) -> None:
    """Retention deletes them too, but never one that belongs to an image that stays."""
    shop.to = replace(shop.to, sidecars=policy)
    archive = shop.home / "archive"
    for name in ("a/x.png", "a/x.xmp", "a/x.png.xmp", "y.png", "y.CR2", "y.xmp"):
        path = archive / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
    later_s = time.time() + 10 * 86_400
    for _ in (work := prune_archive(shop.to, Limits(days=1), later_s)):
        pass
    work.close()
    kept = {"y.CR2", "y.xmp"} | ({"a/x.xmp", "a/x.png.xmp"} if policy is Sidecars.LEAVE else set())
    assert set(shop.files("archive")) == kept


def test_another_form_of_an_image_has_no_copy(shop: CommitShop) -> None:
    """The edits of IMG_1234 are in the pixels of IMG_E1234 already."""
    shop.to = replace(shop.to, sidecars=Sidecars.COPY)
    place(shop, "IMG_1234.AAE")
    shop.drop("IMG_E1234.HEIC")
    assert shop.run().copied == ()
    assert set(shop.files("archive")) == {"IMG_E1234.HEIC", "IMG_1234.AAE"}


def test_each_name_that_is_looked_for_belongs_to_its_image() -> None:
    """The two directions of the conventions agree, for plain names and an iPhone's."""
    for image in (b"x.png", b"IMG_1234.HEIC", b"IMG_E1234.HEIC", b"\xff.png"):
        names = list(possible_sidecars(image))
        assert len(names) == len(set(names))
        for name in names:
            assert is_sidecar(name)
            assert belongs_to(name, image)
            assert core(name) in image
            assert belongs_to(renamed(name, image, image), image)
