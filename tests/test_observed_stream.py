"""A real daemon with previews and a canary: what they show, and that no output knows of them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.files.preview_layout import IMAGES
from sharpend.files.previews import Previews
from tests.conftest import drop
from tests.daemons import configured, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow
IMAGES_DROPPED = 6


def outputs(base: Path) -> dict[str, bytes]:
    """The outputs' contents by name."""
    return {path.name: path.read_bytes() for path in (base / "out").iterdir()}


def worked(base: Path, networks: Networks, **tables: dict[str, object]) -> Path:
    """The folder after a daemon with these settings has worked in it."""
    base.mkdir()
    config = configured(base, networks.student, **tables)
    with running("--config", config) as daemon:
        for number in range(IMAGES_DROPPED):
            drop(base / "in", f"{number}.png", height=96, width=120, seed=number)
        for number in range(IMAGES_DROPPED):
            daemon.wait_for("image.finished", path=f"{number}.png")
    return base


def canary(model: Path) -> dict[str, object]:
    """The table that tries a model on every image."""
    return {"model": str(model), "share": 1.0}


def test_outputs_are_the_same_with_and_without(tmp_path: Path, networks: Networks) -> None:
    """Not a byte differs; previews and the canary's figures are there."""
    plain = worked(tmp_path / "plain", networks, previews={"count": 0})
    watched = worked(
        tmp_path / "watched",
        networks,
        previews={"share": 1},
        canary=canary(networks.student),
        agreement={"sample": 0, "budget": 1.0},
    )
    assert outputs(plain) == outputs(watched)
    assert Previews(plain / "state").sizes() == {}
    previews = Previews(watched / "state")
    assert len(previews.sizes()) == IMAGES_DROPPED
    for job_id in previews.sizes():
        found = previews.find(job_id)
        assert found is not None
        assert (found.width, found.height) == (120, 96)
        assert all(found.path(name).read_bytes()[8:12] == b"WEBP" for name in IMAGES)
    status = json.loads((watched / "state" / "status.json").read_bytes())
    assert (status["canary"]["n"], status["canary"]["difference"]) == (IMAGES_DROPPED, 0)
    assert status["canary"]["crop_ms"] > 0
    assert status["health"] == "ok"


def test_a_reload_changes_the_canary(
    tmp_path: Path, networks: Networks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set, it is measured and shown; impossible, it is rejected with its setting; unset, gone."""
    config = configured(tmp_path, networks.student)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        configured(tmp_path, networks.student, canary=canary(networks.student))
        daemon.send(signal.SIGHUP)
        assert "canary.model" in daemon.wait_for("config.reloaded")["changed"]
        drop(tmp_path / "in", "a.png", height=96, width=120)
        daemon.wait_for("image.finished", path="a.png")
        daemon.wait_for(
            "report.published", where=lambda report: (report["canary"] or {}).get("n") == 1
        )
        assert main(["status", "--state", str(tmp_path / "state")]) == 0
        assert "canary student: SSIM " in capsys.readouterr().out
        configured(tmp_path, networks.student, canary=canary(damaged))
        daemon.send(signal.SIGHUP)
        assert ": canary.model: " in daemon.wait_for("config.rejected")["message"]
        configured(tmp_path, networks.student)
        daemon.send(signal.SIGHUP)
        assert "canary.model" in daemon.wait_for("config.reloaded")["changed"]
        daemon.wait_for("report.published", canary=None)
