"""The daemon: opens the ledger, has the parts made, turns the loop, reloads, stops.

One thread does everything here; workers are processes, and events only wake. Settings stop at
this floor. `once` is the same daemon that ends when nothing is left to do.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.daemon.assembly import Calls, Parts, assemble, prepare, retire
from sharpend.daemon.snapshot import paused_line
from sharpend.daemon.surroundings import Surroundings, surroundings
from sharpend.errors import ExitCode, SharpendError, StateFaultError, UnavailableError
from sharpend.ledger.ledger import Ledger
from sharpend.logs.events import Event
from sharpend.settings.load import NOT_RELOADABLE, Settings, changed_keys

if TYPE_CHECKING:
    from sharpend.daemon.hooks import Hooks
    from sharpend.daemon.snapshot import Snapshot
    from sharpend.logs.logs import Log

DRAIN_S = 25.0
"""Longest wait for running pictures at a stop; below the unit's TimeoutStopSec."""
LONGEST_WAIT_S = 5.0


class Daemon:
    """A daemon from start to stop.

    Args:
        settings: validated.
        log: where events go.
        hooks: what differs between commands.

    Attributes:
        agreement: the agreement block of the main model after the work, if it was measured.
    """

    def __init__(self, settings: Settings, log: Log, hooks: Hooks) -> None:
        self._settings = settings
        self._log = log
        self._hooks = hooks
        self._around = surroundings(log)
        self.agreement: dict[str, object] | None = None

    def run(self) -> ExitCode:
        """Work until a signal, or with `once` until nothing is left to do.

        Raises:
            SharpendError: the start failed, or with `once` a whole folder did.
        """
        around, state_dir = self._around, self._settings.state
        with around.control.signals():
            if self._hooks.once:
                ledger = Ledger.open(state_dir)
            elif waited := around.outage.wait_for_ledger(state_dir, around.patience.wait_until):
                ledger = waited
            else:
                return ExitCode.OK  # a signal came before it could be had
            try:
                if ledger.rebuilt:
                    self._log.warning(Event.LEDGER_REBUILT, **ledger.recovery_paths)
                calls = Calls(around.control.wake, around.patience.go_on, self._hooks.tell)
                parts = assemble(self._settings, self._log, ledger, calls)
                Loop(parts, calls, self._hooks, around).run()
                self.agreement = next(iter(parts.measurements.agreement.values()), None)
            except UnavailableError:
                if not around.control.stops:  # else a signal ended the start
                    raise
            finally:
                ledger.close()  # after everything that may yet record something
        return ExitCode.OK

    @property
    def was_stopped(self) -> int:
        """The number of the signal that ended the work, 0 where it ended by itself."""
        return self._around.control.signal


