"""An attacker who swaps files, links, FIFOs and folders while they are opened, and a count of it.

    python -m tests.races [FLIPS]

The attacker is a process of its own that exchanges two names in one step, so that nothing is ever
missing; the reader opens, as a worker does, and scans, as the daemon does, all the while.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError
from sharpend.files import beneath
from sharpend.intake import scan
from sharpend.intake.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSIDE, OUTSIDE = b"inside", b"outside"
_AT_FDCWD = -100
_EXCHANGE = 2
PAIRS = (
    ("a/file.png", "a/.link"),
    ("a/pipe.png", "a/.pipe"),
    ("parent", ".door"),
    ("b/parent", "b/.door"),
)
"""What is exchanged: an image with a link, an image with a FIFO, folders with links to others."""
INPUTS = (b"a/file.png", b"a/pipe.png", b"parent/x.png", b"b/parent/deep/x.png")


@dataclass
class Race:
    """What came of a race."""

    flips: int = 0
    reads: int = 0
    """Attempts to open one of the inputs."""
    inside: int = 0
    refused: int = 0
    looks: int = 0
    """Whole scans, and looks at single paths."""
    escapes: list[str] = field(default_factory=list)
    """Each content read, and each file seen, that is outside."""


def swap_race(
    base: Path, flips: int, open_file: Callable[[bytes, bytes], int] = beneath.open_file
) -> Race:
    """Let so many flips happen, spread over all pairs, while the inputs are read and scanned."""
    root = os.fsencode(_laid_out(base))
    outside = {path.stat().st_ino for path in (base / "outside").rglob("*") if path.is_file()}
    race = Race(flips)
    with attacked(base / "in", flips) as attacker:
        while attacker.poll() is None:
            for relative in INPUTS:
                _read(open_file, root, relative, race)
            _look(root, outside, race)
    assert attacker.returncode == 0
    return race


@contextmanager
def attacked(root: Path, flips: int, *, pause_s: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
    """An attacker at work below a root for the length of a block, or until he has had enough."""
    command = [sys.executable, "-m", "tests.races", "--attack", str(root), str(flips), str(pause_s)]
    attacker = subprocess.Popen(command)
    try:
        yield attacker
    finally:
        attacker.terminate()
        attacker.wait()


def _laid_out(base: Path) -> Path:
    """The input folder, and outside of it what must not be read; returns the folder."""
    root, outside = base / "in", base / "outside"
    for folder in (root / "a", root / "parent", root / "b/parent/deep", outside / "deep"):
        folder.mkdir(parents=True)
    for relative in INPUTS:
        (root / os.fsdecode(relative)).write_bytes(INSIDE)
    for name in ("file.png", "x.png", "deep/x.png"):
        (outside / name).write_bytes(OUTSIDE)
    plant(root, outside)
    return root


def plant(root: Path, outside: Path) -> None:
    """Put the links and the FIFO that the attacker exchanges beside their victims."""
    (root / "a/.link").symlink_to(outside / "file.png")
    os.mkfifo(root / "a/.pipe")
    (root / ".door").symlink_to(outside)
    (root / "b/.door").symlink_to(outside)


def _read(
    open_file: Callable[[bytes, bytes], int], root: bytes, relative: bytes, race: Race
) -> None:
    race.reads += 1
    try:
        with os.fdopen(open_file(root, relative), "rb") as file:
            content = file.read()
    except ImageRefusedError:
        race.refused += 1
        return
    if content == INSIDE:
        race.inside += 1
    else:
        race.escapes.append(f"read {relative!r}: {content!r}")


def _look(root: bytes, outside: set[int], race: Race) -> None:
    race.looks += 1
    found = [one for batch in scan.walk(root, recursive=True, tally=Tally()) for one in batch]
    seen = {one.relative: one.fingerprint.inode for one in found}
    with scan.opened(root) as descriptor:
        for relative in INPUTS:
            status = scan.look(descriptor, relative)
            if status is not None:
                seen[b"look:" + relative] = status.st_ino
    race.escapes += [f"saw {name!r}" for name, inode in seen.items() if inode in outside]


def _attack(root: str, flips: int, pause_s: float) -> None:
    """Exchange the pairs in turn."""
    libc = ctypes.CDLL(None, use_errno=True)
    pairs = [[os.fsencode(os.path.join(root, name)) for name in pair] for pair in PAIRS]
    for number in range(flips):
        one, other = pairs[number % len(pairs)]
        if libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE):
            raise OSError(ctypes.get_errno(), "renameat2")
        if pause_s:
            time.sleep(pause_s)


def main(arguments: list[str]) -> None:
    """Attack for another process, or run a race and print what came of it."""
    if arguments[:1] == ["--attack"]:
        _attack(arguments[1], int(arguments[2]), float(arguments[3]))
        return
    with tempfile.TemporaryDirectory() as base:
        race = swap_race(Path(base), int(arguments[0]) if arguments else 100_000)
    sys.stdout.write(f"{race}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
