"""Which mount a folder is on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sharpend.files import mounts
from sharpend.files.mounts import Mount, MountTable, find_mount
from tests.mounts import ran

if TYPE_CHECKING:
    from pathlib import Path

TABLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:30 / /mnt/nas rw,relatime shared:1 master:2 - nfs4 server:/pictures rw
41 27 0:31 / /mnt/my\040photos rw - cifs //server/photos rw
42 27 0:32 / /mnt/twice rw - ext4 /dev/vdb rw
43 42 0:33 / /mnt/twice rw - tmpfs tmpfs rw
44 27 0:34 / /mnt/phone rw - fuse.sshfs phone: rw
45 27 0:35 / /mnt/stick rw - fuseblk /dev/sdb1 rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/home/in", Mount(b"/", "ext4")),
        (b"/mnt/nas", Mount(b"/mnt/nas", "nfs4")),
        (b"/mnt/nas/a/b", Mount(b"/mnt/nas", "nfs4")),
        (b"/mnt/nasty", Mount(b"/", "ext4")),
        (b"/mnt/my photos/x", Mount(b"/mnt/my photos", "cifs")),
        (b"/mnt/twice/x", Mount(b"/mnt/twice", "tmpfs")),
        (b"/mnt/phone/in", Mount(b"/mnt/phone", "fuse.sshfs")),
    ],
)
def test_longest_and_last_mount_wins(path: bytes, expected: Mount) -> None:
    """A path is on the deepest mount above it, and on the last of several on one point."""
    assert find_mount(path, TABLE)[:2] == expected[:2]


@pytest.mark.parametrize(
    ("kind", "networked"),
    [
        ("nfs", True),
        ("nfs4", True),
        ("cifs", True),
        ("smb3", True),
        ("9p", True),
        ("fuse.sshfs", True),
        ("fuse", True),
        ("fuseblk", False),
        ("ext4", False),
        ("tmpfs", False),
        ("overlay", False),
    ],
)
def test_networked_kinds(kind: str, networked: bool) -> None:  # noqa: FBT001 - a table's column
    """File systems that others change behind our back are polled; a local NTFS disk is not."""
    assert Mount(b"/", kind).is_networked is networked


def test_mount_of_a_real_folder(tmp_path: Path) -> None:
    """The kernel's own table answers for a real folder, and for one on /proc."""
    point = mounts.mount_of(os.fsencode(tmp_path)).point
    assert os.path.ismount(point)
    assert mounts.mount_of(b"/proc/self").kind == "proc"


def test_unreadable_table_means_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a mount table a folder counts as local."""
    monkeypatch.setattr(mounts, "_table", MountTable(os.fspath(tmp_path / "none")))
    assert not mounts.mount_of(os.fsencode(tmp_path)).is_networked


@pytest.mark.parametrize(
    ("kind", "renumbers"),
    [
        ("fuse.rclone", True),
        ("fuseblk", True),
        ("exfat", True),
        ("vfat", True),
        ("nfs4", True),
        ("cifs", True),
        ("ext4", False),
        ("btrfs", False),
        ("overlay", False),
    ],
)
def test_where_inode_numbers_last(kind: str, *, renumbers: bool) -> None:
    """A local disk keeps them; FUSE, FAT and other machines may not."""
    assert mounts.Mount(b"/", kind).renumbers == renumbers


def test_empty_mount_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places for disks are known by name and by fstab; what is mounted or in use is none."""
    base = os.fsencode(tmp_path)
    monkeypatch.setattr(mounts, "_MOUNT_DIRECTORIES", {base + b"/mnt": 1, base + b"/media": 2})
    monkeypatch.setattr(mounts, "_FSTAB", os.fspath(tmp_path / "fstab"))
    (tmp_path / "fstab").write_text(
        f"# {tmp_path}/used ext4\nserver:/a {tmp_path}/my\\040nas nfs\n"
    )
    for used in ("mnt/empty", "mnt/used/deep", "media/user/empty", "media/user/disk/a", "used"):
        (tmp_path / used).mkdir(parents=True)
    for path, point in {
        "mnt": None,
        "mnt/missing/out": "mnt/missing",
        "mnt/empty": "mnt/empty",
        "mnt/empty/out": "mnt/empty",
        "mnt/used": None,
        "mnt/used/out": None,
        "mnt/used/deep": None,
        "media/user/missing/out": "media/user/missing",
        "media/user/empty/out": "media/user/empty",
        "media/user/disk/out": None,
        "media/stranger/disk": "media/stranger",
        "my nas": "my nas",
        "my nas/out": "my nas",
        "used/out": None,
        "elsewhere/out": None,
    }.items():
        expected = None if point is None else os.fsencode(tmp_path / point)
        assert mounts.empty_mount_point(os.fsencode(tmp_path / path)) == expected, path


def test_a_mounted_disk_is_no_empty_mount_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty disk that is mounted below such a directory may be filled."""
    monkeypatch.setattr(mounts, "_MOUNT_DIRECTORIES", {b"/": 1})
    assert mounts.empty_mount_point(b"/proc/missing") is None


def test_a_mount_and_its_end_are_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports each change, so that the table is read again for no other reason."""
    monkeypatch.setattr(mounts, "_LONGEST_S", float("inf"))
    place = os.fsencode(tmp_path / "disk")
    os.mkdir(place)
    before = mounts.mount_of(place)
    if not ran("mount", "-t", "tmpfs", "none", tmp_path / "disk"):
        pytest.skip("not permitted to mount a file system")
    assert mounts.mount_of(place).point == place
    assert ran("umount", tmp_path / "disk")
    assert mounts.mount_of(place) == before


def test_without_reports_the_table_is_read_again_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that reports no change, like one for a plain file, delays the news, and no more."""
    place = tmp_path / "mountinfo"
    place.write_bytes(b"old")
    table = MountTable(os.fspath(place))
    assert table.text() == b"old"
    place.write_bytes(b"new, and longer")
    monkeypatch.setattr(mounts, "_LONGEST_S", 0.0)
    assert table.text() == b"new, and longer"
