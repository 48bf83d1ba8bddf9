"""Identity of a root folder: the disk that it lies on, and its place there.

Owns the comparison of a root with what it was earlier, also before a restart. Compares no device
numbers: those of USB disks, loop devices and network mounts change. A disk is known by the UUID of
its file system, a network file system by its source. No file is written as a marker.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

from sharpend.files.mounts import Mount, mount_at

_UUID_IN_FSID = {"btrfs", "ext2", "ext3", "ext4"}
"""File systems whose statvfs f_fsid is made from the UUID; elsewhere it is the device number."""
_IN_MEMORY = {"ramfs", "tmpfs"}
_NAMED_BY_SOURCE = {"zfs"}
_VOLATILE_INODES = {"exfat", "fuseblk", "msdos", "vfat"}
"""File systems that number a directory anew after it left the kernel's cache; so does FUSE."""
_UDEV_DATA = "/run/udev/data"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Root:
    """Identity of a folder; of one that is missing, the identity that it would have if created."""

    path: str
    """Absolute and resolved; like all paths here decoded as by `os.fsdecode`."""
    point: str
    """Mount point."""
    kind: str
    """Type of the file system."""
    volume: str
    """UUID or source of the file system; empty if this system does not report it."""
    place: str
    """Path from the top of the file system, which is the same through every mount of it."""
    inode: int | None = None
    """Inode number while sharpend runs; None if the folder is missing or numbers do not last."""

    def is_same(self, now: Root) -> bool:
        """Return whether another look at the same path found the same disk and place on it.

        A path that leads elsewhere, because a link on its way was changed, may be another place.
        """
        if self.path == now.path and self.place != now.place:
            return False
        if self.volume and now.volume and not self._is_of_earlier_boot(now):
            return self.volume == now.volume
        return self.kind == now.kind

    def _is_of_earlier_boot(self, now: Root) -> bool:
        """Return whether both are in memory, which is another disk after every boot."""
        boots = [root.volume.partition(" ")[0] for root in (self, now)]
        return {self.kind, now.kind} <= _IN_MEMORY and boots[0] != boots[1]

    def as_text(self) -> str:
        """Return the identity as a text for the ledger, without the inode."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "inode"})

    @classmethod
    def of_text(cls, text: str) -> Root:
        """Read a text of `as_text`; ValueError if it is none."""
        values = json.loads(text)
        known = {field.name for field in fields(cls)} - {"inode"}
        if not isinstance(values, dict) or set(values) != known:
            raise ValueError(text)
        return cls(**values)


def look(path: bytes) -> Root:
    """Identify a folder, whether it exists or not.

    Raises:
        OSError: the folder, or one above it, cannot be looked at.
    """
    real = os.path.realpath(path)
    mount = mount_at(real)
    existing, status = _nearest(real)
    below = os.path.relpath(real, mount.point)
    lasting = not mount.is_networked and mount.kind not in _VOLATILE_INODES
    return Root(
        path=os.fsdecode(real),
        point=os.fsdecode(mount.point),
        kind=mount.kind,
        volume=_volume(mount, existing),
        place=os.fsdecode(os.path.normpath(os.path.join(mount.top, below))),
        inode=status.st_ino if lasting and existing == real else None,
    )


def is_on_system_disk(path: bytes) -> bool:
    """Return whether a folder, or the nearest existing one above it, is on the disk of `/`.

    Raises:
        OSError: it cannot be looked at.
    """
    return _nearest(os.path.realpath(path))[1].st_dev == os.stat("/").st_dev


def _nearest(path: bytes) -> tuple[bytes, os.stat_result]:
    """Return the path, or its nearest existing parent."""
    while True:
        try:
            return path, os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)


def _volume(mount: Mount, existing: bytes) -> str:
    if mount.is_networked or mount.kind in _NAMED_BY_SOURCE:
        return mount.source
    if mount.kind in _UUID_IN_FSID:
        return f"{os.statvfs(existing).f_fsid:x}"
    if mount.kind in _IN_MEMORY:
        return f"{_first_line(_BOOT_ID)} {os.statvfs(existing).f_fsid:x}"
    return _uuid(mount)


def _uuid(mount: Mount) -> str:
    """Return the UUID of a block device's file system as udev recorded it, or an empty text."""
    device = mount.device
    if mount.kind == "fuseblk":  # its own device number is not that of the disk
        device = _first_line(f"/sys/class/block/{os.path.basename(mount.source)}/dev")
    with suppress(OSError), open(f"{_UDEV_DATA}/b{device}", encoding="utf-8") as data:
        found = re.search(r"^E:ID_FS_UUID=(.+)$", data.read(), re.MULTILINE)
        return found[1] if found else ""
    return ""


def _first_line(path: str) -> str:
    with suppress(OSError), open(path, encoding="ascii") as file:
        return file.readline().strip()
    return ""
