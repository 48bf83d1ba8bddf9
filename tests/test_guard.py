"""Roots that may not be worked in, and the words for it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.commit.destination import Destination, require_same_root
from sharpend.daemon.roots import objections
from sharpend.errors import FolderFaultError, StateFaultError
from sharpend.files import mounted_roots, mounts
from sharpend.files.mounted_roots import RootGuard, look
from sharpend.ledger.opening import open_ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory below which disks are mounted."""
    found = tmp_path / "mnt"
    found.mkdir()
    monkeypatch.setattr(mounts, "_MOUNT_DIRECTORIES", {os.fsencode(found): 1})
    return found


def test_the_disk_is_compared(tmp_path: Path) -> None:
    """The same root is no fault; on another disk it is, and the line says how to accept it."""
    root = os.fsencode(tmp_path)
    guard = RootGuard("in", identities={root: look(root)})
    assert guard.objection(root, "output") is None
    guard.identities[root] = replace(guard.identities[root], kind="ext4", volume="another")
    told = guard.objection(root, "output")
    assert told is not None
    assert told.startswith(f"output: {tmp_path}: ")
    assert "`sharpend accept in`" in told
    guard.require_mount = False
    assert guard.objection(root, "output") is None


def test_a_root_that_must_be_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With require_mount any disk will do but the system's, whatever it was before."""
    root = os.fsencode(tmp_path)
    for on_system_disk in (True, False):
        monkeypatch.setattr(mounted_roots, "is_on_system_disk", lambda _, on=on_system_disk: on)
        guard = RootGuard(
            "in", require_mount=True, identities={root: replace(look(root), volume="x")}
        )
        assert (guard.objection(root, "input") is not None) is on_system_disk
        way = Destination("in", root, root + b"/out", quarantine_root=root, guard=guard)
        found = objections(tmp_path, [replace(way, input_root=root + b"/in")])
        assert set(found) == ({root + b"/in", root + b"/out"} if on_system_disk else set())


def test_a_place_for_disks_is_not_filled(place: Path) -> None:
    """A new root there waits; one that exists may be accepted, one that is missing may not."""
    root = os.fsencode(place / "nas")
    guard = RootGuard("in")
    assert "no disk is mounted at" in str(guard.objection(root, "output"))
    guard.accepted.add(root)
    assert guard.objection(root, "output") is not None
    os.mkdir(root)
    assert guard.objection(root, "output") is None


def test_a_closed_guard_lets_nothing_through(tmp_path: Path) -> None:
    """While the roots are not open nothing is done below any of them."""
    root = os.fsencode(tmp_path)
    guard = RootGuard("in", closed="no disk")
    with pytest.raises(FolderFaultError, match="folder in: no disk"):
        require_same_root(Destination("in", root, root, guard=guard), root, "output")


def test_a_state_directory_is_not_made_at_an_empty_mount_point(place: Path) -> None:
    """The ledger of a disk that is not mounted is not begun anew below it."""
    with pytest.raises(StateFaultError, match=f"no disk is mounted at {place}/nas: mount it"):
        open_ledger(place / "nas" / "state")
    assert list(place.iterdir()) == []
    (place / "nas").mkdir()
    with pytest.raises(StateFaultError, match="no disk is mounted"):
        open_ledger(place / "nas")
    (place / "nas" / "file").touch()
    open_ledger(place / "nas" / "state").close()


def test_accept_knows_its_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not in the ledger is a mistake, and reported with those that are."""
    with open_ledger(tmp_path) as ledger:
        ledger.folder("in", b"/in", b"/out")
        ledger.record_root("in", b"/archive", "{}")
        assert main(["accept", "other", "--state", str(tmp_path)]) == 64
        assert "no folder is named other; known are in" in capsys.readouterr().err
        assert main(["accept", "in", "--state", str(tmp_path)]) == 0
        assert ledger.root_identities("in") == dict.fromkeys([b"/in", b"/out", b"/archive"])
