"""Staged files: write the finished image durably under a temporary name beside its final one.

Owns how it is written, and its owner, mode and times. Refuses a temporary name
that exists, and to leave a partial file. Final names are given by `commit` alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.files.beneath import directory
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.files.os_errors import decision
from sharpend.imaging import codec

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture
    from sharpend.task import Task


def write(task: Task, picture: Picture, source: os.stat_result) -> Fingerprint:
    """Write the staged file durably with its final permissions, or not at all.

    Args:
        task: says where to, and who may read it.
        picture: sharpened and finished.
        source: the input's status, whose owner, mode and times are copied.

    Returns:
        Fingerprint of the staged file.

    Raises:
        FolderFaultError: the output folder as a whole cannot be written.
        TransientError: this file may do better later.
    """
    try:
        with directory(task.output_root, task.output_parent) as parent:
            return _write_in(parent, task, picture, source)
    except OSError as error:
        of_root = (
            f"folder.output: {display(task.output_root)}: {error.strerror}; "
            "free space or let the user that runs sharpend write there"
        )
        of_file = f"writing failed: {error.strerror}"
        raise decision(error, task.output_root, of_root=of_root, of_file=of_file) from error


def _write_in(parent: int, task: Task, picture: Picture, source: os.stat_result) -> Fingerprint:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(task.temp_name, flags, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            codec.encode(picture, file)
        task.access.give_file(descriptor)
        task.access.take_after(descriptor, source)
        os.fsync(descriptor)
        return Fingerprint.of(os.fstat(descriptor))
    except BaseException:
        with suppress(OSError):
            os.unlink(task.temp_name, dir_fd=parent)
        raise
    finally:
        os.close(descriptor)
