"""Root folders on mounted disks: identity of a root, and the check that it is the same as before.

Owns the comparison of a root with what it was earlier, also before a restart. Refuses another disk,
and an empty mount point: an unmounted disk leaves an empty folder there, which must not be filled.
Compares no device numbers: those of USB disks, loop devices and network mounts change. A disk is
known by the UUID of its file system, a network file system by its source. No file is written as a
marker.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import display
from sharpend.files.mounts import Mount, empty_mount_point, mount_at
from sharpend.logs.plain import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
        known = {one.name for one in fields(cls)} - {"inode"}
        if not isinstance(values, dict) or set(values) != known:
            raise ValueError(text)
        return cls(**values)


@dataclass(slots=True)
class RootGuard:
    """Remembered roots of one folder; shared by all that work below them.

    Nothing is compared for a root that was never seen, or accepted whatever it is.
    """

    folder: str
    require_mount: bool | None = None
    """True: any disk but that of `/`; False: whatever there is; None: the same as before."""
    identities: dict[bytes, Root] = field(default_factory=dict)
    accepted: set[bytes] = field(default_factory=set)
    """Roots that the user accepted, whatever is there."""
    closed: str | None = None
    """Reason why no root may be worked in, or None."""

    def recall(self, identities: Mapping[bytes, str | None]) -> None:
        """Take the roots as the ledger has them; one without an identity was accepted."""
        self.identities = dict(_parsed(identities))
        self.accepted = set(identities) - set(self.identities)

    def look(self, roots: Iterable[bytes], source: bytes) -> None:
        """Take the roots as they are now; OSError if one cannot be looked at.

        The source may be replaced on its disk: its intake then begins with a full scan.
        """
        self.identities = {root: look(root) for root in roots}
        self.accepted = set()
        if source in self.identities:
            self.identities[source] = replace(self.identities[source], inode=None)

    def objection(self, root: bytes, setting: str) -> str | None:
        """Return in one line why a root is not the one to work in, or None.

        Args:
            root: that exists or would be created.
            setting: that names the root.
        """
        prefix = f"{setting}: {printable(display(root))}"
        try:
            found = self._objection(root)
        except OSError as error:
            return f"{prefix}: {error.strerror}"
        if found is None:
            return None
        return (
            f"{prefix}: {found}, or, if this folder is meant, run"
            f" `sharpend accept {self.folder}` (or set folder.require_mount)"
        )

    def replaced(self, root: bytes, setting: str) -> str | None:
        """Return in one line why a root is not the one of the last look, or None.

        Stricter than `objection`: a folder that was replaced on the same disk is another one.

        Raises:
            OSError: the root is missing, or cannot be looked at.
        """
        if self.closed is not None:
            return self.closed
        objection = self.objection(root, setting)
        if objection is not None:
            return objection
        inode, before = os.stat(root).st_ino, self.identities.get(root)
        if self.require_mount is None and before is not None and before.inode not in {None, inode}:
            return f"{setting}: {printable(display(root))}: the folder was replaced"
        return None

    def _objection(self, root: bytes) -> str | None:
        if self.require_mount:
            missing = is_on_system_disk(root)
            rule = "is on the system's disk, and folder.require_mount is true: mount its disk"
            return rule if missing else None
        if self.require_mount is False:
            return None
        before = self.identities.get(root)
        return self._objection_to_new(root) if before is None else _difference(before, look(root))

    def _objection_to_new(self, root: bytes) -> str | None:
        """Object to a root that was never seen, or was accepted and is missing."""
        if root in self.accepted and os.path.isdir(root):
            return None
        point = empty_mount_point(root)
        if point is None:
            return None
        return f"no disk is mounted at {printable(display(point))}: mount it"


def _difference(before: Root, now: Root) -> str | None:
    """Describe the disk that a root is on in place of the one before, or None."""
    if before.is_same(now):
        return None
    if not os.path.ismount(before.point):
        return f"{printable(before.point)} is not mounted: mount it"
    there = f"{now.kind} at {printable(now.point)}"
    return f"is on another disk than before ({there}): mount the other one"


def _parsed(identities: Mapping[bytes, str | None]) -> Iterator[tuple[bytes, Root]]:
    for path, text in identities.items():
        with suppress(ValueError):  # a text that sharpend did not write is ignored
            if text is not None:
                yield path, Root.of_text(text)


def look(path: bytes) -> Root:
    """Identify a folder, whether it exists or not.

    Raises:
        OSError: the folder, or one above it, cannot be looked at.
    """
    real = os.path.realpath(path)
    mount = mount_at(real)
    existing, status = _nearest(real)
    lasting = not mount.is_networked and mount.kind not in _VOLATILE_INODES
    return Root(
        path=os.fsdecode(real),
        point=os.fsdecode(mount.point),
        kind=mount.kind,
        volume=_volume(mount, existing),
        place=_place(real, mount.point, mount.top),
        inode=status.st_ino if lasting and existing == real else None,
    )


@lru_cache(maxsize=64)
def _place(path: bytes, point: bytes, top: bytes) -> str:
    """Return the path from the top of the file system that is mounted at `point` by its `top`."""
    below = os.path.relpath(path, point)
    return os.fsdecode(os.path.normpath(os.path.join(top, below)))


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
