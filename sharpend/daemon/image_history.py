"""History of images: the events of each one, as the log has them, kept for the status page.

Owns `history/images.jsonl` in the state directory, bounded by its size. Holds the events before the
limit on repeated lines and below any level of the log.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sharpend.daemon.history import FOLDER
from sharpend.files import rotated
from sharpend.logs.events import Event
from sharpend.logs.logs import Log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES = 4_000_000
"""Size at which the file is rotated; about seven thousand images, and as many before them."""
_KEPT = {
    Event.FILE_SETTLED,
    Event.IMAGE_FINISHED,
    Event.IMAGE_RETRIED,
    Event.IMAGE_QUARANTINED,
    Event.IMAGE_CHANGED,
    Event.IMAGE_VANISHED,
    Event.WORKER_DIED,
}


class ImageHistoryLog(Log):
    """Wrapper of a log that keeps the events of images.

    Args:
        log: writes the lines.
        state_dir: the history is a file in it.
        options: options of sharpening by the folder's name in the log, kept with each output.
    """

    def __init__(
        self, log: Log, state_dir: Path, options: Mapping[str, Mapping[str, object]]
    ) -> None:
        self.inner = log
        self._path = path_of(state_dir)
        self._options = options

    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        """Write an event, and keep it where it is one of an image."""
        self.inner.write(level, event, values)
        if event not in _KEPT:
            return
        kept = {"event": event, "at": round(time.time(), 3), **values}
        if event is Event.IMAGE_FINISHED:
            kept["options"] = self._options.get(str(values.get("folder")))
        with suppress(OSError):  # the log has the event; a full disk is reported by the ledger
            try:
                rotated.append(self._path, kept, MOST_BYTES)
            except FileNotFoundError:
                self._path.parent.mkdir(mode=0o750)
                rotated.append(self._path, kept, MOST_BYTES)


def path_of(state_dir: Path) -> Path:
    """Return the path of the history of images in a state directory."""
    return state_dir / FOLDER / "images.jsonl"


def read(state_dir: Path, folder: str, relative: bytes) -> list[dict[str, Any]]:
    """Read the events of one input, the last one first.

    Args:
        state_dir: of the daemon.
        folder: name of the folder.
        relative: path below the input folder.
    """
    path = os.fsdecode(relative)
    holding = f'"path":{json.dumps(path)}'
    found = rotated.newest_first(path_of(state_dir), holding)
    return [
        one
        for one in found
        if one.get("folder") == folder and one.get("path") == path and one.get("event") in _KEPT
    ]
