"""The daemon: builds the parts, turns the loop, reloads, drains, stops.

One thread does everything here; workers are processes, and events only wake. Settings stop at
this floor. `once` is the same daemon that ends when nothing is left to do.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.daemon import assembly, plans
from sharpend.daemon.dispatcher import Dispatcher, Workshop
from sharpend.daemon.folder import prepare_roots
from sharpend.daemon.signals import Control
from sharpend.daemon.state_outage import StateOutage
from sharpend.daemon.status import StatusReporter
from sharpend.daemon.systemd import Notifier, Watchdog
from sharpend.errors import ExitCode, SharpendError, StateFaultError, UnavailableError
from sharpend.ledger.ledger import Ledger
from sharpend.logs.events import Event
from sharpend.settings.load import NOT_RELOADABLE, Settings, changed_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.daemon.folder import FolderPlan
    from sharpend.daemon.outcomes import Result
    from sharpend.logs.logs import Log
    from sharpend.workers.protocol import Workers
    from sharpend.workers.worker import Engine

DRAIN_S = 25.0
"""Longest wait for running pictures at a stop; below the unit's TimeoutStopSec."""
LONGEST_WAIT_S = 5.0
LONG_STEP_S = 60.0
"""What one step of a start may take, told to the service manager again and again."""
TELL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a command does with the daemon's results."""

    once: bool = False
    """End when nothing is left to do; a fault of a whole folder ends it with an error."""
    tell: Callable[[Result], None] = lambda _result: None
    """Gets the result of each input."""
    load: Callable[[], Settings] | None = None
    """Reads the settings again for a reload."""


