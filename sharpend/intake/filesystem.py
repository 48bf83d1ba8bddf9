"""Mount and file system type of a folder, read from the kernel's mount table.

Owns the list of file systems on which other machines change files without an event here. If the
mount table cannot be read, every folder counts as local.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_MOUNT_TABLE = "/proc/self/mountinfo"

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


class Mount(NamedTuple):
    """Mount point of a file system, and its type as the kernel names it."""

    point: bytes
    kind: str

    @property
    def is_networked(self) -> bool:
        """True if files here can change without an event on this machine."""
        return self.kind in _NETWORKED or self.kind == "fuse" or self.kind.startswith("fuse.")

    @property
    def renumbers(self) -> bool:
        """True if the inode number of an unchanged file may change while it is mounted."""
        return self.is_networked or self.kind in _RENUMBERING

    def is_lost(self, *, now: Mount) -> bool:
        """Return whether a folder of this mount is found on mount `now` because of an unmount."""
        return len(now.point) < len(self.point) and not os.path.ismount(self.point)


def mount_of(root: bytes) -> Mount:
    """Return the mount of `root`, with symbolic links resolved."""
    try:
        with open(_MOUNT_TABLE, "rb") as table:
            text = table.read()
    except OSError:
        return Mount(b"/", "unknown")
    return find_mount(os.path.realpath(root), text)


def find_mount(path: bytes, table: bytes) -> Mount:
    """Find the mount of an absolute, resolved path in the text of a mountinfo file.

    Source: proc_pid_mountinfo(5); among mounts on one point the last one covers the others.
    """
    best = Mount(b"", "unknown")
    for line in table.splitlines():
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 5:  # noqa: PLR2004 - the fifth field is the mount point
            continue
        point = re.sub(rb"\\([0-7]{3})", _unescape, fields[4])
        if len(point) >= len(best.point) and _lies_on(path, point):
            best = Mount(point, os.fsdecode(after.split(b" ", 1)[0]))
    return best


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def _lies_on(path: bytes, point: bytes) -> bool:
    return path == point or path.startswith(os.path.join(point, b""))
