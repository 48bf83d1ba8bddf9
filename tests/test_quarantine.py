"""Refused inputs get a reason and a way back; none is lost, none overwrites another."""

from __future__ import annotations

import errno
import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.quarantine import QUIET_S, Quarantine
from sharpend.daemon.refused_sources import RefusedSources
from sharpend.errors import FolderFaultError, Reason, SourceVanishedError, StateFaultError
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.lease import NO_LEASE
from sharpend.files.mounted_roots import look
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import Job, Quarantined, QuarantineReason, State
from sharpend.policies import SourcePolicy
from tests.test_commit import across_disks

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000.0
REFUSAL = QuarantineReason(
    Reason.TOO_MANY_PIXELS, "300 megapixels are over the limit", "max_pixels"
)
HALF = QuarantineReason(Reason.TRUNCATED, "the file ends early", "folder.settle_s")
SUFFIX = ".reason.json"
MOVING = [SourcePolicy.ARCHIVE, SourcePolicy.DELETE]


class CrashError(Exception):
    """The daemon died here."""


class Ward:
    """An input folder, a ledger and a quarantine on a real disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "in").mkdir()
        self.to = Destination("in", os.fsencode(home / "in"), os.fsencode(home / "out"))
        self.crash_at = ""
        self.start()

    def start(self) -> None:
        """Start the daemon."""
        self.ledger = open_ledger(self.home / "state")
        self.ledger.folder("in", self.to.input_root, self.to.output_root)
        names = TempNames(self.home / "state")
        self.quarantine = Quarantine(self.ledger, self.home / "state", names, self.at)

    def restart(self) -> int:
        """Start again after a crash."""
        self.ledger.close()
        self.start()
        return self.quarantine.recover({"in": self.to})

    def at(self, step: str) -> None:
        """Die here if that is wanted."""
        if step == self.crash_at:
            raise CrashError(step)

    def refuse(
        self,
        relative: bytes = b"a/x.png",
        content: bytes = b"bad",
        refusal: QuarantineReason = REFUSAL,
    ) -> Path:
        """A file is dropped, claimed and refused; its reason file."""
        path = Path(os.fsdecode(os.path.join(self.to.input_root, relative)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.ledger.add("in", [(relative, Fingerprint.of(path.stat()))], NOW)
        entry = self.quarantine.record(self.claim(), refusal, NOW)
        return Path(os.fsdecode(self.quarantine.complete(self.to, entry)))

    def claim(self) -> Job:
        """The next job."""
        job = self.ledger.claim(NOW, {"in"})
        assert job is not None
        return job

    def entry(self) -> Quarantined:
        """The one quarantined job."""
        (entry,) = self.ledger.quarantined()
        return entry

    def files(self, folder: str) -> dict[str, bytes]:
        """Every file in a folder but the reasons, with its content."""
        root = self.home / folder
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in paths
            if not path.name.endswith(".reason.json")
        }


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """An empty ward."""
    made = Ward(tmp_path)
    yield made
    made.ledger.close()


def told(note: Path) -> dict[str, Any]:
    """What the reason file says."""
    said: dict[str, Any] = json.loads(note.read_text())
    return said


def test_reason_is_written(ward: Ward) -> None:
    """With `keep` the source stays and the reason says what to change."""
    note = ward.refuse()
    assert note == ward.home / "state/quarantine/in/a/x.png.reason.json"
    assert told(note) == {
        "code": "too_many_pixels",
        "message": "300 megapixels are over the limit",
        "setting": "max_pixels",
        "attempts": 1,
        "source": str(ward.home / "in/a/x.png"),
        "size": 3,
        "when": "2023-11-14T22:13:20+00:00",
    }
    assert ward.files("in") == {"a/x.png": b"bad"}
    assert ward.files("state/quarantine") == {}


@pytest.mark.parametrize("policy", MOVING)
@pytest.mark.parametrize("disks", [1, 2])
def test_source_is_moved(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, policy: SourcePolicy, disks: int
) -> None:
    """Where sources are disposed of, a refused one moves beside its reason, across disks too."""
    if disks == 2:
        across_disks(monkeypatch)
    ward.to = replace(ward.to, source=policy)
    note = ward.refuse()
    assert note.exists()
    assert ward.files("in") == {}
    assert ward.files("state/quarantine") == {"in/a/x.png": b"bad"}


def test_second_refusal_overwrites_nothing(ward: Ward) -> None:
    """A second bad file of one name is beside the first, each with its own reason."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    first, second = ward.refuse(), ward.refuse(content=b"worse")
    assert ward.files("state/quarantine") == {"in/a/x.png": b"bad", "in/a/x-2.png": b"worse"}
    assert (told(first)["size"], told(second)["size"]) == (3, 5)


