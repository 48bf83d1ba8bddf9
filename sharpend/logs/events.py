"""Event names of the log, a stable interface; `event_keys` has their levels, keys and units."""

from __future__ import annotations

from enum import StrEnum


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
    WORKER_UNCONFINED = "worker.unconfined"
    REPORT_PUBLISHED = "report.published"
    AGREEMENT_LOW = "agreement.low"
    AGREEMENT_RECOVERED = "agreement.recovered"
    PREVIEW_FAILED = "preview.failed"
    PRECISION_REFUSED = "precision.refused"
    PRECISION_UNSAVED = "precision.unsaved"
    FOLDER_SKIPPED = "folder.skipped"
    FOLDER_ADOPTED = "folder.adopted"
    FOLDER_REPEATED = "folder.repeated"
    OUTPUT_SHARED = "output.shared"
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
    LOGGED_BY_LIBRARY = "library.logged"
