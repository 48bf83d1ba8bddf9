"""Construction of the workers from the settings: of this machine, or of a cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.daemon import plans
from sharpend.model.shipped import find, recorded_digest
from sharpend.workers import trials
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.settings.load import Settings
    from sharpend.workers.interface import Workers
    from sharpend.workers.worker import WorkerOptions


def pool_of(settings: Settings, wake: Callable[[], None]) -> Workers:
    """Construct the workers; they are not started.

    Args:
        settings: validated.
        wake: called from any thread when a result waits.

    Raises:
        UnavailableError: a model's weights cannot be read here.
    """
    if settings.engine.kind == "ray":
        return ray_pool(settings, wake)
    return Pool(
        _options(settings),
        count=plans.worker_count(settings),
        job_timeout_s=settings.workers.job_timeout_s,
        wake=wake,
    )


def ray_pool(settings: Settings, wake: Callable[[], None]) -> RayPool:
    """Construct the workers of a cluster, as `pool_of`."""
    digests = {model: recorded_digest(find(model)) for model in plans.models(settings)}
    wanted = plans.workers_wanted(settings)
    return RayPool(plans.cluster(settings), wanted, _options(settings), digests, wake)


def _options(settings: Settings) -> WorkerOptions:
    return replace(plans.worker_options(settings), trials=trials.read(settings.state))
