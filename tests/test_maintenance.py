"""A daemon that runs for years keeps what it was told to keep, and forgets nothing that matters."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.attempt import Failure
from sharpend.commit.ages import Limits, Retention
from sharpend.daemon.maintenance import BACKUP_EVERY_S, EVERY_S, REST_S, Maintenance, Paths
from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger import copies
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.policies import ExistingPolicy, SourcePolicy
from tests.fakes import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY_S = 86_400.0
MONTH = Limits(days=30)
ONE = Fingerprint(1, 2, 3)
SMALL = Limits(megabytes=0.002)


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Makes a shop, with changes to its folder's way out."""
    opened: list[Shop] = []

    def made(**destination: Any) -> Shop:  # noqa: ANN401 - as Shop
        opened.append(Shop(tmp_path, **destination))
        return opened[-1]

    yield made
    for shop in opened:
        shop.close()


def maintenance_of(shop: Shop, retention: Retention) -> Maintenance:
    """The maintenance of a shop."""
    state = shop.home / "state"
    destinations = {name: one.plan.destination for name, one in shop.dispatcher.folders.items()}
    paths = Paths(state, os.fsencode(state / "quarantine"), destinations)
    return Maintenance(retention, paths, shop.ledger, shop.log)


def rounds(maintenance: Maintenance, *, since_s: float = 0.0, days: float = 0.0) -> float:
    """All that is due an hour after the start, so many days from now; when the next is due."""
    wall_s = time.time() + days * DAY_S - since_s
    maintenance.step(since_s, wall_s + since_s)
    now_s = since_s + EVERY_S
    while (next_s := maintenance.step(now_s, wall_s + now_s)) <= now_s + REST_S:
        now_s = next_s
    return next_s


def kept(shop: Shop, days: float = 31, **retention: Any) -> None:  # noqa: ANN401 - as Retention
    """A round of maintenance, so many days later."""
    rounds(maintenance_of(shop, Retention(**retention)), days=days)


def refused(shop: Shop, name: str, content: bytes = b"bad") -> None:
    """An image goes into quarantine."""
    shop.take(name, content=content)
    shop.pool.fail(Failure.REFUSED, Reason.TOO_MANY_PIXELS)
    shop.conclude()


def finished(shop: Shop, name: str, content: bytes = b"blurred") -> None:
    """An image goes all the way."""
    shop.take(name, content=content)
    shop.pool.stage()
    shop.conclude()


