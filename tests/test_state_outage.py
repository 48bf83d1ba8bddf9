"""A state directory that fails is reported once and waited for; nothing is lost or done twice."""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.attempt import Failure
from sharpend.backoff import Backoff
from sharpend.commit.quarantine import Quarantine
from sharpend.daemon import state_outage
from sharpend.daemon.daemon import Daemon
from sharpend.daemon.run_mode import RunMode
from sharpend.daemon.state_outage import CALM_S, PROBES, StateOutage
from sharpend.daemon.systemd import Notifier
from sharpend.errors import ExitCode, Reason, StateFaultError
from sharpend.ledger import store
from sharpend.ledger.ledger import Ledger
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from tests.fakes import ListLog, Shop, settings_with_fakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = StateFaultError("the disk is full")


# When to look again


def test_an_outage_is_reported_once() -> None:
    """However often it fails, there is one event when it begins and one when it ends."""
    log = ListLog()
    state_outage = StateOutage(Notifier({}), log)
    for now_s in range(5):
        state_outage.failed(FULL, float(now_s))
        assert state_outage.fault == "the disk is full"
    state_outage.ended(6.0)
    state_outage.ended(7.0)
    assert log.told == [
        ("error", Event.STATE_PAUSED, {"reason": "the disk is full"}),
        ("info", Event.STATE_RESUMED, {}),
    ]


def test_looks_get_rarer_but_never_rare() -> None:
    """The pauses double up to ten seconds; a short return does not shorten them."""
    state_outage = StateOutage(Notifier({}), ListLog())
    pauses = []
    for _ in range(6):
        state_outage.failed(FULL, 100.0)
        pauses.append(state_outage.next_s - 100.0)
    assert pauses == [PROBES.first_s, 2, 4, 8, PROBES.longest_s, PROBES.longest_s]
    state_outage.ended(101.0)
    state_outage.failed(FULL, 102.0)
    assert state_outage.next_s == 102.0 + PROBES.longest_s
    state_outage.ended(103.0)
    state_outage.failed(FULL, 104.0 + CALM_S)
    assert state_outage.next_s == 104.0 + CALM_S + PROBES.first_s


# At the start


def test_a_start_waits_for_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that finds its disk full says so, waits, and then has its ledger and its lock."""
    log = ListLog()
    state_outage = StateOutage(Notifier({}), log)
    waits: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)

        def wait(until_s: float) -> bool:
            waits.append(until_s)
            if len(waits) == 2:
                patched.undo()
            return True

        ledger = state_outage.wait_for_ledger(tmp_path / "state", wait, lambda: True)
    assert ledger is not None
    assert sum(ledger.counts().values()) == 0
    ledger.close()
    assert len(waits) == 2
    assert [event for _, event, _ in log.told] == [Event.STATE_PAUSED, Event.STATE_RESUMED]
    assert "No space left" in str(log.of(Event.STATE_PAUSED)[0]["reason"])


def test_a_ledger_that_opens_but_cannot_be_written_is_not_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing ledger can be read on a full disk: only a write fails; a signal ends the wait."""
    open_ledger(tmp_path).close()
    monkeypatch.setattr(store, "try_to_write", full)
    state_outage = StateOutage(Notifier({}), ListLog())
    assert state_outage.wait_for_ledger(tmp_path, lambda _: False, lambda: True) is None
    monkeypatch.undo()
    open_ledger(tmp_path).close()


def test_what_waiting_cannot_mend_is_not_waited_for(tmp_path: Path) -> None:
    """A file where the state directory should be ends the start: only a person can mend that."""
    (tmp_path / "state").write_bytes(b"")
    state_outage = StateOutage(Notifier({}), ListLog())
    with pytest.raises(StateFaultError, match="File exists"):
        state_outage.wait_for_ledger(tmp_path / "state", lambda _: False, lambda: True)
    assert state_outage.fault is None


def full(*_: object) -> None:
    """A disk without space."""
    raise OSError(errno.ENOSPC, "No space left on device")


# In the middle of the work


