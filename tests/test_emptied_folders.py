"""Sub-folders that our work has emptied are removed; those of a program at work never."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.commit.emptied import SLACK_S, remove_emptied
from sharpend.intake import scan
from sharpend.intake.tally import Tally
from sharpend.logs.events import Event
from sharpend.policies import SourcePolicy
from tests.fakes import Shop
from tests.shop import CommitShop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET_S = 300.0


@pytest.fixture(params=[SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CommitShop]:
    """A shop that lets its sources go."""
    made = CommitShop(tmp_path)
    made.to = replace(made.to, source=request.param)
    yield made
    made.ledger.close()


def take(shop: CommitShop, *names: str) -> None:
    """Drop images, and finish them."""
    for name in names:
        shop.drop(name)
    for _ in names:
        job = shop.claim()
        shop.commit(job, shop.work(job), time.time())


def emptied(shop: CommitShop, *, after_s: float = 0.0, quiet_s: float | None = None) -> set[str]:
    """What goes when a scan is over, so many seconds from now."""
    tally = Tally()
    for _ in scan.walk(shop.to.input_root, recursive=True, tally=tally):
        pass
    now_s = time.time() + after_s
    removed = remove_emptied(shop.ledger, shop.to, tally.empty, now_s, quiet_s)
    assert all(not os.path.lexists(os.path.join(shop.to.input_root, one)) for one in removed)
    return {os.fsdecode(one) for one in removed}


def folders(shop: CommitShop) -> set[str]:
    """Sub-folders of the input."""
    root = shop.home / "in"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


def test_emptied_folders_go_with_those_above_them(shop: CommitShop) -> None:
    """The deepest first; the input itself stays."""
    take(shop, "x.png", "a/x.png", "a/b/c/x.png", "a/d/x.png", "\udcff/x.png")
    assert emptied(shop) == {"a", "a/b", "a/b/c", "a/d", "\udcff"}
    assert folders(shop) == set()
    assert (shop.home / "in").is_dir()


def test_what_is_not_empty_stays(shop: CommitShop) -> None:
    """Whatever is there: a sidecar, a hidden file, a link, an image that waits."""
    take(shop, "a/x.png", "b/x.png", "c/x.png", "d/e/x.png")
    (shop.home / "in/a/notes.txt").touch()
    (shop.home / "in/b/.hidden").touch()
    (shop.home / "in/c/link").symlink_to("nowhere")
    shop.drop("d/y.png")
    assert emptied(shop) == {"d/e"}
    assert folders(shop) == {"a", "b", "c", "d"}


def test_only_folders_that_something_was_taken_out_of_go(shop: CommitShop) -> None:
    """One that was empty before, made by a program that will fill it, is not ours."""
    (shop.home / "in/fresh").mkdir()
    (shop.home / "in/a/fresh").mkdir(parents=True)
    (shop.home / "in/a0").mkdir()
    take(shop, "a/x.png", "z/x.png", "a1/x.png")
    assert emptied(shop) == {"z", "a1"}
    assert folders(shop) == {"fresh", "a", "a/fresh", "a0"}


def test_images_that_stay_empty_nothing(shop: CommitShop) -> None:
    """Whoever moves a kept image by hand looks after its folder, too."""
    shop.to = replace(shop.to, source=SourcePolicy.KEEP)
    take(shop, "a/x.png")
    (shop.home / "in/a/x.png").unlink()
    assert emptied(shop) == set()


def test_a_folder_made_anew_is_kept_for_its_maker(shop: CommitShop) -> None:
    """Long after ours was removed, a program makes one of that name, and has not filled it yet."""
    take(shop, "a/x.png")
    assert emptied(shop) == {"a"}
    (shop.home / "in/a").mkdir()
    later_s = time.time() + SLACK_S + 5
    os.utime(shop.home / "in/a", (later_s, later_s))
    assert emptied(shop) == set()


def test_a_daemon_waits_until_a_folder_is_quiet(shop: CommitShop) -> None:
    """A slow upload may be between two files of it."""
    take(shop, "a/b/x.png")
    assert emptied(shop, quiet_s=QUIET_S) == set()
    assert emptied(shop, quiet_s=QUIET_S, after_s=QUIET_S - 5) == set()
    assert emptied(shop, quiet_s=QUIET_S, after_s=QUIET_S + 5) == {"a", "a/b"}


def test_a_file_that_came_since_the_scan_keeps_its_folder(shop: CommitShop) -> None:
    """The kernel removes no folder with anything in it, so nothing can be lost between the two."""
    take(shop, "a/x.png")
    shop.drop("a/y.png")
    assert remove_emptied(shop.ledger, shop.to, [b"a"], time.time() + 999, 0.0) == []
    assert shop.files("in") == {"a/y.png": b"photo"}


def test_a_link_in_the_place_of_a_folder_is_not_followed(shop: CommitShop, tmp_path: Path) -> None:
    """Neither a folder elsewhere nor the link itself is removed."""
    take(shop, "a/b/x.png")
    elsewhere = tmp_path / "elsewhere"
    (shop.home / "in/a").rename(elsewhere)
    (shop.home / "in/a").symlink_to(elsewhere)
    assert remove_emptied(shop.ledger, shop.to, [b"a/b", b"a"], time.time() + 999, 0.0) == []
    assert (elsewhere / "b").is_dir()


def test_an_input_that_was_replaced_is_left_alone(shop: CommitShop) -> None:
    """An unmounted disk leaves folders of the same names behind, which are another's."""
    take(shop, "a/x.png")
    shop.to.guard.closed = "not mounted"
    assert remove_emptied(shop.ledger, shop.to, [b"a"], time.time() + 999, 0.0) == []
    assert folders(shop) == {"a"}


def test_a_daemon_removes_them_after_a_scan_and_says_so(tmp_path: Path) -> None:
    """Once, with the paths; a folder without the setting keeps its sub-folders."""
    for wanted in (True, False):
        home = tmp_path / str(wanted)
        home.mkdir()
        shop = Shop(home, source=SourcePolicy.DELETE, remove_empty_folders=wanted)
        source = shop.take("a/b/x.png")
        shop.pool.stage()
        shop.conclude()
        assert not source.exists()
        for folder in (home / "in/a/b", home / "in/a"):
            os.utime(folder, (1, 1))
        for _ in range(4):
            shop.turn(after_s=61)
        told = [(one["removed"], one["paths"]) for one in shop.log.of(Event.SUBFOLDERS_REMOVED)]
        assert told == ([(2, [b"a/b", b"a"])] if wanted else [])
        assert (home / "in/a").exists() is not wanted
        shop.close()
