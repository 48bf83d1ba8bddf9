"""The promise against a model: random lives of a folder, with any fault between any two steps.

    python -m tests.lives [--count 10000] [--seed 1] [--steps 30]

Hypothesis writes, appends, renames, replaces, touches and deletes inputs, pauses in the middle of a
file, moves folders in and out, unmounts a disk, loses events, lets workers finish, fail and die,
fills disks, turns the clock, reloads, loses the ledger, and kills the daemon between any two steps,
in any order, over the real intake, ledger and commit and a real disk. The model is the promise
itself: what is there is an output, in quarantine, or still to be done; nothing of the user's goes
unless its output is in place; no output is there twice; nothing is written where a disk is missing.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sharpend.attempt import Failure
from sharpend.commit.ages import Retention
from sharpend.commit.names import AS_THE_INPUT, Naming
from sharpend.daemon.attempts import RetryOptions
from sharpend.daemon.maintenance import EVERY_S, REST_S, Maintenance, Paths
from sharpend.errors import Reason, StateFaultError
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake.folder import FolderIntake
from sharpend.intake.watch import Dirty
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.policies import ExistingPolicy, SourcePolicy
from tests.fakes import Shop
from tests.mounts import ran
from tests.shop import CrashError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.task import Task

NAMES = st.sampled_from(["a.png", "b.jpg", "d/a.png", "d/c.png", "e/f/a.png"])
FOLDERS = st.sampled_from(["d", "e", "e/f"])
SHARP, WHOLE = b"sharp ", b"."
"""How an output begins; how what is whole ends."""
COMMIT_STEPS = ["chosen", "staged", "renamed", "synced", "finished", "source_removed", "disposed"]
QUARANTINE_STEPS = ["recorded", "moved", "written", "noted"]
FULL_AT = st.sampled_from(["chosen", "staged", "renamed", "synced", "moved"])
"""Where a full disk can be met: in the output folder, and, last, in the state directory."""
HOUR_S, DAY_S = 3600, 86400
RETRY = RetryOptions(attempts=3, first_s=1.0, longest_s=5.0)
LONGEST_PAUSE_S = 40.0
TURNS, IDLE_TURNS = 80, 10
"""At the end, at most; and those without work, longer than refused sources stay in place."""
AT_ONCE = 100
"""Lives of one seed."""


class Promise(RuleBasedStateMachine):
    """A folder, a daemon over it, and what its user knows to have put there."""

    source: ClassVar[SourcePolicy]

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="promise-"))
        for name in ("in", "in-out", "archive", "disk"):
            (self.home / name).mkdir()
        self.clock_s = time.time()
        """The wall clock: time passes in turns alone, so that equal choices lead to equal lives."""
        self.clock = patch.object(time, "time", lambda: self.clock_s)
        self.clock.start()
        self.faults: dict[str, Exception] = {}
        """What happens at the next step of a name, once."""
        self.mounted: str | None = None
        """The folder that is on a disk of its own."""
        self.is_away = False
        """That disk is not mounted."""
        self.is_lost = False
        """The ledger was lost: outputs are known by their names and times alone."""
        self.is_usual = True
        """No output has another name, and none replaces a stranger's, by the settings so far."""
        self.writers: dict[str, BinaryIO | None] = {}
        """The files that are half written, open or closed."""
        self.excused: set[bytes] = set()
        """Contents that may be refused: they are halves, or met a fault."""
        self.made = 0
        self.taken_away: set[bytes] = set()
        """Contents that the user has deleted or replaced."""
        self.paths: dict[bytes, set[str]] = {}
        """Where each content has lain: an image that is moved is another input."""

    @initialize(mounted=st.sampled_from(["in", "in-out", "archive", None]))
    def begin(self, mounted: str | None) -> None:
        """The daemon starts; one of its folders may be on a disk of its own."""
        if mounted and ran("mount", "--bind", self.home / "disk", self.home / mounted):
            self.mounted = mounted
        archive = os.fsencode(self.home / "archive")
        self.shop = Shop(
            self.home, workers=2, retry=RETRY, source=self.source, archive_root=archive
        )
        self.hook()
        self.inbox = self.place("in")

    def place(self, folder: str) -> Path:
        """Path of the files of a folder, its disk mounted or not."""
        return self.home / ("disk" if folder == self.mounted else folder)

    def hook(self) -> None:
        """Let faults be met in a daemon that has just begun."""
        self.shop.dispatcher._committer._at = self.at
        self.shop.dispatcher._quarantine._at = self.at

    def at(self, step: str) -> None:
        """A step of the commit or the quarantine is done."""
        fault = self.faults.pop(step, None)
        if fault is not None:
            raise fault

    def files(self, folder: str) -> dict[str, bytes]:
        """What is in one of the folders, by path below it."""
        root = self.place(folder)
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def inputs(self) -> dict[str, bytes]:
        """What is in the inbox, but for what is only on its way there."""
        return {name: data for name, data in self.files("in").items() if ".new." not in name}

    def outputs(self) -> dict[str, bytes]:
        """What everybody sees in the output folder."""
        seen = self.files("in-out").items()
        return {name: data for name, data in seen if not Path(name).name.startswith(".")}

    # What users do

    def put(self, name: str) -> None:
        """A new content appears whole under a name."""
        self.made += 1
        content = b"picture %d." % self.made
        self.forget(name)
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.parent / ".new.tmp"
        hidden.write_bytes(content)
        hidden.rename(path)
        self.paths[content] = {name}

    def forget(self, name: str) -> None:
        """Record that the user replaces or removes the file of a name; its writer ends, too."""
        writer = self.writers.pop(name, None)
        if writer is not None:
            writer.close()
        path = self.inbox / name
        if path.is_file():
            self.taken_away.add(path.read_bytes())

    @rule(name=NAMES, told=st.booleans())
    def write(self, name: str, *, told: bool) -> None:
        """A file is dropped, or replaced; the watch may have lost its event."""
        self.put(name)
        if told:
            self.shop.dispatcher.folders["in"].resettle(os.fsencode(name))

    @rule(name=NAMES)
    def append(self, name: str) -> None:
        """A slow writer goes on."""
        path = self.inbox / name
        if path.is_file():
            self.forget(name)
            self.made += 1
            with path.open("ab") as file:
                file.write(b" and %d." % self.made)
            self.paths[path.read_bytes()] = {name}

    @rule(name=NAMES, holds=st.booleans())
    def begin_to_write(self, name: str, *, holds: bool) -> None:
        """Half a file, in place of another perhaps; its writer pauses, and may hold it open."""
        self.forget(name)
        self.made += 1
        half = b"picture %d" % self.made
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb", buffering=0)
        file.write(half)
        self.paths[half] = {name}
        self.excused.add(half)
        if not holds:
            file.close()
        self.writers[name] = file if holds else None

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def go_on_writing(self, data: st.DataObject) -> None:
        """A writer that paused writes the rest of its file."""
        self.write_the_rest(data.draw(st.sampled_from(sorted(self.writers))))

    def write_the_rest(self, name: str) -> None:
        """Append to half a file; one that was left closed for long may be in quarantine."""
        path, file = self.inbox / name, self.writers.pop(name)
        if file is None:
            if not path.is_file():
                return
            file = path.open("ab", buffering=0)
        self.forget(name)
        file.write(b" whole.")
        file.close()
        self.paths[path.read_bytes()] = {name}

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        """The user removes a file."""
        self.forget(name)
        (self.inbox / name).unlink(missing_ok=True)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        """The user renames a file, over another one perhaps."""
        if old != new and (self.inbox / old).is_file():
            self.forget(new)
            content = (self.inbox / old).read_bytes()
            self.let_go(old)
            (self.inbox / new).parent.mkdir(parents=True, exist_ok=True)
            (self.inbox / old).rename(self.inbox / new)
            self.paths[content].add(new)

    def let_go(self, below: str) -> None:
        """End the writers of files there, or below it, before the rest is written."""
        for name in [name for name in self.writers if f"{name}/".startswith(f"{below}/")]:
            writer = self.writers.pop(name)
            if writer is not None:
                writer.close()

    @rule(folder=FOLDERS)
    def move_away_and_back(self, folder: str) -> None:
        """A directory leaves the tree and comes back as another one, its files with it."""
        path = self.inbox / folder
        self.let_go(folder)
        if path.is_dir():
            shutil.copytree(path, self.home / "elsewhere")
            shutil.rmtree(path)
            (self.home / "elsewhere").rename(path)

    @rule(folder=FOLDERS)
    def make_folder(self, folder: str) -> None:
        """An empty folder."""
        (self.inbox / folder).mkdir(parents=True, exist_ok=True)

    @rule(folder=FOLDERS)
    def move_out(self, folder: str) -> None:
        """A directory leaves the tree."""
        inside, outside = self.inbox / folder, self.home / "outside" / folder.replace("/", "-")
        if inside.is_dir() and not outside.exists():
            outside.parent.mkdir(exist_ok=True)
            for path in inside.rglob("*.*"):
                self.forget(str(path.relative_to(self.inbox)))
            inside.rename(outside)

    @rule(folder=FOLDERS)
    def move_in(self, folder: str) -> None:
        """A directory that left comes back, the same files in it."""
        inside, outside = self.inbox / folder, self.home / "outside" / folder.replace("/", "-")
        if outside.is_dir() and not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            outside.rename(inside)
            for path in inside.rglob("*.*"):
                self.taken_away.discard(path.read_bytes())

    @rule(name=NAMES, mode=st.sampled_from([0o600, 0o644]))
    def touch(self, name: str, mode: int) -> None:
        """Mode and time of access change, as by a backup or a scanner for viruses."""
        path = self.inbox / name
        if path.is_file():
            path.chmod(mode)
            os.utime(path, ns=(self.made, path.stat().st_mtime_ns))

    @rule(by_s=st.sampled_from([DAY_S, -DAY_S, HOUR_S, -HOUR_S, -1]))
    def turn_the_clock(self, by_s: float) -> None:
        """The wall clock jumps."""
        self.clock_s += by_s

    @precondition(lambda self: self.mounted and not self.is_away)
    @rule()
    def unmount(self) -> None:
        """The disk goes, in use or not; an empty folder is left in its place."""
        assert ran("umount", "-l", self.home / str(self.mounted))
        self.is_away = True

    @precondition(lambda self: self.is_away)
    @rule()
    def mount(self) -> None:
        """The disk comes back."""
        assert ran("mount", "--bind", self.home / "disk", self.home / str(self.mounted))
        self.is_away = False

    # What the daemon and its workers do

    @rule(after_s=st.sampled_from([0.0, 0.1, 1.0, LONGEST_PAUSE_S]))
    def turn(self, after_s: float) -> None:
        """Time passes, and the daemon takes a turn; a full state directory or a kill ends it."""
        self.clock_s += after_s
        try:
            self.shop.turn(after_s)
        except CrashError:
            self.excused |= set(self.inputs().values())
            self.kill_the_daemon(half_written=True)
        except StateFaultError:
            self.stop_and_start()

    @rule(names=st.lists(NAMES, max_size=4))
    def overflow(self, names: list[str]) -> None:
        """Events are lost, and all that is known is that they were."""
        for name in names:
            self.put(name)
        intake = self.shop.dispatcher.folders["in"].intake
        assert isinstance(intake, FolderIntake)
        intake._wake()
        with patch.object(intake._listener, "take", return_value=Dirty(everything=True)):
            self.turn(0.1)

    @rule(step=FULL_AT)
    def fill_a_disk(self, step: str) -> None:
        """The next time that this step is reached, the disk is full."""
        self.faults[step] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @rule(step=st.sampled_from([*COMMIT_STEPS, *QUARANTINE_STEPS]))
    def kill_at(self, step: str) -> None:
        """The next time that this step is reached, the daemon is killed."""
        self.faults[step] = CrashError(step)

    @precondition(lambda self: not self.shop.dispatcher.is_working)
    @rule(
        existing=st.sampled_from([ExistingPolicy.SUFFIX, ExistingPolicy.REPLACE]),
        naming=st.sampled_from([AS_THE_INPUT, Naming("{stem}-sharp{ext}")]),
        portable_names=st.booleans(),
    )
    def reload(self, **changed: object) -> None:
        """The settings of the folder change; after a loss, only to what distinguishes outputs."""
        usual = {"existing": ExistingPolicy.SUFFIX, "naming": AS_THE_INPUT}
        if self.is_lost:
            changed |= usual
        self.is_usual = self.is_usual and usual.items() <= changed.items()
        self.shop.reload(**changed)
        self.hook()

    @precondition(lambda self: self.is_usual and not self.is_away)
    @rule(whole=st.booleans())
    def lose_the_state(self, *, whole: bool) -> None:
        """The daemon is killed, and its ledger lost, alone or with the state directory's rest."""
        self.excused |= set(self.inputs().values())
        self.shop.dispatcher.close()
        self.shop.ledger.close()
        for path in (self.home / "state").iterdir():
            if path.name.startswith("ledger.db") or (whole and path.is_file()):
                path.unlink()
        self.is_lost = True
        self.shop.start()
        self.hook()

    @precondition(lambda self: self.shop.pool.tasks)
    @rule()
    def work(self) -> None:
        """A worker ends as a real one would, given the input as it is there now."""
        task = self.shop.pool.tasks[0]
        source = Path(os.fsdecode(task.input_root)) / os.fsdecode(task.relative)
        try:
            fingerprint = Fingerprint.of(source.lstat())
        except (FileNotFoundError, NotADirectoryError):
            self.shop.pool.fail(Failure.VANISHED)
            return
        content = source.read_bytes()
        if fingerprint != task.fingerprint:
            self.shop.pool.fail(Failure.CHANGED)
        elif not content.endswith(WHOLE):
            self.shop.pool.fail(Failure.REFUSED, Reason.TRUNCATED)
        elif not os.path.isdir(os.path.join(task.output_root, task.output_parent)):
            self.shop.pool.fail(Failure.FOLDER)
        else:
            self.shop.pool.stage(content=SHARP + content, mtime_ns=fingerprint.mtime_ns)

    @precondition(lambda self: self.shop.pool.tasks)
    @rule(
        how=st.sampled_from(
            [
                (Failure.TRANSIENT, Reason.IO_ERROR),
                (Failure.REFUSED, Reason.DAMAGED),
                (Failure.FOLDER, None),
            ]
        )
    )
    def fail(self, how: tuple[Failure, Reason | None]) -> None:
        """A worker meets a busy disk, a bad image, or a full disk."""
        self.excuse()
        self.shop.pool.fail(*how)

    def excuse(self) -> None:
        """Record that images in progress met a fault, after which they may be refused."""
        for task in self.shop.pool.tasks:
            with suppress(OSError):
                self.excused.add((self.inbox / os.fsdecode(task.relative)).read_bytes())

    @precondition(lambda self: self.shop.pool.tasks)
    @rule(half_written=st.booleans())
    def lose_a_worker(self, *, half_written: bool) -> None:
        """A worker dies, perhaps in the middle of writing."""
        self.excuse()
        if half_written:
            self.leave_half(self.shop.pool.tasks[0])
        self.shop.pool.die()

    @rule(half_written=st.booleans())
    def kill_the_daemon(self, *, half_written: bool) -> None:
        """The daemon is killed with its workers, and started again."""
        self.excuse()
        if half_written:
            for task in self.shop.pool.tasks:
                self.leave_half(task)
        self.shop.dispatcher.close()
        self.shop.ledger.close()
        self.shop.start()
        self.hook()

    @rule()
    def stop_and_start(self) -> None:
        """The daemon is stopped as a service is."""
        self.shop.stop()
        self.shop.ledger.close()
        self.shop.start()
        self.hook()

    @rule()
    def years_pass(self) -> None:
        """Maintenance forgets what it may; meanwhile nothing of the user's has a limit."""
        destinations = {"in": self.shop.dispatcher.folders["in"].plan.destination}
        paths = Paths(self.home / "state", os.fsencode(self.home / "quarantine"), destinations)
        maintenance = Maintenance(Retention(ledger_days=1), paths, self.shop.ledger, self.shop.log)
        wall_s = time.time() + 10 * 365 * 86_400
        maintenance.step(0.0, wall_s)
        for number in range(9):
            now_s = EVERY_S + number * REST_S
            maintenance.step(now_s, wall_s + now_s)

    def leave_half(self, task: Task) -> None:
        """The beginning of an output, under its temporary name."""
        parent = os.path.join(task.output_root, task.output_parent)
        if os.path.isdir(parent):
            Path(os.fsdecode(os.path.join(parent, task.temp_name))).write_bytes(b"sha")

    # What is promised at every moment

    @invariant()
    def nothing_partial_is_seen(self) -> None:
        """Whatever has a final name is whole."""
        outputs = self.outputs().values()
        assert all(one.startswith(SHARP + b"picture") and one.endswith(WHOLE) for one in outputs)

    @invariant()
    def nothing_is_written_in_place_of_a_disk(self) -> None:
        """Where a disk is missing no folder is made, and no file but what a worker had begun."""
        if self.is_away:
            written = (self.home / str(self.mounted)).rglob("*")
            assert all(path.name.startswith(".sharpend-") for path in written)

    @invariant()
    def what_is_open_stays(self) -> None:
        """A file that is open for writing stays in its place."""
        for name, file in self.writers.items():
            if file is not None:
                assert os.path.samestat(os.fstat(file.fileno()), (self.inbox / name).stat())

    @invariant()
    def nothing_is_lost(self) -> None:
        """A content that the user has not taken away exists somewhere, or its output does."""
        kept = {*self.inputs().values(), *self.files("archive").values()}
        kept |= {*self.files("state/quarantine").values()}
        kept |= {data.removeprefix(SHARP) for data in self.outputs().values()}
        assert set(self.paths) - self.taken_away <= kept

    @invariant()
    def what_was_archived_keeps_its_output(self) -> None:
        """A later image under the same name takes another one."""
        archived = {SHARP + data for data in self.files("archive").values()}
        assert archived <= {*self.outputs().values()}

    @invariant()
    def nothing_is_there_twice(self) -> None:
        """A content has no more outputs than names that it came under."""
        for data, count in Counter(self.outputs().values()).items():
            assert count <= len(self.paths[data.removeprefix(SHARP)])

    @invariant()
    def the_counters_are_right(self) -> None:
        """The numbers of jobs that the ledger keeps are those of its rows."""
        counted = self.shop.ledger._store.rows("SELECT state, count(*) FROM job GROUP BY state")
        numbers = {state: jobs for state, jobs in self.shop.ledger.counts().items() if jobs}
        assert numbers == {State(state): jobs for state, jobs in counted}

    def teardown(self) -> None:
        """When the faults end, everything does: an output or a reason for each input, no temps."""
        self.faults.clear()
        try:
            if self.is_away:
                self.mount()
            for name in list(self.writers):
                self.write_the_rest(name)
            self.come_to_an_end()
            assert self.shop.dispatcher.is_done
            unaccounted = set(self.unaccounted())
            assert unaccounted == set()
            self.nothing_is_lost()
            self.what_was_archived_keeps_its_output()
            self.nothing_is_there_twice()
            self.stop_and_start()  # removes what was on a disk that was missing before
            assert self.files("in-out").keys() == self.outputs().keys()
        finally:
            self.clock.stop()
            self.shop.close()
            if self.mounted:
                ran("umount", "-l", self.home / self.mounted)
            shutil.rmtree(self.home)

    def come_to_an_end(self) -> None:
        """Turns until nothing is to be done, and more, in which nothing may change."""
        idle = 0
        for _ in range(TURNS):
            while self.shop.pool.tasks:
                self.work()
            self.turn(LONGEST_PAUSE_S)
            idle = idle + 1 if self.shop.dispatcher.is_done else 0
            if idle == IDLE_TURNS:
                return

    def unaccounted(self) -> Iterator[str]:
        """Inputs that are there with neither an output of their content nor a reason."""
        sharpened = set(self.outputs().values())
        with LedgerReader.read_only(self.home / "state") as ledger:
            for name, data in self.inputs().items():
                states = {one.state for one in ledger.outcomes("in", [os.fsencode(name)])}
                is_refused = states == {State.QUARANTINED} and data in self.excused
                if SHARP + data not in sharpened and not is_refused:
                    yield name


