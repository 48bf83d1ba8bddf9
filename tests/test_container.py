"""The container: its health check, and that Containerfile, Compose file and settings agree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sharpend.daemon.daemon import DRAIN_S
from sharpend.settings.load import load

FOLDER = Path(__file__).parent.parent / "config" / "container"
WELL = {"state": "running", "health": "ok", "state_fault": None}
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}


def health(state: Path) -> tuple[int, str]:
    """Run the health check as the container does: exit status and line."""
    ran = subprocess.run(
        [sys.executable, FOLDER / "healthcheck.py"],
        env={**os.environ, "STATE_DIRECTORY": str(state)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


@pytest.mark.parametrize(
    ("status", "age_s", "line"),
    [
        ({}, 0, None),
        ({"health": "degraded"}, 100, None),
        ({}, 4000, "the last status is 40"),
        ({"state": "stopped"}, 0, "stopped, health ok"),
        (
            {"state": "paused", "health": "fail", "state_fault": "disk full"},
            0,
            "paused, health fail: disk full",
        ),
    ],
)
def test_health_follows_the_status_file(
    tmp_path: Path, status: dict[str, str], age_s: float, line: str | None
) -> None:
    """Unhealthy is a daemon that does not run, is silent, or cannot write its state."""
    told = WELL | {"at": time.time() - age_s} | status
    (tmp_path / "status.json").write_text(json.dumps(told))
    code, said = health(tmp_path)
    assert (code, said.startswith(line or "healthy")) == (int(line is not None), True)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_without_a_status_there_is_no_health(tmp_path: Path, content: str | None) -> None:
    """A status file that is missing or broken is one line, never a traceback."""
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    code, said = health(tmp_path)
    assert code == 1
    assert said.startswith("no status: ")


def test_the_settings_and_the_volumes_are_the_same_folders() -> None:
    """The image's settings are valid, and their folders are the volumes of both files."""
    (state,) = re.findall(r"STATE_DIRECTORY=(\S+)", TEXTS["Containerfile"])
    settings = load(FOLDER / "sharpend.toml", environment={"STATE_DIRECTORY": state})
    (folder,) = settings.folder
    places = {str(settings.state), str(folder.input), str(folder.output)}
    (volumes,) = re.findall(r"(?m)^VOLUME (\[.*\])$", TEXTS["Containerfile"])
    assert set(json.loads(volumes)) == places
    assert set(re.findall(r"(?m)^ +- [\w./]+:(/\S+)$", TEXTS["compose.yaml"])) == places


def test_a_stop_waits_longer_than_the_daemon_drains() -> None:
    """Compose and the documented command grant the images in progress their time."""
    (grace,) = re.findall(r"stop_grace_period: (\d+)s", TEXTS["compose.yaml"])
    (asked,) = re.findall(r"--stop-timeout (\d+)", TEXTS["README.md"])
    assert min(int(grace), int(asked)) > DRAIN_S


def test_what_the_image_is_made_of_is_there() -> None:
    """Every file that the Containerfile copies from the checkout exists."""
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", TEXTS["Containerfile"])
    for name in " ".join(copied).split():
        assert (FOLDER.parent.parent / name).exists(), name
