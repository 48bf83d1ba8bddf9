"""A file is whole or absent, and a rename never overwrites."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sharpend.files import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def opened(directory: Path) -> Iterator[int]:
    """The folder's descriptor."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture(params=["renameat2", "link", "look"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the three ways that file systems allow."""

    def not_offered(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "not offered here")

    def not_permitted(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    if request.param != "renameat2":
        monkeypatch.setattr(atomic, "_rename_noreplace", not_offered)
    if request.param == "look":
        monkeypatch.setattr(os, "link", not_permitted)
    return str(request.param)


def test_replaced_file_is_whole(tmp_path: Path) -> None:
    """The new content is under the name, and no temporary file is left."""
    target = tmp_path / "status.json"
    target.write_bytes(b"old")
    with atomic.replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["status.json"]


def test_failed_block_keeps_old_file(tmp_path: Path) -> None:
    """An error while writing leaves the previous file untouched and no litter."""
    target = tmp_path / "status.json"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), atomic.replacing(target) as file:
        file.writelines([b"half", "not bytes"])  # type: ignore[list-item]
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["status.json"]


def test_failed_fsync_keeps_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot take the data never gets the new file under the name."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic.replacing(tmp_path / "a") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == []


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    """Others may read the file as the umask says, unlike a mkstemp file."""
    before = os.umask(0o027)
    try:
        with atomic.replacing(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_longest_name_can_be_replaced(tmp_path: Path) -> None:
    """A name of 255 bytes still gets a temporary sibling."""
    target = tmp_path / ("ä" * 127 + "x")
    with atomic.replacing(target) as file:
        file.write(b"1")
    assert target.read_bytes() == b"1"


def test_temporary_sibling_is_hidden(tmp_path: Path) -> None:
    """The watcher ignores `.name.xxxx.tmp`."""
    with atomic.replacing(tmp_path / "photo.jpg"):
        (name,) = os.listdir(tmp_path)
    assert name.startswith(".photo.jpg.")
    assert name.endswith(".tmp")


@pytest.mark.usefixtures("way")
def test_rename_moves_a_file(tmp_path: Path) -> None:
    """A free name is taken and the old one is gone, whatever the file system offers."""
    (tmp_path / "a").write_bytes(b"1")
    with opened(tmp_path) as fd:
        atomic.rename_without_clobbering(fd, b"a", fd, b"\xff-b")
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff-b"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("taken_by", ["file", "dangling link", "folder"])
def test_rename_refuses_a_taken_name(tmp_path: Path, taken_by: str) -> None:
    """Anything at the target name, a dangling link included, stays as it is."""
    (tmp_path / "a").write_bytes(b"1")
    target = tmp_path / "b"
    make: dict[str, Callable[[], object]] = {
        "file": lambda: target.write_bytes(b"2"),
        "dangling link": lambda: target.symlink_to("nowhere"),
        "folder": target.mkdir,
    }
    make[taken_by]()
    before = target.lstat()
    with opened(tmp_path) as fd, pytest.raises(FileExistsError):
        atomic.rename_without_clobbering(fd, b"a", fd, b"b")
    assert target.lstat().st_ino == before.st_ino
    assert (tmp_path / "a").read_bytes() == b"1"


def test_missing_source_is_reported(tmp_path: Path) -> None:
    """Errors of the system call come through with their number."""
    with opened(tmp_path) as fd, pytest.raises(FileNotFoundError):
        atomic.rename_without_clobbering(fd, b"a", fd, b"b")


def test_libc_without_renameat2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old libc means the second way, not a crash."""
    monkeypatch.setattr(atomic, "_LIBC", object())
    (tmp_path / "a").write_bytes(b"1")
    with opened(tmp_path) as fd:
        atomic.rename_without_clobbering(fd, b"a", fd, b"b")
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_folder_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, raises: bool
) -> None:
    """A file system that has no fsync for folders is accepted; one that fails is not."""

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with opened(tmp_path) as fd:
        if raises:
            with pytest.raises(OSError, match="error"):
                atomic.fsync_directory(fd)
        else:
            atomic.fsync_directory(fd)