def machine(policy: SourcePolicy) -> type[Promise]:
    """The machine of one source policy."""
    return type(f"Promise{policy.title()}", (Promise,), {"source": policy})


def lives(policy: SourcePolicy, *, examples: int, steps: int, seeded: int | None = None) -> None:
    """Let Hypothesis look for a life in which the promise is broken.

    Args:
        policy: of the folder's sources.
        examples: how many lives.
        steps: the longest life.
        seeded: the seed; None: the same lives each time.
    """
    tried = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=seeded is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    lived = machine(policy)
    run_state_machine_as_test(lived if seeded is None else seed(seeded)(lived), settings=tried)


def main() -> None:
    """Run so many lives, a hundred of each policy at a time, and print how many there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.lives")
    parser.add_argument("--count", type=int, default=10_000, help="lives in all")
    parser.add_argument("--seed", type=int, default=1, help="of the first hundred; others follow")
    parser.add_argument("--steps", type=int, default=30, help="of the longest life")
    options = parser.parse_args()
    lived, policies = 0, list(SourcePolicy)
    while lived < options.count:
        number = lived // AT_ONCE
        policy, examples = policies[number % len(policies)], min(AT_ONCE, options.count - lived)
        seeded = options.seed + number
        lives(policy, examples=examples, steps=options.steps, seeded=seeded)
        lived += examples
        print(f"{lived:,} lives, no violation (seed {seeded}, {policy})", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