def lying(root: Path) -> list[str]:
    """All that is below a folder, empty folders too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def known(shop: Shop) -> int:
    """How many inputs the ledger knows."""
    return sum(shop.ledger.counts().values())


def test_by_default_nothing_of_a_users_is_removed(
    shops: Callable[..., Shop], tmp_path: Path
) -> None:
    """Ten years later all images are where they were, and the ledger knows them."""
    shop = shops(source=SourcePolicy.ARCHIVE, archive_root=os.fsencode(tmp_path / "archive"))
    refused(shop, "bad.png")
    finished(shop, "a.png")
    before = lying(shop.home)
    kept(shop, days=3650, ledger_days=90)
    assert [name for name in lying(shop.home) if "ledger.db" not in name] == [
        name for name in before if "ledger.db" not in name
    ]
    assert known(shop) == 2


class TestQuarantine:
    """Images that could not be sharpened, and their reasons."""

    def test_the_old_goes_with_its_reason_and_its_row(self, shops: Callable[..., Shop]) -> None:
        """What is younger stays; one event reports how much was removed."""
        shop = shops(source=SourcePolicy.DELETE)
        refused(shop, "deep/down/bad.png")
        quarantine = shop.home / "state/quarantine"
        kept(shop, days=29, quarantine=MONTH)
        assert "in/deep/down/bad.png" in lying(quarantine)
        kept(shop, days=31, quarantine=MONTH)
        assert lying(quarantine) == []
        assert known(shop) == 0
        assert shop.log.of(Event.QUARANTINE_PRUNED) == [{"files": 1, "megabytes": 0, "left": 0}]

    def test_of_too_much_the_oldest_goes(self, shops: Callable[..., Shop]) -> None:
        """As much as has to."""
        shop = shops(source=SourcePolicy.DELETE)
        for name in ("a.png", "b.png", "c.png"):
            refused(shop, name, bytes(900))
        kept(shop, days=0, quarantine=SMALL)
        pictures = [name for name in lying(shop.home / "state/quarantine") if name.endswith("png")]
        assert pictures == ["in/b.png", "in/c.png"]
        assert shop.count(State.QUARANTINED) == 2

    def test_a_reason_stays_as_long_as_its_picture(self, shops: Callable[..., Shop]) -> None:
        """With keep the image is the user's; forgotten too early, it would be tried again."""
        shop = shops()
        refused(shop, "bad.png")
        kept(shop, quarantine=MONTH)
        assert "in/bad.png.reason.json" in lying(shop.home / "state/quarantine")
        shop.settle()
        assert shop.pool.tasks == []
        (shop.home / "in/bad.png").unlink()
        kept(shop, quarantine=MONTH)
        assert lying(shop.home / "state/quarantine") == []
        assert known(shop) == 0

    @pytest.mark.parametrize("lost", [["in/a.png"], ["in/a.png", "in/a.png.reason.json"]])
    def test_a_crash_between_two_steps_is_made_good(
        self, shops: Callable[..., Shop], lost: list[str]
    ) -> None:
        """Files go before the row: what is gone already does not keep the rest."""
        shop = shops(source=SourcePolicy.DELETE)
        refused(shop, "a.png")
        for name in lost:
            (shop.home / "state/quarantine" / name).unlink()
        kept(shop, quarantine=MONTH)
        assert not [name for name in lying(shop.home / "state/quarantine") if "png" in name]
        assert known(shop) == 0

    @pytest.mark.parametrize("planted", ["file", "link"])
    def test_what_we_did_not_put_there_stays(
        self, shops: Callable[..., Shop], planted: str
    ) -> None:
        """Another file under a quarantined image's name, or a link, is reported and left alone."""
        shop = shops(source=SourcePolicy.DELETE)
        refused(shop, "a.png")
        place = shop.home / "state/quarantine/in/a.png"
        place.unlink()
        theirs = shop.home / "theirs.png"
        theirs.write_bytes(b"somebody's")
        if planted == "link":
            place.symlink_to(theirs)
        else:
            theirs.rename(place)
        kept(shop, quarantine=MONTH)
        assert place.read_bytes() == b"somebody's"
        assert (shop.home / "state/quarantine/in/a.png.reason.json").exists()
        assert known(shop) == 1
        (told,) = shop.log.of(Event.QUARANTINE_PRUNED)
        assert (told["files"], told["left"]) == (0, 1)


class TestArchive:
    """Sources that were moved away."""

    @pytest.fixture
    def shop(self, shops: Callable[..., Shop], tmp_path: Path) -> Shop:
        """A shop with an archive."""
        return shops(source=SourcePolicy.ARCHIVE, archive_root=os.fsencode(tmp_path / "archive"))

    def test_the_old_goes_by_the_day_it_was_archived(self, shop: Shop) -> None:
        """An image taken years ago and archived today is new; emptied folders go as well."""
        path = shop.drop("deep/a.png")
        os.utime(path, (0, 0))
        shop.settle()
        shop.pool.stage()
        shop.conclude()
        kept(shop, days=29, archive=MONTH)
        assert lying(shop.home / "archive") == ["deep", "deep/a.png"]
        kept(shop, days=31, archive=MONTH)
        assert lying(shop.home / "archive") == []
        assert shop.log.of(Event.ARCHIVE_PRUNED) == [
            {"folder": "in", "files": 1, "megabytes": 0, "left": 0}
        ]

    def test_of_too_much_only_the_surplus_goes(self, shop: Shop) -> None:
        """The size of all that is there counts."""
        for number in range(3):
            finished(shop, f"{number}.png", bytes(900))
        kept(shop, days=0, archive=SMALL)
        assert len(lying(shop.home / "archive")) == 2

    def test_only_pictures_go_and_no_link_is_followed(self, shop: Shop) -> None:
        """Notes, hidden files and what links lead to are not what we archived."""
        archive, elsewhere = shop.home / "archive", shop.home / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "far.png").write_bytes(b"far")
        (archive / "notes.txt").write_bytes(b"notes")
        (archive / ".hidden.png").write_bytes(b"hidden")
        (archive / "empty").mkdir()
        (archive / "way").symlink_to(elsewhere)
        (archive / "link.png").symlink_to(elsewhere / "far.png")
        before = lying(archive)
        finished(shop, "a.png")
        kept(shop, archive=MONTH)
        assert lying(archive) == before
        assert lying(elsewhere) == ["far.png"]

    def test_another_folder_in_its_place_is_not_touched(self, shop: Shop) -> None:
        """A disk that was unmounted, or replaced, is not pruned; that is reported."""
        finished(shop, "a.png")
        (shop.home / "archive").rename(shop.home / "old")
        shutil.copytree(shop.home / "old", shop.home / "archive")
        kept(shop, archive=MONTH)
        assert lying(shop.home / "archive") == ["a.png"]
        assert len(shop.log.of(Event.UPKEEP_FAILED)) == 1

    def test_the_output_is_still_known(self, shop: Shop) -> None:
        """The archived source is gone; its output is ours as before."""
        finished(shop, "a.png")
        kept(shop, archive=MONTH, ledger_days=30)
        assert known(shop) == 1
        shop.settle()
        assert shop.pool.tasks == []


