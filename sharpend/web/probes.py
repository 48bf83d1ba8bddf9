"""Probes for other programs: `/healthz`, `/readyz` and `/metrics`, in plain text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from sharpend.checks.finding import Level
from sharpend.checks.state import daemon as check_daemon
from sharpend.daemon.status import read_status
from sharpend.errors import SharpendError
from sharpend.ledger.opening import is_locked
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.store import has_ledger
from sharpend.web.metrics import exposition
from sharpend.web.reading import is_of_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

_UNREADABLE = "the state directory cannot be read\n"


class Probes:
    """Probes of one state directory.

    Args:
        state_dir: of the daemon.
        every_s: seconds between two of its reports.
    """

    def __init__(self, state_dir: Path, every_s: float) -> None:
        self._state_dir = state_dir
        self._every_s = every_s

    async def healthz(self, _request: Request) -> Response:
        """Answer 200 if this process can read the state directory, else 503."""
        return await _answered(self._healthz)

    async def readyz(self, _request: Request) -> Response:
        """Answer 200 if a daemon works and is healthy, as `sharpend status --check`; else 503."""
        return await _answered(self._readyz)

    async def metrics(self, _request: Request) -> Response:
        """Answer with the metrics in the format of Prometheus."""
        return await _answered(self._metrics)

    def _healthz(self) -> Response:
        if has_ledger(self._state_dir):
            with LedgerReader.read_only(self._state_dir) as ledger:
                ledger.folders()
        return PlainTextResponse("ok\n")

    def _readyz(self) -> Response:
        last, is_running = read_status(self._state_dir), is_locked(self._state_dir)
        is_own = is_of_now(self._state_dir, last)
        found = check_daemon(last, is_running=is_running, now_s=time.time(), every_s=self._every_s)
        is_ready = is_own and found.level is Level.OK
        return PlainTextResponse("ok\n" if is_ready else "not ready\n", 200 if is_ready else 503)

    def _metrics(self) -> Response:
        content_type, body = exposition(self._state_dir)
        return Response(body, media_type=content_type)


async def _answered(probe: Callable[[], Response]) -> Response:
    """Look in a thread; 503 where the state directory cannot be read."""
    try:
        return await run_in_threadpool(probe)
    except SharpendError:
        return PlainTextResponse(_UNREADABLE, 503)
