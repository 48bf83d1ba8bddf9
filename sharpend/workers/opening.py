"""Input file of a task: opened below its root, and checked to be the file that settled."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sharpend.errors import (
    FolderFaultError,
    Reason,
    SourceChangedError,
    SourceVanishedError,
    TransientError,
)
from sharpend.files import beneath
from sharpend.files.disk_errors import reason_of
from sharpend.files.fingerprint import Fingerprint, display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.task import Task


@contextmanager
def opened(task: Task) -> Iterator[int]:
    """Open the input; check before and after the block that it is still the settled file."""
    try:
        descriptor = beneath.open_file(task.input_root, task.relative)
    except OSError as error:
        _raise_for_input(task, error)
    try:
        if not task.fingerprint.is_same_file(Fingerprint.of(os.fstat(descriptor))):
            raise SourceChangedError("it changed after it had settled")
        try:
            yield descriptor
        finally:  # errors of decoders are ignored if the file was being written
            _require_unchanged(task)
    except OSError as error:
        _raise_for_input(task, error)
    finally:
        os.close(descriptor)


def _raise_for_input(task: Task, error: OSError) -> NoReturn:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        if not os.path.isdir(task.input_root):
            message = f"folder.input: {display(task.input_root)}: {error.strerror}"
            raise FolderFaultError(message) from error
        raise SourceVanishedError(f"{display(task.relative)} is gone") from error
    reason, text = reason_of(error), f"reading failed: {error.strerror}"
    if reason is Reason.PERMISSION_DENIED:
        text = f"cannot be read ({error.strerror}); let the user that runs sharpend read it"
    raise TransientError(reason, text) from error


def _require_unchanged(task: Task) -> None:
    parent, name = os.path.split(task.relative)
    with beneath.directory(task.input_root, parent) as parent_fd:
        if not task.fingerprint.is_same_file(beneath.fingerprint_at(parent_fd, name)):
            raise SourceChangedError("it changed while it was read")
