"""All parts of a daemon, made of the settings in one place; a reload makes them anew.

Owns what is made in which order, and what a reload keeps. No daemon begins to work, and no reload
is taken, with models that cannot be loaded. Knows what settings are called through `plans` alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import AgreementAlarm
from sharpend.daemon import plans
from sharpend.daemon.dispatcher import Dispatcher
from sharpend.daemon.folder import prepare_roots
from sharpend.daemon.measurements import Measurements
from sharpend.daemon.status import StatusReporter
from sharpend.daemon.throughput import Throughput
from sharpend.daemon.workshop import Workshop
from sharpend.workers import sandbox
from sharpend.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.daemon.folder import FolderPlan
    from sharpend.daemon.outcomes import Result
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.settings.load import Settings
    from sharpend.workers.protocol import Workers
    from sharpend.workers.worker import Engine


@dataclass(frozen=True, slots=True)
class Calls:
    """What parts call outside of themselves."""

    wake: Callable[[], None]
    """Asks for a turn soon, from any thread."""
    go_on: Callable[[], bool]
    """Asked again and again whether to go on with what takes long."""
    tell: Callable[[Result], None]
    """Gets the result of each input that came to an end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a daemon at work, whole or not at all."""

    settings: Settings
    """That they were made of."""
    log: Log
    ledger: Ledger
    pool: Workers
    engines: Mapping[str, Engine]
    """By the name of the model that folders use; the main one first."""
    measurements: Measurements
    dispatcher: Dispatcher
    status: StatusReporter


def assemble(
    settings: Settings, log: Log, ledger: Ledger, calls: Calls, *, old: Parts | None = None
) -> Parts:
    """Make all parts for a start, or those that a reload puts in the place of old ones.

    A reload keeps the totals, and where nothing about them changed the workers and the alarms.

    Args:
        settings: validated.
        log: where events go; a reload that changes `[log]` makes another.
        ledger: open; the caller closes it.
        calls: what the parts call.
        old: parts at rest, left whole where this fails; None at a start.

    Raises:
        SharpendError: a folder, the device, a model or a worker is not to be had; nothing new runs.
    """
    prepared = prepare(settings, ledger)
    if old is not None and plans.workers_of(settings) == plans.workers_of(old.settings):
        pool, engines = old.pool, old.engines
    else:
        pool, engines = start(settings, wake=calls.wake, go_on=calls.go_on)
    try:
        if old is not None and settings.log != old.settings.log:
            log = plans.log(settings)
        workshop = _workshop(settings, prepared, _measurements(settings, pool, engines, old))
        _retry_outdated(prepared, engines, ledger)
        dispatcher = Dispatcher(workshop, ledger, pool, log, wake=calls.wake, tell=calls.tell)
    except BaseException:
        if old is None or pool is not old.pool:
            pool.stop()
        raise
    status = StatusReporter(settings.state, next(iter(engines.values())), log)
    return Parts(settings, log, ledger, pool, engines, workshop.measurements, dispatcher, status)


def retire(old: Parts, new: Parts) -> None:
    """Stop, of parts that a reload replaced, what the new ones did not keep."""
    old.dispatcher.close()
    if new.pool is not old.pool:
        old.pool.stop()


def prepare(settings: Settings, ledger: Ledger) -> list[FolderPlan]:
    """Plan the folders, with their roots made and checked."""
    return [prepare_roots(plan, ledger) for plan in plans.folder_plans(settings)]


def start(
    settings: Settings, *, wake: Callable[[], None], go_on: Callable[[], bool]
) -> tuple[Workers, dict[str, Engine]]:
    """Start the workers; waits until each network has been tried.

    Args:
        settings: validated.
        wake: called from any thread when a result waits.
        go_on: asked again and again whether to go on waiting.

    Returns:
        The pool, and what each network is, by the name that its folders use.

    Raises:
        UnavailableError: the device, a network or a worker is not to be had, or `go_on` said no.
    """
    sandbox.deny_inspection()
    pool = Pool(
        plans.worker_options(settings),
        count=plans.worker_count(settings),
        job_timeout_s=settings.workers.job_timeout_s,
        wake=wake,
    )
    watched = bool(settings.agreement.sample)
    try:
        return pool, {
            model: pool.engine(model, teacher=watched, go_on=go_on)
            for model in plans.models(settings)
        }
    except BaseException:
        pool.stop()
        raise


def _measurements(
    settings: Settings, pool: Workers, engines: Mapping[str, Engine], old: Parts | None
) -> Measurements:
    """Where measurements go; agreement is watched for those models that have a teacher."""
    if old is not None and pool is old.pool and settings.agreement == old.settings.agreement:
        return old.measurements
    alarms = {
        model: AgreementAlarm(plans.alarm_options(settings, engine))
        for model, engine in engines.items()
        if engine.teacher is not None
    }
    counted = Throughput(time.monotonic()) if old is None else old.measurements.throughput
    return Measurements(counted, alarms)


def _workshop(
    settings: Settings, prepared: list[FolderPlan], measurements: Measurements
) -> Workshop:
    return Workshop(
        state_dir=settings.state,
        plans=prepared,
        retry=plans.retry_options(settings),
        measurements=measurements,
        retention=plans.retention(settings),
    )


def _retry_outdated(
    prepared: list[FolderPlan], engines: Mapping[str, Engine], ledger: Ledger
) -> None:
    """Queue again what folders want done anew, for another model or other options."""
    for plan in prepared:
        if plan.reprocess:
            ledger.retry_outdated(
                plan.destination.folder,
                model=engines[plan.options.model].digest,
                options=plan.options.digest,
            )
