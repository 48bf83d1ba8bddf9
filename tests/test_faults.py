"""An error of the file system is about a whole folder, a name, or one file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from sharpend.errors import FolderFaultError, ImageRefusedError, Reason, TransientError
from sharpend.files import faults

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOSPC, FolderFaultError, None),
        (errno.EROFS, FolderFaultError, None),
        (errno.EACCES, TransientError, Reason.PERMISSION_DENIED),
        (errno.EIO, TransientError, Reason.IO_ERROR),
        (errno.ENAMETOOLONG, ImageRefusedError, Reason.NAME_TOO_LONG),
    ],
)
def test_what_an_error_is_about(
    tmp_path: Path, number: int, kind: type[Exception], reason: Reason | None
) -> None:
    """A full disk fails every file alike, a closed folder or a bad sector only those in it."""
    error, root = OSError(number, os.strerror(number)), os.fsencode(tmp_path)
    decided = faults.decision(error, root, of_root="all", of_file="one")
    assert type(decided) is kind
    assert getattr(decided, "reason", None) is reason
    gone = faults.decision(error, root + b"/gone", of_root="all", of_file="one")
    assert type(gone) is FolderFaultError
    assert str(gone) == "all"
