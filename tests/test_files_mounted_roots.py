"""A root is known again by its disk and its place there."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.files import mounted_roots
from sharpend.files.mounted_roots import Root, look
from sharpend.files.mounts import Mount

if TYPE_CHECKING:
    from pathlib import Path

SEEN = Root("/mnt/a/out", "/mnt/a", "ext4", "1f", "/out", 12)
IN_MEMORY = replace(SEEN, kind="tmpfs", volume="boot 1")


@pytest.mark.parametrize(
    ("before", "changes", "same"),
    [
        (SEEN, {}, True),
        (SEEN, {"volume": "2e"}, False),
        (SEEN, {"place": "/mnt/a/out"}, False),
        (SEEN, {"point": "/", "inode": 13}, True),
        (SEEN, {"path": "/mnt/b/new", "place": "/new"}, True),
        (SEEN, {"path": "/mnt/b/new", "place": "/new", "volume": "2e"}, False),
        (SEEN, {"kind": "ext3"}, True),
        (SEEN, {"volume": ""}, True),
        (SEEN, {"volume": "", "kind": "xfs"}, False),
        (IN_MEMORY, {"volume": "boot 2"}, False),
        (IN_MEMORY, {"volume": "later 2"}, True),
    ],
)
def test_what_is_the_same(before: Root, changes: dict[str, Any], *, same: bool) -> None:
    """Disk and place count; device, mount point, inode, and a link that leads elsewhere do not."""
    assert before.is_same(replace(before, **changes)) is same


def test_a_missing_folder_has_the_identity_that_it_would_have(tmp_path: Path) -> None:
    """It is made on the disk of its parent, so it can be known before."""
    path = tmp_path / "a" / "b"
    before = look(os.fsencode(path))
    path.mkdir(parents=True)
    after = look(os.fsencode(path))
    assert before.is_same(after)
    assert (before.inode, after.inode) == (None, path.stat().st_ino)


def test_it_outlives_a_restart_as_text() -> None:
    """Any name of a folder is stored and read; the inode is not, and no other text is taken."""
    odd = replace(SEEN, path=os.fsdecode(b"/mnt/\xff \n\"'"))
    assert Root.of_text(odd.as_text()) == replace(odd, inode=None)
    for text in ("", "{}", "[]", '{"path": "/"}'):
        with pytest.raises(ValueError, match=r".*"):
            Root.of_text(text)


@pytest.mark.parametrize(
    ("mount", "volume"),
    [
        (Mount(b"/mnt", "nfs4", b"/", "server:/photos", "0:50"), "server:/photos"),
        (Mount(b"/mnt", "fuse.sshfs", b"/", "me@host:", "0:51"), "me@host:"),
        (Mount(b"/mnt", "zfs", b"/", "tank/photos", "0:52"), "tank/photos"),
        (Mount(b"/mnt", "vfat", b"/", "/dev/sdb1", "8:17"), "1234-ABCD"),
        (Mount(b"/mnt", "xfs", b"/", "/dev/sdc1", "8:33"), ""),
        (Mount(b"/mnt", "overlay", b"/", "overlay", "0:53"), ""),
    ],
)
def test_a_disk_has_a_lasting_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: Mount, volume: str
) -> None:
    """A server's share by its source, a disk by the UUID that udev found, if there is one."""
    (tmp_path / "b8:17").write_text("S:disk/by-uuid/1234-ABCD\nE:ID_FS_UUID=1234-ABCD\nG:x\n")
    monkeypatch.setattr(mounted_roots, "_UDEV_DATA", os.fspath(tmp_path))
    monkeypatch.setattr(mounted_roots, "mount_at", lambda _: mount)
    assert look(os.fsencode(tmp_path)).volume == volume
