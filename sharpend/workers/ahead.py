"""Start of the fork server ahead: before the command line loads, and the options are known.

It imports torch meanwhile, which takes over a second. This module imports little, so that the
server starts as early as it can.
"""

from __future__ import annotations

from contextlib import suppress

from sharpend.workers.forkserver import ForkServer

PROGRAM = "sharpend.workers.serve"
"""The module whose `main` the fork server runs, and in its children the workers."""
_waiting: list[ForkServer] = []
"""A server that waits for its pool; at most one."""


def start() -> None:
    """Start the fork server; it ends with this process at the latest."""
    with suppress(OSError):  # the first worker starts it then, or says why not
        _waiting.append(ForkServer(PROGRAM))


def take() -> ForkServer | None:
    """Take over a server that was started; None if there is none."""
    return _waiting.pop() if _waiting else None


def end() -> None:
    """End a server that was started, where no pool needs it."""
    while _waiting:
        _waiting.pop().end()
