"""What the doctor makes of an installed unit: from systemctl's words to what has to be changed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from sharpend.checks import unit
from sharpend.checks.finding import Finding, Level
from sharpend.checks.unit import Reach, Unit
from sharpend.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HARDENED = {
    "Id": "sharpend.service",
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "User": "sharpend",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "StateDirectory": "sharpend",
    "ReadWritePaths": '/srv/photos "-/srv/with space" +/opt/x',
    "InaccessiblePaths": "/srv/photos/secret",
}
"""As `systemctl show` prints the shipped unit with a drop-in."""


def made(**properties: str) -> Unit:
    """The hardened unit with some of its properties replaced."""
    return Unit(HARDENED | properties)


def exec_start(command: str) -> str:
    """ExecStart as systemctl prints it."""
    path = command.split(maxsplit=1)[0]
    return f"{{ path={path} ; argv[]={command} ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}"


def levels(findings: Sequence[Finding]) -> list[Level]:
    """How much each finding weighs."""
    return [one.level for one in findings]


@pytest.mark.parametrize(
    ("path", "reach"),
    [
        ("/srv/photos", Reach.WRITABLE),
        ("/srv/photos/sharp", Reach.WRITABLE),
        ("/srv/photos/secret/sharp", Reach.HIDDEN),
        ("/srv/photos2", Reach.READ_ONLY),
        ("/srv/with space/x", Reach.WRITABLE),
        ("/opt/x", Reach.WRITABLE),
        ("/var/lib/sharpend/ledger.db", Reach.WRITABLE),
        ("/var/lib/other", Reach.READ_ONLY),
        ("/home/ann/Pictures", Reach.HIDDEN),
        ("/tmp/in", Reach.HIDDEN),  # noqa: S108 - a path that the unit hides
        ("/mnt/disk", Reach.READ_ONLY),
    ],
)
def test_the_sandbox_of_the_shipped_unit(path: str, reach: Reach) -> None:
    """Strict but for what is listed; homes and temporary folders are not there at all."""
    assert unit.reach(made(), path) is reach


@pytest.mark.parametrize(
    ("properties", "path", "reach"),
    [
        (
            {"ProtectSystem": "no", "ProtectHome": "no", "PrivateTmp": "no"},
            "/usr/x",
            Reach.WRITABLE,
        ),
        ({"ProtectSystem": "full", "ReadWritePaths": ""}, "/etc/x", Reach.READ_ONLY),
        ({"ProtectSystem": "full", "ReadWritePaths": ""}, "/srv/x", Reach.WRITABLE),
        ({"ProtectSystem": "yes"}, "/etc/x", Reach.WRITABLE),
        ({"ProtectHome": "read-only"}, "/home/ann", Reach.READ_ONLY),
        (
            {"ProtectHome": "read-only", "ReadWritePaths": "/home/ann"},
            "/home/ann/x",
            Reach.WRITABLE,
        ),
        ({"ReadWritePaths": "/home/ann"}, "/home/ann/x", Reach.HIDDEN),
        ({"ProtectHome": "tmpfs", "BindPaths": "/home/ann"}, "/home/ann/x", Reach.WRITABLE),
        ({"BindPaths": "/disk:/home/ann:rbind"}, "/home/ann/x", Reach.WRITABLE),
        ({"BindReadOnlyPaths": "/home/ann"}, "/home/ann/x", Reach.READ_ONLY),
        ({"ReadOnlyPaths": "/srv/photos/old"}, "/srv/photos/old/x", Reach.READ_ONLY),
    ],
)
def test_other_sandboxes(properties: dict[str, str], path: str, reach: Reach) -> None:
    """The longest rule wins, and a hidden folder is opened by a bind mount alone."""
    assert unit.reach(made(**properties), path) is reach


def test_links_are_followed_before_the_sandbox_is_asked(tmp_path: Path) -> None:
    """A link from a writable folder into a read-only one leads into the read-only one."""
    (tmp_path / "link").symlink_to("/mnt/elsewhere")
    used = made(ReadWritePaths=str(tmp_path), PrivateTmp="no")
    assert unit.reach(used, str(tmp_path / "own")) is Reach.WRITABLE
    assert unit.reach(used, str(tmp_path / "link")) is Reach.READ_ONLY


def changes(found: Sequence[Finding]) -> list[str]:
    """What is to be changed about the unit."""
    return [one.change.removeprefix("systemctl edit sharpend.service: ") for one in found]


def test_folders_that_the_unit_keeps_away_are_faults(tmp_path: Path) -> None:
    """Each is reported once, with how to open it; what is only read may be read-only."""
    used = made(ReadWritePaths=f"-/away {tmp_path}")
    found = list(
        unit.sandbox(
            used,
            writes=["/var/lib/sharpend", "/mnt/out", "/home/ann/out", "/tmp/out"],  # noqa: S108
            reads=["/mnt/in", "/home/ann/in", "/tmp/out"],  # noqa: S108
        )
    )
    assert levels(found) == [Level.FAULT] * 4
    assert {one.status for one in found} == {ExitCode.CONFIGURATION}
    assert changes(found) == [
        "ProtectHome=no and ReadWritePaths=/home/ann/out",
        "BindPaths=/tmp/out, or use a folder that is not temporary",
        "ProtectHome=no and ReadWritePaths=/home/ann/in",
        "ReadWritePaths=/mnt/out",
    ]
    (fine,) = unit.sandbox(made(ReadWritePaths="-/away"), writes=["/away/out"], reads=["/mnt/in"])
    assert fine.level is Level.OK


def test_what_the_unit_needs_to_start_must_be_there() -> None:
    """Its program and its configuration are seen from inside, and listed folders exist."""
    used = made(
        ReadWritePaths="/no/such +/nor/this", ExecStart=exec_start("/root/s --config /home/c")
    )
    assert changes(list(unit.sandbox(used, writes=[], reads=[]))) == [
        "ProtectHome=no and ReadWritePaths=/root/s",
        "ProtectHome=no and ReadWritePaths=/home/c",
        "create it, or write -/no/such",
        "create it, or write -/nor/this",
    ]


def test_the_unit_of_these_settings_is_chosen(tmp_path: Path) -> None:
    """By the file that --config names; a unit that is not loaded does not count."""
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    first = made(ExecStart=exec_start(f"/usr/bin/sharpend run --config {one}"))
    second = made(ExecStart=exec_start(f"/usr/bin/sharpend run --config={other}"))
    lacking = Unit({"Id": "sharpend.service", "LoadState": "not-found"})
    assert unit.chosen([lacking, first, second], str(one)) is first
    assert unit.chosen([lacking, first, second], str(other)) is second
    assert unit.chosen([first], None) is None
    assert unit.chosen([lacking], str(one)) is None
    looks_itself = made(ExecStart=exec_start("/usr/bin/sharpend run"))
    assert unit.chosen([looks_itself], None) is looks_itself


def test_what_is_installed_is_said() -> None:
    """No systemd and no unit are notes, a program that is not there is a fault."""
    (nowhere,) = unit.installed(None, None)
    assert (nowhere.level, nowhere.found) == (Level.NOTE, "systemd is not running: not checked")
    (other,) = unit.installed([made()], None)
    assert other.found == "no unit runs this configuration; there are sharpend.service"
    broken = made(ExecStart=exec_start("/no/such/sharpend run"))
    (fault,) = unit.installed([broken], broken)
    assert (fault.level, fault.status) == (Level.FAULT, ExitCode.CONFIGURATION)
    sound = made(ExecStart=exec_start(f"{sys.executable} run"), UnitFileState="disabled")
    there, disabled = unit.installed([sound], sound)
    assert there.found == f"sharpend.service starts {sys.executable} as sharpend: active"
    assert disabled.change == "systemctl enable --now sharpend.service"


def test_a_program_without_a_path_is_where_systemd_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`systemctl show` prints the word as the unit has it; the caller's own PATH says nothing."""
    monkeypatch.setenv("PATH", "/no/such")
    shell = made(ExecStart=exec_start("sh run"))
    assert os.path.isabs(shell.program)
    assert os.path.basename(shell.program) == "sh"
    (there,) = unit.installed([shell], shell)
    assert there.found == f"sharpend.service starts {shell.program} as sharpend: active"
    assert made(ExecStart=exec_start("no-such-program run")).program == "no-such-program"
    assert made(ExecStart="").program == ""


