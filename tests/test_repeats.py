"""Failures alike: reported line by line so many times a minute, then counted."""

from __future__ import annotations

import pytest

from sharpend.errors import Reason
from sharpend.logs.events import Event
from sharpend.logs.repeats import WINDOW_S, RateLimitedLog
from tests.fakes import ListLog


class Desk:
    """A sparing log, what came through it, and its clock."""

    def __init__(self, most: int = 20) -> None:
        self.now_s = 0.0
        self.behind = ListLog()
        self.log = RateLimitedLog(self.behind, most=most, clock=lambda: self.now_s)

    def fail(self, number: int, *, folder: str = "in", reason: Reason = Reason.DAMAGED) -> None:
        """One file fails."""
        path = b"%d.png" % number
        self.log.warning(Event.IMAGE_QUARANTINED, folder=folder, path=path, error_code=reason)

    @property
    def sums(self) -> list[dict[str, object]]:
        """The values of the summary lines."""
        return self.behind.of(Event.EVENT_REPEATED)


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_many_failures_are_few_lines(count: int) -> None:
    """The first twenty are reported whole; one line at the end says how many more there were."""
    desk = Desk()
    for number in range(count):
        desk.fail(number)
    desk.log.info(Event.DAEMON_STOPPED)
    told = [event for _, event, _ in desk.behind.told]
    assert told == [Event.IMAGE_QUARANTINED] * 20 + [Event.EVENT_REPEATED, Event.DAEMON_STOPPED]
    assert [values["path"] for values in desk.behind.of(Event.IMAGE_QUARANTINED)] == [
        b"%d.png" % number for number in range(20)
    ]
    assert desk.sums == [
        {
            "repeated": Event.IMAGE_QUARANTINED,
            "folder": "in",
            "reason": Reason.DAMAGED,
            "suppressed": count - 20,
            "last_path": b"%d.png" % (count - 1),
        }
    ]
    assert [level for level, event, _ in desk.behind.told if event is Event.EVENT_REPEATED] == [
        "warning"
    ]


def test_few_failures_are_reported_as_they_are() -> None:
    """Up to the limit nothing is added and nothing taken away."""
    desk = Desk()
    for number in range(20):
        desk.fail(number)
    desk.log.info(Event.DAEMON_STOPPED)
    assert len(desk.behind.told) == 21
    assert desk.sums == []


def test_the_sum_comes_when_the_minute_is_over() -> None:
    """The next event of any kind brings it, in front of itself; then lines are reported again."""
    desk = Desk(most=2)
    for number in range(5):
        desk.fail(number)
    desk.now_s = WINDOW_S - 0.1
    desk.log.info(Event.REPORT_PUBLISHED)
    assert desk.sums == []
    desk.now_s = WINDOW_S
    desk.log.info(Event.REPORT_PUBLISHED)
    assert [values["suppressed"] for values in desk.sums] == [3]
    assert [event for _, event, _ in desk.behind.told][-2:] == [
        Event.EVENT_REPEATED,
        Event.REPORT_PUBLISHED,
    ]
    desk.fail(5)
    assert desk.behind.told[-1][2]["path"] == b"5.png"


def test_what_differs_is_counted_apart() -> None:
    """Another folder, reason or event has a count of its own."""
    desk = Desk(most=1)
    for number in range(3):
        desk.fail(number)
        desk.fail(number, folder="other")
        desk.fail(number, reason=Reason.TRUNCATED)
        desk.log.error(Event.WORKER_DIED, folder="in", path=b"x", cause="SIGKILL")
        desk.log.error(Event.WORKER_DIED, folder="in", path=b"x", cause="SIGSEGV")
    assert len(desk.behind.told) == 5
    desk.log.info(Event.DAEMON_STOPPED)
    assert {(values["folder"], values["reason"], values["suppressed"]) for values in desk.sums} == {
        ("in", Reason.DAMAGED, 2),
        ("other", Reason.DAMAGED, 2),
        ("in", Reason.TRUNCATED, 2),
        ("in", "SIGKILL", 2),
        ("in", "SIGSEGV", 2),
    }


def test_what_is_no_failure_of_a_file_is_always_reported() -> None:
    """Finished images, reports, pauses: each is reported, however many there are."""
    desk = Desk(most=1)
    for event in (Event.IMAGE_FINISHED, Event.FOLDER_PAUSED, Event.REPORT_PUBLISHED):
        for _ in range(3):
            desk.log.info(event, folder="in")
        assert len(desk.behind.of(event)) == 3
    assert desk.sums == []


def test_no_limit() -> None:
    """With 0 every failure is reported."""
    desk = Desk(most=0)
    for number in range(100):
        desk.fail(number)
    desk.log.info(Event.DAEMON_STOPPED)
    assert len(desk.behind.told) == 101


def test_levels_pass_through() -> None:
    """Each event comes out at the level at which it went in."""
    desk = Desk()
    desk.log.debug(Event.FILE_SETTLED, path=b"a")
    desk.log.info(Event.IMAGE_FINISHED)
    desk.log.warning(Event.FOLDER_SKIPPED)
    desk.log.error(Event.FOLDER_PAUSED)
    assert [level for level, _, _ in desk.behind.told] == ["debug", "info", "warning", "error"]
