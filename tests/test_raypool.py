"""The daemon's side of a cluster, told by notices what happens there, and the node's side."""

from __future__ import annotations

import math
import os
import platform
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend import __version__
from sharpend.attempt import Failed, Failure, Lost, Staged
from sharpend.files.fingerprint import Fingerprint
from sharpend.task import Options, Task
from sharpend.workers import ahead
from sharpend.workers.cluster import bodies
from sharpend.workers.cluster.actors import FORGOTTEN_S, Survey
from sharpend.workers.cluster.notices import Answered, Cluster, FreeSlots, Gone, Joined, Placed
from sharpend.workers.cluster.raypool import RayPool
from sharpend.workers.cluster.requests import (
    ActorRequest,
    CheckFolders,
    FoldersChecked,
    LoadModel,
    NodeUnfit,
    Root,
    RunTask,
)
from sharpend.workers.loading import LoadedModel
from sharpend.workers.messages import Unavailable
from tests.pool_harness import CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sharpend.workers.cluster.bodies import ActorAnswer
    from sharpend.workers.cluster.notices import Notice

LITE = LoadedModel("lite", "ab" * 32, "cpu", 128, 4, None, None)
PLACED = Placed(1, "node (1)", __version__, platform.python_version(), "2.60.0", 0)
MARK = Fingerprint(1, 2, 3)
STAGED = Staged(7, b".t", MARK, 1, 1, 1, model_digest=LITE.digest)


class Told:
    """A pool whose driver says what a test lets it say."""

    def __init__(self) -> None:
        self.now_s = time.monotonic()
        where, digests = Cluster("127.0.0.1:9", 1, 0), {"lite": LITE.digest}
        self.pool = RayPool(where, 1, CPU, digests, lambda: None)
        self.pool._connection.next_s = math.inf  # it never connects
        self.pool.actors.want("lite", teacher=False)
        self.hear(Joined("2.60.0"), FreeSlots(1))

    def hear(self, *notices: Notice) -> ActorRequest | None:
        """Tell it something, and let it do what follows; returns what it asks an actor."""
        question = None
        for notice in notices:
            self.pool._hear(notice, self.now_s)
            self.pool._start_missing(self.now_s)
            for actor in self.pool.actors:
                question = self.pool.actors.next_question(actor, self.now_s)
        return question

    def answer(self, answered: ActorAnswer | bytes) -> None:
        """Let the actor answer."""
        raw = answered if isinstance(answered, bytes) else bodies.of_answer(answered)
        self.hear(Answered(1, raw))

    def submit(self, root: Path) -> None:
        """Hand out job 7."""
        folder = os.fsencode(root)
        task = Task(7, folder, folder, b"a", b"", b".t", MARK, Options("lite"))
        self.pool.submit(task, self.now_s)

    @property
    def faults(self) -> list[str]:
        """Causes of actors that are not fit."""
        return list(self.pool.faults.values())


@pytest.fixture
def told() -> Told:
    """A pool with an actor that is ready."""
    made = Told()
    made.hear(PLACED)
    made.answer(LITE)
    assert made.pool.free == 1
    return made


@pytest.mark.parametrize(
    ("answered", "is_kept", "cause"),
    [
        (replace(STAGED, job_id=8), True, "its staged file is not seen here"),
        (replace(STAGED, temp_name=b".u"), True, "its staged file is not seen here"),
        (replace(STAGED, model_digest="cd" * 32), True, "or is of another model"),
        (Failed(8, Failure.VANISHED, None, "gone", stage="open"), True, "its staged file"),
        (NodeUnfit("/in: mount the share"), True, "mount the share"),
        (FoldersChecked(0.0), True, "its staged file"),
        (b"{}", False, "invalid answer"),
        (bodies.of_answer(STAGED).replace(b'"node":""', b'"node":"a"'), False, "invalid answer"),
        (b"\xff", False, "invalid answer"),
    ],
)
def test_an_answer_that_does_not_fit_costs_no_attempt(
    told: Told, tmp_path: Path, answered: ActorAnswer | bytes, cause: str, *, is_kept: bool
) -> None:
    """Its image comes back; the actor gets no more work, or is replaced if it answers nonsense."""
    told.submit(tmp_path)
    told.answer(answered)
    (outcome,) = told.pool._outcomes
    assert isinstance(outcome, Lost)
    assert (outcome.job_id, cause in outcome.cause) == (7, True)
    assert list(told.pool.actors.by_number) == [1 if is_kept else 2]
    assert [cause in fault for fault in told.faults] == [True] * is_kept
    assert told.pool.free == 0


def test_a_fitting_answer_is_the_outcome(told: Told, tmp_path: Path) -> None:
    """A staged file is looked at here, a failure is passed on; both are of the actor's node."""
    (tmp_path / ".t").write_bytes(b"x")
    told.submit(tmp_path)
    fit = replace(STAGED, fingerprint=Fingerprint.of((tmp_path / ".t").stat()))
    told.answer(fit)
    failed = Failed(7, Failure.VANISHED, None, "gone", stage="open")
    told.submit(tmp_path)
    told.answer(failed)
    assert told.pool._outcomes == [replace(one, node=PLACED.node) for one in (fit, failed)]
    assert told.pool.free == 1


