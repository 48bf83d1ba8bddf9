"""One folder at work: its roots, what it takes in, and when it pauses and works again."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sharpend.attempt import Failure
from sharpend.commit import adoption
from sharpend.commit.destination import Destination
from sharpend.commit.local_place import LocalPlace
from sharpend.daemon.folder import PROBES, Folder
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.daemon.registrar import Registrar
from sharpend.daemon.roots import prepare_roots
from sharpend.errors import FolderFaultError, InputMissingError, OutputFailedError, Reason
from sharpend.files.access import Access
from sharpend.intake.folder import FolderIntake
from sharpend.intake.interface import FolderOptions
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.task import Options
from tests.fakes import ListLog, NoUpkeep, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.intake.interface import Step
    from sharpend.ledger.ledger import Ledger


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One folder, three workers."""
    made = Shop(tmp_path, workers=3)
    yield made
    made.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger."""
    with open_ledger(tmp_path / "state") as opened:
        yield opened


def plan_for(home: Path) -> FolderPlan:
    """A plan for `home/in` that nobody has prepared."""
    root = os.fsencode(home / "in")
    return FolderPlan(
        Destination("in", root, os.fsencode(home / "a/b/out")),
        FolderOptions(root, settle_s=0.0, polling=True),
        Options("lite"),
    )


# Roots


def test_roots_are_made_and_remembered(tmp_path: Path, ledger: Ledger) -> None:
    """Output and archive are made, parents too, and their identity is stored."""
    (tmp_path / "in").mkdir()
    plan = plan_for(tmp_path)
    archive = os.fsencode(tmp_path / "archive")
    plan = replace(plan, destination=replace(plan.destination, archive_root=archive))
    prepared = prepare_roots(plan, ledger).destination
    assert set(prepared.guard.identities) == {prepared.input_root, prepared.output_root, archive}
    status = (tmp_path / "a/b/out").stat()
    assert prepared.guard.identities[prepared.output_root].inode == status.st_ino
    stored = ledger.root_identities("in")
    assert stored == {path: root.as_text() for path, root in prepared.guard.identities.items()}


def test_a_root_that_is_made_is_for_those_who_may_read_outputs(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new output root gets the mode, an archive and an old root keep theirs; no fault is left."""
    (tmp_path / "in").mkdir()
    plan = plan_for(tmp_path)
    way_out = replace(plan.destination, archive_root=os.fsencode(tmp_path / "archive"))
    plan = replace(plan, destination=replace(way_out, access=Access(mode=0o664)))
    root = tmp_path / "a/b/out"

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", refuse)
        with pytest.raises(FolderFaultError, match=r"folder\.mode 0664"):
            prepare_roots(plan, ledger)
    assert not root.exists()
    before = os.umask(0o027)
    try:
        prepare_roots(plan, ledger)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (root, tmp_path / "archive")]
    assert modes == [0o775, 0o750]
    root.chmod(0o700)
    prepare_roots(plan, ledger)
    assert root.stat().st_mode & 0o777 == 0o700


def test_a_folder_keeps_its_lasting_name(tmp_path: Path, ledger: Ledger) -> None:
    """Two folders that are called alike are two folders in the ledger."""
    for name in ("one", "two"):
        (tmp_path / name / "in").mkdir(parents=True)
    names = [
        prepare_roots(plan_for(tmp_path / name), ledger).destination.folder
        for name in ("one", "two", "one")
    ]
    assert names == ["in", "in-2", "in"]


def test_a_missing_input_is_said(tmp_path: Path, ledger: Ledger) -> None:
    """The text names the setting, the folder and what to do."""
    with pytest.raises(InputMissingError, match=r"folder\.input: .*/in: no such folder"):
        prepare_roots(plan_for(tmp_path), ledger)


def test_an_output_that_cannot_be_made_is_said(tmp_path: Path, ledger: Ledger) -> None:
    """A file in the way of the output folder ends the start with the setting's name."""
    (tmp_path / "in").mkdir()
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OutputFailedError, match=r"folder\.output"):
        prepare_roots(plan_for(tmp_path), ledger)


