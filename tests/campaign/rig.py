"""What every scenario of the campaign is on: folders, a small model, and what was found."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from tests.conftest import photograph
from tests.daemons import Daemon, configured, temps, until
from tests.students import agreeing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = (33, 47)
PATIENCE_S = 300.0
LOOK_EVERY_S = 0.05


class NotRunError(Exception):
    """This machine lacks what a scenario needs; the text says what."""


@dataclass
class Finding:
    """What came of one scenario."""

    rounds: int = 0
    violations: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    figures: str = ""
    """What else was measured."""
    not_run: str = ""
    """Why it cannot be run on this machine."""
    slack: float = 1.0
    """Times its target that a recovery may take, where other work keeps the machine busy."""

    def expect(self, held: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Note a violation unless it held."""
        if not held:
            self.violations.append(otherwise)

    def recovered(self, seconds: float, limit_s: float) -> None:
        """Note how long a recovery took; longer than its target is a violation."""
        self.recovery_s.append(seconds)
        held = seconds < limit_s * self.slack
        self.expect(held, f"recovery took {seconds:.1f} s, not {limit_s:g} s")


@dataclass(frozen=True)
class Scenario:
    """One fault, how often, and what it is called."""

    number: str
    title: str
    target: str
    """What must hold beside the promise itself."""
    run: Callable[[Rig, int, Finding], None]
    rounds: int
    few: int
    """Rounds of the reduced form."""
    in_ci: bool = True
    """Among the slow tests; others of them show the same where this is False."""


class Rig:
    """Folders, a small model, and a configuration for daemons over them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.inbox, self.outbox = base / "in", base / "out"
        self.state = base / "state"
        self.student = agreeing(base)
        self.config = configured(base, self.student)
        self.chance = random.Random(0)
        self.picture = png(*SIZE)
        self.bad = self.picture[: len(self.picture) // 2]

    def configure(self, *folders: dict[str, object], **tables: dict[str, object]) -> None:
        """Write the configuration anew; without folders, of `in` and `out`."""
        configured(self.base, self.student, *folders, **tables)

    def folder(self, name: str = "in", **values: object) -> dict[str, object]:
        """The usual folder's table, its output beside it, with these values."""
        (self.base / name).mkdir(exist_ok=True)
        output = self.outbox if name == "in" else self.base / f"{name}-out"
        return {"input": self.base / name, "output": output, "settle_s": 0.1} | values

    def drop(self, name: str, content: bytes = b"", *, folder: str = "in") -> Path:
        """An image, whole, under its final name in one step."""
        path = self.base / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.parent / ".new.tmp"
        hidden.write_bytes(content or self.picture)
        return hidden.rename(path)

    def pause(self, longest_s: float) -> None:
        """Let a random time pass, so that the next step meets the daemon at any moment."""
        time.sleep(self.chance.uniform(0, longest_s))

    def counts(self) -> Counter[str]:
        """How many jobs are in each state, as the ledger says."""
        with LedgerReader.read_only(self.state) as ledger:
            return Counter({state.value: count for state, count in ledger.counts().items()})

    def known(self) -> int:
        """How many inputs the ledger knows."""
        return sum(self.counts().values())

    def wait_until_known(self, count: int) -> None:
        """Until so many inputs were found."""
        until(lambda: self.known() >= count, within_s=2 * PATIENCE_S, every_s=LOOK_EVERY_S)

    def wait_until_idle(self, daemon: Daemon, count: int, within_s: float = PATIENCE_S) -> None:
        """Until so many inputs have come to an end."""

        def ended() -> bool:
            assert daemon.process.poll() is None, "the daemon has ended"
            with LedgerReader.read_only(self.state) as ledger:
                states = ledger.counts()
                over = states[State.DISPOSED] + states[State.QUARANTINED]
                # The ledger has a refusal before the file that reports its reason is written.
                return over >= count and all(entry.note for entry in ledger.quarantined())

        until(ended, within_s=within_s, every_s=LOOK_EVERY_S)

    def check(self, finding: Finding, names: set[str]) -> None:
        """Each of these inputs is in place and has its whole output; there is nothing else."""
        gone = [name for name in names if not (self.inbox / name).exists()]
        finding.expect(not gone, f"{len(gone)} sources are gone: {gone[:3]}")
        self.check_outputs(finding, names)

    def check_outputs(self, finding: Finding, names: set[str]) -> None:
        """Each of these outputs is there and whole; there is nothing else."""
        made = {str(path.relative_to(self.outbox)) for path in files(self.outbox)}
        missing, extra = sorted(names - made), sorted(made - names)
        finding.expect(not missing, f"{len(missing)} outputs are missing: {missing[:3]}")
        finding.expect(not extra, f"{len(extra)} outputs too many: {extra[:3]}")
        finding.expect(not temps(self.base), f"left behind: {temps(self.base)[:3]}")
        for name in sorted(made):
            fault = broken(self.outbox / name)
            finding.expect(not fault, f"{name}: {fault}")


def png(height: int, width: int) -> bytes:
    """A small photograph as a PNG."""
    buffer = BytesIO()
    Image.fromarray(photograph(height, width)).save(buffer, "PNG")
    return buffer.getvalue()


def large_picture() -> bytes:
    """An image that takes the worker long enough to be met in the middle of it."""
    buffer = BytesIO()
    Image.fromarray(photograph(600, 900)).resize((2700, 1800)).save(buffer, "PNG")
    return buffer.getvalue()


def first_done(daemon: Daemon, names: set[str]) -> dict[str, Any]:
    """Wait for the first of these files; returns its event."""
    return dict(daemon.wait_for("image.finished", where=lambda one: one["path"] in names))


def files(root: Path) -> list[Path]:
    """The regular files below a folder, ours half-made ones left out."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in found if not path.name.startswith(".sharpend-")]


def broken(path: Path) -> str:
    """What is wrong with an image; nothing where it can be decoded whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is our own
            with Image.open(path) as image:
                image.load()
    except OSError as error:
        return str(error)
    return ""


def inodes(root: Path) -> dict[Path, int]:
    """Which file each output is: one that is made again is another."""
    return {path: path.stat().st_ino for path in files(root)}


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[None]:
    """A mount for the length of a block.

    Raises:
        NotRunError: mounts are not for us.
    """
    path.mkdir(exist_ok=True)
    mount(path, *options)
    try:
        yield
    finally:
        unmount(path)


def mount(path: Path, *options: str) -> None:
    """Mount something there."""
    done = subprocess.run(
        [shutil.which("mount") or "mount", *options, str(path)], check=False, capture_output=True
    )
    if done.returncode:
        raise NotRunError("needs root to mount")


def unmount(path: Path) -> None:
    """Take away what is mounted there, in use or not."""
    subprocess.run(
        [shutil.which("umount") or "umount", "-l", str(path)], check=False, capture_output=True
    )


def needs(*tools: str) -> None:
    """Refuse to go on without these programs, and without root.

    Raises:
        NotRunError: one is missing.
    """
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise NotRunError(f"needs {', '.join(missing)}")
    if os.geteuid() != 0:
        raise NotRunError("needs root")


def tried(scenario: Scenario, rounds: int, *, slack: float = 1.0) -> Finding:
    """Run one scenario in folders of its own; whatever it raises is a violation."""
    finding = Finding(slack=slack)
    base = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        scenario.run(Rig(base), rounds, finding)
    except NotRunError as error:
        finding.not_run = str(error)
    except Exception as error:  # noqa: BLE001 - a campaign goes on
        finding.violations.append(f"{type(error).__name__}: {str(error)[:500]}")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return finding
