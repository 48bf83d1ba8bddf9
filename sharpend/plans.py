"""From settings to plain values: the last room that knows how settings are spelled.

Everything below the daemon takes what is made here and never sees a Settings object.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeVar

from sharpend.alarm import AlarmOptions
from sharpend.commit.destination import Destination, ExistingPolicy, SourcePolicy
from sharpend.folder import FolderPlan
from sharpend.intake.folder import FolderOptions
from sharpend.job import Options
from sharpend.outcomes import RetryOptions
from sharpend.settings.load import resolve_model
from sharpend.worker import WorkerOptions

if TYPE_CHECKING:
    from sharpend.settings.load import FolderSettings, Settings

T = TypeVar("T")

_MEGA = 1_000_000
MOST_AUTOMATIC_WORKERS = 4
"""One process decodes and encodes while another computes; more only cost memory."""
CORES_PER_WORKER = 2


def folder_plans(settings: Settings) -> list[FolderPlan]:
    """One plan for each folder, in the order of the settings."""
    return [_folder_plan(folder, settings) for folder in settings.folder]


def _folder_plan(folder: FolderSettings, settings: Settings) -> FolderPlan:
    strength = settings.model.strength if folder.strength is None else folder.strength
    return FolderPlan(
        destination=Destination(
            folder=folder.name,
            input_root=os.fsencode(folder.input),
            output_root=os.fsencode(folder.output),
            source=SourcePolicy(folder.source),
            archive_root=None if folder.archive is None else os.fsencode(folder.archive),
            existing=ExistingPolicy(folder.existing),
            output_name=folder.output_name,
        ),
        intake=FolderOptions(
            root=os.fsencode(folder.input),
            recursive=folder.recursive,
            settle_s=_unless_auto(folder.settle_s),
            polling=_unless_auto(folder.polling),
            poll_s=folder.poll_s,
            rescan_s=settings.intake.rescan_s,
        ),
        options=Options(
            model=resolve_model(folder.model or settings.model.name, device=settings.model.device),
            strength=strength,
            max_pixels=round(settings.limits.max_megapixels * _MEGA),
            max_bytes=round(settings.limits.max_megabytes * _MEGA),
        ),
        reprocess=folder.reprocess,
    )


def models(settings: Settings) -> list[str]:
    """The networks in use, the main one first."""
    wanted = [plan.options.model for plan in folder_plans(settings)]
    return list(dict.fromkeys(wanted)) or [
        resolve_model(settings.model.name, device=settings.model.device)
    ]


def worker_count(settings: Settings) -> int:
    """How many worker processes to start."""
    count = _unless_auto(settings.workers.count)
    return count or max(1, min(_cores() // CORES_PER_WORKER, MOST_AUTOMATIC_WORKERS))


def worker_options(settings: Settings) -> WorkerOptions:
    """What every worker is started with."""
    threads = _unless_auto(settings.workers.threads)
    return WorkerOptions(
        device=settings.model.device,
        precision=settings.model.precision,
        tile_px=_unless_auto(settings.model.tile_px),
        threads=threads or max(1, _cores() // worker_count(settings)),
        crop_px=settings.agreement.crop_px,
    )


def workers_of(settings: Settings) -> tuple[object, ...]:
    """What the running workers were started with; a change needs new ones."""
    return (
        worker_options(settings),
        worker_count(settings),
        settings.workers.job_timeout_s,
        models(settings),
        bool(settings.agreement.sample),
    )


def retry_options(settings: Settings) -> RetryOptions:
    """How transient failures are repeated."""
    retry = settings.retry
    return RetryOptions(retry.attempts, retry.first_s, retry.longest_s)


def alarm_options(settings: Settings, alarm_below: float | None) -> AlarmOptions:
    """How agreement is watched; an automatic line is the one on the student's card."""
    agreement = settings.agreement
    below = alarm_below if agreement.alarm_below == "auto" else agreement.alarm_below
    return AlarmOptions(agreement.sample, agreement.budget, agreement.window, below)


def _cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _unless_auto(value: T | Literal["auto"]) -> T | None:
    return None if value == "auto" else value
