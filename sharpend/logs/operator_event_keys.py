"""The reference of the log for what operators set up: folders, engine, object storage, hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.logs.events import DEBUG, ERROR, INFO, WARNING, Described, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDERS = {"folders": "list of text: names of all folders that are in object storage"}

OPERATION: Mapping[Event, Described] = {
    Event.FOLDER_SURVEYED: Described(
        INFO,
        "with `only_new`, the first scan is complete; what was there stays as it is",
        {"folder": "text: name of the folder", "left": "integer: images that stay as they are"},
    ),
    Event.SUBFOLDERS_REMOVED: Described(
        INFO,
        "with `remove_empty_folders`, emptied sub-folders of an input were removed",
        {
            "folder": "text: name of the folder",
            "removed": "integer: sub-folders removed",
            "paths": "list of text: the first 16 of them, below the input folder",
        },
    ),
    Event.BATCH_FINISHED: Described(
        INFO,
        "the queue ran empty, and no file is settling",
        {
            "images": "integer: images finished since it last ran empty",
            "quarantined": "integer: images quarantined in the same time",
        },
    ),
    Event.WORKER_LOST: Described(
        WARNING,
        "the fork server of the workers ended during an image, or with `engine.kind ="
        ' "ray"` a node or the cluster was lost; the attempt does not count',
        {
            "folder": "text: name of the folder",
            "path": "text: path of the image below the input folder",
            "node": "text: name of the node, or of this machine; empty where the whole cluster was"
            " unreachable, or the node does not see the folders",
            "cause": "text: what happened, in words",
        },
    ),
    Event.ENGINE_DEGRADED: Described(
        WARNING,
        'with `engine.kind = "ray"`, the cluster cannot be reached, or a node is not fit to work',
        {
            "subject": "text: `engine`, or the name of the node",
            "message": "text: cause, and what to change",
        },
    ),
    Event.ENGINE_RECOVERED: Described(
        INFO,
        "the fault of `engine.degraded` has passed",
        {"subject": "text: `engine`, or the name of the node"},
    ),
    Event.STORE_PAUSED: Described(
        ERROR,
        "the endpoint of object storage gives no answer; no images of its folders are begun",
        {**_FOLDERS, "reason": "text: cause, and what to do"},
    ),
    Event.STORE_RESUMED: Described(INFO, "the endpoint answers again", _FOLDERS),
    Event.HOOK_ENDED: Described(
        DEBUG + WARNING,
        "a hook ended; warning where it failed",
        {
            "hook": "integer: number of the `[[hook]]`, from 1",
            "cause": "text: event that it was started for",
            "status": "integer or null: exit status, negative for a signal, or HTTP status",
            "message": "text or null: why it failed, in words",
            "seconds": "number, seconds: run time of the hook",
        },
    ),
    Event.HOOK_DROPPED: Described(
        WARNING,
        "hooks took too long, or the daemon stopped; events were not passed to them",
        {"dropped": "integer: runs that did not take place since the last such event"},
    ),
}
