"""Mounts: the mount that a folder is on, and mount points without a mounted disk.

Owns the list of file systems on which other machines change files without an event here, and the
list of directories below which disks are mounted. If the mount table cannot be read, every folder
counts as local. What follows from a disk that is not mounted is decided in `mounted_roots`.
"""

from __future__ import annotations

import os
import re
import select
import threading
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNT_TABLE = "/proc/self/mountinfo"
_LONGEST_S = 1.0
"""Seconds for which the mount table is believed, should a kernel report no changes."""
_MOST_BYTES = 1 << 20
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
"""Kind of a mount where the system does not report it."""


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
    def has_exact_times(self) -> bool:
        """True if the times of files are those of this machine's clock, to the second."""
        return not self.renumbers and self.kind != UNKNOWN

    @property
    def renumbers(self) -> bool:
        """True if the inode number of an unchanged file may change while it is mounted."""
        return self.is_networked or self.kind in _RENUMBERING


class MountTable:
    """Mount table, read again when the kernel reports a change; from any thread.

    Source: proc(5): poll reports a mount or unmount on the open file as a priority event.

    Args:
        path: the file; it stays open from the first reading on.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._changes = select.poll()
        self._read_s = 0.0
        self._text = b""

    def text(self) -> bytes:
        """Return the text as it is now.

        Raises:
            OSError: this system has no such file.
        """
        with self._lock:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._changes.register(self._descriptor, select.POLLPRI)
                self._text = b""
            now_s = time.monotonic()
            # First the event, then the text: a change in between is reported the next time.
            if self._changes.poll(0) or not self._text or now_s - self._read_s > _LONGEST_S:
                self._text, self._read_s = _whole(self._descriptor), now_s
            return self._text


def _whole(descriptor: int) -> bytes:
    """Read a file from its beginning; a read returns less than is there."""
    parts: list[bytes] = []
    while part := os.pread(descriptor, _MOST_BYTES, sum(map(len, parts))):
        parts.append(part)
    return b"".join(parts)


_table = MountTable(_MOUNT_TABLE)
_ROOTS = 64
"""Paths whose mount is remembered while the table stays the same: roots are looked at again for
each group of images."""


def mount_of(root: bytes) -> Mount:
    """Return the mount of `root`, with symbolic links resolved."""
    return mount_at(os.path.realpath(root))


def mount_at(path: bytes) -> Mount:
    """Return the mount of an absolute, resolved path."""
    try:
        return find_mount(path, _table.text())
    except OSError:
        return Mount(b"/", UNKNOWN)


@lru_cache(maxsize=_ROOTS)
def find_mount(path: bytes, table: bytes) -> Mount:
    """Find the mount of an absolute, resolved path in the text of a mountinfo file.

    Source: proc_pid_mountinfo(5); among mounts on one point the last one covers the others.
    """
    return max(
        (mount for mount in _mounts(table) if lies_on(path, mount.point)),
        key=lambda mount: len(mount.point),
        default=Mount(b"", UNKNOWN),
    )


@lru_cache(maxsize=1)
def _mounts(table: bytes) -> tuple[Mount, ...]:
    """Parse a mountinfo file, the last line first; its text seldom changes from look to look."""
    return tuple(mount for line in reversed(table.splitlines()) if (mount := _mount(line)))


def _mount(line: bytes) -> Mount | None:
    """Parse one line; None if it is none of a mountinfo file."""
    fields = line.split(b" ", 5)
    _, separator, after = fields[-1].partition(b" - ")
    if len(fields) < 6 or not separator:  # noqa: PLR2004 - the fifth field is the mount point
        return None
    kind, source = (*after.split(b" "), b"")[:2]
    return Mount(
        _unescaped(fields[4]),
        os.fsdecode(kind),
        _unescaped(fields[3]),
        os.fsdecode(_unescaped(source)),
        os.fsdecode(fields[2]),
    )


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
    return path == point or path.startswith(point if point.endswith(b"/") else point + b"/")
