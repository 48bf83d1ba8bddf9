"""Real disks for tests: file systems in images and in memory, mounted and unmounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.outside_tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def ran(*command: str | Path) -> bool:
    """Whether a program is there and succeeded."""
    program = shutil.which(command[0])
    arguments = map(str, command[1:])
    return (
        program is not None
        and not subprocess.run([program, *arguments], check=False, capture_output=True).returncode
    )


class Disk:
    """A file system in an image, which can be mounted anywhere, again and again."""

    def __init__(self, image: Path) -> None:
        image.touch()
        os.truncate(image, 16 << 20)
        if not ran("mkfs.ext4", "-q", image):
            pytest.skip("there is no mkfs.ext4")
        self._image = image
        self._mounts = ExitStack()

    def mount(self, at: Path) -> None:
        """Mount it; a test that may not is skipped."""
        at.mkdir(exist_ok=True)
        if not ran("mount", "-o", "loop", self._image, at):
            pytest.skip("not permitted to mount a file system")
        self._mounts.callback(ran, "umount", "-l", at)

    def unmount(self) -> None:
        """Unmount it, in use or not."""
        self._mounts.close()


@contextmanager
def disks(base: Path, *names: str) -> Iterator[list[Disk]]:
    """Disks of these names, unmounted at the end."""
    made = [Disk(base / f"{name}.img") for name in names]
    try:
        yield made
    finally:
        for disk in made:
            disk.unmount()


@contextmanager
def small_disk(path: Path, megabytes: int = 2) -> Iterator[None]:
    """A file system of so many megabytes; skips the test where mounts are not permitted."""
    path.mkdir()
    with mounted(path, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"):
        yield


@contextmanager
def mounted(path: Path, *how: str) -> Iterator[None]:
    """A file system at a folder; skips the test where mounts are not permitted."""
    if not ran("mount", *how, path):
        pytest.skip("not permitted to mount a file system")
    try:
        yield
    finally:
        assert ran("umount", "-l", path)


_CASELESS = [
    (["mkfs.vfat"], ["mount", "-t", "vfat", "-o", "iocharset=utf8"]),
    (["mkfs.exfat"], ["mount", "-t", "exfat"]),
    (["mkfs.exfat"], ["mount.exfat-fuse"]),
    (["mkfs.ntfs", "--force"], ["mount", "-t", "ntfs3", "-o", "nocase"]),
]
"""How such a disk is made, and mounted."""


@contextmanager
def caseless_disk(image: Path, at: Path) -> Iterator[Callable[[], bool]]:
    """A disk in place that takes `A` for `a`; yields what mounts it anew."""
    image.touch()
    os.truncate(image, 64 << 20)
    losetup = shutil.which("losetup") or pytest.skip("there is no losetup")
    asked = subprocess.run([losetup, "-f", "--show", image], check=False, capture_output=True)
    device = asked.stdout.decode().strip()
    if asked.returncode:
        pytest.skip("not permitted to make a loop device")
    try:
        for make, mount in _CASELESS:
            if ran(*make, device) and ran(*mount, device, at):
                break
        else:
            pytest.skip("no disk can be made here that does not tell upper from lower case")
        try:
            yield lambda: ran("umount", at) and ran(*mount, device, at)
        finally:
            ran("umount", at)
    finally:
        ran("losetup", "-d", device)


@contextmanager
def windows_disk(base: Path) -> Iterator[Path]:
    """An NTFS that takes the names of Windows only."""
    image, mount = base / "disk.img", base / "usb"
    make, _, _ = (need(tool) for tool in ("mkntfs", "ntfs-3g", "fusermount"))
    with image.open("wb") as file:
        file.truncate(8_000_000)
    mount.mkdir()
    assert ran(make, "-F", "-Q", image)
    if not ran("ntfs-3g", "-o", "windows_names", image, mount):
        pytest.skip("not permitted to mount a file system by FUSE")
    try:
        yield mount
    finally:
        ran("fusermount", "-uz", mount)
