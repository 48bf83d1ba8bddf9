"""The systemd unit: accepted by systemd, hardened, and what it must and must not say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sharpend.errors import ExitCode

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNIT = SYSTEMD / "sharpend.service"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings_of_unit() -> list[tuple[str, str]]:
    """Every Key=value of the unit, comments left out."""
    text = UNIT.read_text(encoding="utf-8")
    return re.findall(r"(?m)^(\w+)=(.*)$", text)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists, since verify looks for it."""
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/usr/bin/sharpend run " in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/usr/bin/sharpend", sys.executable), encoding="utf-8")
    return copy


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    """A finished command, both of its outputs in one."""
    return subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@needs_systemd
def test_systemd_accepts_every_line(unit: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    result = ran("systemd-analyze", "verify", "--man=no", str(unit))
    assert (result.returncode, result.stdout) == (0, "")


@needs_systemd
def test_the_exposure_stays_low(unit: Path) -> None:
    """`systemd-analyze security` rates the unit at 2.5 of 10 or better."""
    options = ("--offline=true", "--threshold=25", "--no-pager")
    result = ran("systemd-analyze", "security", *options, str(unit))
    assert result.returncode == 0, result.stdout


def test_no_restart_where_it_cannot_help() -> None:
    """Usage, bad input, a missing folder and wrong settings need a person, not a restart."""
    final = {ExitCode.USAGE, ExitCode.SOME_QUARANTINED, ExitCode.INPUT_MISSING}
    final |= {ExitCode.CONFIGURATION}
    listed = dict(settings_of_unit())["RestartPreventExitStatus"]
    assert {int(status) for status in listed.split()} == {int(code) for code in final}


def test_what_would_break_the_daemon_is_not_set() -> None:
    """Convolutions need writable code, and a dynamic user cannot see people's folders."""
    keys = {key for key, _ in settings_of_unit()}
    assert not keys & {"MemoryDenyWriteExecute", "DynamicUser"}
    assert ("Type", "notify") in settings_of_unit()


def test_every_key_stands_once_and_every_group_is_explained() -> None:
    """No line undoes another, and each paragraph has a comment that says why."""
    keys = [key for key, _ in settings_of_unit()]
    assert len(keys) == len(set(keys))
    for paragraph in UNIT.read_text(encoding="utf-8").split("\n\n"):
        assert "#" in paragraph or paragraph.startswith("[Install]"), paragraph


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is missing")
def test_the_user_of_the_unit_is_made(tmp_path: Path) -> None:
    """sysusers.d makes exactly the user that the unit runs as."""
    (tmp_path / "etc").mkdir()
    directory = tmp_path / "usr/lib/sysusers.d"
    directory.mkdir(parents=True)
    shutil.copy(SYSTEMD / "sysusers.d/sharpend.conf", directory)
    result = ran("systemd-sysusers", f"--root={tmp_path}", "--dry-run", "sharpend.conf")
    assert result.returncode == 0, result.stdout
    assert f"Creating user '{dict(settings_of_unit())['User']}'" in result.stdout
