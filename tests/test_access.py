"""Outputs are readable by those who need them, and never silently by others or by nobody."""

from __future__ import annotations

import errno
import grp
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sharpend.errors import FolderFaultError
from sharpend.files.access import Access, name_of, number_of, require_membership

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
ROOT = Path(__file__).parent.parent
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A new file, open and for its owner alone."""
    descriptor = os.open(tmp_path / "staged", os.O_RDWR | os.O_CREAT, 0o600)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A new folder, open."""
    (tmp_path / "made").mkdir(mode=0o700)
    descriptor = os.open(tmp_path / "made", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def held(descriptor: int) -> tuple[int, int]:
    """Group and permissions, special bits included."""
    status = os.fstat(descriptor)
    return status.st_gid, stat.S_IMODE(status.st_mode)


def refuse(*_: object) -> None:
    """What FAT and the unit's RestrictSUIDSGID= answer."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    ("mode", "of_folders"),
    [(None, None), (0o640, 0o750), (0o444, 0o755), (0o660, 0o770), (0o600, 0o700), (0o664, 0o775)],
)
def test_folders_can_be_entered_by_whoever_may_read(
    mode: int | None, of_folders: int | None
) -> None:
    """Each r brings its x, and the owner can work whatever the files' mode is."""
    assert Access(mode=mode).of_folders == of_folders


def test_nothing_asked_for_changes_nothing(file: int, folder: int) -> None:
    """Without settings, group and mode are nobody's business here."""
    before = held(file), held(folder)
    Access().give_file(file)
    Access().give_folder(folder)
    assert (held(file), held(folder)) == before


def test_the_umask_has_no_say(file: int, folder: int) -> None:
    """The mode is the one in the settings, under the unit's umask too."""
    before = os.umask(0o077)
    try:
        Access(mode=0o664).give_file(file)
        Access(mode=0o664).give_folder(folder)
    finally:
        os.umask(before)
    assert (held(file)[1], held(folder)[1]) == (0o664, 0o775)


@needs_root
def test_the_group_gets_files_and_folders(file: int, folder: int) -> None:
    """Both belong to the group that was asked for."""
    Access(group=NOBODY, mode=0o640).give_file(file)
    Access(group=NOBODY, mode=0o640).give_folder(folder)
    assert (held(file), held(folder)) == ((NOBODY, 0o640), (NOBODY, 0o750))


def test_a_setgid_bit_that_was_inherited_stays(folder: int) -> None:
    """Below a shared folder, what others put there goes on getting its group."""
    os.fchmod(folder, 0o2700)
    Access(mode=0o640).give_folder(folder)
    assert held(folder)[1] == 0o2750


@pytest.mark.parametrize("group", [None, os.getegid()])
def test_where_setgid_is_forbidden(
    folder: int, monkeypatch: pytest.MonkeyPatch, group: int | None
) -> None:
    """The bit is given up where each thing gets its group anyway, else it is a fault."""
    os.fchmod(folder, 0o2700)
    change = os.fchmod
    monkeypatch.setattr(
        os, "fchmod", lambda fd, mode: (refuse if mode > 0o777 else change)(fd, mode)
    )
    if group is None:
        with pytest.raises(FolderFaultError, match=r"folder\.mode 0640: .*needs the group"):
            Access(mode=0o640).give_folder(folder)
    else:
        Access(group=group, mode=0o640).give_folder(folder)
        assert held(folder) == (group, 0o750)


@pytest.mark.parametrize("answer", [refuse, lambda *_: None], ids=["refused", "ignored"])
@pytest.mark.parametrize("call", ["fchmod", "fchown"])
def test_a_file_system_that_knows_neither_is_a_fault(
    file: int, monkeypatch: pytest.MonkeyPatch, call: str, answer: object
) -> None:
    """Refused or silently ignored: no image is left with another group or mode."""
    monkeypatch.setattr(os, call, answer)
    with pytest.raises(FolderFaultError, match=r"folder\.(mode|group) .*mount"):
        Access(group=None if call == "fchmod" else NOBODY, mode=0o664).give_file(file)


@needs_root
def test_a_daemon_outside_the_group_fails_at_its_start() -> None:
    """Who is not in the group gets an error before any image is touched; who is in it may start."""
    code = (
        "import os; from sharpend.files.access import require_membership; "
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); "
        "require_membership({}, folder='in')"
    )
    outside, inside = (
        subprocess.run(
            [sys.executable, "-c", code.format(group)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        for group in (0, NOBODY)
    )
    assert "ConfigError: folder in: group: root: the user that runs" in outside.stderr
    assert inside.returncode == 0, inside.stderr
    require_membership(NOBODY, folder="in")


def test_groups_go_by_name_or_number() -> None:
    """Names are looked up, numbers are taken as they are, what is neither is refused."""
    mine = grp.getgrgid(os.getegid())
    assert number_of(mine.gr_name) == number_of(str(mine.gr_gid)) == mine.gr_gid
    assert name_of(mine.gr_gid) == mine.gr_name
    assert name_of(987654) == "987654"
    with pytest.raises(ValueError, match="a group of this machine"):
        number_of("no-such-group")
