"""Engine of the settings, local or Ray: start its workers with their models.

Logs and stores the results of the trials of runtimes and precisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.daemon import settings_values, worker_settings
from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.model.shipped import find, recorded_digest
from sharpend.model.trial import LEAST_SSIM
from sharpend.workers import ahead, sandbox, trials
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.loading import of_canary, require_teacher
from sharpend.workers.pool import Pool
from sharpend.workers.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.commit.place import PlaceOf
    from sharpend.logs.logs import Log
    from sharpend.settings.schema import Settings
    from sharpend.workers.interface import Workers
    from sharpend.workers.loading import LoadedModel, WorkerOptions


@dataclass(frozen=True, slots=True)
class LoadedWorkers:
    """Workers that have loaded their models."""

    pool: Workers
    loaded_models: Mapping[str, LoadedModel]
    """By model as named in the settings; the main model first."""
    canary: LoadedModel | None = None


def start_workers(
    settings: Settings, *, wake: Callable[[], None], go_on: Callable[[], bool], place_of: PlaceOf
) -> LoadedWorkers:
    """Start the workers, and wait until each model was loaded and tried.

    Args:
        settings: validated.
        wake: called from any thread when a result waits.
        go_on: called repeatedly; False cancels the wait.
        place_of: returns the place of a root.

    Returns:
        The pool, and the facts about each model and the canary.

    Raises:
        UnavailableError: the device, a model or a worker is unavailable, or `go_on` returned False.
    """
    sandbox.deny_inspection()
    pool = pool_of(settings, wake, place_of)
    canary = worker_settings.canary_model(settings)
    watched = bool(settings.agreement.sample or canary)
    try:
        loaded_models = {
            model: pool.load_model(model, teacher=watched, go_on=go_on)
            for model in worker_settings.models(settings)
        }
        return LoadedWorkers(pool, loaded_models, _load_canary(canary, pool, loaded_models, go_on))
    except BaseException:
        pool.stop()
        raise


def pool_of(settings: Settings, wake: Callable[[], None], place_of: PlaceOf) -> Workers:
    """Construct the workers; they are not started.

    Args:
        settings: validated.
        wake: called from any thread when a result waits.
        place_of: returns the place of a root.

    Raises:
        UnavailableError: a model's weights cannot be read here.
    """
    if settings.engine.kind == "ray":
        ahead.end()
        return ray_pool(settings, wake)
    pool = Pool(
        _options(settings),
        count=worker_settings.worker_count(settings),
        job_timeout_s=settings.workers.job_timeout_s,
        wake=wake,
    )
    spool = settings_values.spool(settings)
    return pool if spool is None else Transfers(pool, spool, wake, place_of)


def ray_pool(settings: Settings, wake: Callable[[], None]) -> RayPool:
    """Construct the workers of a cluster, as `pool_of`."""
    digests = {model: recorded_digest(find(model)) for model in worker_settings.models(settings)}
    wanted = worker_settings.workers_wanted(settings)
    return RayPool(worker_settings.cluster(settings), wanted, _options(settings), digests, wake)


def _options(settings: Settings) -> WorkerOptions:
    return replace(worker_settings.worker_options(settings), trials=trials.read(settings.state))


def _load_canary(
    canary: str | None,
    pool: Workers,
    loaded_models: Mapping[str, LoadedModel],
    go_on: Callable[[], bool],
) -> LoadedModel | None:
    """Load the canary and try it once; None where none is set.

    Raises:
        UnavailableError: it cannot be loaded, or one of both has no teacher to measure it by.
    """
    if canary is None:
        return None
    try:
        require_teacher(next(iter(loaded_models.values())))
        return require_teacher(pool.load_model(canary, teacher=True, go_on=go_on))
    except UnavailableError as error:
        raise of_canary(error) from error


def remember_trials(settings: Settings, loaded_models: Mapping[str, LoadedModel], log: Log) -> None:
    """Write the trials that the workers made, so that the next start takes them as they are."""
    made = (loaded.trial for loaded in loaded_models.values())
    try:
        trials.remember(settings.state, [one for one in made if one is not None])
    except OSError as error:
        log.warning(Event.PRECISION_UNSAVED, reason=str(error))


def log_refused_precisions(
    settings: Settings, loaded_models: Mapping[str, LoadedModel], log: Log
) -> None:
    """Log each combination of runtime and precision that is rejected because pixels differ."""
    wanted = settings.model.runtime, settings.model.precision
    for loaded in loaded_models.values():
        for form in () if loaded.trial is None else loaded.trial.refused(*wanted):
            log.warning(
                Event.PRECISION_REFUSED,
                model=loaded.model,
                refused=str(form),
                ssim=form.ssim,
                message=f"model.precision: {loaded.model} does not run in {form}: its SSIM to "
                f"float32 is {form.ssim:.5f}, and {LEAST_SSIM[form.precision]} is needed; it runs "
                f"on {loaded.device}",
            )
