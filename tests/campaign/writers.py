"""Files that change: written slowly, preallocated, renamed, replaced, removed, touched."""

from __future__ import annotations

import itertools
import os
import threading
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from sharpend.policies import SourcePolicy
from tests.campaign.places import Place, placed
from tests.campaign.rig import PATIENCE_S, Finding, Rig, Scenario, large_picture, png
from tests.daemons import Daemon, running, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.campaign.places import Folders

PAUSES_S = (0.0, 0.2, 4.0, 8.0)
"""Between closing the file and opening it again, as scanners do."""
SHORTER_THAN_SETTLE_S = 0.5
REOPENED = 4
"""How often."""
PIECE = 200
"""Bytes of one write, five a second."""
TEMPORARY = (
    *(".{}.png.AbC123", ".{}.png", "{}.png.part", "{}.png.crdownload"),
    *("~syncthing~{}.png", "~${}.png", "{}.png~"),
)


def slow_writers(place: Place, rig: Rig, rounds: int, finding: Finding) -> None:
    """10: files that grow by 1 kB a second, and are closed and opened again meanwhile."""
    pauses_s = PAUSES_S if rounds > REOPENED else PAUSES_S[:3]
    told = []
    with placed(rig, place) as folders:
        folders.configure(settle_s="auto")
        with folders.daemon() as daemon:
            write_all(folders, pauses_s, rounds)
            for pause_s in pauses_s:
                early = judged_early(folders, daemon, f"{pause_s}.png", finding)
                short = pause_s < SHORTER_THAN_SETTLE_S
                finding.expect(not (early and short), f"read {early} times too early")
                told.append(f"{early} with pauses of {pause_s:g} s")
        folders.check(finding)
    finding.figures = f"read too early: {', '.join(told)}"
    finding.rounds = rounds


