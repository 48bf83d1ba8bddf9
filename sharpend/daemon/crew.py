"""Started workers with the models they have loaded; log and store what their trials measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.model.trial import LEAST_SSIM
from sharpend.workers import trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sharpend.logs.logs import Log
    from sharpend.settings.load import Settings
    from sharpend.workers.interface import Workers
    from sharpend.workers.worker import Engine


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers that have loaded their models."""

    pool: Workers
    engines: Mapping[str, Engine]
    """By model as named in the settings; the main model first."""
    canary: Engine | None = None


def canary_engine(
    canary: str | None,
    pool: Workers,
    engines: Mapping[str, Engine],
    go_on: Callable[[], bool],
) -> Engine | None:
    """Load the canary and try it once; None where none is set.

    Raises:
        UnavailableError: it cannot be loaded, or the main model has no teacher to measure it by.
    """
    if canary is None:
        return None
    main = next(iter(engines.values()))
    if main.teacher is None:
        advice = 'set it to "none", or use a model with a teacher'
        raise UnavailableError(f"canary.model: the card of {main.model} names no teacher; {advice}")
    try:
        return pool.engine(canary, teacher=False, go_on=go_on)
    except UnavailableError as error:
        raise UnavailableError(f"canary.model: {error}") from error


def remember_trials(settings: Settings, engines: Mapping[str, Engine], log: Log) -> None:
    """Write the trials that the workers made, so that the next start takes them as they are."""
    made = (engine.trial for engine in engines.values())
    try:
        trials.remember(settings.state, [one for one in made if one is not None])
    except OSError as error:
        log.warning(Event.PRECISION_UNSAVED, reason=str(error))


def log_refused_precisions(settings: Settings, engines: Mapping[str, Engine], log: Log) -> None:
    """Log each combination of runtime and precision that is rejected because pixels differ."""
    wanted = settings.model.runtime, settings.model.precision
    for engine in engines.values():
        for form in () if engine.trial is None else engine.trial.refused(*wanted):
            log.warning(
                Event.PRECISION_REFUSED,
                model=engine.model,
                refused=str(form),
                ssim=form.ssim,
                message=f"model.precision: {engine.model} does not run in {form}: its SSIM to "
                f"float32 is {form.ssim:.5f}, and {LEAST_SSIM[form.precision]} is needed; it runs "
                f"on {engine.device}",
            )
