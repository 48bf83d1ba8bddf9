"""Walking a folder and looking at single files."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from sharpend.intake import scan
from sharpend.intake.tally import LINK, NO_SUFFIX, OTHER, SIDECAR, SPECIAL, Tally, left_alone_text

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: bytes = b"picture") -> None:
    """Make a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def walked(
    root: Path, *, below: bytes = b"", recursive: bool = True, tally: Tally | None = None
) -> list[bytes]:
    """All that one walk finds."""
    chunks = scan.walk(os.fsencode(root), below=below, recursive=recursive, tally=tally or Tally())
    return sorted(found.relative for chunk in chunks for found in chunk)


def look(root: Path, relative: bytes) -> os.stat_result | None:
    """Look at one path below a root."""
    with scan.opened(os.fsencode(root)) as descriptor:
        return scan.look(descriptor, relative)


def test_finds_inputs_in_all_directories(tmp_path: Path) -> None:
    """Every regular file with a known suffix is found, whatever the case of the suffix."""
    for name in ("a.png", "b/C.JPG", "b/c/d.TiFf"):
        write(tmp_path / name)
    assert walked(tmp_path) == [b"a.png", b"b/C.JPG", b"b/c/d.TiFf"]


def test_flat_folder_leaves_directories_alone(tmp_path: Path) -> None:
    """Without `recursive` only the root's own files are inputs."""
    write(tmp_path / "a.png")
    write(tmp_path / "b/c.png")
    assert walked(tmp_path, recursive=False) == [b"a.png"]


def test_directory_with_a_pictures_name_is_walked(tmp_path: Path) -> None:
    """A directory is a directory, even when it is called x.png."""
    write(tmp_path / "x.png/y.png")
    assert walked(tmp_path) == [b"x.png/y.png"]


@pytest.mark.parametrize(
    "name",
    [b"-rf.png", b"a\nb.png", b"\xff\xfe.png", b" .png", b"\x1b[2J.png", b"a" * 251 + b".png"],
)
def test_any_name_works(tmp_path: Path, name: bytes) -> None:
    """Names are bytes: not UTF-8, a newline, a leading dash and the longest name are found."""
    relative = b"\xe9t\xe9/" + name
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"\xe9t\xe9"))
    with open(os.path.join(os.fsencode(tmp_path), relative), "wb"):
        pass
    assert walked(tmp_path) == [relative]
    assert look(tmp_path, relative) is not None


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.png",
        "._mac.png",
        "x.png.part",
        "x.png.CRDOWNLOAD",
        "x.png.filepart",
        "x.tmp",
        "x.png~",
        "~$x.png",
        "~syncthing~x.png.tmp",
        ".x.png.AbC123",
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
        "@eaDir/x.png",
        ".stfolder/x.png",
        ".stversions/a/x.png",
        "__MACOSX/x.png",
        "$RECYCLE.BIN/x.png",
    ],
)
def test_junk_is_ignored(tmp_path: Path, name: str) -> None:
    """Dotfiles, temporary names and systems' junk are no inputs, nor what is inside them."""
    write(tmp_path / name)
    tally = Tally()
    assert walked(tmp_path, tally=tally) == []
    assert (tally.ignored, tally.left_alone) == (1, {})
    assert look(tmp_path, os.fsencode(name)) is None


@pytest.mark.parametrize("name", ["~sunset.png", "a.tmp.png", "part.jpg", "tmp/b.webp"])
def test_names_like_junk_are_inputs(tmp_path: Path, name: str) -> None:
    """A name is junk by its rule only: something that merely resembles it is an input."""
    write(tmp_path / name)
    assert walked(tmp_path) == [os.fsencode(name)]


def test_unknown_suffixes_are_counted(tmp_path: Path) -> None:
    """A file whose suffix is not in the format table is left alone and counted."""
    for name in ("a.xmp", "b.CR3", "c.mov", "d", "png"):
        write(tmp_path / name)
    tally = Tally()
    assert walked(tmp_path, tally=tally) == []
    assert tally.left_alone == {SIDECAR: 1, ".cr3": 1, ".mov": 1, NO_SUFFIX: 2}
    assert look(tmp_path, b"a.xmp") is None


def test_any_number_of_suffixes_is_a_short_text(tmp_path: Path) -> None:
    """Whoever makes up a suffix for each file cannot fill the log: the rest is one number."""
    for number in range(30):
        write(tmp_path / f"x.{number}")
    tally = Tally()
    assert walked(tmp_path, tally=tally) == []
    assert (len(tally.left_alone), tally.left_alone[OTHER]) == (17, 14)


