"""An error of the file system is about a whole folder, a name, or one file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from sharpend.errors import FolderFaultError, ImageRefusedError, Reason, TransientError
from sharpend.files import disk_errors
from sharpend.files.beneath import refusing_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOSPC, FolderFaultError, None),
        (errno.EROFS, FolderFaultError, None),
        (errno.EACCES, TransientError, Reason.PERMISSION_DENIED),
        (errno.EIO, TransientError, Reason.IO_ERROR),
        (errno.ENAMETOOLONG, ImageRefusedError, Reason.NAME_TOO_LONG),
        (errno.EFBIG, ImageRefusedError, Reason.OUTPUT_TOO_LARGE),
    ],
)
def test_what_an_error_is_about(
    tmp_path: Path, number: int, kind: type[Exception], reason: Reason | None
) -> None:
    """A full disk fails every file alike, a closed folder or a bad sector only those in it."""
    error, root = OSError(number, os.strerror(number)), os.fsencode(tmp_path)
    decided = disk_errors.decision(error, root, of_root="all", of_file="one")
    assert type(decided) is kind
    assert getattr(decided, "reason", None) is reason
    gone = disk_errors.decision(error, root + b"/gone", of_root="all", of_file="one")
    assert type(gone) is FolderFaultError
    assert str(gone) == "all"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """An open folder that takes any name."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


NAMES = (errno.EINVAL, errno.EILSEQ)
DENIALS = (errno.EPERM, errno.EACCES)


@pytest.mark.parametrize(
    ("number", "creates", "refused"),
    [
        *((number, creates, True) for number in NAMES for creates in (True, False)),
        *((number, creates, creates) for number in DENIALS for creates in (True, False)),
        *((number, True, False) for number in (errno.ENOSPC, errno.EIO, errno.EROFS)),
    ],
)
def test_an_error_of_one_name_is_proven_by_another(
    folder: int, tmp_path: Path, *, number: int, creates: bool, refused: bool
) -> None:
    """Where a plain name can be made in the same folder, the fault is the image's own."""
    with (
        pytest.raises((ImageRefusedError, OSError)) as caught,
        refusing_name(folder, b"what?.jpg", creates=creates),
    ):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value, ImageRefusedError) is refused
    if isinstance(caught.value, ImageRefusedError):
        assert caught.value.reason is Reason.NAME_NOT_POSSIBLE
        assert "what?.jpg" in str(caught.value)
        assert os.strerror(number) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [*NAMES, *DENIALS])
def test_where_no_name_is_taken_the_folder_is_at_fault(
    folder: int, tmp_path: Path, number: int
) -> None:
    """A folder in which not even a plain name can be made blames no image."""
    tmp_path.rmdir()  # nothing can be made in a removed folder, not even by root
    with (
        pytest.raises(OSError, match=os.strerror(number)),
        refusing_name(folder, b"what?.jpg", creates=True),
    ):
        raise OSError(number, os.strerror(number))
