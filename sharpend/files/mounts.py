"""Mounts: the mount that a folder lies on, and mount points that no disk is mounted on.

Owns the list of file systems on which other machines change files without an event here, and the
list of directories below which disks are mounted. If the mount table cannot be read, every folder
counts as local.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNT_TABLE = "/proc/self/mountinfo"
_FSTAB = "/etc/fstab"
_MOUNT_DIRECTORIES = {b"/mnt": 1, b"/media": 2, b"/run/media": 2, b"/Volumes": 1}
"""Directories below which disks are mounted (FHS 3.0; udisks; macOS), and how deep at most."""

# Other machines, or the host of a virtual machine, change files here, and inotify reports nothing.
# fuseblk (NTFS, exFAT) is a local disk, so it is not listed.
_NETWORKED = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
    }
)

# The kernel's FAT drivers number an inode when it is read; exFAT and NTFS by FUSE do the same.
_RENUMBERING = frozenset({"exfat", "msdos", "vfat", "fuseblk"})


UNKNOWN = "unknown"
"""Kind of a mount where the system does not tell it."""


class Mount(NamedTuple):
    """One mount, as the kernel names its parts."""

    point: bytes
    kind: str
    """Type of the file system."""
    top: bytes = b"/"
    """Path within the file system that is mounted here; not `/` for a bind mount."""
    source: str = ""
    """Device, or server and path."""
    device: str = ""
    """`major:minor`."""

    @property
    def is_networked(self) -> bool:
        """True if files here can change without an event on this machine."""
        return self.kind in _NETWORKED or self.kind == "fuse" or self.kind.startswith("fuse.")

    @property
    def tells_times(self) -> bool:
        """True if the times of files are those of this machine's clock, to the second."""
        return not self.renumbers and self.kind != UNKNOWN

    @property
    def renumbers(self) -> bool:
        """True if the inode number of an unchanged file may change while it is mounted."""
        return self.is_networked or self.kind in _RENUMBERING


def mount_of(root: bytes) -> Mount:
    """Return the mount of `root`, with symbolic links resolved."""
    try:
        with open(_MOUNT_TABLE, "rb") as table:
            text = table.read()
    except OSError:
        return Mount(b"/", UNKNOWN)
    return find_mount(os.path.realpath(root), text)


def find_mount(path: bytes, table: bytes) -> Mount:
    """Find the mount of an absolute, resolved path in the text of a mountinfo file.

    Source: proc_pid_mountinfo(5); among mounts on one point the last one covers the others.
    """
    best = Mount(b"", UNKNOWN)
    for line in table.splitlines():
        fields = line.split(b" ", 5)
        if len(fields) < 6:  # noqa: PLR2004 - the fifth field is the mount point
            continue
        point = _unescaped(fields[4])
        if len(point) < len(best.point) or not lies_on(path, point):
            continue
        _, separator, after = fields[5].partition(b" - ")
        if separator:
            kind, source = (*after.split(b" "), b"")[:2]
            best = Mount(
                point,
                os.fsdecode(kind),
                _unescaped(fields[3]),
                os.fsdecode(_unescaped(source)),
                os.fsdecode(fields[2]),
            )
    return best


def empty_mount_point(path: bytes) -> bytes | None:
    """Find a mount point at or above a path that no disk is mounted on, or None.

    That is a mount point of /etc/fstab, or an empty or missing directory where disks are usually
    mounted: below /mnt, /media and /run/media. Source: fstab(5), FHS 3.0 (3.11, 3.12).

    Raises:
        OSError: a directory above the path cannot be read.
    """
    real = os.path.realpath(path)
    mounted = mount_of(real).point
    for point in _fstab_points():
        if lies_on(real, point) and len(point) > len(mounted):
            return point
    for above, depth in _MOUNT_DIRECTORIES.items():
        if lies_on(real, above) and real != above and len(mounted) < len(above):
            return _first_empty(real, above, depth)
    return None


def _first_empty(path: bytes, above: bytes, depth: int) -> bytes | None:
    """Find the first directory on the way to a path, at most `depth` down, missing or empty."""
    place = above
    for name in path[len(above) + 1 :].split(b"/")[:depth]:
        place = os.path.join(place, name)
        try:
            if not os.listdir(place):
                return place
        except FileNotFoundError:
            return place
    return None


def _fstab_points() -> Iterator[bytes]:
    """Yield the mount points that /etc/fstab lists."""
    with suppress(OSError), open(_FSTAB, "rb") as table:
        for line in table:
            fields = line.split()
            if len(fields) > 1 and not line.startswith(b"#") and fields[1].startswith(b"/"):
                yield os.path.realpath(_unescaped(fields[1]))


def _unescaped(field: bytes) -> bytes:
    if b"\\" not in field:
        return field
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


def lies_on(path: bytes, point: bytes) -> bool:
    """Return whether a path is a mount point, or below it; both are absolute and resolved."""
    return path == point or path.startswith(os.path.join(point, b""))
