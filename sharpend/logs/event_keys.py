"""The reference of the log: each event with its levels, its meaning and its keys.

Owns what a reader of the log may rely on; the tables of config/README.md are made from it. A key is
described as `type, unit: meaning`. Every line has `event`, `level` and `timestamp` besides. The
values are filled in where an event is emitted (search for its name, as `sharpend.logs.events` has
it), those of a report in `daemon.report`. `image_event_keys`, `model_event_keys`,
`operator_event_keys` and `web_event_keys` beside this module describe the events of these subjects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.logs.events import ERROR, INFO, WARNING, Described, Event
from sharpend.logs.image_event_keys import ERROR_KEYS, FOLDER, OF_IMAGES
from sharpend.logs.model_event_keys import DEVICE, MODEL, OF_MODELS
from sharpend.logs.operator_event_keys import OPERATION
from sharpend.logs.web_event_keys import OF_WEB

if TYPE_CHECKING:
    from collections.abc import Mapping


_QUEUE = {"queue_depth": "integer: images that wait"}
_ADVICE = {"message": "text: what to do, in words"}
_OTHER = {"host": "text: machine of the other", "state": "text: state directory of the other"}
_FAULT = {"reason": "text: the cause, in words"}
_PRUNED = {
    "files": "integer: files removed",
    "megabytes": "number, 10^6 bytes: size of the files removed",
    "left": "integer: files that could not be removed",
}
DESCRIBED: Mapping[Event, Described] = {
    Event.DAEMON_READY: Described(
        INFO,
        "the first scan of every folder is complete",
        {
            "version": "text: version of sharpend",
            "pid": "integer: process of the daemon",
            **MODEL,
            "model_digest": "text: first 12 hexadecimal digits of the digest of the weights",
            **DEVICE,
            "teacher": "text or null: model that agreement is measured with",
            "workers": "integer: worker processes",
            "folders": "list of text: names of the folders",
            **_QUEUE,
            "softened_by": "integer or null, factor: reduction that the model undoes;"
            " null where it undoes any softness",
            "meant_for": "text: what the model is for, in words",
        },
    ),
    Event.DAEMON_DRAINING: Described(
        INFO,
        "the daemon stops and waits for the images in progress",
        {"running": "integer: images in progress"},
    ),
    Event.DAEMON_STOPPED: Described(INFO, "the daemon has stopped; the last event"),
    Event.DAEMON_STALLED: Described(
        ERROR,
        "a part makes no progress; watchdog pings stop, so the service manager restarts the daemon",
        _FAULT,
    ),
    Event.SIGNAL_IGNORED: Described(
        INFO,
        "SIGUSR1 or SIGUSR2 was received, which change nothing; only the first is logged",
        {"signal": "text: name of the signal", "advice": "text: signals that the daemon acts on"},
    ),
    Event.CONFIG_RELOADED: Described(
        INFO,
        "changed settings are in force",
        {
            "changed": "list of text: settings that changed",
            "ignored": "list of text: changed settings that need a restart",
        },
    ),
    Event.CONFIG_REJECTED: Described(
        ERROR,
        "changed settings are invalid; the old ones stay in force",
        {"message": ERROR_KEYS["message"]},
    ),
    **OF_IMAGES,
    Event.WORKER_UNCONFINED: Described(
        WARNING,
        "this system does not offer all of the workers' confinement",
        {"missing": "list of text: parts of the confinement that are missing"},
    ),
    Event.FOLDER_PAUSED: Described(
        INFO + WARNING + ERROR,
        "no images of a folder are begun; error: an output fails or a root cannot be opened;"
        " warning: the input cannot be read; info: paused by an operator or by hours",
        {**FOLDER, **_FAULT},
    ),
    Event.FOLDER_RESUMED: Described(INFO, "a paused folder works again", FOLDER),
    Event.FOLDER_POLLED: Described(
        INFO,
        "a folder cannot be watched and is polled; the reason names the sysctl",
        {**FOLDER, **_FAULT},
    ),
    Event.FOLDER_WATCHED: Described(INFO, "a polled folder can be watched again", FOLDER),
    Event.FOLDER_SKIPPED: Described(
        WARNING,
        "entries of a folder could not be read; they are tried again",
        {
            **FOLDER,
            "unreadable": "integer: entries that could not be read",
            "paths": "list of text: the first of these entries, below the input folder",
        },
    ),
    Event.FOLDER_ADOPTED: Described(
        WARNING,
        "outputs that the ledger did not know were recognised, and are not made again",
        {**FOLDER, "images": "integer: inputs that count as finished"},
    ),
    Event.FOLDER_REPEATED: Described(
        WARNING,
        "the output folder is new: finished images are sharpened again, into it",
        {**FOLDER, "images": "integer: of these", "earlier": "text: earlier output", **_ADVICE},
    ),
    Event.OUTPUT_SHARED: Described(
        WARNING,
        "another installation of sharpend writes into the output folder, too",
        {**FOLDER, **_OTHER, **_ADVICE},
    ),
    Event.STATE_PAUSED: Described(
        ERROR, "ledger or quarantine cannot be written; no work is taken", _FAULT
    ),
    Event.STATE_RESUMED: Described(INFO, "ledger and quarantine can be written again"),
    Event.STATUS_FAILED: Described(WARNING, "status file or history could not be written", _FAULT),
    Event.LEDGER_REBUILT: Described(
        WARNING,
        "the ledger was damaged or gone; existing outputs are adopted, not made again",
        {
            "moved_aside": "text or null: the damaged ledger",
            "newest_backup": "text or null: the newest backup",
        },
    ),
    Event.REPORT_PUBLISHED: Described(
        INFO,
        "every `report.every_s` seconds",
        {
            "images": "integer: images finished since the last report",
            "unchanged": "integer: images of these whose pixels were copied as they are",
            "failures": "integer: images quarantined since the last report",
            "images_total": "integer: images finished since the start",
            "failures_total": "integer: images quarantined since the start",
            "window_s": "number, seconds: since the last report",
            "images_per_s": "number, 1/second: throughput in these seconds",
            "megapixels_per_s": "number, 10^6 pixels/second: throughput in these seconds",
            "latency_ms": "table, milliseconds: `p50` and `p95` (median, 95th percentile) by"
            " stage: `decode`, `measure`, `infer`, `agree`, `canary`, `preview`, `encode`,"
            " `commit`, `total`",
            "sharpness": "table or null, natural logarithm: `p10`, `p50`, `p90` of the inputs",
            **_QUEUE,
            "oldest_pending_s": "number or null, seconds: how long the oldest image waits",
            "workers": "integer: worker processes",
            **MODEL,
            **DEVICE,
            "agreement": "table or null: the keys of `agreement.low` but `model`",
            "canary": "table or null: the keys of `canary.low`; null without a canary",
            "agreement_by_model": "table or null: `agreement` of each of several models",
            "paused": "table of text: by folder, why it is paused",
            "unreadable": "table of integers: by folder, entries that could not be read",
            "left_alone": "table of tables: by folder, number of entries that are no inputs by"
            " cause: a suffix, `link`, `special file`, `excluded`, …",
            "engine_faults": "table: cause by subject, where a cluster or a node of it is out of"
            " order; the subject is `engine` or the name of the node",
            "state_fault": "text or null: why the state directory cannot be written",
            "health": "text: `ok`; `degraded` (a folder is paused or agreement is low); `fail`"
            " (the state directory fails)",
        },
    ),
    Event.BACKUP_MADE: Described(
        INFO, "the ledger was backed up", {"path": "text: file of the backup"}
    ),
    Event.QUARANTINE_PRUNED: Described(
        INFO + WARNING,
        "what `[retention]` does not keep was removed; warning where files are left",
        _PRUNED,
    ),
    Event.ARCHIVE_PRUNED: Described(
        INFO + WARNING,
        "the same in a folder's archive",
        {**FOLDER, **_PRUNED},
    ),
    Event.LEDGER_PRUNED: Described(
        INFO, "the ledger forgot inputs", {"inputs": "integer: inputs that were forgotten"}
    ),
    Event.PREVIEW_FAILED: Described(
        WARNING, "a preview could not be kept; the image itself is not affected", _FAULT
    ),
    Event.UPKEEP_FAILED: Described(
        WARNING, "a backup or a deletion failed; it is tried again in an hour", _FAULT
    ),
    **OF_MODELS,
    **OPERATION,
    **OF_WEB,
    Event.EVENT_REPEATED: Described(
        WARNING + ERROR + INFO,
        "summary of equal events beyond `log.repeats` in a minute, at their level",
        {
            "repeated": "text: the event that it summarises",
            "folder": "text or null: folder of these events",
            "reason": "text or null: `error_code` or `cause` of these events",
            "suppressed": "integer: number of events that it summarises",
            "last_path": "text or null: path of the last of these events",
        },
    ),
    Event.LOGGED_BY_LIBRARY: Described(
        WARNING + ERROR + ("critical",),
        "a library logged or warned",
        {
            "logger": "text: name of the library's logger",
            "message": "text: the library's own words",
            "exception": "text: traceback of an exception that was logged",
            "stack_info": "text: call stack that was logged",
        },
    ),
}