class Disk:
    """Makes the ledger fail from its n-th use on, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uses = 0
        self.fails_from = float("inf")
        transaction, rows = store.Store.transaction, store.Store.rows

        @contextmanager
        def counted(of: store.Store) -> Iterator[Any]:
            self._use()
            with transaction(of) as cursor:
                yield cursor

        def counted_rows(of: store.Store, sql: str, *values: object) -> list[Any]:
            self._use()
            return rows(of, sql, *values)

        monkeypatch.setattr(store.Store, "transaction", counted)
        monkeypatch.setattr(store.Store, "rows", counted_rows)

    def _use(self) -> None:
        self.uses += 1
        if self.uses >= self.fails_from:
            raise FULL

    def mend(self) -> None:
        """It works from now on."""
        self.fails_from = float("inf")


def work_off(shop: Shop, disk: Disk) -> int:
    """Turn as the daemon does until everything came to an end; returns how often the disk failed.

    `bad.png` is refused, `gone.png` has vanished, the others become outputs.
    """
    failures = 0
    for _ in range(30):
        try:
            shop.turn()
            for task in list(shop.pool.tasks):
                if task.relative == b"bad.png":
                    shop.pool.fail(Failure.REFUSED, Reason.DAMAGED, task)
                elif task.relative == b"gone.png":
                    shop.pool.fail(Failure.VANISHED, None, task)
                else:
                    shop.pool.stage(task)
            if shop.dispatcher.is_done:
                return failures
        except StateFaultError:
            failures += 1
            with pytest.raises(StateFaultError):
                shop.dispatcher.recover_from_outage(shop.now_s)
            disk.mend()
            shop.dispatcher.recover_from_outage(shop.now_s)
    raise AssertionError("it did not come to an end")


def test_a_failure_at_any_use_of_the_ledger_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the disk fails: one output, one quarantine, one event each, nothing left behind."""
    disk = Disk(monkeypatch)
    failures, number = 1, 0
    while failures:
        number += 1
        home = tmp_path / str(number)
        home.mkdir()
        shop = Shop(home, workers=4)
        for name in ("a.png", "b.png", "bad.png", "gone.png"):
            shop.drop(name)
        disk.fails_from = disk.uses + number
        failures = work_off(shop, disk)
        disk.mend()
        assert shop.made() == ["a.png", "b.png"], number
        counts = {state: jobs for state, jobs in shop.ledger.counts().items() if jobs}
        told = Counter((result.job.relative, result.outcome) for result in shop.results)
        assert counts == {State.DISPOSED: 2, State.QUARANTINED: 1, State.VANISHED: 1}, number
        assert set(told.values()) == {1}, number
        assert set(told) == {
            (b"a.png", "sharpened"),
            (b"b.png", "sharpened"),
            (b"bad.png", "quarantined"),
        }, number
        assert (home / "state/quarantine/in/bad.png.reason.json").exists()
        assert sorted(os.listdir(home / "in")) == ["a.png", "b.png", "bad.png", "gone.png"]
        shop.close()
    assert number > 30


# In the daemon


class Stopping(ListLog):
    """Ends the daemon that it listens to when the state directory works again."""

    daemon: Daemon

    def info(self, event: Event, **values: object) -> None:
        """Remember, and stop it after that."""
        super().info(event, **values)
        if event is Event.STATE_RESUMED:
            self.daemon._context.control.stop()


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A daemon with real parts but for its workers; its settings can be read again."""
    settings = settings_with_fakes(tmp_path, monkeypatch)
    monkeypatch.setattr(state_outage, "PROBES", Backoff(0.0, 0.0))
    log = Stopping()
    log.daemon = Daemon(settings, log, RunMode(load=lambda: settings))
    return log.daemon


def fails_once(monkeypatch: pytest.MonkeyPatch, of: type, name: str, *, call: int = 1) -> None:
    """Have one call of a method meet a full disk."""
    calls = count(1)
    real = getattr(of, name)

    def failing(*arguments: object) -> object:
        if next(calls) == call:
            raise FULL
        return real(*arguments)

    monkeypatch.setattr(of, name, failing)


def test_a_start_that_cannot_make_good_waits(
    begun: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has space for a look, and not for what a crash left to do, ends no start."""
    fails_once(monkeypatch, Quarantine, "recover")
    assert begun.run() == ExitCode.OK
    log = begun._log
    assert isinstance(log, ListLog)
    assert [event for _, event, _ in log.told][:2] == [Event.STATE_PAUSED, Event.STATE_RESUMED]


@pytest.mark.parametrize("call", [2, 3])
def test_a_reload_waits_for_the_state_directory(
    begun: Daemon, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Settings that meet a full disk are not rejected: they are taken when there is space."""
    fails_once(monkeypatch, Ledger, "folder", call=call)  # after the start: the check, the change
    begun._context.control.reload = True
    assert begun.run() == ExitCode.OK
    log = begun._log
    assert isinstance(log, ListLog)
    assert log.of(Event.STATE_PAUSED) == [{"reason": str(FULL)}]
    assert log.of(Event.CONFIG_REJECTED) == []
    assert len(log.of(Event.CONFIG_RELOADED)) == 1
