"""Error classes: each class determines what happens next.

Exceptions of libraries are translated into these where they are first caught, errors of a disk
(full, read-only, gone) by `files.disk_errors`; only the worker's job loop and the command line
catch all of them.
"""

from __future__ import annotations

import os
from enum import IntEnum, StrEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit status of the process (sysexits.h)."""

    OK = 0
    UNHEALTHY = 1
    """Of a health check alone."""
    USAGE = 64
    SOME_QUARANTINED = 65
    INPUT_MISSING = 66
    UNAVAILABLE = 69
    BUG = 70
    OUTPUT_FAILED = 73
    STATE_LOCKED = 75
    CONFIGURATION = 78


SIGNALLED = 128
"""A shell's base for an end by signal: 143 after SIGTERM."""


class Reason(StrEnum):
    """Quarantine reasons: a closed list, written to reason files, logs and ledger."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    FORMAT_NOT_ALLOWED = "format_not_allowed"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_SCANS = "too_many_scans"
    BIT_DEPTH = "bit_depth"
    COLOR_MODE = "color_mode"
    ANIMATED = "animated"
    PAGES = "pages"
    HDR = "hdr"
    WOULD_LOSE = "would_lose"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    NAME_TOO_LONG = "name_too_long"
    NAME_NOT_POSSIBLE = "name_not_possible"
    NAME_TAKEN = "name_taken"
    OUTPUT_TOO_LARGE = "output_too_large"
    PERMISSION_DENIED = "permission_denied"
    IO_ERROR = "io_error"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    DAEMON_DIED = "daemon_died"
    INTERNAL = "internal"

    @property
    def is_final(self) -> bool:
        """True if the refusal holds even if more data is written to the file."""
        return self in _FINAL


_FINAL = frozenset(
    {
        Reason.FORMAT_NOT_ALLOWED,
        Reason.TOO_MANY_PIXELS,
        Reason.TOO_MANY_BYTES,
        Reason.TOO_MANY_SCANS,
        Reason.BIT_DEPTH,
        Reason.COLOR_MODE,
        Reason.ANIMATED,
        Reason.PAGES,
        Reason.HDR,
        Reason.NOT_A_REGULAR_FILE,
        Reason.NAME_TOO_LONG,
        Reason.NAME_NOT_POSSIBLE,
        Reason.NAME_TAKEN,
        Reason.OUTPUT_TOO_LARGE,
    }
)
"""The header is complete, and it or the name is refused; half a file can give any other reason."""


class SharpendError(Exception):
    """Base class of every error that sharpend raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG


class UsageError(SharpendError):
    """The command line is not valid."""

    exit_code = ExitCode.USAGE


class ConfigError(SharpendError):
    """A setting is wrong; the text reads `where: key: what to change`, one line per setting."""

    exit_code = ExitCode.CONFIGURATION


class InputMissingError(SharpendError):
    """An input folder does not exist or is not a folder."""

    exit_code = ExitCode.INPUT_MISSING


class UnavailableError(SharpendError):
    """The device, a model's weights or its teacher cannot be used."""

    exit_code = ExitCode.UNAVAILABLE


class OutputFailedError(SharpendError):
    """The output folder cannot be written."""

    exit_code = ExitCode.OUTPUT_FAILED


class StateLockedError(SharpendError):
    """Another process works on the same state directory."""

    exit_code = ExitCode.STATE_LOCKED


class LedgerError(SharpendError):
    """The ledger cannot be used: a newer version wrote it, or a move is not legal."""


class StateFaultError(LedgerError):
    """The state directory cannot be used now (full, read-only, failing): no work without it."""

    exit_code = ExitCode.OUTPUT_FAILED


class ImageRefusedError(SharpendError):
    """This input cannot be sharpened and trying again cannot help: quarantine it.

    Attributes:
        reason: the code from the closed list.
        setting: the setting that would let the input through, or None where none can.
    """

    exit_code = ExitCode.SOME_QUARANTINED

    def __init__(self, reason: Reason, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.setting = setting


class TransientError(SharpendError):
    """This attempt failed for a cause that may pass (EIO, EBUSY, ESTALE): retry with backoff."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FolderFaultError(SharpendError):
    """The folder as a whole cannot be worked on (ENOSPC, EROFS, EACCES on a root): pause it."""

    exit_code = ExitCode.OUTPUT_FAILED


class SourceChangedError(SharpendError):
    """The input is no longer the file that was settled: back to settling."""


class SourceVanishedError(SharpendError):
    """The input is gone: nothing to do."""


def name_too_long(shown: str) -> ImageRefusedError:
    """Make the refusal of a file name, as people see it, that the file system does not take."""
    return ImageRefusedError(
        Reason.NAME_TOO_LONG,
        f"the name {shown!r} is too long for the file system and cannot be shortened",
        setting="folder.output_name",
    )


def name_not_possible(name: bytes, cause: str) -> ImageRefusedError:
    """Make the refusal of a name that the file system does not take."""
    return ImageRefusedError(
        Reason.NAME_NOT_POSSIBLE,
        f"the file system of the output does not take the name {os.fsdecode(name)!r} ({cause}),"
        " though it takes others there: set folder.portable_names, or rename the input or its"
        " folder",
        setting="folder.portable_names",
    )