def test_an_output_that_cannot_be_written_is_said(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only output is known at start and not at the first image."""
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputFailedError, match="not writable"):
        prepare_roots(plan_for(tmp_path), ledger)


def test_options_have_a_digest(tmp_path: Path) -> None:
    """What changes outputs is another digest; model and limits are others' business."""
    plan = plan_for(tmp_path)
    assert plan.options.digest == Options("base").digest
    weaker = replace(plan, options=Options("lite", strength=0.5))
    tighter = replace(plan, options=Options("lite", overshoot=8))
    crisper = replace(plan, options=Options("lite", crispness=0.5))
    sparing = replace(plan, options=Options("lite", skip_sharp_above=-0.8))
    laxer = replace(plan, options=Options("lite", skip_sharp_above=-0.9))
    others = (plan, weaker, tighter, crisper, sparing, laxer)
    assert len({one.options.digest for one in others}) == len(others)


def test_the_digest_of_options_that_nobody_touched_stays() -> None:
    """An option that came later, at its default, makes no finished image outdated."""
    before = "5d543de1df02290079ccd5781b3d35db"
    assert Options("lite").digest.startswith(before)


# Taking in


def test_what_settled_is_queued(shop: Shop) -> None:
    """A settled file is in the ledger, reported, and not taken twice."""
    shop.take()
    shop.settle()
    assert shop.count(State.RUNNING) == 1
    assert [told["path"] for told in shop.log.of(Event.FILE_SETTLED)] == [b"a.png"]


def test_other_files_are_counted(shop: Shop) -> None:
    """A suffix that is no image's is left alone and counted."""
    shop.drop("notes.txt")
    shop.drop("raw.CR3")
    shop.settle()
    assert shop.dispatcher.folders["in"].left_alone == {".txt": 1, ".cr3": 1}
    assert shop.pool.submitted == []


def test_polling_is_reported_once(shop: Shop) -> None:
    """Why a folder is polled is said once, not with each look."""
    shop.settle()
    assert shop.log.of(Event.FOLDER_POLLED) == [{"folder": "in", "reason": "configured"}]


def test_quiet_only_after_a_look(shop: Shop) -> None:
    """A folder that nobody looked at is not quiet, nor is one with a file that settles."""
    folder = shop.dispatcher.folders["in"]
    assert not folder.is_scanned
    assert not folder.is_settled
    shop.drop("a.png")
    quiet = []
    while not shop.pool.tasks:
        quiet.append(folder.is_settled)
        shop.turn()
    shop.turn()
    assert not any(quiet)
    assert folder.is_scanned
    assert folder.is_settled


def test_a_file_taken_back_is_not_quiet(shop: Shop) -> None:
    """Between the moment a file is taken back and the next look, nobody may conclude."""
    shop.settle()
    folder = shop.dispatcher.folders["in"]
    assert folder.is_settled
    shop.drop("a.png")
    folder.resettle(b"a.png")
    assert not folder.is_settled
    shop.settle()
    assert len(shop.pool.tasks) == 1


def test_an_input_that_goes_pauses_and_comes_back(shop: Shop) -> None:
    """A missing input folder is said once, nothing is concluded, and work goes on by itself."""
    shop.drop("a.png")
    shop.settle()
    shop.pool.stage()
    shop.conclude()
    root = shop.home / "in"
    root.rename(shop.home / "away")
    shop.turn(after_s=2.0)
    folder = shop.dispatcher.folders["in"]
    assert folder.paused == "the folder is gone"
    assert shop.log.of(Event.FOLDER_PAUSED) == [{"folder": "in", "reason": "the folder is gone"}]
    assert not folder.may_work(shop.now_s, running=False)
    assert shop.count(State.VANISHED) == 0
    (shop.home / "away").rename(root)
    shop.take("b.png")
    assert folder.paused is None
    assert len(shop.log.of(Event.FOLDER_RESUMED)) == 1
    assert [task.relative for task in shop.pool.tasks] == [b"b.png"]


# After the ledger was lost


def lose_the_ledger(shop: Shop) -> None:
    """Start again with the state directory's ledger removed."""
    shop.dispatcher.close()
    shop.ledger.close()
    for path in (shop.home / "state").glob("ledger.db*"):
        path.unlink()
    shop.start()
    assert shop.ledger.rebuilt


def finished_with_times(shop: Shop) -> None:
    """One finished image whose output carries its source's time, as the pipeline writes it."""
    source = shop.take()
    (task,) = shop.pool.tasks
    shop.pool.stage()
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    os.utime(shop.home / "in-out" / os.fsdecode(task.temp_name), ns=times)
    shop.conclude()


def test_adoption_outlives_a_crash(shop: Shop) -> None:
    """A daemon that dies before it has looked through the folders adopts at its next start."""
    finished_with_times(shop)
    lose_the_ledger(shop)
    for _ in range(2):
        shop.dispatcher.close()
        shop.ledger.close()
        shop.start()
        assert shop.ledger.rebuilt
    shop.settle()
    assert shop.pool.tasks == []
    shop.dispatcher.close()
    shop.ledger.close()
    shop.start()
    assert not shop.ledger.rebuilt
    assert shop.made() == ["a.png"]


def test_a_paused_folder_was_not_looked_through(shop: Shop) -> None:
    """It is adopted from when it comes back, be it after another start."""
    finished_with_times(shop)
    lose_the_ledger(shop)
    root = shop.home / "in"
    root.rename(shop.home / "away")
    shop.settle()
    assert shop.dispatcher.folders["in"].paused
    (shop.home / "away").rename(root)
    shop.dispatcher.close()
    shop.ledger.close()
    shop.start()
    assert shop.ledger.rebuilt


def test_outputs_that_stand_are_adopted(shop: Shop) -> None:
    """After the ledger was lost, finished images are recognised and not made again."""
    finished_with_times(shop)
    lose_the_ledger(shop)
    shop.settle()
    assert shop.pool.submitted == []
    assert shop.count(State.DISPOSED) == 1
    assert shop.made() == ["a.png"]


def test_an_output_that_nobody_can_look_at_waits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where adoption cannot be judged the folder pauses: made again it would be there twice."""
    finished_with_times(shop)
    lose_the_ledger(shop)

    def unreadable(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(adoption, "directory", unreadable)
        shop.settle()
        assert shop.dispatcher.folders["in"].paused
        assert shop.count(State.PENDING) == 0
    shop.settle()
    shop.settle()
    assert shop.count(State.DISPOSED) == 1
    assert shop.pool.submitted == []


# Pause, probe, resume


def test_a_faulty_folder_tries_one_picture_at_a_time(shop: Shop) -> None:
    """After the pause one image is tried; when it gets through, all workers work again."""
    for number in range(6):
        shop.drop(f"{number}.png")
    shop.settle()
    assert len(shop.pool.tasks) == 3
    for _ in range(3):
        shop.pool.fail(Failure.FOLDER)
    shop.conclude()
    assert len(shop.log.of(Event.FOLDER_PAUSED)) == 1
    shop.turn(after_s=PROBES.first_s - 1)
    assert shop.pool.tasks == []
    shop.turn(after_s=1.5)
    assert len(shop.pool.tasks) == 1
    shop.turn(after_s=60)
    assert len(shop.pool.tasks) == 1
    shop.pool.stage()
    shop.turn()
    assert len(shop.pool.tasks) == 3
    assert len(shop.log.of(Event.FOLDER_RESUMED)) == 1
    assert shop.count(State.QUARANTINED) == 0


def bare(shop: Shop) -> Folder:
    """A folder beside the dispatcher's, for its clockwork alone."""
    plan = shop.dispatcher.folders["in"].plan
    intake = partial(LocalPlace().intake, plan.intake, wake=lambda: None, chance=random.Random(0))
    log = ListLog()
    entries = Registrar(plan, shop.ledger, log, wake=lambda: None)
    return Folder(
        plan,
        log,
        intake=intake,
        registrar=entries,
        upkeep=NoUpkeep(),
        reopen=lambda _: None,
    )


def test_a_pause_of_the_whole_store_is_not_logged_again(shop: Shop) -> None:
    """The folder is silent while the store is out, and reports a fault that is left after it."""
    folder = bare(shop)
    upkeep, log = folder._upkeep, folder._log
    assert isinstance(upkeep, NoUpkeep)
    assert isinstance(log, ListLog)
    upkeep.is_out = True
    folder.pause("no answer", 0.0)
    folder.pause("no answer", 1000.0)
    assert folder.resume()
    folder.pause("no answer", 2000.0)
    assert log.told == []
    upkeep.is_out = False
    folder.pause("access is denied", 3000.0)
    folder.pause("access is denied", 4000.0)
    folder.resume()
    assert [event for _, event, _ in log.told] == [Event.FOLDER_PAUSED, Event.FOLDER_RESUMED]


def test_a_wake_up_costs_the_step_of_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have theirs when it is due."""
    shop = Shop(tmp_path, names=("in", "other"))
    shop.settle()
    stepped: list[bytes] = []
    step = FolderIntake.step

    def watched(intake: FolderIntake, now_s: float) -> Step:
        stepped.append(os.path.basename(intake._options.root))
        return step(intake, now_s)

    monkeypatch.setattr(FolderIntake, "step", watched)
    shop.drop("a.png")
    shop.turn(after_s=0.0)
    assert stepped == [b"in"]
    shop.turn(after_s=2.0)
    assert sorted(stepped) == [b"in", b"in", b"other"]
    shop.close()


def test_probes_come_less_often(shop: Shop) -> None:
    """Each image that was tried in vain doubles the wait, up to half a minute."""
    folder = bare(shop)
    now_s, waits = 100.0, []
    for _ in range(5):
        folder.pause("full", now_s)
        wait_s = next(s for s in range(1, 100) if folder.may_work(now_s + s, running=False))
        waits.append(wait_s)
        now_s += wait_s
    assert waits == [5, 10, 20, PROBES.longest_s, PROBES.longest_s]


def test_failures_side_by_side_are_one(shop: Shop) -> None:
    """Several workers that meet the same full disk do not lengthen the pause."""
    folder = bare(shop)
    for _ in range(4):
        folder.pause("full", 100.0)
    assert folder.may_work(100 + PROBES.first_s, running=False)
    assert not folder.may_work(100 + PROBES.first_s, running=True)


def test_a_new_fault_begins_anew(shop: Shop) -> None:
    """After it had worked again, a folder's next pause is short again."""
    folder = bare(shop)
    folder.pause("full", 100.0)
    folder.pause("full", 200.0)
    assert folder.resume()
    assert not folder.resume()
    folder.pause("full", 300.0)
    assert folder.may_work(300 + PROBES.first_s, running=False)


def test_a_refusal_goes_when_its_file_changes(shop: Shop) -> None:
    """A refused file that changed has one event, its reason file is deleted, and it counts once."""
    path = shop.take("a.png", content=b"half")
    shop.pool.fail(Failure.REFUSED, Reason.TRUNCATED)
    shop.conclude()
    note = shop.home / "state/quarantine/in/a.png.reason.json"
    assert note.exists()
    with path.open("ab") as file:
        file.write(b" and whole")
    shop.dispatcher.folders["in"].resettle(b"a.png")
    shop.settle()
    assert not note.exists()
    (changed,) = shop.log.of(Event.IMAGE_CHANGED)
    assert (changed["path"], changed["message"]) == (b"a.png", "it changed after it was refused")
    assert (shop.count(State.QUARANTINED), shop.count(State.RUNNING)) == (0, 1)


def test_a_file_that_changes_in_work_is_reported_by_name(shop: Shop) -> None:
    """It is `image.changed`, not `image.vanished`, and waits for longer."""
    shop.take("a.png")
    judged = shop.pool.tasks[0].fingerprint
    shop.pool.fail(Failure.CHANGED)
    shop.conclude()
    assert len(shop.log.of(Event.IMAGE_CHANGED)) == 1
    assert shop.log.of(Event.IMAGE_VANISHED) == []
    patience = shop.dispatcher.folders["in"].early_reads.patience
    assert patience.wait_s(b"a.png", judged, 1.0) == 2.0
    shop.settle()
    shop.pool.stage()
    shop.conclude()
    assert patience.wait_s(b"a.png", judged, 1.0) == 1.0
