"""Writers that pause, or reopen their file: it ends whole, whatever was judged in between."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.imaging.files import load_rgb
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from tests.conftest import drop
from tests.daemons import Daemon, configured, once, running, until
from tests.mounts import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

POLICIES = ("keep", "archive", "delete")
MOVING = ("archive", "delete")
PAUSES_S = (2.5, 3.5, 5.0, 12.0)


@dataclass
class Place:
    """A folder for each policy, their state directory, and an image to write into them."""

    base: Path
    state: Path
    model: Path
    content: bytes

    def configure(self, *, settle_s: object = 0.2, quiet_s: float = 300.0) -> Path:
        """A configuration of all folders."""
        folders: list[dict[str, object]] = [
            {
                "input": self.base / policy,
                "output": self.base / f"{policy}-out",
                "source": policy,
                "settle_s": settle_s,
                **({"archive": self.state.parent / "originals"} if policy == "archive" else {}),
            }
            for policy in POLICIES
        ]
        for policy in POLICIES:
            (self.base / policy).mkdir(parents=True, exist_ok=True)
        config = configured(self.base, self.model, *folders, intake={"quiet_s": quiet_s})
        text = config.read_text()
        config.write_text(text.replace(str(self.base / "state"), str(self.state)))
        return config

    def counts(self) -> dict[str, int]:
        """The ledger's counts, those that are not 0."""
        with LedgerReader.read_only(self.state) as ledger:
            return {state.value: count for state, count in ledger.counts().items() if count}

    def quarantine(self) -> list[str]:
        """Every file in quarantine."""
        root = self.state / "quarantine"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def require_whole(self, policy: str, name: str) -> None:
        """The output is of the whole image, and no byte of the source is lost."""
        assert load_rgb(self.base / f"{policy}-out" / name).shape == (200, 300, 3)
        source = self.base / policy / name
        if policy == "keep":
            assert source.read_bytes() == self.content
        else:
            until(lambda: not source.exists())
        if policy == "archive":
            assert (self.state.parent / "originals" / name).read_bytes() == self.content


@pytest.fixture(params=["one disk", "two disks"])
def place(request: pytest.FixtureRequest, tmp_path: Path, networks: Networks) -> Iterator[Place]:
    """Inputs and state on one file system, or on two."""
    content = drop(tmp_path / "new", "x.png", height=200, width=300).read_bytes()
    with ExitStack() as stack:
        state = tmp_path / "state"
        if request.param == "two disks":
            stack.enter_context(small_disk(tmp_path / "disk", megabytes=32))
            state = tmp_path / "disk" / "state"
        yield Place(tmp_path, state, networks.student, content)


def pause(seconds: float) -> None:
    """Let time pass: it is what these writers do."""
    time.sleep(seconds)


