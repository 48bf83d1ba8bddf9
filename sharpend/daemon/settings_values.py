"""Translation of the settings to plain values; those of the workers are in `worker_settings`.

Owns all knowledge of keys of the settings; lower packages take these values and no Settings object.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from sharpend.agreement.alarm import MEASURABLE_FROM, AlarmOptions
from sharpend.commit.ages import Limits, Retention
from sharpend.commit.destination import Destination
from sharpend.commit.names import Naming
from sharpend.commit.shards import Shard, ShardIndex
from sharpend.daemon.attempts import RetryOptions
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.daemon.hook_runs import Hook
from sharpend.daemon.preview_upkeep import PreviewLimits
from sharpend.errors import ConfigError
from sharpend.files.access import Access, number_of
from sharpend.files.mounted_roots import RootGuard
from sharpend.files.objects.address import Address
from sharpend.files.objects.uploads import SPOOL
from sharpend.files.patterns import Patterns
from sharpend.intake.interface import FolderOptions
from sharpend.logs import logs
from sharpend.logs.repeats import RateLimitedLog
from sharpend.policies import Hours, Policies, Sidecars
from sharpend.settings.schema import PictureSettings, resolve_model
from sharpend.settings.values import unless_auto
from sharpend.task import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.logs.logs import Log
    from sharpend.settings.folder import FolderSettings
    from sharpend.settings.schema import Settings
    from sharpend.workers.loading import LoadedModel


_MEGA = 1_000_000


def log(settings: Settings, *, level: str | None = None) -> Log:
    """Configure the log as set in `[log]`, or at another level."""
    chosen = settings.log
    unlimited = logs.configure(level=level or chosen.level, format=chosen.format)
    return RateLimitedLog(unlimited, most=chosen.repeats)


def hooks(settings: Settings) -> list[Hook]:
    """Plan each hook.

    Raises:
        ConfigError: another user is wanted, and this process may not change its own.
    """
    planned = []
    for number, hook in enumerate(settings.hook, start=1):
        if hook.user is not None and os.geteuid() != 0:
            raise ConfigError(
                f"hook.{number}.user: needs a daemon that runs as root; remove it, and the program"
                " runs as the daemon's own user"
            )
        command, url = hook.command or (), hook.url or ""
        planned.append(Hook(number, hook.event, command, url, hook.user, hook.timeout_s))
    return planned


def folder_plans(settings: Settings) -> list[FolderPlan]:
    """Plan each folder, in the order of the settings."""
    return [_folder_plan(folder, settings) for folder in settings.folder]


def _folder_plan(folder: FolderSettings, settings: Settings) -> FolderPlan:
    model = resolve_model(folder.model or settings.model.name, settings)
    destination = _destination(folder, settings, _name_of(model))
    takes = None if folder.shard is None else Shard(ShardIndex(*folder.shard), destination).has
    return FolderPlan(
        destination=destination,
        intake=FolderOptions(
            root=os.fsencode(folder.input),
            recursive=folder.recursive,
            patterns=Patterns(folder.exclude, folder.include, takes),
            only=folder.files,
            settle_s=unless_auto(folder.settle_s),
            polling=unless_auto(folder.polling) if folder.files is None else True,
            threaded=True if isinstance(folder.input, Address) else unless_auto(folder.polling),
            poll_s=folder.poll_s,
            rescan_s=settings.intake.rescan_s,
        ),
        options=replace(
            _options(_sharpening_values(folder, settings), settings),
            model=model,
            policies=_policies(folder, settings),
        ),
        reprocess=folder.reprocess,
        newest_first=folder.order == "newest",
        hours=tuple(Hours.parse(text) for text in folder.hours),
        only_new=folder.only_new,
    )


def _destination(folder: FolderSettings, settings: Settings, model: str) -> Destination:
    return Destination(
        folder=folder.name,
        input_root=os.fsencode(folder.input),
        output_root=os.fsencode(folder.output),
        source=folder.source,
        archive_root=None if folder.archive is None else os.fsencode(folder.archive),
        remove_empty_folders=folder.remove_empty_folders,
        sidecars=Sidecars.LEAVE if folder.is_remote else folder.sidecars,
        left_alone=Patterns(folder.exclude),
        existing=folder.existing,
        naming=Naming(folder.output_name, folder.suffix, folder.name, model),
        collision=folder.collision,
        portable_names=folder.portable_names,
        quarantine_root=os.path.abspath(os.fsencode(settings.state / "quarantine")),
        guard=RootGuard(folder.name, unless_auto(folder.require_mount)),
        access=Access(
            group=None if folder.group is None else number_of(folder.group),
            mode=None if folder.mode is None else int(folder.mode, 8),
        ),
    )


def _sharpening_values(folder: FolderSettings, settings: Settings) -> dict[str, Any]:
    """Merge the keys of `[model]` that apply to images with those of the folder."""
    keys = {"strength", "crispness", "overshoot", "skip_sharp", "skip_sharp_above"}
    own = folder.model_dump(include=keys, exclude_none=True)
    return settings.model.model_dump(include=keys) | own


def _options(values: Mapping[str, Any], settings: Settings) -> Options:
    """Combine values for images with `[pictures]` and `[limits]`."""
    return Options(
        model=resolve_model(settings.model.name, settings),
        strength=values["strength"],
        crispness=values["crispness"],
        skip_sharp_above=values["skip_sharp_above"] if values["skip_sharp"] else None,
        policies=_chosen(settings.pictures.model_dump()),
        overshoot=values["overshoot"],
        max_pixels=round(settings.limits.max_megapixels * _MEGA),
        max_bytes=round(settings.limits.max_megabytes * _MEGA),
        max_scans=settings.limits.max_scans,
    )


def _policies(folder: FolderSettings, settings: Settings) -> Policies:
    """Merge the keys of `[pictures]` with those of the folder."""
    own = folder.model_dump(include=set(PictureSettings.model_fields), exclude_none=True)
    return _chosen(settings.pictures.model_dump() | own)


def _chosen(values: Mapping[str, Any]) -> Policies:
    """Make policies of a section's values."""
    profile = values["cmyk_profile"]
    return Policies(**{**values, "cmyk_profile": "" if profile == "none" else str(profile)})


