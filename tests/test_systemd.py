"""The systemd units: accepted by systemd, hardened, and what they must and must not say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sharpend.daemon.daemon import DRAIN_S
from sharpend.errors import ExitCode

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNIT = SYSTEMD / "sharpend.service"
TEMPLATE = SYSTEMD / "sharpend@.service"
WEB = SYSTEMD / "sharpend-web.service"
PROXY = SYSTEMD / "web-proxy.conf"
OF_USER = SYSTEMD / "user/sharpend.service"
METRICS, TIMER = SYSTEMD / "sharpend-metrics.service", SYSTEMD / "sharpend-metrics.timer"
UNITS = [UNIT, TEMPLATE, OF_USER]

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def lines_of(unit: Path) -> list[tuple[str, str]]:
    """Every Key=value of a unit, comments left out."""
    return re.findall(r"(?m)^(\w+)=(.*)$", unit.read_text(encoding="utf-8"))


def values_of(unit: Path) -> dict[str, str]:
    """The last value of each key."""
    return dict(lines_of(unit))


def copied(unit: Path, to: Path, *dropins: Path) -> Path:
    """A unit, as an instance, with a program that exists, since verify looks for it."""
    text = unit.read_text(encoding="utf-8")
    text, changed = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text)
    assert changed == 1
    copy = to / unit.name.replace("@", "@second")
    copy.write_text(text, encoding="utf-8")
    folder = to / f"{copy.name}.d"
    folder.mkdir()
    for dropin in dropins:
        shutil.copy(dropin, folder)
    return copy


def exposure(unit: Path) -> float:
    """What `systemd-analyze security` says of a unit: 0 is safe, 10 is not."""
    result = ran("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert found is not None, result.stdout
    return float(found[1])


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
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=lambda unit: unit.name)
@pytest.mark.parametrize("dropins", [[], [SYSTEMD / "cuda.conf"]], ids=["cpu", "cuda"])
def test_systemd_accepts_every_line(unit: Path, dropins: list[Path], tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    copy = copied(unit, tmp_path, *dropins)
    result = ran("systemd-analyze", "verify", "--man=no", str(copy))
    assert (result.returncode, result.stdout) == (0, "")


@needs_systemd
def test_systemd_accepts_the_users_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it does by the rules of a user's own service manager."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    copy = copied(OF_USER, tmp_path)
    result = ran("systemd-analyze", "--user", "verify", "--man=no", str(copy))
    assert (result.returncode, result.stdout) == (0, "")


@needs_systemd
def test_systemd_accepts_the_timer(tmp_path: Path) -> None:
    """So does it with the service that writes metrics, whose exposure is as low as the daemon's."""
    copy = copied(METRICS, tmp_path)
    shutil.copy(TIMER, tmp_path)
    result = ran("systemd-analyze", "verify", "--man=no", str(copy), str(tmp_path / TIMER.name))
    assert (result.returncode, result.stdout) == (0, "")
    assert exposure(copy) <= 1.0


def test_the_metrics_are_as_confined_as_the_daemon() -> None:
    """Whatever the daemon's unit takes away, that of the metrics takes away too."""
    of_daemon = {"ReadWritePaths", "MemoryHigh", "SystemCallFilter", "StateDirectory"}
    of_daemon |= {"StateDirectoryMode", "OOMPolicy", "Environment", "Description", "ExecStart"}
    service = re.split(r"(?m)^# Who runs it", UNIT.read_text(encoding="utf-8"))[1]
    wanted = dict(re.findall(r"(?m)^(\w+)=(.*)$", service.split("[Install]")[0]))
    given = values_of(METRICS)
    missing = {key for key, value in wanted.items() if given.get(key) != value} - of_daemon
    assert missing == set()
    filters = [value for key, value in lines_of(METRICS) if key == "SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged @resources"]


@needs_systemd
@pytest.mark.parametrize(("dropins", "most"), [([], 1.2), ([PROXY], 0.5)], ids=["local", "proxy"])
def test_the_page_is_hardly_exposed(dropins: list[Path], most: float, tmp_path: Path) -> None:
    """`systemd-analyze` accepts its unit; behind a server it is rated as the daemon, or better."""
    copy = copied(WEB, tmp_path, *dropins)
    for dropin in (tmp_path / f"{copy.name}.d").iterdir():
        text = dropin.read_text(encoding="utf-8")
        dropin.write_text(text.replace("=sharpend web", f"={sys.executable} web"), encoding="utf-8")
    result = ran("systemd-analyze", "verify", "--man=no", str(copy))
    assert (result.returncode, result.stdout) == (0, "")
    assert exposure(copy) <= most


