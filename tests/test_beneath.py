"""Nothing outside a root is ever opened, and nothing but regular files is read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.files import beneath
from sharpend.files.fingerprint import Fingerprint


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    """A root with one image in `a/b`, beside a folder that must not be reached."""
    (tmp_path / "in/a/b").mkdir(parents=True)
    (tmp_path / "in/a/b/x.png").write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.png").write_bytes(b"secret")
    return os.fsencode(tmp_path / "in")


def read(root: bytes, relative: bytes) -> bytes:
    """The file's content."""
    with os.fdopen(beneath.open_file(root, relative), "rb") as file:
        return file.read()


def test_file_is_opened(root: bytes) -> None:
    """A regular file below the root can be read."""
    assert read(root, b"a/b/x.png") == b"x"


def test_root_may_be_a_link(root: bytes, tmp_path: Path) -> None:
    """The root is the user's choice: a link there is followed."""
    (tmp_path / "link").symlink_to(os.fsdecode(root))
    assert read(os.fsencode(tmp_path / "link"), b"a/b/x.png") == b"x"


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"new\nline.png", b" ", b"-rf", b"%s{stem}"])
def test_names_are_bytes(root: bytes, name: bytes) -> None:
    """Any name that the file system allows is opened."""
    Path(os.fsdecode(os.path.join(root, name))).write_bytes(name)
    assert read(root, name) == name


@pytest.mark.parametrize(
    "relative", [b"/etc/passwd", b"../outside/secret.png", b"a/../../x", b"a//b", b"a/./b", b"a\0b"]
)
def test_paths_that_leave_the_root_are_refused(root: bytes, relative: bytes) -> None:
    """Absolute paths, `..`, empty and NUL components are no paths below a folder."""
    with pytest.raises(ImageRefusedError):
        beneath.open_file(root, relative)
    with pytest.raises(ImageRefusedError), beneath.directory(root, relative, create=True):
        pass


@pytest.mark.parametrize("kind", ["link", "fifo", "socket", "folder", "loop", "device"])
def test_only_regular_files_are_opened(root: bytes, kind: str) -> None:
    """A link, FIFO, socket, folder or device is refused at once and never blocks."""
    path = os.path.join(root, b"y.png")
    match kind:
        case "link":
            os.symlink(b"../outside/secret.png", path)
        case "loop":
            os.symlink(b"y.png", path)
        case "fifo":
            os.mkfifo(path)
        case "folder":
            os.mkdir(path)
        case "device":
            os.symlink(b"/dev/null", path)
        case _:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path)
    with pytest.raises(ImageRefusedError) as refused:
        beneath.open_file(root, b"y.png")
    assert refused.value.reason is Reason.NOT_A_REGULAR_FILE


def test_linked_folder_is_not_entered(root: bytes, tmp_path: Path) -> None:
    """A link anywhere on the way is refused, for reading and for making folders."""
    (tmp_path / "in/door").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageRefusedError):
        beneath.open_file(root, b"door/secret.png")
    with pytest.raises(ImageRefusedError), beneath.directory(root, b"door/new", create=True):
        pass
    assert os.listdir(tmp_path / "outside") == ["secret.png"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "fifo"])
def test_a_taken_place_of_a_folder_is_reported(root: bytes, kind: str) -> None:
    """The image is refused with what is to be moved away, and where."""
    place = os.path.join(root, b"sub")
    match kind:
        case "file":
            os.close(os.open(place, os.O_CREAT))
        case "fifo":
            os.mkfifo(place)
        case _:
            os.symlink(b"." if kind == "link" else b"nowhere", place)
    with pytest.raises(ImageRefusedError) as refused:
        beneath.directory(root, b"sub/new", create=True).__enter__()
    assert refused.value.reason is Reason.NAME_TAKEN
    assert os.fsdecode(root) in str(refused.value)


def test_missing_is_the_callers_matter(root: bytes) -> None:
    """What does not exist raises FileNotFoundError."""
    for relative in (b"gone.png", b"gone/x.png"):
        with pytest.raises(FileNotFoundError):
            beneath.open_file(root, relative)
    with pytest.raises(FileNotFoundError), beneath.directory(root + b"-gone", b"", create=True):
        pass


def test_folders_are_made(root: bytes, tmp_path: Path) -> None:
    """Missing folders are made along the way, and existing ones are taken."""
    for _ in range(2):
        with beneath.directory(root, b"a/c/d", create=True) as fd:
            assert os.fstat(fd).st_ino == (tmp_path / "in/a/c/d").stat().st_ino


def test_what_was_made_is_reported_and_nothing_else(root: bytes, tmp_path: Path) -> None:
    """Only folders that did not exist are given to `made`, each before the next below it."""
    told: list[int] = []

    def made(descriptor: int) -> None:
        told.append(os.fstat(descriptor).st_ino)

    with beneath.directory(root, b"a/c/d", create=True, made=made):
        pass
    assert told == [(tmp_path / path).stat().st_ino for path in ("in/a/c", "in/a/c/d")]


def test_a_folder_that_cannot_be_made_right_is_not_left(root: bytes, tmp_path: Path) -> None:
    """Where `made` fails the folder goes again, so that the next attempt meets the fault too."""

    def made(_descriptor: int) -> None:
        raise PermissionError

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with (
            pytest.raises(PermissionError),
            beneath.directory(root, b"a/c", create=True, made=made),
        ):
            pass
    assert not (tmp_path / "in/a/c").exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_fingerprint_in_an_open_folder(root: bytes, tmp_path: Path) -> None:
    """A regular file has a fingerprint; a link to it has none."""
    (tmp_path / "in/a/b/link").symlink_to("x.png")
    with beneath.directory(root, b"a/b") as fd:
        assert beneath.fingerprint_at(fd, b"x.png") == Fingerprint.of(
            (tmp_path / "in/a/b/x.png").stat()
        )
        assert beneath.fingerprint_at(fd, b"link") is None


def test_descriptors_are_closed(root: bytes) -> None:
    """Neither a refusal nor a success leaks descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    for relative in (b"a", b"gone/x", b"a/b/gone", b"a/b/x.png/y", b"../x"):
        with pytest.raises((ImageRefusedError, FileNotFoundError)):
            beneath.open_file(root, relative)
    with beneath.directory(root, b"a/b"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_is_reached_from_an_open_root(root: bytes, tmp_path: Path) -> None:
    """An open root serves for a name, is left open, and links below it are as little followed."""
    (tmp_path / "in/link").symlink_to("a")
    with beneath.directory(root, b"") as top:
        for passing in (False, True):
            with beneath.directory(top, b"a/b", passing=passing) as fd:
                assert os.stat(b"x.png", dir_fd=fd).st_size == 1
            with (
                pytest.raises(ImageRefusedError),
                beneath.directory(top, b"link/b", passing=passing),
            ):
                pass
        assert os.listdir(top)