class TestLedger:
    """Rows of inputs that came to their end."""

    def test_what_left_nothing_is_forgotten(self, shops: Callable[..., Shop]) -> None:
        """Source and output are gone, for longer than the setting says."""
        shop = shops()
        for name in ("a.png", "b.png"):
            finished(shop, name)
        (shop.home / "in/a.png").unlink()
        (shop.home / "in-out/a.png").unlink()
        kept(shop, days=89, ledger_days=90)
        assert known(shop) == 2
        kept(shop, days=91, ledger_days=90)
        assert shop.log.of(Event.LEDGER_PRUNED) == [{"inputs": 1}]
        assert [one.relative for one in shop.ledger.outcomes("in", [b"a.png", b"b.png"])] == [
            b"b.png"
        ]

    @pytest.mark.parametrize("stays", ["in", "in-out"])
    def test_what_left_something_is_not(self, shops: Callable[..., Shop], stays: str) -> None:
        """A source would be done again, an output be taken for somebody else's."""
        shop = shops()
        finished(shop, "a.png")
        for folder in {"in", "in-out"} - {stays}:
            (shop.home / folder / "a.png").unlink()
        kept(shop, days=3650, ledger_days=90)
        assert known(shop) == 1
        shop.settle()
        assert shop.pool.tasks == []

    def test_what_was_disposed_of_is_forgotten_with_its_output(
        self, shops: Callable[..., Shop]
    ) -> None:
        """A new image may have its path by then."""
        shop = shops(source=SourcePolicy.DELETE)
        finished(shop, "a.png")
        shop.drop("a.png", b"another")
        kept(shop, days=91, ledger_days=90)
        assert known(shop) == 1
        (shop.home / "in-out/a.png").unlink()
        kept(shop, days=91, ledger_days=90)
        assert known(shop) == 0

    def test_an_input_that_vanished_is_forgotten(self, shops: Callable[..., Shop]) -> None:
        """It left nothing from the beginning."""
        shop = shops()
        shop.take("a.png").unlink()
        shop.pool.fail(Failure.VANISHED)
        shop.conclude()
        kept(shop, days=91, ledger_days=90)
        assert known(shop) == 0

    def test_a_foreign_file_in_its_place_is_no_output_of_ours(
        self, shops: Callable[..., Shop]
    ) -> None:
        """What was left unchanged needs no row once its source is gone."""
        shop = shops(existing=ExistingPolicy.SKIP)
        (shop.home / "in-out/a.png").write_bytes(b"somebody's")
        os.utime(shop.home / "in-out/a.png", (1, 1))  # an output of ours has its source's time
        shop.take("a.png")
        assert shop.count(State.DISPOSED) == 1
        (shop.home / "in/a.png").unlink()
        kept(shop, days=91, ledger_days=90)
        assert known(shop) == 0

    @pytest.mark.parametrize("restarted", [False, True])
    def test_a_disk_that_is_not_mounted_proves_nothing(
        self, shops: Callable[..., Shop], *, restarted: bool
    ) -> None:
        """Everything seems gone in its empty place, before a restart and after."""
        shop = shops()
        finished(shop, "a.png")
        for name in ("in", "in-out"):
            (shop.home / name).rename(shop.home / f"{name}-away")
            (shop.home / name).mkdir()
        if restarted:
            shop.close()
            shop.start()
        kept(shop, days=3650, ledger_days=90)
        for name in ("in", "in-out"):
            (shop.home / name).rmdir()
            (shop.home / f"{name}-away").rename(shop.home / name)
        shop.close()
        shop.start()
        kept(shop, days=3650, ledger_days=90)
        shop.settle()
        assert shop.pool.tasks == []
        assert shop.made() == ["a.png"]

    def test_folders_that_are_not_at_work_are_left_alone(self, shops: Callable[..., Shop]) -> None:
        """Nobody looks at their disks."""
        shop = shops()
        finished(shop, "a.png")
        (shop.home / "in/a.png").unlink()
        (shop.home / "in-out/a.png").unlink()
        maintenance = maintenance_of(shop, Retention(ledger_days=1))
        maintenance._paths = replace(maintenance._paths, destinations={})
        rounds(maintenance, days=10)
        assert known(shop) == 1