@pytest.mark.parametrize("policy", [SourcePolicy.KEEP, SourcePolicy.DELETE])
@pytest.mark.parametrize("step", ["recorded", "moved", "written", "noted"])
def test_crash_on_the_way_in(ward: Ward, policy: SourcePolicy, step: str) -> None:
    """Killed at any step, a restart completes reason and move, once."""
    ward.to = replace(ward.to, source=policy)
    ward.crash_at = step
    with pytest.raises(CrashError):
        ward.refuse()
    ward.crash_at = ""
    assert ward.restart() == (step != "noted")
    assert ward.restart() == 0
    note, moved = ward.entry().note, ward.entry().moved
    assert note is not None
    assert told(Path(os.fsdecode(note)))["code"] == "too_many_pixels"
    assert (moved is None) == (policy is SourcePolicy.KEEP)
    files = ward.files("in") | ward.files("state/quarantine")
    assert list(files.values()) == [b"bad"]


def test_changed_source_is_not_moved(ward: Ward) -> None:
    """New content under the name stays where it is: it was not the file that was refused."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.crash_at = "recorded"
    with pytest.raises(CrashError):
        ward.refuse()
    ward.crash_at = ""
    (ward.home / "in/a/x.png").write_bytes(b"better")
    ward.restart()
    assert ward.entry().moved is None
    assert ward.files("in") == {"a/x.png": b"better"}


@pytest.mark.parametrize("policy", [SourcePolicy.KEEP, SourcePolicy.DELETE])
@pytest.mark.parametrize("disks", [1, 2])
@pytest.mark.parametrize("step", ["", "restored", "removed"])
def test_retry_puts_all_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: SourcePolicy,
    disks: int,
    step: str,
) -> None:
    """Retried, even in two goes, the file is in its place, pending, without a reason."""
    if disks == 2:
        across_disks(monkeypatch)
    ward = Ward(tmp_path)
    ward.to = replace(ward.to, source=policy)
    note = ward.refuse()
    ward.crash_at = step
    if step:
        with pytest.raises(CrashError):
            ward.quarantine.retry(ward.to, ward.entry())
        ward.crash_at = ""
        ward.restart()
    ward.quarantine.retry(ward.to, ward.entry())
    assert not note.exists()
    assert ward.files("in") == {"a/x.png": b"bad"}
    assert ward.files("state/quarantine") == {}
    job = ward.claim()
    assert job.attempts == 1
    assert job.fingerprint == Fingerprint.of((tmp_path / "in/a/x.png").stat())
    ward.ledger.close()


@pytest.mark.parametrize("gone", [True, False])
def test_retry_overwrites_nothing(ward: Ward, *, gone: bool) -> None:
    """A source that has gone, or whose place is taken, stays quarantined with its reason."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    note = ward.refuse()
    if gone:
        (ward.home / "state/quarantine/in/a/x.png").unlink()
    else:
        (ward.home / "in/a/x.png").write_bytes(b"newer content")
    with pytest.raises(SourceVanishedError, match="cannot be put back"):
        ward.quarantine.retry(ward.to, ward.entry())
    assert note.exists()
    assert ward.ledger.counts()[State.QUARANTINED] == 1


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe.png", b"new\nline.png", b"-rf.png", b"n" * 251 + b".png", b"." + b"e" * 254],
)
@pytest.mark.parametrize("policy", [SourcePolicy.KEEP, SourcePolicy.DELETE])
def test_awkward_and_long_names(ward: Ward, name: bytes, policy: SourcePolicy) -> None:
    """Any legal name gets its reason, whose text has the true name, and finds the way back."""
    ward.to = replace(ward.to, source=policy)
    note = ward.refuse(name)
    assert os.fsencode(told(note)["source"]) == os.path.join(ward.to.input_root, name)
    assert len(os.fsencode(note.name)) <= 255
    ward.quarantine.retry(ward.to, ward.entry())
    assert list(ward.files("in")) == [os.fsdecode(name)]


