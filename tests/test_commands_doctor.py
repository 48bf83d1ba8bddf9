"""`sharpend doctor` on this very machine: what it says, how it ends, that it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.checks import device, runner, unit
from sharpend.checks.unit import Unit
from sharpend.cli import main
from sharpend.errors import UnavailableError
from sharpend.ledger.opening import lock
from sharpend.model import automatic
from tests.daemons import toml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks


def configured(home: Path, model: Path | str = "auto", **folder: object) -> Path:
    """A configuration of one folder, and its input."""
    (home / "in").mkdir(exist_ok=True)
    config = home / "sharpend.toml"
    ways = {"input": home / "in", "output": home / "out"}
    config.write_text(toml(home / "state", {"model": {"name": model}}, ways | folder))
    config.chmod(0o644)
    return config


def diagnosed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the checks by subject."""
    status = main(["doctor", "--config", str(config), "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    return status, {check["subject"]: check for check in checks}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the process that imports torch, which takes seconds."""

    def ask_worker(*_: object, **__: object) -> UnavailableError:
        return UnavailableError("left out by the test")

    monkeypatch.setattr(device, "ask_worker", ask_worker)


@pytest.mark.usefixtures("quick")
def test_faults_have_their_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """78 comes before 66, and that before 69; each subject says what it found."""
    config = configured(tmp_path)
    status, checks = diagnosed(config, capsys)
    assert (status, checks["worker"]["level"]) == (69, "fault")
    (tmp_path / "in").rmdir()
    status, checks = diagnosed(config, capsys)
    assert (status, checks["in: input"]["level"]) == (66, "fault")
    config.chmod(0o666)
    status, checks = diagnosed(config, capsys)
    assert (status, checks["configuration"]["level"]) == (78, "fault")
    config.write_text("")
    status, checks = diagnosed(config, capsys)
    assert (status, checks["folders"]["found"]) == (78, "no folder configured")


@pytest.mark.usefixtures("quick")
def test_the_model_of_auto_is_named_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the settings leave the model to `auto`, and only there."""
    monkeypatch.setattr(automatic, "_lacks_for_int8", lambda: "OpenVINO is not installed")
    checks = diagnosed(configured(tmp_path), capsys)[1]
    assert checks["model"]["found"] == '"auto" is lite-photo: OpenVINO is not installed'
    assert "model" not in diagnosed(configured(tmp_path, "lite-x4"), capsys)[1]


@pytest.mark.usefixtures("quick")
def test_a_daemon_that_holds_the_ledger_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lock decides, whatever the status file says."""
    config = configured(tmp_path)
    assert diagnosed(config, capsys)[1]["daemon"]["level"] == "ok"
    holder = lock(tmp_path / "state")
    try:
        assert diagnosed(config, capsys)[1]["daemon"]["level"] == "note"
    finally:
        os.close(holder)


def unit_for(config: Path, **properties: str) -> Unit:
    """An installed unit that starts these settings as this user."""
    name = runner.ourselves().name
    program = f"{sys.executable} run --config {config}"
    sound = {
        "Id": "sharpend.service",
        "LoadState": "loaded",
        "ActiveState": "active",
        "ExecStart": f"{{ path={sys.executable} ; argv[]={program} ; ignore_errors=no }}",
        "User": name,
        "UMask": "0027",
        "ProtectSystem": "strict",
        "ReadWritePaths": str(config.parent),
        "StateDirectory": "sharpend-of-a-test",
    }
    return Unit(sound | properties)


@pytest.mark.usefixtures("quick")
def test_the_units_view_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user, its sandbox and its state directory are what counts, not the caller's."""
    config = configured(tmp_path)
    monkeypatch.setattr(unit, "units", lambda: [unit_for(config)])
    _, checks = diagnosed(config, capsys)
    assert checks["unit: sandbox"]["level"] == "ok"
    assert checks["state"]["found"].startswith(f"{tmp_path}/state: ")
    text = config.read_text()
    config.write_text("".join(line for line in text.splitlines(True) if "state" not in line[:5]))
    _, checks = diagnosed(config, capsys)
    assert checks["state"]["found"] == (
        "/var/lib/sharpend-of-a-test: does not exist yet, the unit creates it"
    )
    monkeypatch.setattr(unit, "units", lambda: [unit_for(config, ReadWritePaths="")])
    status, checks = diagnosed(config, capsys)
    assert (status, checks["unit: sandbox"]["level"]) == (78, "fault")
    monkeypatch.setattr(unit, "units", lambda: [unit_for(config, User="no-such-user")])
    status, checks = diagnosed(config, capsys)
    assert (status, "no-such-user" in checks["unit"]["found"]) == (78, True)


def test_a_wrong_setting_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `check` says it, and nothing else is looked at."""
    config = configured(tmp_path, group="no-such-group")
    assert main(["doctor", "--config", str(config)]) == 78
    told = capsys.readouterr()
    assert (told.out, "folder.1.group" in told.err) == ("", True)


@pytest.mark.slow
def test_this_machine(networks: Networks, tmp_path: Path) -> None:
    """The real worker, torch and kernel are asked, one line each; the disk stays as it was."""
    config = configured(tmp_path, networks.student, mode="0640")
    ran = subprocess.run(
        [sys.executable, "-m", "sharpend", "doctor", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    assert any(line.startswith("ok    device: student runs on ") for line in lines)
    assert any(line[6:].startswith("torch: ") for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "sharpend.toml"]