class Loop:
    """Parts at work until a stop.

    Args:
        parts: whole; a reload puts others in their place.
        calls: of the parts, for those that a reload makes.
        hooks: what differs between commands.
        around: what stays when parts change.
    """

    def __init__(self, parts: Parts, calls: Calls, hooks: Hooks, around: Surroundings) -> None:
        self._parts = parts
        self._calls = calls
        self._hooks = hooks
        self._control = around.control
        self._notifier = around.notifier
        self._patience = around.patience
        self._watchdog = around.watchdog
        self._outage = around.outage
        self._report_at_s = time.monotonic() + parts.settings.report.every_s
        self._is_ready = False
        self._wanted: Settings | None = None
        self._ignored: list[str] = []

    def run(self) -> None:
        """Begin, work, and stop; a failure is stopped for as well, without a drain."""
        drains = False
        try:
            self._make_good()
            self._parts.dispatcher.remove_stale_temps(self._patience.go_on)
            if self._hooks.once:
                self._parts.dispatcher.hasten()
            while not self._control.stops:
                next_s = self._turn(time.monotonic())
                if self._hooks.once:
                    for folder in self._parts.dispatcher.folders.values():
                        folder.raise_for_pause()  # nobody waits for it to come back
                    if self._parts.dispatcher.is_done:
                        break
                self._wait(next_s)
            drains = True
        finally:
            self._stop(drains=drains)

    def _make_good(self) -> None:
        """Before the first turn of these parts: what others left behind."""
        try:
            self._parts.dispatcher.recover()
        except StateFaultError as error:
            if self._hooks.once:
                raise
            self._pause(error, time.monotonic())  # whose end makes good the same

    # Turns

    def _wait(self, until_s: float) -> None:
        """Wait for a wake-up, after a turn; the watchdog hears in time what the turn has shown."""
        if not self._is_ready:  # the first scan of a large folder takes its time
            self._patience.go_on()
        now_s = time.monotonic()
        self._watchdog.beat(now_s, self._stalled_by)
        self._control.wait(min(until_s, self._watchdog.next_s, now_s + LONGEST_WAIT_S) - now_s)

    def _stalled_by(self, now_s: float) -> str | None:
        """What stands still; while all waits for the state directory, results wait with it."""
        dispatcher = self._parts.dispatcher
        return dispatcher.stalled_by(now_s) if self._outage.reason is None else None

    def _turn(self, now_s: float) -> float:
        """Work, or look at a state directory that fails; returns when to come again."""
        try:
            if self._outage.reason is None:
                return self._work(now_s)
            if now_s >= self._outage.next_s:
                self._parts.dispatcher.make_good(now_s)
                if self._outage.ended(now_s):
                    self._notifier.status(self._summary())
                return self._work(now_s)
            self._report(now_s)
        except StateFaultError as error:
            if self._hooks.once:
                raise
            self._pause(error, now_s)
        return self._outage.next_s

    def _work(self, now_s: float) -> float:
        """Everything once; returns when the next turn is due (monotonic seconds)."""
        dispatcher = self._parts.dispatcher
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
            self._parts.status.say_ready(self._snapshot())
            self._notifier.ready(self._summary())
        self._report(now_s)
        return min(next_s, dispatcher.next_due_s(), self._report_at_s)

    # What is told

    def _snapshot(self) -> Snapshot:
        """How everything stands now."""
        return replace(self._parts.dispatcher.snapshot(), state_fault=self._outage.reason)

    def _summary(self) -> str:
        """One line for `systemctl status`; asks no ledger that cannot answer."""
        if self._outage.reason is not None:
            return paused_line(self._outage.reason)
        return self._parts.status.summary(self._snapshot())

    def _report(self, now_s: float) -> None:
        """Say how things stand, where that is due."""
        if now_s >= self._report_at_s:
            self._report_at_s = now_s + self._parts.settings.report.every_s
            now = self._publish(now_s)
            self._notifier.status(self._parts.status.summary(now))

    def _publish(self, now_s: float, *, state: str = "running") -> Snapshot:
        """Report, and return what of; a new window of throughput begins."""
        now = self._snapshot()
        window = self._parts.measurements.throughput.publish(now_s)
        self._parts.status.publish(now, window, state=state)
        return now

    def _pause(self, error: StateFaultError, now_s: float) -> None:
        """Wait for the state directory, and leave that in the status file if it takes it yet."""
        if self._outage.failed(error, now_s):
            with suppress(StateFaultError):
                self._parts.status.say_paused(self._snapshot())

    # Stop

    def _stop(self, *, drains: bool) -> None:
        """Stop all parts, in this order; what runs is finished first where nothing failed."""
        parts, dispatcher = self._parts, self._parts.dispatcher
        try:
            if drains:
                # First of all: the service manager's own deadline runs from here.
                self._notifier.stopping()
                deadline_s = time.monotonic() + DRAIN_S
                if self._control.stops:
                    parts.log.info(Event.DAEMON_DRAINING, running=len(parts.pool.running))
                # What runs would be done again from the start, so it may end: until the deadline,
                # a second signal, or a state directory that cannot record it. Nothing new begins.
                while dispatcher.is_working and self._outage.reason is None:
                    now_s = time.monotonic()
                    if now_s > deadline_s or self._control.stops > 1:
                        break
                    try:
                        dispatcher.conclude(now_s)
                    except StateFaultError as error:  # what cannot be recorded is done again
                        self._pause(error, now_s)
                    if dispatcher.is_working:
                        self._wait(deadline_s)
        finally:
            # A state directory that failed may be why; the next start repairs the ledger.
            with suppress(StateFaultError):
                # Before the workers: nothing that settles now has anywhere to go.
                dispatcher.close()
                # Before their files: a worker that lives would go on writing.
                parts.pool.stop()
                # Before the report, which counts as waiting what was cut short.
                dispatcher.give_back()
                self._publish(time.monotonic(), state="stopped")
            # Last: who hears it finds no worker and the final status. The ledger closes after it.
            parts.log.info(Event.DAEMON_STOPPED)

    # Reload

    def _read_again(self) -> None:
        """Read and check the settings; what is wrong with them leaves the old ones in force."""
        self._control.reload = False
        self._notifier.reloading()
        old = self._parts.settings
        try:
            settings = old if self._hooks.load is None else self._hooks.load()
            prepare(settings, self._parts.ledger)
        except StateFaultError:  # no fault of theirs: they are read again when it works
            self._control.reload = True
            raise
        except SharpendError as error:
            self._reject(error)
        else:
            # The state directory is locked and open: it stays until the next start.
            self._wanted = settings.model_copy(update={"state": old.state})
            self._ignored = [key for key in NOT_RELOADABLE if key in changed_keys(old, settings)]

    def _swap(self, settings: Settings) -> None:
        """Between two pictures: put new parts in the place of the old ones."""
        self._wanted, old = None, self._parts
        try:
            self._parts = assemble(settings, old.log, old.ledger, self._calls, old=old)
        except StateFaultError:  # no fault of the settings, as above
            self._wanted = settings
            raise
        except SharpendError as error:
            self._reject(error)
            return
        retire(old, self._parts)
        self._outage.log = self._parts.log
        self._report_at_s = time.monotonic() + settings.report.every_s
        self._make_good()
        changed = changed_keys(old.settings, settings)
        self._parts.log.info(Event.CONFIG_RELOADED, changed=changed, ignored=self._ignored)
        self._notifier.ready(self._summary())

    def _reject(self, error: SharpendError) -> None:
        self._parts.log.error(Event.CONFIG_REJECTED, message=str(error))
        self._notifier.ready(self._summary())
