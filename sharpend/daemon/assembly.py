"""Construction of all parts of a daemon from the settings, at a start and at a reload.

Owns the order of construction, and the choice of parts that a reload keeps. Refuses a start or a
reload with models that cannot be loaded. Reads the settings through `plans` alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import AgreementAlarm
from sharpend.daemon import plans
from sharpend.daemon.dispatcher import Dispatcher
from sharpend.daemon.dispatcher_config import DispatcherConfig
from sharpend.daemon.hooked_log import HookedLog
from sharpend.daemon.measurements import Measurements
from sharpend.daemon.roots import OnFault, prepare_roots
from sharpend.daemon.status import StatusReporter
from sharpend.daemon.throughput import Throughput
from sharpend.files.fingerprint import display
from sharpend.logs.events import Event
from sharpend.model.trial import BFLOAT16, LEAST_SSIM
from sharpend.workers import sandbox, trials
from sharpend.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.daemon.folder import FolderPlan
    from sharpend.daemon.outcomes import Result
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.settings.load import Settings
    from sharpend.workers.interface import Workers
    from sharpend.workers.worker import Engine


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Functions of the main loop that the parts call."""

    wake: Callable[[], None]
    """Wakes the main loop, from any thread."""
    go_on: Callable[[], bool]
    """Called repeatedly during long steps; False cancels the step."""
    on_result: Callable[[Result], None]
    """Called with the final result of each input."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of a running daemon; none of them is optional."""

    settings: Settings
    """Source of the parts."""
    log: Log
    ledger: Ledger
    pool: Workers
    engines: Mapping[str, Engine]
    """By model as named in the settings; the main model first."""
    measurements: Measurements
    dispatcher: Dispatcher
    status: StatusReporter


def assemble(
    settings: Settings,
    log: Log,
    ledger: Ledger,
    calls: Callbacks,
    on_fault: OnFault = OnFault.PAUSE,
    *,
    old: Parts | None = None,
) -> Parts:
    """Construct all parts, for a start or a reload.

    A reload keeps the totals, and the workers and alarms if their settings did not change.

    Args:
        settings: validated.
        log: of the old parts or the start; replaced if a reload changes `[log]`.
        ledger: open; the caller closes it.
        calls: callbacks of the main loop.
        on_fault: consequence for a folder whose roots cannot be opened.
        old: idle parts, not changed if this fails; None at a start.

    Raises:
        SharpendError: a folder, the device, a model or a worker is unavailable; nothing new runs.
    """
    prepared = prepare(settings, ledger, on_fault)
    pool, engines = _kept_or_started(settings, calls, old)
    try:
        log = _log(settings, log, prepared, old)
        config = _dispatcher_config(settings, prepared, _measurements(settings, pool, engines, old))
        _remember_trials(settings, engines, log)
        _tell_of_refusals(settings, engines, log)
        _retry_outdated(prepared, engines, ledger)
        _warn_of_repetition(prepared, ledger, log)
        dispatcher = Dispatcher(
            config, ledger, pool, log, wake=calls.wake, on_result=calls.on_result
        )
    except BaseException:
        if old is None or pool is not old.pool:
            pool.stop()
        raise
    status = StatusReporter(settings.state, next(iter(engines.values())), log)
    return Parts(settings, log, ledger, pool, engines, config.measurements, dispatcher, status)


def _kept_or_started(
    settings: Settings, calls: Callbacks, old: Parts | None
) -> tuple[Workers, Mapping[str, Engine]]:
    """Keep the workers if their settings did not change; else start new ones."""
    values = plans.worker_start_values
    if old is not None and values(settings) == values(old.settings):
        return old.pool, old.engines
    return start(settings, wake=calls.wake, go_on=calls.go_on)


def retire(old: Parts, new: Parts) -> None:
    """Stop the old parts that a reload replaced."""
    old.dispatcher.close()
    if isinstance(old.log, HookedLog) and not isinstance(new.log, HookedLog):
        old.log.close()
    if new.pool is not old.pool:
        old.pool.stop()


def prepare(settings: Settings, ledger: Ledger, on_fault: OnFault) -> list[FolderPlan]:
    """Plan the folders; create and check their roots."""
    return [prepare_roots(plan, ledger, on_fault) for plan in plans.folder_plans(settings)]


