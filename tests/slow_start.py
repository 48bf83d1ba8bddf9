"""A fork server whose imports take long, for tests of the pool."""

from __future__ import annotations

import time

from tests import lightwork


def main(daemon_pid: str) -> None:
    """Run the real loop after a while."""
    time.sleep(600)
    lightwork.main(daemon_pid)
