"""Real daemons under every policy: sources, names that are taken, second chances."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.imaging.files import load_rgb
from tests.conftest import drop
from tests.daemons import configured, running, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

POLICIES: dict[str, dict[str, object]] = {
    "archived": {"source": "archive"},
    "deleted": {"source": "delete"},
    "suffixed": {"existing": "suffix"},
    "skipped": {"existing": "skip"},
    "replaced": {"existing": "replace"},
    "again": {"reprocess": True},
    "kept": {},
}
"""What is special about each folder, by its name."""


def policies(base: Path, *, strength: float) -> list[dict[str, object]]:
    """One folder for each policy."""
    folders = []
    for name, policy in POLICIES.items():
        ways = {"input": base / name, "output": base / f"{name}-out", "strength": strength}
        archive = {"archive": base / "archive"} if name == "archived" else {}
        folders.append(ways | {"settle_s": 0.1} | policy | archive)
    return folders


def test_policies(networks: Networks, tmp_path: Path) -> None:
    """Each `source` and `existing` policy does what it says; `reprocess` follows a new strength."""
    for name, policy in POLICIES.items():
        drop(tmp_path / name, "a.png")
        (tmp_path / f"{name}-out").mkdir()
        if "existing" in policy:
            (tmp_path / f"{name}-out" / "a.png").write_text("foreign")
    config = configured(tmp_path, networks.student, *policies(tmp_path, strength=1))
    with running("--config", config) as daemon:
        for name in POLICIES:
            event = daemon.wait_for("image.finished", folder=name, path="a.png")
            assert event["outcome"] == ("unchanged" if name == "skipped" else "sharpened")
        assert not (tmp_path / "archived" / "a.png").exists()
        assert load_rgb(tmp_path / "archive" / "a.png").shape == (48, 64, 3)
        assert not (tmp_path / "deleted" / "a.png").exists()
        assert (tmp_path / "skipped-out" / "a.png").read_text() == "foreign"
        assert (tmp_path / "suffixed-out" / "a.png").read_text() == "foreign"
        assert load_rgb(tmp_path / "suffixed-out" / "a-2.png").shape == (48, 64, 3)
        assert load_rgb(tmp_path / "replaced-out" / "a.png").shape == (48, 64, 3)
        configured(tmp_path, networks.student, *policies(tmp_path, strength=0.5))
        for changed in (8, 0):  # the second reload finds nothing left to do again
            daemon.send(signal.SIGHUP)
            assert len(daemon.wait_for("config.reloaded")["changed"]) == (7 if changed else 0)
            daemon.wait_for("report.published", queue_depth=0, images_total=7)
        assert len(daemon.events("image.finished")) == 8
        assert len(list((tmp_path / "again-out").iterdir())) == 1


@pytest.mark.parametrize("source", ["keep", "archive", "delete"])
def test_a_second_chance(networks: Networks, tmp_path: Path, source: str) -> None:
    """`retry` beside a running daemon brings back a repaired image; `--all` finished ones too."""
    folder: dict[str, object] = {
        "input": tmp_path / "in",
        "output": tmp_path / "out",
        "settle_s": 0.1,
        "source": source,
    }
    if source == "archive":
        folder["archive"] = tmp_path / "archive"
    config = configured(tmp_path, networks.student, folder, intake={"quiet_s": 0.2})
    retry = ["retry", "--config", str(config)]
    with running("--config", config) as daemon:
        (tmp_path / "in" / "a.png").write_bytes(b"")
        daemon.wait_for("image.quarantined", path="a.png")
        note = tmp_path / "state" / "quarantine" / "in" / "a.png.reason.json"
        until(note.exists)
        held = tmp_path / "in" if source == "keep" else note.parent
        until((held / "a.png").exists)
        assert main(retry) == 0
        daemon.wait_for("image.quarantined", path="a.png")
        until(lambda: note.exists() and (held / "a.png").exists())
        drop(held, "a.png")
        if source != "keep":
            assert main([*retry, str(tmp_path / "in" / "a.png")]) == 0
        finished = daemon.wait_for("image.finished", path="a.png")
        assert (finished["outcome"], finished["output"]) == ("sharpened", "a.png")
        until(lambda: not note.exists())
        if source == "keep":
            before = (tmp_path / "out" / "a.png").stat().st_ino
            assert main([*retry, "--all"]) == 0
            daemon.wait_for("image.finished", path="a.png")
            assert (tmp_path / "out" / "a.png").stat().st_ino != before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
