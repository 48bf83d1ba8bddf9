"""The service under a real systemd, with all its hardening: what an administrator does and meets.

The tests of this module share one machine and go on where the last one ended.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from skimage import data

from sharpend.imaging.files import load_rgb
from sharpend.imaging.filters import degrade
from tests import booted
from tests.conftest import drop
from tests.daemons import temps, until
from tests.visits import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.booted import Machine

WHY_NOT = booted.why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=f"no systemd can be booted: {WHY_NOT}"),
]

SOON = "WatchdogSec=10\nTimeoutAbortSec=2\nTimeoutStartSec=300\n"
"""A test cannot wait two minutes for a daemon that hangs; a start on a busy machine takes long."""
SETTINGS = "[workers]\ncount = 1\nthreads = 1\njob_timeout_s = 15\n[report]\nevery_s = 1\n"
PROXY = booted.CHECKOUT / "systemd/web-proxy.conf"
CONFIG = "/etc/sharpend/sharpend.toml"
INCOMING, SHARP = "/srv/sharpend/incoming", "/srv/sharpend/sharp"


@pytest.fixture(scope="module")
def failed_before(request: pytest.FixtureRequest) -> int:
    """How many tests had failed before those of this module."""
    return request.session.testsfailed


@pytest.fixture(autouse=True)
def in_order(failed_before: int, request: pytest.FixtureRequest) -> None:
    """Each test begins where the last one ended: after a failure the others would wait in vain."""
    if request.session.testsfailed > failed_before:
        pytest.skip("an earlier test on the same machine failed")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the service as `make install` leaves it, not started yet."""
    image = tmp_path_factory.mktemp("image")
    units = {"sharpend.service": SOON, "sharpend@.service": "TimeoutStartSec=300\n"}
    of_page = PROXY.read_text().split("[Service]")[1]
    units["sharpend-web.service"] = of_page.replace("=sharpend web", f"={booted.command()} web")
    with booted.booted(image, units) as machine:
        with machine.path(CONFIG).open("a") as config:
            config.write(SETTINGS)
        yield machine


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Tells how long something took, in the test's own output."""

    def tell(what: str, began_s: float) -> None:
        seconds = round(time.monotonic() - began_s, 1)
        record_property(what, seconds)
        print(f"{what}: {seconds} s")  # noqa: T201 - shown by pytest -s

    return tell


def sharpened(machine: Machine, name: str, *, seed: int = 0) -> Path:
    """Drop an image and wait for its output."""
    drop(machine.path(INCOMING), name, seed=seed)
    machine.wait_for("image.finished", path=name, outcome="sharpened")
    return machine.path(SHARP) / name


def drop_soft(folder: Path, name: str) -> None:
    """Drop a soft photograph, which the default model changes."""
    sharp = data.astronaut()[:128, :160]  # type: ignore[no-untyped-call]
    making = folder / f".{name}.part"
    Image.fromarray(degrade(sharp, factor=2)).save(making, "PNG")
    making.rename(folder / name)


def test_it_starts(machine: Machine, report: Callable[[str, float], None]) -> None:
    """`systemctl start` returns when the daemon is ready; nothing was set but what is installed."""
    began_s = time.monotonic()
    machine.systemctl("start", "sharpend")
    report("from start to ready", began_s)
    ready = machine.wait_for("daemon.ready")
    assert ready["model"] in {"lite-photo", "base-photo"}  # by what is installed
    assert ready["device"] in {"cpu float32", "cpu bfloat16", "cpu openvino int8"}  # by a trial
    assert machine.shows("StatusText").startswith("0 waiting, 0 sharpened")
    state = machine.path("/var/lib/sharpend").stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o750, machine.daemon().uids().real)


def test_all_the_hardening_is_on(machine: Machine) -> None:
    """The kernel says so of the daemon and its worker; the drop-in of the test takes none away."""
    for process in (machine.daemon(), machine.worker()):
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
        assert process.uids().real != 0
        root = f"/proc/{process.pid}/root"
        assert os.listdir(f"{root}/root") == os.listdir(f"{root}/tmp") == []  # noqa: S108 - its own
        assert not os.path.exists(f"{root}/dev/kmsg")
        for place in ("/etc", "/usr", "/var/lib", "/srv"):
            assert os.statvfs(f"{root}{place}").f_flag & os.ST_RDONLY, place


