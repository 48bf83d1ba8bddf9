"""A fork server on a system without room for processes, for tests of the pool."""

from __future__ import annotations

import os

from tests import lightwork


def main(daemon_pid: str) -> None:
    """Run the real loop where every fork is refused."""
    os.fork = refuse
    lightwork.main(daemon_pid)


def refuse() -> int:
    """Refuse as the kernel does."""
    raise BlockingIOError(11, "Resource temporarily unavailable")