def test_what_is_left_alone_in_words(tmp_path: Path) -> None:
    """The most frequent cause is first; folders that are not entered count, hidden names do not."""
    for name in ("1.NEF", "2.nef", "3.NEF", "1.xmp", ".hidden.nef", "sub/4.nef", "a.tmp"):
        write(tmp_path / name)
    (tmp_path / "album").symlink_to("sub")
    tally = Tally()
    assert walked(tmp_path, recursive=False, tally=tally) == []
    text = left_alone_text(tally.left_alone)
    assert text == "3 .nef (no known format), 1 link, 1 sidecar, 1 sub-folder"
    assert left_alone_text({}) == ""


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    """Symlinks, FIFOs and sockets under an image's name are no inputs and block nothing."""
    write(tmp_path / "outside/secret.png")
    root = tmp_path / "in"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "outside/secret.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "directory").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "socket.png"))
        tally = Tally()
        assert walked(root, tally=tally) == []
    assert tally.left_alone == {LINK: 3, SPECIAL: 2}
    for name in (b"link.png", b"loop.png", b"fifo.png", b"socket.png", b"directory/secret.png"):
        assert look(root, name) is None


def test_root_may_be_a_symlink(tmp_path: Path) -> None:
    """The root itself may be a symbolic link; its identity is the directory's."""
    write(tmp_path / "real/a.png")
    (tmp_path / "link").symlink_to("real")
    assert walked(tmp_path / "link") == [b"a.png"]
    assert scan.identity(os.fsencode(tmp_path / "link")) == scan.identity(
        os.fsencode(tmp_path / "real")
    )


def test_part_of_a_folder(tmp_path: Path) -> None:
    """A walk below one directory yields paths below the root, and follows no link to get there."""
    write(tmp_path / "a/b/c.png")
    write(tmp_path / "d.png")
    (tmp_path / "link").symlink_to("a")
    assert walked(tmp_path, below=b"a") == [b"a/b/c.png"]
    tally = Tally()
    assert walked(tmp_path, below=b"link/b", tally=tally) == []
    assert tally.unreadable_paths == [b"link/b"]


def test_unreadable_directory_does_not_end_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read is reported, and all the rest is found."""
    for name in ("a/x.png", "b/x.png", "c/x.png"):
        write(tmp_path / name)
    refused = os.stat(tmp_path / "b").st_ino
    real_scandir = os.scandir

    def scandir(descriptor: int) -> object:
        if os.fstat(descriptor).st_ino == refused:
            raise OSError(errno.EACCES, "refused")
        return real_scandir(descriptor)

    monkeypatch.setattr(os, "scandir", scandir)
    tally = Tally()
    assert walked(tmp_path, tally=tally) == [b"a/x.png", b"c/x.png"]
    assert (tally.unreadable, tally.unreadable_paths) == (1, [b"b"])


def test_directory_that_vanishes_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directories that are removed during the walk end nothing."""
    monkeypatch.setattr(scan, "_CHUNK", 3)
    for number in range(3):
        write(tmp_path / f"{number}/x.png")
    chunks = scan.walk(os.fsencode(tmp_path), recursive=True, tally=Tally())
    next(chunks)
    for number in range(3):
        os.unlink(tmp_path / f"{number}/x.png")
        os.rmdir(tmp_path / f"{number}")
    assert [found for chunk in chunks for found in chunk] == []


def test_chunks_are_bounded_and_leak_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk stands for a bounded number of entries; an abandoned walk closes its descriptors."""
    monkeypatch.setattr(scan, "_CHUNK", 10)
    for number in range(25):
        (tmp_path / f"{number}.png").touch()
    before = len(os.listdir("/proc/self/fd"))
    sizes = [
        len(chunk) for chunk in scan.walk(os.fsencode(tmp_path), recursive=True, tally=Tally())
    ]
    assert sizes == [10, 10, 5]
    abandoned = scan.walk(os.fsencode(tmp_path), recursive=True, tally=Tally())
    next(abandoned)
    del abandoned
    assert len(os.listdir("/proc/self/fd")) == before


def test_look_distinguishes_files_from_directories(tmp_path: Path) -> None:
    """A look returns the status of an input or a directory, and None for what is gone."""
    write(tmp_path / "a/b.png")
    file, directory = look(tmp_path, b"a/b.png"), look(tmp_path, b"a")
    assert file is not None
    assert stat.S_ISREG(file.st_mode)
    assert directory is not None
    assert stat.S_ISDIR(directory.st_mode)
    assert look(tmp_path, b"a/c.png") is None
    assert look(tmp_path, b"c/b.png") is None
    assert look(tmp_path, b"../in/b.png") is None


@pytest.mark.slow
def test_twenty_thousand_files(tmp_path: Path) -> None:
    """20,000 files in 100 directories are all found, each once."""
    expected = set()
    for directory in range(100):
        (tmp_path / str(directory)).mkdir()
        for number in range(200):
            (tmp_path / f"{directory}/{number}.png").touch()
            expected.add(b"%d/%d.png" % (directory, number))
    found = walked(tmp_path)
    assert len(found) == 20_000
    assert set(found) == expected
