"""Construction of all parts of a daemon from the settings, at a start and at a reload.

Owns the order of construction, and the choice of parts that a reload keeps. Refuses a start or a
reload with models that cannot be loaded. Reads the settings through `settings_values` and
`worker_settings` alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import AgreementAlarm
from sharpend.commit.places import place_of
from sharpend.daemon import settings_values, worker_settings
from sharpend.daemon.agreement_samples import Canary, JudgedModel, Measurements
from sharpend.daemon.dispatcher import Dispatcher
from sharpend.daemon.dispatcher_config import DispatcherConfig
from sharpend.daemon.engine import (
    LoadedWorkers,
    log_refused_precisions,
    remember_trials,
    start_workers,
)
from sharpend.daemon.history import History
from sharpend.daemon.hooked_log import HookedLog
from sharpend.daemon.image_history import ImageHistoryLog
from sharpend.daemon.report import Throughput
from sharpend.daemon.roots import OnFault, prepare_roots
from sharpend.daemon.status import StatusReporter
from sharpend.files.fingerprint import display
from sharpend.files.objects.uploads import Uploads
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.commit.place import PlaceOf
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.daemon.results import Result
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log
    from sharpend.settings.schema import Settings
    from sharpend.workers.loading import LoadedModel


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
    workers: LoadedWorkers
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
    workers = _kept_or_started(settings, calls, old)
    loaded_models = workers.loaded_models
    try:
        log = _log(settings, log, prepared, old)
        config = _dispatcher_config(settings, prepared, _measurements(settings, workers, old))
        remember_trials(settings, loaded_models, log)
        log_refused_precisions(settings, loaded_models, log)
        _retry_outdated(prepared, loaded_models, ledger)
        _warn_of_repetition(prepared, ledger, log)
        dispatcher = Dispatcher(
            config, ledger, workers.pool, log, wake=calls.wake, on_result=calls.on_result
        )
    except BaseException:
        if old is None or workers is not old.workers:
            workers.pool.stop()
        raise
    history = History(settings.state) if old is None else old.status.history
    status = StatusReporter(settings.state, next(iter(loaded_models.values())), log, history)
    return Parts(settings, log, ledger, workers, config.measurements, dispatcher, status)


def _kept_or_started(settings: Settings, calls: Callbacks, old: Parts | None) -> LoadedWorkers:
    """Keep the workers if their settings did not change; else start new ones."""
    values = worker_settings.worker_start_values
    if old is not None and values(settings) == values(old.settings):
        return old.workers
    if old is not None and "ray" in (settings.engine.kind, old.settings.engine.kind):
        old.workers.pool.stop()  # frees its processors; it starts again where the new one fails
    return start_workers(settings, wake=calls.wake, go_on=calls.go_on, place_of=_place_of(settings))


def _place_of(settings: Settings) -> PlaceOf:
    return partial(place_of, uploads=Uploads(settings_values.spool_of(settings)))


def retire(old: Parts, new: Parts) -> None:
    """Stop the old parts that a reload replaced."""
    old.dispatcher.close()
    if isinstance(old.log, HookedLog) and not isinstance(new.log, HookedLog):
        old.log.close()
    if new.workers is not old.workers:
        old.workers.pool.stop()


def prepare(settings: Settings, ledger: Ledger, on_fault: OnFault) -> list[FolderPlan]:
    """Plan the folders; create and check their roots."""
    planned = settings_values.folder_plans(settings)
    return [prepare_roots(plan, ledger, on_fault) for plan in planned]


def _log(settings: Settings, log: Log, prepared: list[FolderPlan], old: Parts | None) -> Log:
    """Keep or replace the log; the history of images and the hooks of the settings listen to it."""
    hooks = settings_values.hooks(settings)
    runs = log.runs if isinstance(log, HookedLog) else None
    while isinstance(log, HookedLog | ImageHistoryLog):
        log = log.inner
    if old is not None and settings.log != old.settings.log:
        log = settings_values.log(settings)
    options = {plan.destination.folder: plan.options.shown_options for plan in prepared}
    log = ImageHistoryLog(log, settings.state, options)
    destinations = [plan.destination for plan in prepared]
    roots = {
        destination.folder: (destination.input_root, destination.output_root)
        for destination in destinations
    }
    return HookedLog(log, hooks, roots, runs) if hooks else log


def _measurements(settings: Settings, workers: LoadedWorkers, old: Parts | None) -> Measurements:
    """Construct counters, alarms of models with a teacher and canary, or keep the old ones."""
    if old is not None and workers is old.workers and _measures_alike(settings, old.settings):
        return old.measurements
    alarms = {
        model: AgreementAlarm(settings_values.alarm_options(settings, loaded))
        for model, loaded in workers.loaded_models.items()
        if loaded.teacher is not None
    }
    counted = Throughput(time.monotonic()) if old is None else old.measurements.throughput
    return Measurements(counted, alarms, _canary(settings, workers))


def _measures_alike(one: Settings, other: Settings) -> bool:
    return one.agreement == other.agreement and one.canary == other.canary


def _canary(settings: Settings, workers: LoadedWorkers) -> Canary | None:
    """Construct the canary of the main model."""
    canary = workers.canary
    if canary is None:
        return None
    main, used = next(iter(workers.loaded_models.items()))
    return Canary(
        settings.canary.model,
        main,
        _judged(canary, settings_values.canary_options(settings, used, canary)),
        _judged(used, settings_values.alarm_options(settings, used)),
    )


def _judged(loaded: LoadedModel, options: AlarmOptions) -> JudgedModel:
    healthy = {one.kind: one.ratio for one in loaded.healthy}
    return JudgedModel(loaded.model, loaded.teacher, options, healthy)


def _dispatcher_config(
    settings: Settings, prepared: list[FolderPlan], measurements: Measurements
) -> DispatcherConfig:
    return DispatcherConfig(
        state_dir=settings.state,
        plans=prepared,
        place_of=_place_of(settings),
        retry=settings_values.retry_options(settings),
        measurements=measurements,
        retention=settings_values.retention(settings),
        previews=settings_values.preview_limits(settings),
        quiet_s=settings.intake.quiet_s,
        spool=settings_values.spool(settings),
    )


def _retry_outdated(
    prepared: list[FolderPlan], loaded_models: Mapping[str, LoadedModel], ledger: Ledger
) -> None:
    """Queue finished jobs again in folders with `reprocess` whose model or options changed."""
    for plan in prepared:
        if plan.reprocess:
            ledger.retry_outdated(
                plan.destination.folder,
                model=loaded_models[plan.options.model].digest,
                options=plan.options.digest,
            )


def _warn_of_repetition(prepared: list[FolderPlan], ledger: Ledger, log: Log) -> None:
    """Log that finished images will be sharpened again, because their folder's output is new.

    Two configured outputs of one input are intended: no event.
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
