"""`sharpend` with a hook at every step between a claimed job and a disposed source.

    CRASH_ORDER=FILE python -m tests.crashing run --config …

Each step, in the daemon and in its workers, looks into the file. Where that orders a death at this
step, the process named there ends at once by the signal named there, as after a power cut or a
fault in a decoder. Without the file nothing happens. The product has none of this: this entry
point puts its hooks around it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sharpend import cli
from sharpend.commit.committer import Committer
from sharpend.commit.quarantine import Quarantine
from sharpend.daemon import dispatcher, operations
from sharpend.daemon.pending_results import PendingResults
from sharpend.workers import ahead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sharpend.attempt import Failed, Staged
    from sharpend.commit.destination import TempNames
    from sharpend.commit.place import PlaceOf
    from sharpend.daemon.folder import AssignedJob
    from sharpend.ledger.ledger import Ledger
    from sharpend.task import Task
    from sharpend.workers.pipeline import Pipeline

WORKER_STEPS = ("taken", "opened", "decoded", "sharpened", "written", "fsynced", "returned")
COMMIT_STEPS = ("chosen", "staged", "renamed", "synced", "finished", "source_removed", "disposed")
QUARANTINE_STEPS = ("recorded", "moved", "written.reason", "noted")
RETRY_STEPS = ("restored", "removed")

_reached = Counter[str]()
_at_work = ""
"""The input of this worker, where this process is one."""


@dataclass(frozen=True)
class Order:
    """Who dies of what, and where."""

    step: str
    signal: str = "SIGKILL"
    worker: bool = False
    """The worker alone, and not the daemon."""
    path: str = ""
    """Only with an input at work whose path has this in it."""
    group: int = 1
    """Staged files wait until so many can be committed together."""
    nth: int = 1
    """Which file of the group has reached the step."""

    def give(self, file: Path) -> None:
        """From now on, until the file is removed."""
        hidden = file.with_suffix(".new")
        hidden.write_text(json.dumps(asdict(self)))
        hidden.rename(file)


def ordered() -> Order | None:
    """What is ordered now."""
    with suppress(FileNotFoundError), open(os.environ["CRASH_ORDER"], encoding="utf-8") as file:
        return Order(**json.load(file))
    return None


def at(step: str, *, in_worker: bool = False) -> None:
    """A step is reached."""
    order = ordered()
    if order is None or order.step != step or order.path not in _at_work:
        return
    _reached[step] += 1
    if _reached[step] < order.nth:
        return
    if in_worker and not order.worker:
        os.open(_fifo(), os.O_WRONLY)  # a worker may signal nobody but itself
    else:
        os.kill(os.getpid(), getattr(signal, order.signal))
    signal.pause()  # nothing more is done until death comes


def hooked_committer(
    ledger: Ledger, names: TempNames, place_of: PlaceOf, between_steps: Callable[[str], None]
) -> Committer:
    """The dispatcher's committer, with a step reached after what the dispatcher does there."""

    def both(step: str) -> None:
        between_steps(step)
        at(step)

    return Committer(ledger, names, place_of, both)


def _fifo() -> str:
    return f"{os.environ['CRASH_ORDER']}.reached"


def die_when_a_worker_says() -> None:
    """Wait for a worker at the step that was ordered, and end this process, the daemon."""
    with open(_fifo(), "rb"):
        os.kill(os.getpid(), signal.SIGKILL)


def around(before: str, function: Callable[..., Any], after: str = "") -> Callable[..., Any]:
    """The function, with a step of the worker before it, and one after it."""

    @wraps(function)
    def hooked(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        at(before, in_worker=True)
        result = function(*arguments, **named)
        at(after, in_worker=True)
        return result

    return hooked


def hook_worker() -> None:
    """Put steps around the way of an image."""
    from sharpend.imaging import codec, metadata_policy  # noqa: PLC0415
    from sharpend.workers import pipeline, staging  # noqa: PLC0415 - torch, in workers alone

    run = pipeline.Pipeline.run

    def noted(self: Pipeline, task: Task) -> Staged | Failed:
        global _at_work  # noqa: PLW0603 - one process, one input
        _at_work = os.fsdecode(task.relative)
        return run(self, task)

    hooks = (
        (pipeline.Pipeline, "run", around("taken", noted, "returned")),
        (codec, "decode", around("opened", codec.decode, "decoded")),
        (pipeline, "finished", around("sharpened", metadata_policy.finished)),
        (codec, "encode", around("", codec.encode, "written")),
        (staging, "_write_in", around("", staging._write_in, "fsynced")),
    )
    for owner, name, hooked in hooks:
        setattr(owner, name, hooked)


def groups(self: PendingResults) -> list[list[tuple[AssignedJob, Staged]]]:
    """The staged files, once there are as many as ordered."""
    order, found = ordered(), list(GROUPS(self))
    return [] if order and sum(map(len, found)) < order.group else found


GROUPS = PendingResults.groups


def at_reason(step: str) -> None:
    """A step of the quarantine; one of them is called as one of the worker's."""
    at("written.reason" if step == "written" else step)


def main() -> int:
    """Run `sharpend` with hooks in commit and quarantine."""
    with suppress(FileExistsError):
        os.mkfifo(_fifo())
    threading.Thread(target=die_when_a_worker_says, daemon=True).start()
    hooked = partial(Quarantine, at=at_reason)
    with (
        patch.object(dispatcher, "Committer", hooked_committer),
        patch.object(dispatcher, "Quarantine", hooked),
        patch.object(operations, "Quarantine", hooked),
        patch.object(PendingResults, "groups", groups),
        patch.object(ahead, "PROGRAM", "tests.crashing_worker"),
    ):
        return cli.main()


if __name__ == "__main__":
    sys.exit(main())
