"""The watchdog is fed by progress alone: a daemon whose parts make no progress is started anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sharpend.daemon.assembly import Callbacks, Parts
from sharpend.daemon.context import process_context
from sharpend.daemon.daemon import Loop
from sharpend.daemon.engine import LoadedWorkers
from sharpend.daemon.engine_faults import LONGEST_OVERDUE_S
from sharpend.daemon.history import History
from sharpend.daemon.run_mode import RunMode
from sharpend.daemon.status import StatusReporter
from sharpend.daemon.systemd import LONG_STEP_S
from sharpend.errors import StateFaultError
from sharpend.logs.events import Event
from sharpend.settings.load import load
from tests.daemons import ServiceManager
from tests.fakes import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Watched:
    """A loop over a shop floor of fakes, and the service manager that listens to it."""

    def __init__(self, home: Path) -> None:
        self.manager = ServiceManager(home / "notify")
        self.shop = Shop(home)
        self.context = process_context(self.shop.log)
        self.loop = Loop(self._parts(home / "state"), self._calls(), RunMode(), self.context)
        self.loop._is_ready = True

    def _parts(self, state_dir: Path) -> Parts:
        """The shop's, as the daemon has them."""
        shop, loaded = self.shop, self.shop.pool.load_model("lite", teacher=False)
        return Parts(
            settings=load(None, {"state": state_dir}),
            log=shop.log,
            ledger=shop.ledger,
            workers=LoadedWorkers(shop.pool, {"lite": loaded}),
            measurements=shop.measurements,
            dispatcher=shop.dispatcher,
            status=StatusReporter(state_dir, loaded, shop.log, History(state_dir)),
        )

    def _calls(self) -> Callbacks:
        return Callbacks(self.context.control.wake, self.context.keep_alive.go_on, lambda _: None)

    def fed(self) -> bool:
        """Whether the watchdog learns of the daemon after one more turn."""
        before = len(self.manager.messages())
        self.shop.turn()
        self.context.watchdog.next_s = 0.0
        self.context.control.wake()
        self.loop._wait(0.0)
        self.context.notifier.status("marker")
        self.manager.wait_for("STATUS=marker")
        return ["WATCHDOG=1"] in self.manager.messages()[before:]

    def close(self) -> None:
        """Give everything back."""
        self.manager.close()
        self.shop.close()


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A daemon that thinks that systemd started it."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    found = Watched(tmp_path)
    yield found
    found.close()


def test_idle_and_working_daemons_feed_it(watched: Watched) -> None:
    """Nothing to do is no standstill, and neither is an image that takes its time."""
    assert watched.fed()
    watched.shop.take()
    assert watched.fed()
    watched.shop.pool.late_s = LONGEST_OVERDUE_S
    assert watched.fed()


def test_a_worker_that_is_never_replaced_starves_it(watched: Watched) -> None:
    """A worker overdue beyond all keep_alive means a pool that hangs: only a new start helps."""
    watched.shop.take()
    watched.shop.pool.late_s = LONGEST_OVERDUE_S + 1
    assert not watched.fed()
    (told,) = watched.shop.log.of(Event.DAEMON_STALLED)
    assert told["reason"] == "a worker that is 31 s overdue was not replaced"
    watched.shop.pool.late_s = 0.0
    assert watched.fed()


def test_a_state_directory_that_is_waited_for_starves_nobody(watched: Watched) -> None:
    """Results wait with it, however long: that is no standstill."""
    watched.shop.take()
    watched.shop.pool.late_s = LONGEST_OVERDUE_S + 1
    watched.context.outage.failed(StateFaultError("full"), 0.0)
    assert watched.fed()


def test_a_first_scan_that_takes_long_is_given_the_time(watched: Watched) -> None:
    """Each turn before READY asks for more time: a million files are no start that failed."""
    asked = [f"EXTEND_TIMEOUT_USEC={LONG_STEP_S * 1e6:.0f}"]

    def asks() -> bool:
        watched.context.keep_alive.next_s = 0.0
        before = len(watched.manager.messages())
        watched.fed()
        return asked in watched.manager.messages()[before:]

    assert not asks()
    watched.loop._is_ready = False
    assert asks()
    assert asks()