def default_options(settings: Settings) -> Options:
    """Options for an image that is in no configured folder."""
    return _options(settings.model.model_dump(), settings)


def _name_of(model: str) -> str:
    """Return a model's name; of a path, the file name without its suffix."""
    return os.path.basename(model).removesuffix(".safetensors")


def retry_options(settings: Settings) -> RetryOptions:
    """Limits and waits of retries."""
    retry = settings.retry
    return RetryOptions(retry.attempts, retry.first_s, retry.longest_s)


def alarm_options(settings: Settings, loaded: LoadedModel) -> AlarmOptions:
    """Options of the agreement alarm; automatic thresholds are those of the model's card."""
    agreement = settings.agreement
    below = unless_auto(agreement.alarm_below)
    residual = unless_auto(agreement.alarm_residual)
    least = loaded.measurable_from
    return AlarmOptions(
        sample=agreement.sample,
        budget=agreement.budget,
        window=agreement.window,
        below=loaded.alarm_below if below is None else below,
        is_below_own=below is not None,
        residual_above=loaded.residual_above if residual is None else residual,
        measurable_from=MEASURABLE_FROM if least is None else least,
    )


def canary_options(settings: Settings, used: LoadedModel, canary: LoadedModel) -> AlarmOptions:
    """Options of the canary's alarm.

    Automatic thresholds are those of its card, measured with its own teacher; if the card has none,
    those of the model in use, if both have the same teacher.
    """
    is_new = canary.residual_above is None and canary.teacher_digest == used.teacher_digest
    options = alarm_options(settings, used if is_new else canary)
    return replace(options, sample=settings.canary.share)


def retention(settings: Settings) -> Retention:
    """Limits of quarantine, archives, ledger and backups."""
    kept = settings.retention
    return Retention(
        quarantine=_limits(kept.quarantine_days, kept.quarantine_megabytes),
        archive=_limits(kept.archive_days, kept.archive_megabytes),
        ledger_days=None if kept.ledger_days == "never" else kept.ledger_days,
        backups=kept.backups,
    )


def preview_limits(settings: Settings) -> PreviewLimits:
    """Bounds of the previews."""
    kept = settings.previews
    return PreviewLimits(kept.count, round(kept.max_mb * _MEGA), kept.share)


def spool(settings: Settings) -> bytes | None:
    """Return the folder of files in transfer to object storage; None without such folders."""
    return spool_of(settings) if any(folder.is_remote for folder in settings.folder) else None


def spool_of(settings: Settings) -> bytes:
    """Return that folder in the state directory, whether it is needed or not."""
    return os.path.abspath(os.fsencode(settings.state / SPOOL))


def _limits(days: float | Literal["never"], megabytes: float | Literal["unlimited"]) -> Limits:
    return Limits(
        None if days == "never" else days, None if megabytes == "unlimited" else megabytes
    )
