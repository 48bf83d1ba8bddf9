"""Event names of the log, a stable interface, and the form in which `event_keys` describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Event(StrEnum):
    """Names of all events: a stable contract, `noun.past_participle`.

    `sharpend.logs.event_keys` has the levels, the meaning and the keys of each.
    """

    DAEMON_READY = "daemon.ready"
    DAEMON_STALLED = "daemon.stalled"
    DAEMON_DRAINING = "daemon.draining"
    DAEMON_STOPPED = "daemon.stopped"
    SIGNAL_IGNORED = "signal.ignored"
    CONFIG_RELOADED = "config.reloaded"
    CONFIG_REJECTED = "config.rejected"
    FOLDER_PAUSED = "folder.paused"
    FOLDER_RESUMED = "folder.resumed"
    FOLDER_POLLED = "folder.polled"
    FOLDER_WATCHED = "folder.watched"
    FOLDER_SURVEYED = "folder.surveyed"
    SUBFOLDERS_REMOVED = "subfolders.removed"
    FILE_SETTLED = "file.settled"
    IMAGE_FINISHED = "image.finished"
    BATCH_FINISHED = "batch.finished"
    IMAGE_RETRIED = "image.retried"
    IMAGE_CHANGED = "image.changed"
    IMAGE_VANISHED = "image.vanished"
    IMAGE_QUARANTINED = "image.quarantined"
    WORKER_DIED = "worker.died"
    WORKER_LOST = "worker.lost"
    ENGINE_DEGRADED = "engine.degraded"
    ENGINE_RECOVERED = "engine.recovered"
    WORKER_UNCONFINED = "worker.unconfined"
    REPORT_PUBLISHED = "report.published"
    AGREEMENT_LOW = "agreement.low"
    AGREEMENT_RECOVERED = "agreement.recovered"
    CANARY_LOW = "canary.low"
    CANARY_RECOVERED = "canary.recovered"
    PREVIEW_FAILED = "preview.failed"
    PRECISION_REFUSED = "precision.refused"
    PRECISION_UNSAVED = "precision.unsaved"
    FOLDER_SKIPPED = "folder.skipped"
    FOLDER_ADOPTED = "folder.adopted"
    FOLDER_REPEATED = "folder.repeated"
    OUTPUT_SHARED = "output.shared"
    STORE_PAUSED = "store.paused"
    STORE_RESUMED = "store.resumed"
    STATE_PAUSED = "state.paused"
    STATE_RESUMED = "state.resumed"
    STATUS_FAILED = "status.failed"
    LEDGER_REBUILT = "ledger.rebuilt"
    HOOK_ENDED = "hook.ended"
    HOOK_DROPPED = "hook.dropped"
    EVENT_REPEATED = "event.repeated"
    QUARANTINE_PRUNED = "quarantine.pruned"
    ARCHIVE_PRUNED = "archive.pruned"
    LEDGER_PRUNED = "ledger.pruned"
    BACKUP_MADE = "backup.made"
    UPKEEP_FAILED = "upkeep.failed"
    WEB_READY = "web.ready"
    ACTION_TAKEN = "action.taken"
    ACTION_FAILED = "action.failed"
    REQUEST_REFUSED = "request.refused"
    REQUEST_FAILED = "request.failed"
    LOGGED_BY_LIBRARY = "library.logged"


@dataclass(frozen=True, slots=True)
class Described:
    """An event as the log holds it."""

    levels: tuple[str, ...]
    """The levels that it may have."""
    meaning: str
    """Phrase for the occasion of the event."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Type, unit and meaning of each key; a line need not have all of them."""


DEBUG, INFO, WARNING, ERROR = ("debug",), ("info",), ("warning",), ("error",)