class TestTimes:
    """When what is due."""

    def test_a_clock_that_was_set_makes_nothing_old(self, shops: Callable[..., Shop]) -> None:
        """Ages are judged an hour later at the earliest, when somebody could have noticed."""
        shop = shops(source=SourcePolicy.DELETE)
        refused(shop, "a.png")
        maintenance = maintenance_of(shop, Retention(quarantine=MONTH))
        wall_s = time.time()
        assert maintenance.step(0.0, wall_s) == EVERY_S
        far_s = wall_s + 365 * DAY_S
        assert maintenance.step(EVERY_S, far_s + EVERY_S) == 2 * EVERY_S
        maintenance.step(EVERY_S + 1, far_s + EVERY_S + 1)
        assert known(shop) == 1
        maintenance.step(2 * EVERY_S, far_s + 2 * EVERY_S)
        assert known(shop) == 0

    def test_work_goes_on_in_pieces(self, shops: Callable[..., Shop]) -> None:
        """A step looks at fifty files at most, and the loop comes back for the next."""
        shop = shops(source=SourcePolicy.DELETE)
        entries = [(b"%d.png" % number, ONE) for number in range(170)]
        shop.ledger.add("in", entries, time.time())
        while (job := shop.ledger.claim(time.time(), {"in"})) is not None:
            shop.ledger.vanish(job)
        maintenance = maintenance_of(shop, Retention(ledger_days=1))
        wall_s = time.time() + 10 * DAY_S
        maintenance.step(0.0, wall_s)
        left = []
        for number in range(4):
            now_s = EVERY_S + number * REST_S
            assert maintenance.step(now_s, wall_s + now_s) == now_s + REST_S
            left.append(known(shop))
        assert left == [120, 70, 20, 0]

    def test_a_full_state_disk_is_reported_and_waited_for(self, shops: Callable[..., Shop]) -> None:
        """Maintenance that fails costs the daemon nothing, and is done an hour later."""
        shop = shops(source=SourcePolicy.DELETE)
        refused(shop, "a.png")
        maintenance = maintenance_of(shop, Retention(quarantine=MONTH))
        shop.ledger._store._connection.execute("PRAGMA query_only = 1")
        next_s = rounds(maintenance, days=31)
        assert known(shop) == 1
        assert len(shop.log.of(Event.UPKEEP_FAILED)) == 1
        shop.ledger._store._connection.execute("PRAGMA query_only = 0")
        rounds(maintenance, since_s=next_s - EVERY_S, days=31)
        assert known(shop) == 0


class TestBackup:
    """Of the ledger, once a day."""

    def test_one_is_made_each_day(self, shops: Callable[..., Shop]) -> None:
        """However often the daemon starts; the event reports where it is."""
        shop = shops()
        state = shop.home / "state"
        kept(shop, days=0, backups=2)
        kept(shop, days=0, backups=2)
        assert shop.log.of(Event.BACKUP_MADE) == [{"path": state / "ledger.db.backup-1"}]
        made_s = copies.kept_at(state)
        assert made_s is not None
        os.utime(state / "ledger.db.backup-1", (0, made_s - BACKUP_EVERY_S))
        kept(shop, days=0, backups=2)
        assert len(list(state.glob("ledger.db.backup-*"))) == 2

    def test_none_is_made_where_none_is_wanted(self, shops: Callable[..., Shop]) -> None:
        """`backups = 0`."""
        shop = shops()
        kept(shop, days=0, backups=0)
        assert copies.newest(shop.home / "state") is None

    def test_one_that_fails_is_reported(self, shops: Callable[..., Shop]) -> None:
        """The daemon works on without it."""
        shop = shops()
        (shop.home / "state/ledger.db.copy.tmp").mkdir()
        kept(shop, days=0, backups=2)
        (told,) = shop.log.of(Event.UPKEEP_FAILED)
        assert "state directory" in told["reason"]

    def test_a_stop_does_not_wait_for_it(self, shops: Callable[..., Shop]) -> None:
        """It is abandoned, and leaves nothing half-made."""
        shop = shops()
        shop.ledger.add("in", [(b"%0500d" % n, ONE) for n in range(5000)], 0.0)
        maintenance = maintenance_of(shop, Retention(backups=1))
        wall_s = time.time()
        maintenance.step(0.0, wall_s)
        maintenance.step(EVERY_S, wall_s + EVERY_S)
        maintenance.close()
        assert maintenance._backup is not None
        assert not maintenance._backup.is_alive()
        assert not (shop.home / "state/ledger.db.copy.tmp").exists()
