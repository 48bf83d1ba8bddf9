"""A daemon's end: the order of its stop, and a start that a signal breaks off."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from sharpend.daemon import assembly
from sharpend.daemon.daemon import Daemon
from sharpend.daemon.dispatcher import Dispatcher
from sharpend.daemon.engine import LoadedWorkers
from sharpend.daemon.run_mode import RunMode
from sharpend.daemon.status import StatusReporter, read_status
from sharpend.daemon.systemd import Notifier
from sharpend.errors import ExitCode, UnavailableError
from sharpend.ledger.ledger import Ledger
from sharpend.ledger.opening import open_ledger
from sharpend.logs.events import Event
from tests.fakes import FakePool, ListLog, settings_with_fakes

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.settings.schema import Settings
    from sharpend.task import Task


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of one folder; workers are fakes."""
    return settings_with_fakes(tmp_path, monkeypatch)


def test_a_stop_has_an_order(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watching ends before the workers, these before what they had, and the report comes after."""
    steps: list[str] = []

    def noted(of: type, name: str) -> None:
        real = getattr(of, name)

        def noting(*arguments: object, **options: object) -> object:
            steps.append(f"{of.__name__}.{name}")
            return real(*arguments, **options)

        monkeypatch.setattr(of, name, noting)

    expected = [
        (Notifier, "stopping"),
        (Dispatcher, "close"),
        (FakePool, "stop"),
        (Dispatcher, "release_unfinished"),
        (StatusReporter, "publish"),
        (Ledger, "close"),
    ]
    for of, name in expected:
        noted(of, name)
    log = ListLog()
    daemon = Daemon(settings, log, RunMode())
    daemon._context.control.stop()
    assert daemon.run() == ExitCode.OK
    assert steps == [f"{of.__name__}.{name}" for of, name in expected]
    ends = [event for _, event, _ in log.told][-2:]
    assert ends == [Event.REPORT_PUBLISHED, Event.DAEMON_STOPPED]
    assert (read_status(settings.state) or {})["state"] == "stopped"


def test_a_failure_stops_all_parts_without_a_drain(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever broke the loop, workers and folders end, and the ledger is given back."""
    broken = RuntimeError("a fault of ours")

    def breaking(*_: object) -> NoReturn:
        raise broken

    monkeypatch.setattr(Dispatcher, "step_folders", breaking)
    log = ListLog()
    with pytest.raises(RuntimeError, match="a fault of ours"):
        Daemon(settings, log, RunMode()).run()
    assert log.of(Event.DAEMON_DRAINING) == []
    assert len(log.of(Event.DAEMON_STOPPED)) == 1
    open_ledger(settings.state).close()


@pytest.mark.parametrize("once", [False, True])
def test_a_signal_during_the_start_is_no_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, once: bool
) -> None:
    """It ends in peace, with the ledger given back; no part began, and no agreement is known."""
    log = ListLog()
    daemon = Daemon(settings, log, RunMode(once=once))

    def stopped(*_: object, **__: object) -> NoReturn:
        daemon._context.control.stop()
        raise UnavailableError("the start was broken off")

    monkeypatch.setattr(assembly, "start_workers", stopped)
    assert daemon.run() == ExitCode.OK
    assert daemon.agreement is None
    assert log.told == []
    open_ledger(settings.state).close()


def test_parts_that_cannot_be_joined_leave_no_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that were started before another part failed are stopped."""
    stops = []

    class Counted(FakePool):
        def stop(self) -> list[Task]:
            stops.append(self)
            return super().stop()

    pool = Counted(1)
    monkeypatch.setattr(assembly, "start_workers", lambda *_, **__: LoadedWorkers(pool, {}))
    monkeypatch.setattr(assembly, "Dispatcher", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        Daemon(settings, ListLog(), RunMode()).run()
    assert stops == [pool]