def test_the_page_is_confined_like_the_daemon() -> None:
    """What both units set is set alike, but for the command, the network and the priorities."""
    of_unit, of_page = values_of(UNIT), values_of(WEB)
    own = {"Description", "After", "ExecStart", "TimeoutStopSec", "RestartPreventExitStatus"}
    own |= {"Nice", "IOSchedulingClass", "MemoryHigh", "RestrictAddressFamilies"}
    own |= {"SystemCallFilter"}
    assert {key for key in of_unit.keys() & of_page.keys() if of_unit[key] != of_page[key]} == own
    filters = [value for key, value in lines_of(WEB) if key == "SystemCallFilter"]
    assert filters == ["@system-service", "~@privileged @resources"]
    assert of_page["IPAddressAllow"] == "localhost"


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=lambda unit: unit.name)
def test_the_exposure_stays_low(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze security` rates the unit at 1.0 of 10 or better, with a GPU at 2.5."""
    cpu, cuda = tmp_path / "cpu", tmp_path / "cuda"
    cpu.mkdir()
    cuda.mkdir()
    on_cpu = exposure(copied(unit, cpu))
    assert on_cpu <= 1.0
    assert on_cpu < exposure(copied(unit, cuda, SYSTEMD / "cuda.conf")) <= 2.5


def test_the_template_is_the_unit_but_for_the_instance() -> None:
    """Every line and its order are the same, so that the reasons in the unit hold for both."""
    own = {"Description", "ExecStart", "StateDirectory"}
    of_unit, of_template = lines_of(UNIT), lines_of(TEMPLATE)
    assert [line for line in of_unit if line[0] not in own] == [
        line for line in of_template if line[0] not in own
    ]
    assert {key for key, value in of_template if "%i" in value} == own


def test_the_users_unit_starts_and_stops_like_the_other() -> None:
    """What both of them set is set alike, but for the command and what memory is for."""
    of_unit, of_user = values_of(UNIT), values_of(OF_USER)
    common = of_unit.keys() & of_user.keys() - {"Description", "ExecStart", "WantedBy"}
    differing = {key for key in common if of_unit[key] != of_user[key]}
    assert differing == {"MemoryHigh"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.relative_to(SYSTEMD)))
def test_no_restart_where_it_cannot_help(unit: Path) -> None:
    """Usage, bad input and wrong settings need a person, not a restart; a late folder waits."""
    final = {ExitCode.USAGE, ExitCode.SOME_QUARANTINED, ExitCode.CONFIGURATION}
    listed = values_of(unit)["RestartPreventExitStatus"]
    assert {int(status) for status in listed.split()} == {int(code) for code in final}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.relative_to(SYSTEMD)))
def test_what_would_break_the_daemon_is_not_set(unit: Path) -> None:
    """Each of these was tried, or its reason is in the unit."""
    keys = {key for key, _ in lines_of(unit)}
    breaking = {"MemoryDenyWriteExecute", "DynamicUser", "PrivateUsers", "ProcSubset"}
    assert not keys & breaking
    assert values_of(unit)["Type"] == "notify"  # systemd 252 does not know notify-reload
    assert int(values_of(unit)["TimeoutStopSec"]) > DRAIN_S


@pytest.mark.parametrize(
    "unit", [*UNITS, METRICS, TIMER], ids=lambda unit: str(unit.relative_to(SYSTEMD))
)
def test_no_line_undoes_another(unit: Path) -> None:
    """Every key occurs once; only the filter of system calls is built in steps."""
    keys = [key for key, _ in lines_of(unit) if key != "SystemCallFilter"]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "path", [UNIT, OF_USER, METRICS, SYSTEMD / "cuda.conf"], ids=lambda path: path.name
)
def test_every_line_has_its_reason(path: Path) -> None:
    """What takes something away is under a comment, in the same paragraph."""
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        first = paragraph.removeprefix("[Service]\n").splitlines()[0]
        assert first.startswith(("#", "[Unit]", "[Install]")), paragraph


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is missing")
def test_the_user_of_the_unit_is_made(tmp_path: Path) -> None:
    """sysusers.d makes exactly the user that the unit runs as."""
    (tmp_path / "etc").mkdir()
    directory = tmp_path / "usr/lib/sysusers.d"
    directory.mkdir(parents=True)
    shutil.copy(SYSTEMD / "sysusers.d/sharpend.conf", directory)
    result = ran("systemd-sysusers", f"--root={tmp_path}", "--dry-run", "sharpend.conf")
    assert result.returncode == 0, result.stdout
    assert f"Creating user '{values_of(UNIT)['User']}'" in result.stdout


def test_make_installs_what_the_units_need(tmp_path: Path) -> None:
    """The files are where systemd looks; settings that are there already are left alone."""
    make = ("make", "-C", str(SYSTEMD.parent), "install-files", f"DESTDIR={tmp_path}")
    result = ran(*make)
    assert result.returncode == 0, result.stdout
    units = tmp_path / "usr/local/lib/systemd/system"
    ours = sorted(unit.name for unit in (UNIT, TEMPLATE, WEB, METRICS, TIMER))
    assert sorted(path.name for path in units.iterdir()) == ours
    config = tmp_path / "etc/sharpend/sharpend.toml"
    given = tomllib.loads(config.read_text(encoding="utf-8"))
    folders = (tmp_path / "usr/local/lib/tmpfiles.d/sharpend.conf").read_text(encoding="utf-8")
    assert given == {
        "state": f"/var/lib/{values_of(UNIT)['StateDirectory']}",
        "folder": [{"input": "/srv/sharpend/incoming", "output": "/srv/sharpend/sharp"}],
    }
    assert all(f"d {path} " in folders for path in given["folder"][0].values())
    config.write_text("mine", encoding="utf-8")
    assert ran(*make).returncode == 0
    assert config.read_text(encoding="utf-8") == "mine"
