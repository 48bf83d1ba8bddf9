"""Disks that are really full: one event, no half-written file, and work goes on by itself."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.imaging.files import load_rgb
from sharpend.ledger.opening import open_ledger
from tests.conftest import drop
from tests.daemons import Daemon, ServiceManager, configured, once, running, temps, until
from tests.mounts import ran, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from tests.conftest import Networks

pytestmark = pytest.mark.slow
NAMES = [f"{number}.png" for number in range(6)]


def write_for_ever(file: BinaryIO) -> None:
    """Page by page, until the disk takes no more."""
    while True:
        file.write(bytes(4096))


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not one page is left on the disk."""
    filler = disk / "filler"
    with (
        filler.open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        write_for_ever(file)
    try:
        yield
    finally:
        filler.unlink()


def tell(**figures: float) -> None:
    """Print what was measured."""
    print({name: round(figure, 2) for name, figure in figures.items()})  # noqa: T201 - shown by -s


def test_a_full_output(networks: Networks, tmp_path: Path) -> None:
    """A full output pauses its folder, spends no attempt, and is worked on when it has space."""
    folders: list[dict[str, object]] = [
        {"input": tmp_path / "in", "output": tmp_path / "disk" / "out", "settle_s": 0.1},
        {"input": tmp_path / "other", "output": tmp_path / "other-out", "settle_s": 0.1},
    ]
    config = configured(tmp_path, networks.student, *folders)
    (tmp_path / "other").mkdir()
    output = tmp_path / "disk" / "out"
    with small_disk(tmp_path / "disk"):
        for number in range(8):
            drop(tmp_path / "in", f"{number}.png", height=400, width=500, seed=number)
        fault = once("--config", config)
        assert (fault.returncode, "Traceback" in fault.stderr) == (73, False)
        assert "No space left" in fault.stderr
        assert temps(output) == []
        with running("--config", config) as daemon:
            paused = daemon.wait_for("folder.paused")
            assert (paused["folder"], "No space left" in paused["reason"]) == ("in", True)
            drop(tmp_path / "other", "a.png")
            daemon.wait_for("image.finished", folder="other")
            made = list(output.glob("*.png"))
            assert 0 < len(made) < 8
            assert all(load_rgb(path).shape == (400, 500, 3) for path in made)
            until(lambda: temps(output) == [])  # now and then one more is tried
            report = daemon.wait_for("report.published", where=lambda one: bool(one["paused"]))
            assert (list(report["paused"]), report["health"]) == (["in"], "degraded")
            ran("mount", "-o", "remount,size=32m", tmp_path / "disk")
            freed_s = time.monotonic()
            daemon.wait_for("folder.resumed")
            tell(resumed_s=time.monotonic() - freed_s)
            until(lambda: len(list(output.glob("*.png"))) == 8)
            assert len(daemon.events("folder.paused")) == 1
            assert len(daemon.events("folder.resumed")) == 1
            assert daemon.events("image.quarantined") == []
            assert daemon.events("image.retried") == []
            assert {one["attempts"] for one in daemon.events("image.finished")} == {1}
        assert {path.name for path in output.iterdir()} == {f"{n}.png" for n in range(8)}


def drop_all(folder: Path) -> dict[str, bytes]:
    """Six images and one that is none; what the folder holds then."""
    for number, name in enumerate(NAMES):
        drop(folder, name, seed=number)
    (folder / ".new").write_bytes(b"no picture")
    (folder / ".new").rename(folder / "bad.png")
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """All files, whole."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_for_the_end(daemon: Daemon, base: Path, state: Path, freed_s: float) -> None:
    """The daemon goes on within a minute, and everything comes to its one end."""
    daemon.wait_for("state.resumed")
    resumed_s = time.monotonic() - freed_s
    tell(resumed_s=resumed_s)
    assert resumed_s < 60
    daemon.wait_for("report.published", health="ok", images_total=6, failures_total=1)
    assert sorted(path.name for path in (base / "out").iterdir()) == NAMES
    assert all(load_rgb(path).shape == (48, 64, 3) for path in (base / "out").iterdir())
    assert (state / "quarantine/in/bad.png.reason.json").exists()
    assert len(daemon.events("state.paused")) == len(daemon.events("state.resumed")) == 1
    assert len(daemon.events("image.quarantined")) == 1
    assert daemon.events("image.retried") == []
    assert sorted(one["path"] for one in daemon.events("image.finished")) == NAMES
    assert temps(base) == []


def test_a_full_state(networks: Networks, tmp_path: Path) -> None:
    """A ledger that cannot be written stops all work, and neither a source nor the daemon ends."""
    config = configured(tmp_path, networks.student)
    state = tmp_path / "disk" / "state"
    manager = ServiceManager(tmp_path / "notify")
    try:
        with small_disk(tmp_path / "disk"):
            wanted = {"NOTIFY_SOCKET": manager.address}
            with running("--config", config, "--state", state, **wanted) as daemon:
                daemon.wait_for("daemon.ready")
                with filled(tmp_path / "disk"):
                    before = drop_all(tmp_path / "in")
                    paused = daemon.wait_for("state.paused")
                    assert str(state) in paused["reason"]
                    manager.wait_for("STATUS=paused, health fail: ")
                    assert daemon.wait_for("report.published", health="fail")["state_fault"]
                    assert contents(tmp_path / "in") == before
                    freed_s = time.monotonic()
                wait_for_the_end(daemon, tmp_path, state, freed_s)
    finally:
        manager.close()


def test_a_start_on_a_full_state(networks: Networks, tmp_path: Path) -> None:
    """`once` ends with 73 and a message; the daemon waits until its ledger can be written."""
    config = configured(tmp_path, networks.student)
    state = tmp_path / "disk" / "state"
    drop(tmp_path / "in", "a.png")
    with small_disk(tmp_path / "disk"), ExitStack() as stack:
        open_ledger(state).close()
        with filled(tmp_path / "disk"):
            fault = once("--config", config, "--state", state)
            assert (fault.returncode, "Traceback" in fault.stderr) == (73, False)
            assert str(state) in fault.stderr
            daemon = stack.enter_context(running("--config", config, "--state", state))
            daemon.wait_for("state.paused")
        daemon.wait_for("state.resumed")
        daemon.wait_for("image.finished", path="a.png")


def test_a_full_quarantine(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reason that cannot be written, on a disk of its own, is written when there is space."""
    config = configured(tmp_path, networks.student)
    state = tmp_path / "state"
    state.mkdir()
    with small_disk(state / "quarantine"), running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        with filled(state / "quarantine"):
            before = drop_all(tmp_path / "in")
            assert "No space left" in daemon.wait_for("state.paused")["reason"]
            daemon.wait_for("report.published", health="fail")
            assert main(["status", "--config", str(config)]) == 0
            told = capsys.readouterr().out
            assert "health fail" in told
            assert "paused: all folders: state directory" in told
            assert contents(tmp_path / "in") == before
            freed_s = time.monotonic()
        wait_for_the_end(daemon, tmp_path, state, freed_s)
