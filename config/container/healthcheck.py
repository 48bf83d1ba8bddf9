"""Health check of a container: the daemon's status file is recent and tells of no failure.

Prints one line. Exit status 0: healthy, 1: not. Needs Python alone, so it costs no start of
sharpend. `report.every_s` must stay below OLDEST_S.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

OLDEST_S = 300
"""Seconds after which a status is too old: the daemon writes one every `report.every_s`."""


def fault(status_file: Path, now: float) -> str | None:
    """Say what is wrong with the daemon that writes this status file, or None."""
    try:
        status = json.loads(status_file.read_bytes())
    except (OSError, ValueError) as error:
        return f"no status: {error}"
    age = now - status["at"]
    if age > OLDEST_S:
        return f"the last status is {age:.0f} seconds old"
    if status["state"] != "running" or status["health"] == "fail":
        return f"{status['state']}, health {status['health']}: {status['state_fault']}"
    return None


if __name__ == "__main__":
    wrong = fault(Path(os.environ["STATE_DIRECTORY"], "status.json"), time.time())
    print(wrong or "healthy")
    sys.exit(wrong is not None)
