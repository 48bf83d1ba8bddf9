"""Permissions of outputs: the group and mode that a folder's settings ask for.

Owns how both are set on an open file or folder, and the check that they were stored. Refuses to
leave an output with another group or mode than was asked for: a file system that knows neither
(FAT, some network mounts) and a group that the daemon is not in are faults of the whole folder.
"""

from __future__ import annotations

import grp
import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from sharpend.errors import ConfigError, FolderFaultError

_PERMISSIONS = 0o777
_OWNERS_WORK = 0o700
"""The daemon itself has to work in every folder that it makes."""

_ADVICE = (
    "let the file system store both, or set them by mount options and remove them here; "
    "below a setgid folder a mode needs the group beside it"
)


@dataclass(frozen=True, slots=True)
class Access:
    """Group and mode to set; None leaves the default."""

    group: int | None = None
    """The group's number; None: the daemon's, or for a daemon that runs as root the source's."""
    mode: int | None = None
    """Permission bits of a file, 0640 for example; None: the source's."""

    @property
    def of_folders(self) -> int | None:
        """Mode of new folders: who may read files may enter, and the owner may write."""
        if self.mode is None:
            return None
        return _OWNERS_WORK | self.mode | (self.mode & 0o444) >> 2

    def give_file(self, descriptor: int) -> None:
        """Set group and mode of an open file.

        Raises:
            FolderFaultError: the file system or the kernel refuses it.
        """
        self._give(descriptor, self.mode)

    def take_after(self, descriptor: int, source: os.stat_result) -> None:
        """Copy owner, mode and times from a source to an open file, except what is set here."""
        with suppress(PermissionError):  # FAT and some network mounts know neither for a file
            if os.geteuid() == 0:  # only root may give files away
                os.fchown(descriptor, source.st_uid, source.st_gid if self.group is None else -1)
            if self.mode is None:
                os.fchmod(descriptor, source.st_mode & _PERMISSIONS)
            os.utime(descriptor, ns=(source.st_atime_ns, source.st_mtime_ns))

    def give_folder(self, descriptor: int) -> None:
        """Set group and mode of an open folder that was just made.

        A setgid bit inherited from the parent folder is kept where the kernel permits that: the
        unit's RestrictSUIDSGID= does not, and then each file and folder gets its group explicitly.

        Raises:
            FolderFaultError: the file system or the kernel refuses it.
        """
        self._give(descriptor, self.of_folders)

    def _give(self, descriptor: int, mode: int | None) -> None:
        try:
            if self.group is not None:
                os.fchown(descriptor, -1, self.group)
            if mode is not None and os.fstat(descriptor).st_mode & _PERMISSIONS != mode:
                self._change_mode(descriptor, mode)
        except PermissionError as error:
            raise FolderFaultError(f"{self._named}: {error.strerror}; {_ADVICE}") from error
        status = os.fstat(descriptor)
        kept_group = self.group in {None, status.st_gid}
        if not kept_group or mode not in {None, status.st_mode & _PERMISSIONS}:
            raise FolderFaultError(f"{self._named}: the file system does not store it; {_ADVICE}")

    def _change_mode(self, descriptor: int, mode: int) -> None:
        inherited = os.fstat(descriptor).st_mode & stat.S_ISGID
        try:
            os.fchmod(descriptor, mode | inherited)
        except PermissionError:
            if not inherited or self.group is None:  # without the bit, files would lose their group
                raise
            os.fchmod(descriptor, mode)

    @property
    def _named(self) -> str:
        """Settings that were asked for, with their values."""
        group = None if self.group is None else f"folder.group {name_of(self.group)}"
        mode = None if self.mode is None else f"folder.mode {self.mode:04o}"
        return ", ".join(filter(None, (group, mode)))


def require_membership(group: int | None, *, folder: str) -> None:
    """Check before any work that this process may give files to a group.

    Raises:
        ConfigError: it neither is in the group nor runs as root.
    """
    if group is None or os.geteuid() == 0 or group in {os.getegid(), *os.getgroups()}:
        return
    raise ConfigError(
        f"folder {folder}: group: {name_of(group)}: the user that runs sharpend is not in this "
        "group; add it to the group, or SupplementaryGroups= to the unit"
    )


def number_of(group: str) -> int:
    """Convert a group's name or number to its number.

    Raises:
        ValueError: this machine has no such group.
    """
    if group.isascii() and group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ValueError("must be a group of this machine") from error


def name_of(group: int) -> str:
    """Convert a group's number to its name, or to digits if it has none."""
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