def write_all(folders: Folders, pauses_s: Sequence[float], kilobytes: int) -> None:
    """Run writers with each of these pauses in each folder, side by side, to their end."""
    content = padded_png(folders.rig.picture, kilobytes * 1000)
    writers = [
        threading.Thread(
            target=write_slowly,
            args=(folders.path(policy, f"{pause_s}.png", content), content, pause_s),
        )
        for policy in SourcePolicy
        for pause_s in pauses_s
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def write_slowly(path: Path, content: bytes, pause_s: float) -> None:
    """One writer: 1 kB a second, with pauses in between."""
    at_once = max(1000, len(content) // REOPENED)
    for begin in range(0, len(content), at_once):
        with path.open("ab", buffering=0) as file:
            for piece in range(begin, min(begin + at_once, len(content)), PIECE):
                file.write(content[piece : min(piece + PIECE, begin + at_once)])
                time.sleep(PIECE / 1000)
        time.sleep(pause_s)


def judged_early(folders: Folders, daemon: Daemon, name: str, finding: Finding) -> int:
    """Number of judgements before a file was whole, after it is done in all folders."""
    early = 0
    for policy in SourcePolicy:
        output, began_s = folders.outputs(policy) / name, time.monotonic()
        until(lambda output=output: whole(folders.rig, output), within_s=PATIENCE_S)  # type: ignore[misc]
        finding.recovered(time.monotonic() - began_s, 10)
        early += len(daemon.events("image.quarantined", folder=policy, path=name))
        early += len(daemon.events("image.retried", folder=policy, path=name))
    return early


def padded_png(picture: bytes, size: int) -> bytes:
    """The image with a private chunk after its header that makes it so large."""
    header, rest = picture[:33], picture[33:]
    padding = b"prVt" + bytes(max(0, size - len(picture) - 12))
    checked = zlib.crc32(padding).to_bytes(4)
    return header + (len(padding) - 4).to_bytes(4) + padding + checked + rest


def whole(rig: Rig, output: Path) -> bool:
    """The output is that of the input as it is now: nothing of it is queued or refused."""
    counts = rig.counts()
    waiting = sum(counts[state] for state in ("pending", "running", "deferred", "staged", "done"))
    return output.exists() and waiting == 0


def expect_no_reasons(rig: Rig, finding: Finding) -> None:
    """What was read too early is not in quarantine when it is whole."""
    reasons = [path.name for path in (rig.state / "quarantine").rglob("*.reason.json")]
    finding.expect(not reasons, f"still in quarantine: {reasons[:3]}")


def preallocated(place: Place, rig: Rig, rounds: int, finding: Finding) -> None:
    """11: the final size at once, the data later, and times set back as by `cp -p`."""
    past_s, each = time.time() - 10**6, range(rounds // len(SourcePolicy))
    with placed(rig, place) as folders:
        folders.configure(settle_s="auto")
        with folders.daemon() as daemon:
            opened = []
            for policy, number in itertools.product(SourcePolicy, each):
                path = folders.path(policy, f"{number}.png", rig.picture)
                opened.append(path.open("wb", buffering=0))
                os.posix_fallocate(opened[-1].fileno(), 0, len(rig.picture))
                os.utime(path, (past_s, past_s))
            time.sleep(4)  # longer than an open file takes to settle
            for file in opened:
                file.write(rig.picture)
                file.close()
                os.utime(file.name, (past_s + 1, past_s + 1))
            began_s = time.monotonic()
            for policy, number in itertools.product(SourcePolicy, each):
                daemon.wait_for("image.finished", folder=policy, path=f"{number}.png")
            finding.recovered(time.monotonic() - began_s, 30)
            early = len(daemon.events("image.quarantined"))
        folders.check(finding)
    finding.rounds = len(each) * len(SourcePolicy)
    finding.figures = f"{early} were looked at while they were empty, and done when they were not"


def temporary_names(rig: Rig, rounds: int, finding: Finding) -> None:
    """12: the names that rsync, browsers and syncthing give to what is not yet whole."""
    names = {f"{number}.png" for number in range(rounds)}
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for kind, name in enumerate(sorted(names)):
            hidden = rig.inbox / TEMPORARY[kind % len(TEMPORARY)].format(name[:-4])
            with hidden.open("wb", buffering=0) as file:
                file.write(rig.picture[:1000])
                time.sleep(0.02)
                file.write(rig.picture[1000:])
        time.sleep(0.5)  # longer than they take to settle
        finding.expect(rig.known() == 0, f"{rig.known()} temporary files were taken")
        for path in list(rig.inbox.iterdir()):
            number = next(
                part
                for part in path.name.replace("~", ".").replace("$", ".").split(".")
                if part.isdigit()
            )
            path.rename(rig.inbox / f"{number}.png")
        rig.wait_until_idle(daemon, rounds)
    finished = len(daemon.events("image.finished"))  # ended: all is read
    finding.expect(finished == rounds, f"{rounds} files were finished {finished} times")
    rig.check(finding, names)
    finding.rounds = rounds


def replaced_in_work(rig: Rig, rounds: int, finding: Finding) -> None:
    """13: new content under the same name while the old one is in work."""
    large, in_work, number = large_picture(), 0, 0
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.drop("alone.png", large)
        until(partial(is_begun, rig, daemon, "alone.png"))
        began_s = time.monotonic()
        daemon.wait_for("image.finished")
        work_s = time.monotonic() - began_s
        while number < rounds or not in_work:  # a busy machine may let the moment pass
            name = f"{number}.png"
            rig.drop(name, large)
            until(partial(is_begun, rig, daemon, name))
            time.sleep(work_s * (number % rounds) / rounds)  # each between open and commit
            rig.drop(name)
            in_work += running_jobs(rig)
            began_s = time.monotonic()
            until(lambda name=name: is_small(rig.outbox / name))  # type: ignore[misc]
            finding.recovered(time.monotonic() - began_s, 30)
            finding.rounds += 1
            number += 1
        expect_no_reasons(rig, finding)
    finding.figures = f"{in_work} met in work"
    rig.check(finding, {"alone.png", *(f"{each}.png" for each in range(number))})


def running_jobs(rig: Rig) -> int:
    """How many jobs a worker has."""
    return rig.counts()["running"]


def is_begun(rig: Rig, daemon: Daemon, name: str) -> bool:
    """Whether a worker has a job, or this image is finished already."""
    return bool(running_jobs(rig) or daemon.events("image.finished", path=name))


def is_small(path: Path) -> bool:
    """The output is of the newer content."""
    if not path.exists():
        return False
    with Image.open(path) as image:
        return image.width < 100


def deleted(rig: Rig, rounds: int, finding: Finding) -> None:
    """14: inputs that go while they are queued, and while they are in work."""
    large = large_picture()
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            rig.drop(f"work-{number}.png", large)
            queued = [rig.drop(f"queued-{number}-{each}.png") for each in range(5)]
            work = f"work-{number}.png"
            until(partial(is_begun, rig, daemon, work))
            for path in (rig.inbox / work, *queued):
                path.unlink()
            rig.drop(f"after-{number}.png")
            daemon.wait_for("image.finished", within_s=PATIENCE_S, path=f"after-{number}.png")
            finding.rounds += 1
        until(lambda: whole(rig, rig.outbox / "after-0.png"))
        expect_calm(daemon, finding)
        gone = len(daemon.events("image.vanished"))
        finding.expect(gone > 0, "nothing ever vanished")
        expect_no_reasons(rig, finding)
    finding.figures = f"{gone} vanished, each with one line"
    made = {path.name for path in rig.outbox.iterdir()}
    kept = {f"after-{number}.png" for number in range(rounds)}
    early = {name for name in made if not name.startswith("after")}
    rig.check_outputs(finding, kept | early)


def expect_calm(daemon: Daemon, finding: Finding) -> None:
    """No line of the log is a warning or an error."""
    loud = [event for event in daemon._heard.all if event["level"] in {"warning", "error"}]
    finding.expect(not loud, f"{len(loud)} warnings: {loud[:2]}")


def touched(rig: Rig, rounds: int, finding: Finding) -> None:
    """15: so many changes of mode, times of access and openings while an image is queued."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.drop("large.png", large_picture())
        until(partial(is_begun, rig, daemon, "large.png"))
        path = rig.drop("queued.png")
        rig.wait_until_known(2)
        before = path.stat().st_mtime_ns
        for number in range(rounds):
            path.chmod(0o644 if number % 2 else 0o664)
            os.utime(path, ns=(number, before))
            path.read_bytes()
        rig.wait_until_idle(daemon, 2)
        for number in range(rounds):
            path.chmod(0o644 if number % 2 else 0o664)
            os.utime(path, ns=(number, before))
            path.read_bytes()
        rig.drop("after.png", png(20, 30))
        daemon.wait_for("image.finished", path="after.png")
        done = len(daemon.events("image.finished", path="queued.png"))
        finding.expect(done == 1, f"done {done} times")
    rig.check(finding, {"large.png", "queued.png", "after.png"})
    finding.rounds = rounds


IN_EACH_PLACE = tuple(
    Scenario(
        f"{number}{letter}",
        f"{title}; keep, archive, delete; {place}",
        target,
        partial(run, place),
        rounds,
        few,
        in_ci=in_ci and place is not Place.TWO_DISKS,
    )
    for number, title, target, run, rounds, few, in_ci in (
        (
            "10",
            "writers of 1 kB/s that pause and reopen",
            "not read early unless the pause is longer than settle; then done again",
            slow_writers,
            100,
            4,
            False,
        ),
        (
            "11",
            "preallocated files with times set back",
            "done when they are whole",
            preallocated,
            102,
            6,
            True,
        ),
    )
    for letter, place in zip(("", "b", "c"), Place, strict=True)
)
SCENARIOS = (
    *IN_EACH_PLACE,
    Scenario(
        "12",
        "temporary names of rsync, browsers, syncthing",
        "ignored; the final name taken once",
        temporary_names,
        200,
        8,
    ),
    Scenario(
        "13",
        "a file replaced while it is in work",
        "the output is the newer one's",
        replaced_in_work,
        20,
        1,
    ),
    Scenario(
        "14",
        "files deleted while queued and in work",
        "no warning, no retry",
        deleted,
        20,
        1,
        in_ci=False,
    ),
    Scenario(
        "15",
        "1,000 changes of metadata while queued and after",
        "done once",
        touched,
        1000,
        50,
    ),
)