class Daemon:
    """A daemon from start to stop.

    Args:
        settings: validated.
        log: where events go.
        hooks: what differs between commands.
    """

    def __init__(self, settings: Settings, log: Log, hooks: Hooks) -> None:
        self._settings = settings
        self._log = log
        self._hooks = hooks
        self._control = Control()
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier, log)
        self._report_at_s = math.inf
        self._outage = StateOutage(self._notifier, log)
        self._is_ready = False
        self._tell_at_s = -math.inf
        self._wanted: Settings | None = None
        self._ignored: list[str] = []
        self.engines: dict[str, Engine] = {}

    def run(self) -> ExitCode:
        """Work until a signal, or with `once` until nothing is left to do.

        Raises:
            SharpendError: the start failed, or with `once` a whole folder did.
        """
        with self._control.signals():
            if (ledger := self._opened_ledger()) is None:
                return ExitCode.OK
            self._ledger = ledger
            if ledger.rebuilt:
                self._log.warning(Event.LEDGER_REBUILT, **ledger.left_of_it)
            try:
                prepared = self._prepared(self._settings)
                self._pool = self._started_pool(self._settings)
                self._set_to_work(self._built(self._settings, prepared), self._settings)
                self._dispatcher.remove_stale_temps(self._go_on)
                if self._hooks.once:
                    self._dispatcher.hasten()
                self._loop()
            except UnavailableError:
                if not self._control.stops:  # else a signal ended the start
                    raise
            finally:
                self._close()
        return ExitCode.OK

    @property
    def was_stopped(self) -> int:
        """The number of the signal that ended the work, 0 where it ended by itself."""
        return self._control.signal

    @property
    def agreement(self) -> dict[str, object] | None:
        """The agreement block of the main network after the work."""
        return next((alarm.summary() for alarm in self._dispatcher.alarms.values()), None)

    # Building

    def _opened_ledger(self) -> Ledger | None:
        """The ledger; None where a signal came before a daemon could have it."""
        if self._hooks.once:
            return Ledger.open(self._settings.state)
        return self._outage.wait_for_ledger(self._settings.state, self._go_on_at)

    def _prepared(self, settings: Settings) -> list[FolderPlan]:
        """The folders with their roots made and checked."""
        return [prepare_roots(plan, self._ledger) for plan in plans.folder_plans(settings)]

    def _started_pool(self, settings: Settings) -> Workers:
        """Workers with the networks tried once; sets `engines`."""
        pool, self.engines = assembly.start(settings, wake=self._control.wake, go_on=self._go_on)
        return pool

    def _go_on(self) -> bool:
        """While something takes long: the service manager hears of it; a signal ends it."""
        now_s = time.monotonic()
        if now_s >= self._tell_at_s:
            self._tell_at_s = now_s + TELL_EVERY_S
            self._notifier.extend_timeout(LONG_STEP_S)
            self._notifier.watchdog()
        return not self._control.stops

    def _go_on_at(self, then_s: float) -> bool:
        self._control.wait(then_s - time.monotonic())
        return self._go_on()

    def _built(self, settings: Settings, prepared: list[FolderPlan]) -> Dispatcher:
        workshop = Workshop(
            state_dir=settings.state,
            plans=prepared,
            alarms=assembly.alarms(settings, self.engines),
            retry=plans.retry_options(settings),
            retention=plans.retention(settings),
        )
        for plan in prepared:
            if plan.reprocess:
                self._ledger.retry_outdated(
                    plan.destination.folder,
                    model=self.engines[plan.options.model].digest,
                    options=plan.options.digest,
                )
        wake, tell = self._control.wake, self._hooks.tell
        return Dispatcher(workshop, self._ledger, self._pool, self._log, wake=wake, tell=tell)

    def _set_to_work(self, dispatcher: Dispatcher, settings: Settings) -> None:
        """Make good what was left behind, and begin."""
        self._dispatcher, self._settings = dispatcher, settings
        engine = next(iter(self.engines.values()))
        self._reporter = StatusReporter(settings.state, self._ledger, dispatcher, engine, self._log)
        self._outage.reporter, self._outage.log = self._reporter, self._log
        self._report_at_s = time.monotonic() + settings.report.every_s
        try:
            dispatcher.recover()
        except StateFaultError as error:
            if self._hooks.once:
                raise
            self._outage.failed(error, time.monotonic())  # whose end makes good the same

    # The loop

    def _loop(self) -> None:
        while not self._control.stops:
            next_s = self._turn(time.monotonic())
            if self._hooks.once:
                for folder in self._dispatcher.folders.values():
                    folder.raise_for_pause()  # nobody waits for it to come back
                if self._dispatcher.is_done:
                    break
            self._wait(next_s)
        self._drain()

    def _wait(self, until_s: float) -> None:
        """Wait for a wake-up, after a turn; the watchdog hears in time what the turn has shown."""
        if not self._is_ready:  # the first scan of a large folder takes its time
            self._go_on()
        now_s = time.monotonic()
        self._watchdog.beat(now_s, self._stalled_by)
        self._control.wait(min(until_s, self._watchdog.next_s, now_s + LONGEST_WAIT_S) - now_s)

    def _stalled_by(self, now_s: float) -> str | None:
        """What stands still; while all waits for the state directory, results wait with it."""
        return None if self._outage.reason is not None else self._dispatcher.stalled_by(now_s)

    def _turn(self, now_s: float) -> float:
        """Work, or look at a state directory that fails; returns when to come again."""
        try:
            if self._outage.reason is None:
                return self._work(now_s)
            if now_s >= self._outage.next_s:
                self._dispatcher.make_good(now_s)
                self._outage.ended(now_s)
                return self._work(now_s)
            self._report(now_s)
        except StateFaultError as error:
            if self._hooks.once:
                raise
            self._outage.failed(error, now_s)
        return self._outage.next_s

    def _report(self, now_s: float) -> None:
        """Say how things stand, where that is due."""
        if now_s >= self._report_at_s:
            self._report_at_s = now_s + self._settings.report.every_s
            self._reporter.publish(now_s)
            self._notifier.status(self._reporter.summary())

    def _work(self, now_s: float) -> float:
        """Everything once; returns when the next turn is due (monotonic seconds)."""
        dispatcher = self._dispatcher
        next_s = dispatcher.take_in(now_s)
        dispatcher.conclude(now_s)
        if self._control.reload:
            self._read_again()
        if self._wanted is None:
            dispatcher.hand_out(now_s)
        elif not dispatcher.is_working:
            self._swap(self._wanted)
        if not self._is_ready and all(folder.has_looked for folder in dispatcher.folders.values()):
            self._is_ready = True
            self._reporter.say_ready()
            self._notifier.ready(self._reporter.summary())
        self._report(now_s)
        return min(next_s, dispatcher.next_due_s(), self._report_at_s)

    def _drain(self) -> None:
        """Finish what runs, within the deadline and until a second signal."""
        self._notifier.stopping()
        deadline_s = time.monotonic() + DRAIN_S
        if self._control.stops:
            self._log.info(Event.DAEMON_DRAINING, running=len(self._pool.running))
        while self._dispatcher.is_working and self._outage.reason is None:
            now_s = time.monotonic()
            if now_s > deadline_s or self._control.stops > 1:
                break
            try:
                self._dispatcher.conclude(now_s)
            except StateFaultError as error:  # what cannot be recorded is done again
                self._outage.failed(error, now_s)
            if self._dispatcher.is_working:
                self._wait(deadline_s)

    def _close(self) -> None:
        """Stop all parts, last what records; may follow a failure at any point of the start."""
        dispatcher: Dispatcher | None = getattr(self, "_dispatcher", None)
        pool: Workers | None = getattr(self, "_pool", None)
        if dispatcher is not None:
            # A state directory that failed is why we are here; the next start repairs the ledger.
            with suppress(StateFaultError):
                dispatcher.stop()
                self._reporter.publish(time.monotonic(), state="stopped")
            self._log.info(Event.DAEMON_STOPPED)
        elif pool is not None:
            pool.stop()
        self._ledger.close()

    # Reload

    def _read_again(self) -> None:
        """Read and check the settings; what is wrong with them leaves the old ones in force."""
        self._control.reload = False
        self._notifier.reloading()
        try:
            settings = self._settings if self._hooks.load is None else self._hooks.load()
            self._prepared(settings)
        except StateFaultError:  # no fault of theirs: they are read again when it works
            self._control.reload = True
            raise
        except SharpendError as error:
            self._reject(error)
        else:
            # The state directory is locked and open: it stays until the next start.
            self._wanted = settings.model_copy(update={"state": self._settings.state})
            self._ignored = [key for key in NOT_RELOADABLE if key in self._changed(settings)]

    def _changed(self, settings: Settings) -> list[str]:
        return changed_keys(self._settings, settings)

    def _swap(self, settings: Settings) -> None:
        """Between two pictures: put new parts in the place of the old ones."""
        self._wanted = None
        changed = self._changed(settings)
        old = self._pool, self.engines, self._log
        try:
            if plans.workers_of(settings) != plans.workers_of(self._settings):
                self._pool = self._started_pool(settings)
            if settings.log != self._settings.log:
                self._log = plans.log(settings)
            dispatcher = self._built(settings, self._prepared(settings))
        except SharpendError as error:
            if self._pool is not old[0]:
                self._pool.stop()
            self._pool, self.engines, self._log = old
            if isinstance(error, StateFaultError):  # no fault of the settings, as above
                self._wanted = settings
                raise
            self._reject(error)
            return
        self._dispatcher.close()
        if self._pool is not old[0]:
            old[0].stop()
        dispatcher.throughput = self._dispatcher.throughput
        if self._pool is old[0] and settings.agreement == self._settings.agreement:
            dispatcher.alarms = self._dispatcher.alarms
        self._set_to_work(dispatcher, settings)
        self._log.info(Event.CONFIG_RELOADED, changed=changed, ignored=self._ignored)
        self._notifier.ready(self._reporter.summary())

    def _reject(self, error: SharpendError) -> None:
        self._log.error(Event.CONFIG_REJECTED, message=str(error))
        self._notifier.ready(self._reporter.summary())
