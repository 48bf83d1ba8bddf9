"""Interface of an intake: its options, the result of a step, and the methods that callers use.

`FolderIntake` works in the caller's thread, `RemoteIntake` lists object storage, and
`ThreadedIntake` gives one of them a thread of its own, as a file system or a store may hang.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sharpend.files.patterns import EVERYTHING, Patterns
from sharpend.intake.tally import Found

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from sharpend.intake.patience import Patience
    from sharpend.intake.tally import Tally

Fresh: TypeAlias = Callable[[Sequence[Found]], Sequence[Found]]
"""Returns those of at most 1,000 files that the ledger has neither finished nor queued."""


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """Options of one folder's intake."""

    root: bytes
    recursive: bool = True
    patterns: Patterns = EVERYTHING
    """Of names that are left out."""
    only: Sequence[bytes] | None = None
    """Paths below the root that alone are inputs; None: all files."""
    settle_s: float | None = None
    """Seconds that a file must stay unchanged; None chooses by event and file system."""
    polling: bool | None = None
    """True scans every `poll_s` instead of watching; None chooses by file system."""
    poll_s: float = 5.0
    """Seconds between two scans of a folder that is polled."""
    rescan_s: float = 60.0
    """Seconds between two scans of a folder that is watched."""
    threaded: bool | None = False
    """True scans in a thread of its own, because it may hang; None chooses by file system."""


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one step: settled files, and the state of the folder after it."""

    next_s: float
    """Monotonic seconds of the next step, unless `wake` asks for it sooner."""
    settled: list[Found] = field(default_factory=list)
    """At most 2,000, each once; they must be in the ledger before the next step."""
    settling: int = 0
    """Number of files that have not settled yet."""
    tally: Tally | None = None
    """Counts of the last full scan, a new object for each; None until the first full scan since the
    start, or since the folder came back, is complete."""
    paused: str | None = None
    """Reason why the folder is paused, or None."""
    polling: str | None = None
    """Reason why the folder is polled and not watched, or None."""


class Intake(Protocol):
    """Finds the settled files of one folder; all methods are called from one thread."""

    def step(self, now_s: float) -> Step:
        """Do a small piece of work; `now_s` is monotonic seconds."""

    def unsettle(self, relative: bytes) -> None:
        """Make a file settle again that changed after it was reported as settled."""

    def restart(self) -> None:
        """Discard all state: the next step begins with a full scan."""

    def close(self) -> None:
        """Stop watching and close all descriptors."""


class InputPlace(Protocol):
    """Place of inputs: the verbs of `commit.place` that list them."""

    def inputs(self, options: FolderOptions, tally: Tally) -> Iterator[list[Found]]:
        """List the inputs of a folder as they are now, in batches.

        Args:
            options: of the folder.
            tally: counts what is found, and what is left alone.

        Raises:
            OSError: the place does not list them.
        """

    def intake(
        self,
        options: FolderOptions,
        fresh: Fresh,
        patience: Patience,
        *,
        wake: Callable[[], None],
        chance: random.Random,
        objection: Callable[[], str | None] = lambda: None,
    ) -> Intake:
        """Start to look for the inputs of a folder, in a thread where the place may hang.

        Args:
            options: of the folder.
            fresh: selects the files that are new to the ledger.
            patience: lengthens the wait for files that were judged too early.
            wake: asks for a step soon, from any thread; must return at once.
            chance: spreads the scans of several folders.
            objection: returns why the folder is not the one to work in, or None; from any thread.
        """
