"""Server-sent events: one whenever ledger or status have changed.

Owns the interval, and the number of streams. A page then loads itself again and takes over what is
different, so that there is one way in which a page is made.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from sharpend.daemon.status import STATUS_FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

LOOK_EVERY_S = 1.0
QUIET_LOOKS = 15
"""Looks without a change after which a line is sent, so that a dead connection is noticed."""
MOST_STREAMS = 32
_WATCHED = ("ledger.db", "ledger.db-wal", STATUS_FILE)


class EventStream:
    """Streams of one process.

    Args:
        state_dir: to watch.
        is_stopping: True once the process ends, which ends all streams.
    """

    def __init__(self, state_dir: Path, is_stopping: Callable[[], bool]) -> None:
        self._state_dir = state_dir
        self._is_stopping = is_stopping
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a stream; where too many are open, with 503."""
        answer: Response = StreamingResponse(self._stream(), media_type="text/event-stream")
        if scope["method"] == "HEAD":  # has no body whose end could be awaited
            answer = Response(media_type="text/event-stream")
        elif self._streams >= MOST_STREAMS:
            answer = PlainTextResponse("too many pages are open\n", 503)
        self._streams += 1  # no `await` since it was compared: requests at once are counted
        try:
            await answer(scope, receive, send)
        finally:
            self._streams -= 1

    def state(self) -> tuple[tuple[int, int], ...]:
        """Return what differs after a change."""
        found = []
        for name in _WATCHED:
            with suppress(OSError):
                status = os.stat(self._state_dir / name)
                found.append((status.st_mtime_ns, status.st_size))
        return tuple(found)

    async def _stream(self) -> AsyncIterator[str]:
        """Yield the lines of a stream."""
        before, quiet = await run_in_threadpool(self.state), 0
        yield "retry: 3000\n\n"  # changes from here on are sent
        while not self._is_stopping():
            await asyncio.sleep(LOOK_EVERY_S)
            state = await run_in_threadpool(self.state)
            quiet = quiet + 1 if state == before else 0
            if state != before:
                before = state
                yield "event: changed\ndata: \n\n"
            elif quiet >= QUIET_LOOKS:
                quiet = 0
                yield ": nothing new\n\n"
