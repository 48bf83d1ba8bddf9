"""Status is made from a snapshot alone: health, the report, the one line."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING

import pytest

from sharpend.attempt import Failure
from sharpend.daemon.history import History
from sharpend.daemon.snapshot import Snapshot
from sharpend.daemon.status import StatusReporter, read_status
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.logs.plain import plain
from sharpend.workers.loading import LoadedModel
from tests.fakes import ListLog, Shop

if TYPE_CHECKING:
    from pathlib import Path

WELL = Snapshot(
    workers=2,
    queue_depth=3,
    oldest_pending_s=1.5,
    sharpened=4,
    quarantined=1,
    agreement={"lite": {"n": 0, "verdict": "not measurable"}},
    canary=None,
    low=(),
    folders=("in", "other"),
    paused={},
    unreadable={},
    left_alone={"other": {".nef": 2}},
)


def reporter(home: Path) -> StatusReporter:
    """One that knows a state directory, a model and a log, and no other part."""
    loaded = LoadedModel("lite", "digest", "cpu", 128, 4, None, None)
    return StatusReporter(home, loaded, ListLog(), History(home))


def test_a_snapshot_does_not_change() -> None:
    """Whoever reads it later reads the same."""
    with pytest.raises(FrozenInstanceError):
        WELL.queue_depth = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("now", "health"),
    [
        (WELL, "ok"),
        (replace(WELL, paused={"in": "full"}), "degraded"),
        (replace(WELL, low=("lite",)), "degraded"),
        (replace(WELL, low=("lite",), state_fault="no space"), "fail"),
    ],
)
def test_health(now: Snapshot, health: str) -> None:
    """A pause or an alarm degrades; a state directory that fails is the end of health."""
    assert now.health == health


def test_one_line(tmp_path: Path) -> None:
    """For `systemctl status`: what waits, what was done, and health; or why nothing is done."""
    told = reporter(tmp_path)
    assert told.summary(WELL) == "3 waiting, 4 sharpened, 1 quarantined, health ok"
    assert told.summary(replace(WELL, state_fault="full")) == "paused, health fail: full"


def test_the_status_file_says_what_the_report_says(tmp_path: Path) -> None:
    """Window and snapshot, in the file as in the event, with what process said it."""
    told = reporter(tmp_path)
    told.publish(WELL, {"images": 7}, state="stopped")
    status = read_status(tmp_path)
    assert status is not None
    assert isinstance(told.log, ListLog)
    (report,) = told.log.of(Event.REPORT_PUBLISHED)
    assert status["state"] == "stopped"
    assert json.loads(json.dumps(plain(report))).items() <= status.items()
    assert (report["images"], report["queue_depth"], report["health"]) == (7, 3, "ok")
    assert report["agreement"] == WELL.agreement["lite"]


def test_a_status_file_that_cannot_be_written_is_reported_unless_the_fault_was(
    tmp_path: Path,
) -> None:
    """One warning where it is news, none while the state directory is known to fail."""
    told = reporter(tmp_path / "gone")
    told.report_paused(replace(WELL, state_fault="gone"))
    assert isinstance(told.log, ListLog)
    assert told.log.told == []
    told.publish(WELL, {})
    assert len(told.log.of(Event.STATUS_FAILED)) == 1


def test_the_dispatcher_says_its_state(tmp_path: Path) -> None:
    """Queue, totals and folders as they are at that moment."""
    shop = Shop(tmp_path)
    shop.take("a.png")
    shop.drop("b.png")
    shop.settle()
    before = shop.dispatcher.snapshot()
    assert (before.workers, before.folders) == (1, ("in",))
    assert before.queue_depth == shop.count(State.PENDING) + shop.count(State.RUNNING)
    shop.pool.stage()
    shop.turn()
    shop.pool.fail(Failure.FOLDER)
    shop.conclude()
    after = shop.dispatcher.snapshot()
    assert (before.sharpened, after.sharpened) == (0, 1)
    assert (dict(before.paused), dict(after.paused)) == ({}, {"in": "it was folder"})
    assert after.health == "degraded"
    shop.close()
