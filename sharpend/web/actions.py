"""Actions of the page: retry an image, pause and resume folders.

Does what the command line does, by the same functions, and logs who did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from sharpend.daemon import operations
from sharpend.errors import LedgerError, SharpendError
from sharpend.ledger.opening import open_beside
from sharpend.ledger.pages import LedgerPages
from sharpend.ledger.reader import ALL_FOLDERS
from sharpend.ledger.store import has_ledger
from sharpend.logs.events import Event
from sharpend.web import forms
from sharpend.web.links import job_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


class Actions:
    """Actions on one state directory.

    Args:
        state_dir: of the daemon.
        log: for who did what.
    """

    def __init__(self, state_dir: Path, log: Log) -> None:
        self._state_dir = state_dir
        self._log = log

    async def retry(self, request: Request) -> Response:
        """Try a quarantined image again."""
        done = await self._done(request, "retry", lambda _: self._retry(job_id_of(request)))
        return RedirectResponse(f"/image/{job_id_of(request)}?done={done}", 303)

    async def pause(self, request: Request) -> Response:
        """Pause a folder, or all."""
        done = await self._done(request, "pause", lambda fields: self._hold("pause", fields))
        return RedirectResponse(f"/folders?done={done}", 303)

    async def resume(self, request: Request) -> Response:
        """End a pause."""
        done = await self._done(request, "resume", lambda fields: self._hold("resume", fields))
        return RedirectResponse(f"/folders?done={done}", 303)

    async def _done(
        self,
        request: Request,
        action: str,
        act: Callable[[Mapping[str, str]], tuple[str, bytes | None]],
    ) -> str:
        """Do an action for a form, in a thread, and log who did it, or tried to."""
        session = request.state.session
        who = {
            "who": "" if session is None else session.who,
            "caller": request.state.caller.address,
        }
        try:
            folder, path = await run_in_threadpool(act, await forms.read(request))
        except Exception as error:
            refusal = _refusal_of(error)
            self._log.warning(Event.ACTION_FAILED, action=action, message=refusal.detail, **who)
            raise refusal from error
        self._log.info(Event.ACTION_TAKEN, action=action, folder=folder, path=path, **who)
        return action

    def _retry(self, job_id: int) -> tuple[str, bytes | None]:
        """Make a job pending again; return its folder and path."""
        self._require_ledger()
        with LedgerPages.read_only(self._state_dir) as pages:
            entry = pages.refusal(job_id)
        if entry is None:
            raise HTTPException(409, "this image is not in quarantine any more")
        with open_beside(self._state_dir) as ledger:
            operations.Retries(ledger, self._state_dir).retry(entry)
        return entry.job.folder, entry.job.relative

    def _hold(self, action: str, fields: Mapping[str, str]) -> tuple[str, bytes | None]:
        """Pause or resume the folder that a form names; all for an empty name."""
        self._require_ledger()
        name = fields.get("folder", "")
        with open_beside(self._state_dir) as ledger:
            if name != ALL_FOLDERS and name not in dict(ledger.folders()):
                raise HTTPException(404, "there is no such folder")
            _HOLDS[action](ledger, [name])
        return name, None

    def _require_ledger(self) -> None:
        """Raise HTTPException where no daemon has worked yet: no ledger must be made here."""
        if not has_ledger(self._state_dir):
            raise HTTPException(409, "no daemon has worked with this state directory yet")


def _refusal_of(error: Exception) -> HTTPException:
    """Return the answer to an action that failed."""
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, SharpendError):
        return HTTPException(503 if isinstance(error, LedgerError) else 409, str(error))
    return HTTPException(500, f"not done, by a fault of the page: {type(error).__name__}: {error}")


_HOLDS: Mapping[str, Callable[[Ledger, list[str]], None]] = {
    "pause": operations.pause,
    "resume": operations.resume,
}