def start(
    settings: Settings, *, wake: Callable[[], None], go_on: Callable[[], bool]
) -> tuple[Workers, dict[str, Engine]]:
    """Start the workers, and wait until each model was loaded and tried.

    Args:
        settings: validated.
        wake: called from any thread when a result waits.
        go_on: called repeatedly; False cancels the wait.

    Returns:
        The pool, and the facts about each model, by its name in the settings.

    Raises:
        UnavailableError: the device, a model or a worker is unavailable, or `go_on` returned False.
    """
    sandbox.deny_inspection()
    pool = Pool(
        replace(plans.worker_options(settings), trials=trials.read(settings.state)),
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


def _remember_trials(settings: Settings, engines: Mapping[str, Engine], log: Log) -> None:
    """Write the trials that the workers made, so that the next start takes them as they are."""
    made = (engine.trial for engine in engines.values())
    try:
        trials.remember(settings.state, [one for one in made if one is not None])
    except OSError as error:
        log.warning(Event.PRECISION_UNSAVED, reason=str(error))


def _tell_of_refusals(settings: Settings, engines: Mapping[str, Engine], log: Log) -> None:
    """Log models that run in float32 although bfloat16 is set."""
    for engine in engines.values():
        if settings.model.precision == BFLOAT16 != engine.precision:
            log.warning(
                Event.PRECISION_REFUSED,
                model=engine.model,
                bfloat16_ssim=engine.trial and engine.trial.ssim,
                message=f"model.precision: {engine.model} runs in float32: {engine.trial}, and "
                f'{LEAST_SSIM} is needed; set it to "auto" or "float32"',
            )


def _log(settings: Settings, log: Log, prepared: list[FolderPlan], old: Parts | None) -> Log:
    """Keep or replace the log, and let the hooks of the settings listen to it."""
    hooks = plans.hooks(settings)
    runs = log.runs if isinstance(log, HookedLog) else None
    if isinstance(log, HookedLog):
        log = log.inner
    if old is not None and settings.log != old.settings.log:
        log = plans.log(settings)
    ways = [plan.destination for plan in prepared]
    roots = {way.folder: (way.input_root, way.output_root) for way in ways}
    return HookedLog(log, hooks, roots, runs) if hooks else log


def _measurements(
    settings: Settings, pool: Workers, engines: Mapping[str, Engine], old: Parts | None
) -> Measurements:
    """Construct throughput, and alarms of models with a teacher, or keep the old ones."""
    if old is not None and pool is old.pool and settings.agreement == old.settings.agreement:
        return old.measurements
    alarms = {
        model: AgreementAlarm(plans.alarm_options(settings, engine))
        for model, engine in engines.items()
        if engine.teacher is not None
    }
    counted = Throughput(time.monotonic()) if old is None else old.measurements.throughput
    return Measurements(counted, alarms)


def _dispatcher_config(
    settings: Settings, prepared: list[FolderPlan], measurements: Measurements
) -> DispatcherConfig:
    return DispatcherConfig(
        state_dir=settings.state,
        plans=prepared,
        retry=plans.retry_options(settings),
        measurements=measurements,
        retention=plans.retention(settings),
        previews=plans.preview_limits(settings),
        quiet_s=settings.intake.quiet_s,
    )


def _retry_outdated(
    prepared: list[FolderPlan], engines: Mapping[str, Engine], ledger: Ledger
) -> None:
    """Queue finished jobs again in folders with `reprocess` whose model or options changed."""
    for plan in prepared:
        if plan.reprocess:
            ledger.retry_outdated(
                plan.destination.folder,
                model=engines[plan.options.model].digest,
                options=plan.options.digest,
            )


def _warn_of_repetition(prepared: list[FolderPlan], ledger: Ledger, log: Log) -> None:
    """Log that finished images will be sharpened again, because their folder's output is new.

    Two outputs of one input that are both configured are meant so.
    """
    configured = {plan.destination.folder for plan in prepared}
    for plan in prepared:
        name = plan.destination.folder
        earlier = ledger.earlier_output(name) if ledger.adopts(name) else None
        if earlier is None or earlier[0] in configured:
            continue
        _, output, images = earlier
        old, new = display(output), display(plan.destination.output_root)
        log.warning(
            Event.FOLDER_REPEATED,
            folder=name,
            images=images,
            earlier=output,
            message=f"folder.output: {images} images of this input are finished in {old} and will "
            f"be sharpened again into {new}; if you moved that folder, stop sharpend and run "
            f'`sharpend move {old} {new}`; existing = "skip" leaves files that are there',
        )
