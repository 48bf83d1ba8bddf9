"""Reason files of the quarantine: where they are, and what is in them.

Owns the paths below the quarantine, `<folder>/<path>` of a refused source and `<path>.reason.json`
of its reason file, and the content of the latter. Refuses to give a source that still is in its
input folder the path of another one that was moved.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sharpend.commit.names import numbered, shortened
from sharpend.errors import ImageRefusedError
from sharpend.files.atomic import replacing_at
from sharpend.files.beneath import directory, refusing_name
from sharpend.files.fingerprint import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.commit.destination import Destination
    from sharpend.ledger.records import Job, Quarantined

_NOTE_SUFFIX = b".reason.json"
_LONGEST_NAME_BYTES = 200  # with room for `-2`, `.reason.json` and the name of a temporary file


def place_of(job: Job) -> bytes:
    """Return the path of a job's file below the quarantine; a long name is shortened."""
    folder = os.fsencode(job.folder).replace(b"/", b"_")
    parent, name = os.path.split(job.relative)
    if len(name) > _LONGEST_NAME_BYTES:
        name = shortened(name, _LONGEST_NAME_BYTES)
    return os.path.join(folder, parent, name)


def write_reason(
    root: bytes, moved: bytes | None, destination: Destination, entry: Quarantined
) -> bytes:
    """Write the reason file beside the moved source, or where that will be.

    If a parent of the path is a file or a link (a quarantined `a.jpg`, and later a folder of that
    name), or the file system does not take a name, the reason file is put at the top, named by a
    digest of its path.

    Args:
        root: of the quarantine.
        moved: path of the moved source below it; None if the source is in its input folder.
        destination: of the folder.
        entry: the refusal.

    Returns:
        The absolute path of the reason file.
    """
    note = (moved or _free_place(root, entry.job)) + _NOTE_SUFFIX
    content = _reason_of(destination, entry)
    try:
        _write_at(root, note, content)
    except (ImageRefusedError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        note = hashlib.sha256(note).hexdigest().encode() + _NOTE_SUFFIX
        _write_at(root, note, content)
    return os.path.join(root, note)


def _free_place(root: bytes, job: Job) -> bytes:
    """Return the first path for a source that no moved source has."""
    places = numbered(root, place_of(job))
    return next(place for place in places if not os.path.lexists(os.path.join(root, place)))


def _write_at(root: bytes, note: bytes, content: Mapping[str, object]) -> None:
    parent, name = os.path.split(note)
    with (
        directory(root, parent, create=True) as fd,
        refusing_name(fd, name, creates=True),
        replacing_at(fd, name) as file,
    ):
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _reason_of(destination: Destination, entry: Quarantined) -> dict[str, object]:
    """Return the content of the reason file; non-UTF-8 bytes of the path become surrogates."""
    return {
        "code": entry.refusal.reason,
        "message": entry.refusal.message,
        "setting": entry.refusal.setting,
        "attempts": entry.job.attempts,
        "source": display(os.path.join(destination.input_root, entry.job.relative)),
        "size": entry.job.fingerprint.size,
        "when": datetime.fromtimestamp(entry.at_s, UTC).isoformat(timespec="seconds"),
    }