def test_folder_name_cannot_lead_out(ward: Ward) -> None:
    """A folder's name is one component below the quarantine, whatever it is."""
    roots = (ward.to.input_root, b"/elsewhere")
    ward.to = replace(ward.to, folder=ward.ledger.folder("../../up", *roots))
    (ward.home / "in/x.png").write_bytes(b"bad")
    seen = Fingerprint.of((ward.home / "in/x.png").stat())
    ward.ledger.add("../../up", [(b"x.png", seen)], NOW)
    job = ward.ledger.claim(NOW, {"../../up"})
    assert job is not None
    note = ward.quarantine.complete(ward.to, ward.quarantine.record(job, REFUSAL, NOW))
    assert note.endswith(b"/state/quarantine/.._.._up/x.png.reason.json")


def test_immovable_source_stays(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source in a folder that may not be changed stays there; the reason is written."""

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    ward.to = replace(ward.to, source=SourcePolicy.ARCHIVE)
    monkeypatch.setattr("sharpend.commit.quarantine.relocate", denied)
    assert ward.refuse().exists()
    assert ward.entry().moved is None


def test_linked_source_folder_is_left(ward: Ward) -> None:
    """A folder that turned into a link is not followed to move a source."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.crash_at = "recorded"
    with pytest.raises(CrashError):
        ward.refuse()
    ward.crash_at = ""
    (ward.home / "in/a").rename(ward.home / "away")
    (ward.home / "in/a").symlink_to(ward.home / "away")
    ward.restart()
    assert ward.entry().moved is None
    assert ward.files("away") == {"x.png": b"bad"}


def test_full_state_disk(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full state disk is reported; the job is quarantined and its reason is written later."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StateFaultError, match="No space left"):
            ward.refuse()
    assert ward.entry().note is None
    assert ward.restart() == 1
    assert ward.entry().note is not None


def test_way_through_a_quarantined_file(ward: Ward) -> None:
    """Where a quarantined file is in the way of a folder, the reason is at the top."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(b"a.jpg")
    note = ward.refuse(b"a.jpg/b.jpg", b"also bad")
    assert note.parent == ward.home / "state/quarantine"
    assert told(note)["source"] == str(ward.home / "in/a.jpg/b.jpg")
    assert ward.files("in") == {"a.jpg/b.jpg": b"also bad"}
    assert ward.restart() == 0


JUDGED_ON_HALF = [
    *(Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.DAMAGED),
    *(Reason.WORKER_DIED, Reason.DAEMON_DIED, Reason.OUT_OF_MEMORY, Reason.INTERNAL),
    *(Reason.IO_ERROR, Reason.PERMISSION_DENIED),
    Reason.WOULD_LOSE,  # a video behind an image is unknown data until it is whole
]


@pytest.mark.parametrize("reason", Reason)
def test_only_a_final_refusal_moves_at_once(ward: Ward, reason: Reason) -> None:
    """A file that more bytes could cure stays in its place; its reason file is written at once."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    note = ward.refuse(refusal=QuarantineReason(reason, "no", None))
    assert told(note)["code"] == reason
    assert ward.files("in") == ({"a/x.png": b"bad"} if reason in JUDGED_ON_HALF else {})


@pytest.mark.parametrize("policy", MOVING)
@pytest.mark.parametrize("disks", [1, 2])
def test_half_a_file_moves_when_it_was_quiet(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, policy: SourcePolicy, disks: int
) -> None:
    """Unchanged and unopened for `quiet_s`, also through a restart, it goes beside its reason."""
    if disks == 2:
        across_disks(monkeypatch)
    ward.to = replace(ward.to, source=policy)
    note = ward.refuse(refusal=HALF)
    ward.quarantine.move_due(ward.to, NOW + QUIET_S - 1)
    assert ward.files("in") == {"a/x.png": b"bad"}
    assert ward.restart() == 0
    ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert ward.files("in") == {}
    assert ward.files("state/quarantine") == {"in/a/x.png": b"bad"}
    assert (note.exists(), ward.entry().moved) == (True, os.fsencode(str(note)[: -len(SUFFIX)]))


def test_with_keep_nothing_is_ever_due(ward: Ward) -> None:
    """With `keep` the source stays, and stays after the folder's policy was changed."""
    ward.refuse(refusal=HALF)
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.quarantine.move_due(ward.to, NOW + 100 * QUIET_S)
    assert ward.files("in") == {"a/x.png": b"bad"}


@pytest.mark.parametrize("refusal", [HALF, REFUSAL])
@pytest.mark.parametrize("disks", [1, 2])
def test_what_is_open_for_writing_stays(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, refusal: QuarantineReason, disks: int
) -> None:
    """However long the writer takes and whatever the reason, the file goes after it was closed."""
    if disks == 2:
        across_disks(monkeypatch)
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    path = ward.home / "in/a/x.png"
    path.parent.mkdir(parents=True)
    with path.open("ab"):
        ward.refuse(refusal=refusal)
        ward.quarantine.move_due(ward.to, NOW + 10 * QUIET_S)
        assert ward.files("in") == {"a/x.png": b"bad"}
    ward.quarantine.move_due(ward.to, NOW + 11 * QUIET_S)
    assert ward.files("in") == {}


def test_what_grew_stays(ward: Ward) -> None:
    """A file that is no longer the one that was refused is not moved."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(refusal=HALF)
    with (ward.home / "in/a/x.png").open("ab") as file:
        file.write(b", and whole")
    for times in (1, 5, 25):
        ward.quarantine.move_due(ward.to, NOW + times * QUIET_S)
    assert ward.files("in") == {"a/x.png": b"bad, and whole"}
    assert ward.files("state/quarantine") == {}


def test_without_leases_it_takes_longer(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can say who has the file open, time alone decides, four times as much."""
    monkeypatch.setattr("sharpend.commit.source.read_lease", lambda _: nullcontext(NO_LEASE))
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    for refusal, name in ((HALF, b"x.png"), (REFUSAL, b"y.png")):
        ward.refuse(name, refusal=refusal)
    ward.quarantine.move_due(ward.to, NOW + 4 * QUIET_S - 1)
    assert len(ward.files("in")) == 2
    ward.quarantine.move_due(ward.to, NOW + 4 * QUIET_S)
    assert ward.files("in") == {}


def test_a_writer_during_the_copy_keeps_his_file(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer who wants to go on while the file is copied to another disk gets it back, whole."""
    across_disks(monkeypatch)
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(refusal=HALF)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        with pytest.raises(BlockingIOError):
            os.open(ward.home / "in/a/x.png", os.O_WRONLY | os.O_NONBLOCK)
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert ward.files("in") == {"a/x.png": b"bad"}
    assert ward.files("state/quarantine") == {}
    ward.quarantine.move_due(ward.to, NOW + 2 * QUIET_S)
    assert ward.files("in") == {}


def test_a_copy_that_differs_is_thrown_away(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where leases and times tell nothing, the bytes do: the original is not deleted."""
    across_disks(monkeypatch)
    monkeypatch.setattr("sharpend.commit.source.read_lease", lambda _: nullcontext(NO_LEASE))
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(refusal=HALF)
    path = ward.home / "in/a/x.png"
    before = path.stat().st_mtime_ns
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path.write_bytes(b"BAD")
        os.utime(path, ns=(before, before))
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        ward.quarantine.move_due(ward.to, NOW + 4 * QUIET_S)
    assert ward.files("in") == {"a/x.png": b"BAD"}
    assert ward.files("state/quarantine") == {}


@pytest.mark.parametrize("step", ["moved", "written", "noted"])
@pytest.mark.parametrize("disks", [1, 2])
def test_crash_while_a_quiet_file_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, disks: int
) -> None:
    """Killed at any step, the next attempt completes it: one file, one reason."""
    if disks == 2:
        across_disks(monkeypatch)
    ward = Ward(tmp_path)
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(refusal=HALF)
    ward.crash_at = step
    with pytest.raises(CrashError):
        ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    ward.crash_at = ""
    ward.restart()
    ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert ward.files("in") == {}
    assert ward.files("state/quarantine") == {"in/a/x.png": b"bad"}
    assert ward.entry().moved == os.fsencode(tmp_path / "state/quarantine/in/a/x.png")
    ward.ledger.close()


def test_reasons_of_a_moved_and_a_waiting_file(ward: Ward) -> None:
    """A file that waits in its place does not take the reason of one that was moved before."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    first, second = ward.refuse(), ward.refuse(content=b"worse", refusal=HALF)
    assert (told(first)["size"], told(second)["size"]) == (3, 5)
    ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert ward.files("state/quarantine") == {"in/a/x.png": b"bad", "in/a/x-2.png": b"worse"}
    assert (told(first)["size"], told(second)["size"]) == (3, 5)


def test_a_waiting_file_can_be_retried(ward: Ward) -> None:
    """Retried before its time, it is pending in its place, and nothing is due any more."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    note = ward.refuse(refusal=HALF)
    ward.quarantine.retry(ward.to, ward.entry())
    ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert (note.exists(), ward.files("in")) == (False, {"a/x.png": b"bad"})
    assert ward.claim().attempts == 1


def test_a_clock_that_was_set_makes_nothing_due(ward: Ward) -> None:
    """After a jump of the wall clock every wait begins anew, the longer one."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    ward.refuse(refusal=HALF)
    folder = SimpleNamespace(paused=None, plan=SimpleNamespace(destination=ward.to))
    sources = RefusedSources(ward.quarantine, [folder])  # type: ignore[list-item]
    day_s = 86_400.0
    sources.step(0.0, NOW)
    sources.step(10.0, NOW + day_s)
    sources.step(20.0 + 4 * QUIET_S - 20, NOW + day_s + 4 * QUIET_S - 20)
    assert ward.files("in") == {"a/x.png": b"bad"}
    sources.step(20.0 + 4 * QUIET_S, NOW + day_s + 4 * QUIET_S)
    assert ward.files("in") == {}


def test_an_unmounted_input_is_left_alone(ward: Ward) -> None:
    """Nothing is concluded from a folder that is not the one of the start."""
    ward.to = replace(ward.to, source=SourcePolicy.DELETE)
    root = ward.to.input_root
    ward.to.guard.identities[root] = replace(look(root), inode=0)
    ward.refuse(refusal=HALF)
    with pytest.raises(FolderFaultError, match="the folder was replaced"):
        ward.quarantine.move_due(ward.to, NOW + QUIET_S)
    assert ward.files("in") == {"a/x.png": b"bad"}
