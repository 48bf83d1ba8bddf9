"""Decide what an error of the file system, such as a full disk, concerns: root, name or file.

Owns the one table of errno for work below a folder's root, and the error that follows from each;
`daemon.outcomes` pauses the folder, and `daemon.folder` tries it again. `name_faults` has the
errors that a name can cause as well as a folder. The caller passes the message texts.
"""

from __future__ import annotations

import errno
import os

from sharpend.errors import (
    FolderFaultError,
    ImageRefusedError,
    Reason,
    SharpendError,
    TransientError,
    name_too_long,
)
from sharpend.files.fingerprint import display
from sharpend.files.remote import STORE_FAULT, is_remote

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_DENIED = {errno.EACCES, errno.EPERM}


def decision(error: OSError, root: bytes, *, of_root: str, of_file: str) -> SharpendError:
    """Translate an error of work below `root` into a decision, to be raised.

    Args:
        error: what the file system said.
        root: of the folder that was worked in.
        of_root: the message for an error that would affect everything below the root.
        of_file: the message where this one file may do better later.

    Returns:
        FolderFaultError, where the root is full, read-only, not permitted at all, or gone;
        ImageRefusedError, where the name is too long for this file system, or the file too large;
        else TransientError.
    """
    if is_of_root(error, root):
        return FolderFaultError(of_root)
    if error.errno == errno.ENAMETOOLONG:
        return name_too_long(display(os.fsencode(error.filename or b"")))
    if error.errno == errno.EFBIG:
        advice = "choose a folder on a file system that takes larger files"
        message = f"{of_file}; {advice}"
        return ImageRefusedError(Reason.OUTPUT_TOO_LARGE, message, setting="folder.output")
    return TransientError(reason_of(error), of_file)


def is_of_root(error: OSError, root: bytes) -> bool:
    """Return whether an error affects all files below `root`: full, read-only or no permission.

    A folder further down without permission is no fault of the root: it holds up its own files.
    """
    if is_remote(root):
        return error.errno == STORE_FAULT
    return error.errno in _FULL or not os.access(root, os.W_OK | os.X_OK)


def reason_of(error: OSError) -> Reason:
    """Map an error of one file to a quarantine reason."""
    return Reason.PERMISSION_DENIED if error.errno in _DENIED else Reason.IO_ERROR