def test_an_answer_to_no_question_ends_the_hand(told: Told) -> None:
    """Another actor is started in its place."""
    told.answer(STAGED)
    assert (list(told.pool.actors.by_number), told.pool._outcomes) == ([2], [])


@pytest.mark.parametrize(
    "placed",
    [
        replace(PLACED, sharpend="1.2.3"),
        replace(PLACED, python="1.2.3"),
        replace(PLACED, ray="1.2.3"),
    ],
)
def test_a_node_of_another_version_gets_no_work(placed: Placed) -> None:
    """It is told which."""
    told = Told()
    told.hear(placed)
    (fault,) = told.faults
    assert "1.2.3 in place of" in fault
    assert "install the same versions" in fault
    assert told.pool.count == 0


def test_a_node_with_other_weights_gets_no_work() -> None:
    """Two models would mix in one folder."""
    told = Told()
    told.hear(PLACED)
    told.answer(replace(LITE, digest="cd" * 32))
    (fault,) = told.faults
    assert "its weights of lite are cdcdcdcdcdcd in place of abababababab" in fault


def asked(told: Told, later_s: float = 1.0) -> ActorRequest | None:
    """What an actor that comes then has to answer after its model."""
    told.now_s += later_s
    told.hear(Gone(1, "its node has ended"), replace(PLACED, actor=2))
    return told.hear(Answered(2, bodies.of_answer(LITE)))


@pytest.mark.parametrize(("later_s", "is_known"), [(1.0, True), (FORGOTTEN_S + 1, False)])
def test_folders_of_long_ago_are_forgotten(
    told: Told, tmp_path: Path, later_s: float, *, is_known: bool
) -> None:
    """A folder that a reload has removed keeps no node from work for ever."""
    told.submit(tmp_path)
    root = Root(os.fsencode(tmp_path), tmp_path.stat().st_ino)
    assert asked(told, later_s) == CheckFolders((root,) if is_known else ())


def test_a_folder_that_is_gone_here_is_not_asked_for(told: Told, tmp_path: Path) -> None:
    """It is paused, or removed: no node could have the same."""
    told.submit(tmp_path)
    tmp_path.rmdir()
    assert asked(told) == CheckFolders(())


def test_a_survey_asks_each_hand_to_write(told: Told, tmp_path: Path) -> None:
    """Under a name of its own, which is remembered."""
    folder = os.fsencode(tmp_path)
    told.pool.actors.survey(Survey((folder,), (folder,), lambda: b".mine"))
    root = Root(folder, tmp_path.stat().st_ino)
    assert asked(told) == CheckFolders((root,), b".mine", (folder,))
    told.pool.actors.folders_checked(
        told.pool.actors.by_number[2], FoldersChecked(time.time() + 60)
    )
    assert told.pool.actors.by_number[2].proof == b".mine"
    assert 50 < told.pool.actors.by_number[2].ahead_s < 70


# The node's side: an actor of Ray is a plain object here


@pytest.fixture
def actor() -> Iterator[Callable[[ActorRequest], ActorAnswer]]:
    """A new actor, to be asked."""
    module = pytest.importorskip("sharpend.workers.cluster.actor", reason="needs the extra ray")
    made = module.WorkerActor()
    yield lambda request: bodies.answer(made.answer(bodies.of_request(request)))
    if made._pool is not None:
        made._pool.stop()


def test_a_hand_compares_and_writes(
    actor: Callable[[ActorRequest], ActorAnswer], tmp_path: Path
) -> None:
    """What is missing or another folder is named; a proof is an empty file, made once."""
    folder = os.fsencode(tmp_path)
    root = Root(folder, tmp_path.stat().st_ino)
    seen = actor(CheckFolders((root,), b".proof", (folder,)))
    assert isinstance(seen, FoldersChecked)
    assert abs(seen.clock_s - time.time()) < 60
    assert (tmp_path / ".proof").read_bytes() == b""
    wrong = [
        CheckFolders((replace(root, inode=root.inode + 1),)),
        CheckFolders((Root(folder + b"/none", 1),)),
        CheckFolders((), b".proof", (folder,)),
        CheckFolders((), b".proof", (folder + b"/none",)),
    ]
    told = [one.message for one in map(actor, wrong) if isinstance(one, NodeUnfit)]
    assert [text.rpartition("; ")[2] for text in told] == [
        *["mount the share on this node"] * 2,
        *["let this node's user write there"] * 2,
    ]


def test_a_node_without_processes_gives_its_task_back(
    actor: Callable[[ActorRequest], ActorAnswer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is not to blame: not before the worker's start, and not where that fails."""
    monkeypatch.setattr(ahead, "PROGRAM", ahead.PROGRAM)
    folder = os.fsencode(tmp_path)
    task = Task(7, folder, folder, b"a", b"", b".t", MARK, Options("lite"))
    assert actor(RunTask(task, ())) == NodeUnfit("the actor has no worker yet")
    begin = LoadModel(replace(CPU, device="broken"), "tests.lightwork", "lite", teacher=False)
    assert isinstance(actor(begin), Unavailable)
    given_back = actor(RunTask(task, ()))
    assert isinstance(given_back, NodeUnfit)
    assert "no worker process could be started" in given_back.message
