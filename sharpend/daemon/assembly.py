"""The workers that the settings ask for, with their networks tried once.

Owns the start of a pool: no daemon begins to work, and no reload is taken, with networks that
cannot be loaded. Knows what settings are called through `plans` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon import plans
from sharpend.workers import sandbox
from sharpend.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.agreement.alarm import AlarmOptions
    from sharpend.settings.load import Settings
    from sharpend.workers.protocol import Workers
    from sharpend.workers.worker import Engine


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


def alarms(settings: Settings, engines: Mapping[str, Engine]) -> dict[str, AlarmOptions]:
    """How agreement is watched, by network, for those that have a teacher."""
    return {
        model: plans.alarm_options(settings, engine)
        for model, engine in engines.items()
        if engine.teacher is not None
    }