def test_a_picture_is_sharpened(machine: Machine) -> None:
    """Dropped in, sharpened, and readable by the group; the journal has it as fields."""
    drop_soft(machine.path(INCOMING), "first.png")
    machine.wait_for("image.finished", path="first.png", outcome="sharpened")
    output = machine.path(SHARP) / "first.png"
    assert [event["PRIORITY"] for event in machine.events()] == ["6"] * len(machine.events())
    assert (load_rgb(output) != load_rgb(machine.path(INCOMING) / "first.png")).any()
    made = output.stat()
    assert made.st_gid == machine.path(INCOMING).stat().st_gid
    assert made.st_uid == machine.daemon().uids().real
    assert machine.wait_for("report.published", images_total=1)["queue_depth"] == 0
    assert not any("timestamp" in event for event in machine.events())


def test_the_page_is_reached_by_the_server_in_front_alone(machine: Machine) -> None:
    """By its drop-in: the server's group uses the socket, with a token; it can write no preview."""
    machine.path("/etc/sharpend/tokens").write_text(f"ann {TOKEN}\n")
    machine.path("/etc/sharpend/tokens").chmod(0o600)
    machine.systemctl("start", "sharpend-web")
    asked = ("--unix-socket", "/run/sharpend-web/page.sock", "http://photos.example.org/gallery")
    right = ("curl", "--silent", "--header", f"Authorization: Bearer {TOKEN}", *asked)
    assert "first.png" in machine.run(*as_user("www-data"), *right)
    assert "token" in machine.run(*as_user("www-data"), "curl", "--silent", *asked)
    assert machine.run(*as_user("nobody"), *right, check=False) == ""
    of_page = machine.daemon("sharpend-web.service").pid
    for folder, can in (("", True), ("/previews", False), ("/history", False)):
        inside = f"/proc/{of_page}/root/var/lib/sharpend{folder}"
        is_read_only = bool(os.statvfs(inside).f_flag & os.ST_RDONLY)
        assert (folder, is_read_only) == (folder, not can)
    machine.systemctl("restart", "sharpend-web")
    assert "first.png" in machine.run(*as_user("www-data"), *right)


def as_user(name: str) -> tuple[str, ...]:
    """The beginning of a command that another user runs."""
    return ("setpriv", f"--reuid={name}", f"--regid={GROUPS[name]}", "--clear-groups")


GROUPS = {"www-data": "www-data", "nobody": "nogroup"}


def test_a_reload_takes_good_settings_only(machine: Machine) -> None:
    """`systemctl reload` takes what is right; what is wrong is an error in the journal, no more."""
    config = machine.path(CONFIG)
    good = config.read_text() + "[model]\nstrength = 0\n"
    config.write_text(good)
    machine.systemctl("reload", "sharpend")
    assert machine.wait_for("config.reloaded")["changed"] == ["model.strength"]
    output = sharpened(machine, "weak.png", seed=1)
    assert (load_rgb(output) == load_rgb(machine.path(INCOMING) / "weak.png")).all()
    config.write_text("strength = maybe")
    machine.systemctl("reload", "sharpend")
    assert machine.wait_for("config.rejected")["PRIORITY"] == "3"
    assert sharpened(machine, "still-weak.png", seed=2).exists()
    assert machine.shows("ActiveState") == "active"
    config.write_text(good.replace("strength = 0", "strength = 1"))


def test_a_killed_daemon_comes_back(machine: Machine, report: Callable[[str, float], None]) -> None:
    """SIGKILL of the main process: systemd starts it again, and it goes on where it was."""
    worker = machine.worker()
    worker.suspend()
    drop(machine.path(INCOMING), "cut-off.png", seed=3)
    machine.wait_for("report.published", queue_depth=1)
    began_s = time.monotonic()
    machine.daemon().kill()
    machine.wait_for("daemon.ready")
    report("from SIGKILL to ready, of which RestartSec is 5 s", began_s)
    machine.wait_for("image.finished", path="cut-off.png", outcome="sharpened")
    assert machine.shows("NRestarts") == "1"
    until(lambda: not worker.is_running())


def test_a_hung_worker_is_replaced(machine: Machine) -> None:
    """SIGSTOP of a worker: past its job's time it is replaced, and the image is done."""
    worker = machine.worker()
    worker.suspend()
    drop(machine.path(INCOMING), "slow.png", seed=4)
    died = machine.wait_for("worker.died", path="slow.png")
    assert (died["PRIORITY"], died["cause"]) == ("3", "timed out after 15 s")
    machine.wait_for("image.finished", path="slow.png", outcome="sharpened")
    assert machine.worker().pid != worker.pid
    assert machine.shows("NRestarts") == "1"