def write_held(path: Path, content: bytes, pause_s: float) -> None:
    """Write half, pause with the file open, write the rest."""
    with path.open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        pause(pause_s)
        file.write(content[len(content) // 2 :])


def write_resumed(path: Path, content: bytes, pause_s: float) -> None:
    """Write half, close the file, pause, append the rest."""
    path.write_bytes(content[: len(content) // 2])
    pause(pause_s)
    with path.open("ab", buffering=0) as file:
        file.write(content[len(content) // 2 :])


WRITERS = {"held": write_held, "resumed": write_resumed}


def refused(daemon: Daemon, policy: str, name: str) -> None:
    """Wait until the half was judged."""
    daemon.wait_for("image.quarantined", folder=policy, path=name, error_code="truncated")


def test_writers_that_pause(place: Place) -> None:
    """Pauses of 2.5 to 12 s at the default settings: every file ends with its whole output."""
    config = place.configure(settle_s="auto")
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        writers = {
            (policy, f"{kind}-{pause_s}.png"): threading.Thread(
                target=write,
                args=(place.base / policy / f"{kind}-{pause_s}.png", place.content, pause_s),
            )
            for policy in POLICIES
            for kind, write in WRITERS.items()
            for pause_s in PAUSES_S
        }
        for writer in writers.values():
            writer.start()
        for policy, name in writers:
            daemon.wait_for("image.finished", folder=policy, path=name)
        for (policy, name), writer in writers.items():
            writer.join()
            place.require_whole(policy, name)
        assert daemon.events("image.quarantined", error_code="truncated")
        assert daemon.events("image.vanished") == []
    assert place.counts() == {"disposed": len(writers)}
    assert place.quarantine() == []


@pytest.mark.parametrize("place", ["two disks"], indirect=True)
def test_a_file_that_grows_every_second(place: Place) -> None:
    """It is judged a few times, not twenty times a minute, and counts as one file.

    Nothing is moved before `quiet_s`, so that one disk would show no more.
    """
    config = place.configure(settle_s="auto")
    seconds = 25
    size = len(place.content) // seconds + 1
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        for second in range(seconds):
            for policy in POLICIES:
                with (place.base / policy / "x.png").open("ab", buffering=0) as file:
                    file.write(place.content[second * size : (second + 1) * size])
            counts = place.counts()
            assert counts.get("quarantined", 0) + counts.get("vanished", 0) <= len(POLICIES)
            pause(1.0)
        for policy in POLICIES:
            daemon.wait_for("image.finished", folder=policy)
            place.require_whole(policy, "x.png")
            judged = len(daemon.events("image.quarantined", folder=policy))
            judged += len(daemon.events("image.changed", folder=policy))
            assert judged <= 6
    assert place.quarantine() == []


def test_half_a_file_waits_for_its_writer(place: Place) -> None:
    """While a writer has the file open it stays, however often `quiet_s` has passed."""
    with running("--config", place.configure(quiet_s=0.3)) as daemon, ExitStack() as files:
        daemon.wait_for("daemon.ready")
        opened = {
            policy: files.enter_context((place.base / policy / "x.png").open("wb", buffering=0))
            for policy in POLICIES
        }
        for file in opened.values():
            file.write(place.content[:5000])
        for policy in POLICIES:
            refused(daemon, policy, "x.png")
        note = place.state / "quarantine" / "delete" / "x.png.reason.json"
        until(note.exists)
        pause(3.0)
        for policy, file in opened.items():
            assert (place.base / policy / "x.png").read_bytes() == place.content[:5000]
            file.write(place.content[5000:])
            file.close()
        for policy in POLICIES:
            daemon.wait_for("image.changed", folder=policy)
            daemon.wait_for("image.finished", folder=policy)
            place.require_whole(policy, "x.png")
    assert (place.counts(), place.quarantine()) == ({"disposed": 3}, [])


def test_half_a_file_that_was_left_goes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Closed and unchanged for `quiet_s` it goes to quarantine, and `retry` brings it back."""
    half = place.content[:5000]
    config = place.configure(quiet_s=0.5)
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        for policy in POLICIES:
            (place.base / policy / "x.png").write_bytes(half)
        for policy in MOVING:
            refused(daemon, policy, "x.png")
            moved = place.state / "quarantine" / policy / "x.png"
            until(moved.exists)
            until(lambda policy=policy: not (place.base / policy / "x.png").exists())  # type: ignore[misc]
            assert moved.read_bytes() == half
        refused(daemon, "keep", "x.png")
        assert (place.base / "keep" / "x.png").read_bytes() == half
        assert main(["retry", "--state", str(place.state)]) == 0
        assert capsys.readouterr().out == "3 will be retried\n"
        refused(daemon, "keep", "x.png")


def test_a_restart_keeps_the_watch(place: Place) -> None:
    """Killed after half was judged, the next daemon sharpens the whole file that it finds."""
    config = place.configure()
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        for policy in POLICIES:
            (place.base / policy / "x.png").write_bytes(place.content[:5000])
            refused(daemon, policy, "x.png")
        until(lambda: len(place.quarantine()) == len(POLICIES))
        daemon.kill()
    for policy in POLICIES:
        with (place.base / policy / "x.png").open("ab") as file:
            file.write(place.content[5000:])
    with running("--config", config) as daemon:
        for policy in POLICIES:
            daemon.wait_for("image.finished", folder=policy)
            place.require_whole(policy, "x.png")
    assert (place.counts(), place.quarantine()) == ({"disposed": 3}, [])


def test_once_counts_files(place: Place) -> None:
    """A bad file that was changed three times is one refusal; a good one in its place is none."""
    config = place.configure()
    path = place.base / "delete" / "x.png"
    for text in ("a", "bb", "ccc"):
        path.write_text(text)
        assert once("--config", config).returncode == 65
        assert place.counts() == {State.QUARANTINED: 1}
    path.write_bytes(place.content)
    assert once("--config", config).returncode == 0
    assert (place.counts(), place.quarantine()) == ({State.DISPOSED: 1}, [])
