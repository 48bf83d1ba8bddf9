"""The wall clock jumps, and files come from other times."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.campaign.disks import NO_OVERRIDE
from tests.campaign.rig import Finding, NotRunError, Rig, Scenario, needs
from tests.daemons import running

HOUR_S = 3600
JUMPS_S = (24 * HOUR_S, -24 * HOUR_S, HOUR_S, -HOUR_S, 1, -1)
SETTLE_S = 1.0
TIMES_S = (0, 1, 2**31, 4 * 10**9)
"""Of files: 1970, and years to come."""


class Clock:
    """A daemon's wall clock, set off by so many seconds whenever a test asks for it."""

    def __init__(self, rig: Rig) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotRunError("needs a C compiler")
        library = rig.base / "clock.so"
        source = Path(__file__).with_name("clock.c")
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(build, check=True)
        self._offset = rig.base / "offset"
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}

    def set(self, seconds: int) -> None:
        """From now on it is that much later than it is."""
        with open(self._offset, "r+b" if self._offset.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


def jumps(rig: Rig, rounds: int, finding: Finding) -> None:
    """35: jumps of the wall clock between, before and after everything; files of other times."""
    needs("setpriv")
    clock = Clock(rig)
    rig.configure(rig.folder(settle_s=SETTLE_S), retry={"first_s": 1})
    names = set()
    with running("--config", rig.config, prefix=NO_OVERRIDE, **clock.environment) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            jump_s = JUMPS_S[number % len(JUMPS_S)]
            fresh, closed = rig.drop(f"{number}.png"), rig.drop(f"closed-{number}.png")
            names |= {fresh.name, closed.name}
            os.utime(fresh, (TIMES_S[number % len(TIMES_S)],) * 2)
            closed.chmod(0)
            dropped_s = time.monotonic()
            clock.set(jump_s)
            daemon.wait_for("image.finished", path=fresh.name)
            settled_s = time.monotonic() - dropped_s
            finding.expect(settled_s >= SETTLE_S, f"settled after {settled_s:.1f} s")
            finding.recovered(settled_s, SETTLE_S + 10)
            daemon.wait_for("image.retried", path=closed.name)
            clock.set(0)
            closed.chmod(0o644)
            came_back_s = time.monotonic()
            daemon.wait_for("image.finished", path=closed.name)
            finding.recovered(time.monotonic() - came_back_s, 10)
            tries = len(daemon.events("image.retried", path=closed.name))
            finding.expect(tries <= 4, f"{tries} tries: a storm")
            finding.rounds += 1
        done = [event["path"] for event in daemon.events("image.finished")]
        finding.expect(sorted(done) == sorted(names), "done more than once")
    rig.check(finding, names)


SCENARIOS = (
    Scenario(
        "35",
        "the wall clock jumps by a day, an hour, a second; files of 1970 and 2096",
        "settled and tried again as without, done once",
        jumps,
        24,
        2,
    ),
)