def test_a_hung_daemon_is_started_anew(
    machine: Machine, report: Callable[[str, float], None]
) -> None:
    """SIGSTOP of the main process: the watchdog is not fed, and systemd starts another one."""
    began_s = time.monotonic()
    machine.daemon().send_signal(signal.SIGSTOP)
    machine.wait_for("daemon.ready")
    report("from SIGSTOP to ready, with WatchdogSec=10", began_s)
    assert machine.shows("NRestarts") == "2"
    assert "Watchdog timeout" in machine.run("journalctl", "-u", "sharpend", "--no-pager")
    assert sharpened(machine, "after-the-hang.png", seed=5).exists()


def test_a_stop_with_work_in_flight_is_clean(machine: Machine) -> None:
    """`systemctl stop` lets the image in work finish; the others wait for the next start."""
    worker = machine.worker()
    worker.suspend()
    names = [f"flight-{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        drop(machine.path(INCOMING) / ".made", name, height=700, width=900, seed=10 + number)
    (machine.path(INCOMING) / ".made").rename(machine.path(INCOMING) / "flight")  # all at once
    outputs = machine.path(SHARP) / "flight"
    machine.wait_for("report.published", queue_depth=len(names))
    machine.systemctl("stop", "--no-block", "sharpend")
    assert machine.wait_for("daemon.draining")["running"] == 1
    worker.resume()
    machine.wait_for("daemon.stopped")
    until(lambda: machine.shows("ActiveState") == "inactive")
    assert (machine.shows("Result"), machine.shows("ExecMainStatus")) == ("success", "0")
    assert temps(machine.path("/srv/sharpend")) == []
    assert len(list(outputs.glob("*.png"))) == 1
    machine.systemctl("start", "sharpend")
    for name in names:
        machine.wait_for("image.finished", path=f"flight/{name}", outcome="sharpened")
        assert load_rgb(outputs / name).shape == (700, 900, 3)
    machine.systemctl("stop", "sharpend")


def test_an_instance_has_settings_and_a_state_of_its_own(machine: Machine) -> None:
    """sharpend@second reads second.toml and keeps its ledger below the service's state."""
    text = machine.path(CONFIG).read_text().replace("incoming", "second").replace('sharp"', 'two"')
    text = text.replace('state = "/var', '#state = "/var')
    for name in ("second", "two"):
        machine.run("install", "-d", "-o", "sharpend", f"/srv/sharpend/{name}")
    machine.path("/etc/sharpend/second.toml").write_text(text)
    machine.systemctl("start", "sharpend@second")
    drop(machine.path("/srv/sharpend/second"), "other.png", seed=6)
    machine.wait_for("image.finished", unit="sharpend@second.service", path="other.png")
    assert machine.path("/srv/sharpend/two/other.png").exists()
    assert machine.path("/var/lib/sharpend/second/ledger.db").exists()
    machine.systemctl("stop", "sharpend@second")


def test_a_photographers_own_service(machine: Machine) -> None:
    """Under a user's own service manager, without root, for that user's Pictures."""
    home, own = "/var/photographer", "XDG_RUNTIME_DIR=/run/photographer"
    machine.run("useradd", "--home-dir", home, "photographer")
    machine.run("cp", "-r", "/run/under-test/image/home", home)
    machine.run("chown", "-R", "photographer:", home)
    manager = ("--unit=photographer", "--uid=photographer", f"--setenv={own}")
    settings = ("Type=notify", "Delegate=yes", "RuntimeDirectory=photographer")
    properties = [f"--property={setting}" for setting in settings]
    machine.run("systemd-run", *manager, *properties, "/lib/systemd/systemd", "--user")
    as_user = ("runuser", "-u", "photographer", "--", "env", own, "systemctl", "--user")
    machine.run(*as_user, "start", "sharpend")
    drop(machine.path(f"{home}/Pictures/incoming"), "mine.png", seed=7)
    machine.wait_for("image.finished", unit="photographer.service", path="mine.png")
    made = machine.path(f"{home}/Pictures/sharp/mine.png").stat()
    assert made.st_uid == machine.path(home).stat().st_uid != 0
    assert machine.path(f"{home}/.local/state/sharpend/ledger.db").exists()
    machine.run(*as_user, "stop", "sharpend")
