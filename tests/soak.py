"""The soak: one image a second for hours, one in a hundred bad, and what the daemon holds.

    python -m tests.soak [--hours 1] [--minutes-of-warm-up 15]

Prints resident memory, descriptors, threads and the ledger's size each minute, and at the end, or
when it is stopped, the slopes after the warm-up. The exit status is 1 where memory grew by more
than 1 MB an hour, or descriptors or threads grew.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.campaign.rig import Rig
from tests.daemons import running

MOST_MB_PER_HOUR = 1.0
SAMPLE_S = 60.0
BAD_EVERY = 100


def main() -> int:
    """Run for so long, or until stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--minutes-of-warm-up", type=float, default=15.0)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="soak-"))
    samples: list[tuple[float, ...]] = []
    try:
        soak(Rig(base), options.hours * 3600, samples)
    except KeyboardInterrupt:
        print("stopped")  # noqa: T201
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return told(samples, options.minutes_of_warm_up * 60)


def soak(rig: Rig, seconds: float, samples: list[tuple[float, ...]]) -> None:
    """Drop, and sample once a minute."""
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        began_s = time.monotonic()
        number = 0
        while (now_s := time.monotonic() - began_s) < seconds:
            rig.drop(f"{number}.png", rig.bad if number % BAD_EVERY == 0 else b"")
            number += 1
            if now_s >= SAMPLE_S * (len(samples) + 1):
                ledger_kb = sum(p.stat().st_size for p in (rig.base / "state").glob("*.db*")) / 1e3
                samples.append((now_s, daemon.memory_mb(), *daemon.holds(), ledger_kb))
                line = "{:6.0f} s: {:.1f} MB, {} descriptors, {} threads, ledger {:.0f} kB"
                print(line.format(*samples[-1]), flush=True)  # noqa: T201
            time.sleep(max(0.0, number - (time.monotonic() - began_s)))


def told(samples: list[tuple[float, ...]], warm_up_s: float) -> int:
    """Print the slopes after the warm-up, and judge them."""
    table = np.array([sample for sample in samples if sample[0] >= warm_up_s])
    if len(table) < 3:
        print("too short to tell")  # noqa: T201
        return 0
    hours = table[:, 0] / 3600
    slopes = [float(np.polyfit(hours, column, 1)[0]) for column in table.T[1:]]
    line = "an hour: {:+.2f} MB, {:+.2f} descriptors, {:+.2f} threads, ledger {:+.0f} kB"
    print(line.format(*slopes))  # noqa: T201
    flat = table[-1, 2] <= table[0, 2] + 2 and table[-1, 3] <= table[0, 3]
    return 0 if slopes[0] <= MOST_MB_PER_HOUR and flat else 1


if __name__ == "__main__":
    sys.exit(main())
