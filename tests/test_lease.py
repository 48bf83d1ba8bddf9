"""Who has a file open for writing, by the kernel's leases."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from sharpend.files.lease import Writers, read_lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that nobody has open."""
    made = tmp_path / "x.jpg"
    made.write_bytes(b"half")
    return made


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    """The same file, open for reading."""
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_a_reader_does_no_harm(path: Path, descriptor: int) -> None:
    """A lease is granted beside other readers; they, a rename and a link do not disturb it."""
    with path.open("rb"), read_lease(descriptor) as lease:
        assert lease.writers is Writers.NONE
        path.read_bytes()
        os.link(path, path.with_name("link"))
        path.rename(path.with_name("y.jpg"))
        assert lease.is_undisturbed()


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_writer_is_found(path: Path, descriptor: int, mode: str) -> None:
    """While the file is open for writing no lease is granted; afterwards it is."""
    with path.open(mode), read_lease(descriptor) as lease:
        assert lease.writers is Writers.SOME
        assert not lease.is_undisturbed()
    with read_lease(descriptor) as lease:
        assert lease.writers is Writers.NONE


def test_a_later_writer_is_noticed(path: Path, descriptor: int) -> None:
    """A process that wants to write disturbs the lease, waits for its end, and ends nobody."""
    with read_lease(descriptor) as lease:
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        assert not lease.is_undisturbed()
    with path.open("ab") as file:
        file.write(b", whole")
    assert path.read_bytes() == b"half, whole"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_users_file_gives_no_answer(descriptor: int) -> None:
    """Without the right to a lease it is unknown who has the file open."""
    child = os.fork()
    if not child:
        os.setresuid(65534, 65534, 65534)
        with read_lease(descriptor) as lease:
            os._exit(lease.writers is Writers.UNKNOWN and lease.is_undisturbed())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