def test_systemds_state_directory_is_the_units() -> None:
    """The first one of a system unit; a user's manager has another place for it."""
    assert made().state == "/var/lib/sharpend"
    assert made(StateDirectory="sharpend/a other").state == "/var/lib/sharpend/a"
    assert made(StateDirectory="").state is None
    assert Unit(HARDENED, "user").state is None


SYSTEMCTL = """#!/bin/sh
case "$*" in
*list-unit-files*) printf '%s enabled enabled\\n' sharpend.service sharpend@.service;;
*list-units*) echo 'sharpend@scans.service loaded active running Sharpen';;
*show*) echo "Id=${*##* }"; echo LoadState=loaded; echo ReadWritePaths=/srv/a=b;;
esac
"""


def test_units_are_asked_of_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances that run are found too, a template is none, and values may hold `=`."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(unit, "_RUNS", {"system": str(tmp_path), "user": str(tmp_path / "no")})
    found = unit.units()
    assert found is not None
    assert [one["Id"] for one in found] == ["sharpend.service", "sharpend@scans.service"]
    assert {one["ReadWritePaths"] for one in found} == {"/srv/a=b"}
    monkeypatch.setattr(unit, "_RUNS", {"system": str(tmp_path / "no")})
    assert unit.units() is None
    monkeypatch.setenv("PATH", str(tmp_path / "no"))
    monkeypatch.setattr(unit, "_RUNS", {"system": str(tmp_path)})
    assert unit.units() is None
