"""Pages: overview, gallery, one image, quarantine, folders, and the form for a token.

Owns what each page shows of a reading; `app` has their addresses, `templates/` their HTML. Runs in
threads, because ledger and files are read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from sharpend.agreement.summary import summary_lines
from sharpend.daemon import history, image_history
from sharpend.errors import SharpendError
from sharpend.files.previews import Previews
from sharpend.intake.tally import left_alone_text
from sharpend.ledger.pages import NEWEST, LedgerPages
from sharpend.ledger.store import has_ledger
from sharpend.web import reading
from sharpend.web.chart import COLUMNS
from sharpend.web.links import job_id_of, next_of, place_of
from sharpend.web.templates import render
from sharpend.web.trends import Trends

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from starlette.requests import Request
    from starlette.responses import Response

    from sharpend.ledger.pages import JobRow
    from sharpend.web.reading import Reading

    Values: TypeAlias = dict[str, Any]

PAGE = 12
"""Images on a page of the gallery."""
ROWS = 50
"""Rows of a page of the quarantine."""
_MOST_EVENTS = 100
"""Events on the page of an image, the last ones."""
DONE = {
    "retry": "The image will be tried again.",
    "pause": "The pause has begun; images in progress are finished.",
    "resume": "The pause has ended.",
}
"""Texts that follow an action, by its name in the address."""
_EVENT_FRONT = ("event", "at", "folder", "path")


class Pages:
    """Makers of the pages of one state directory.

    Args:
        state_dir: to show.
        every_s: seconds between two reports of the daemon.
        asks_for_tokens: True shows who is there, and a button to leave.
    """

    def __init__(self, state_dir: Path, every_s: float, *, asks_for_tokens: bool) -> None:
        self._state_dir = state_dir
        self._every_s = every_s
        self._asks_for_tokens = asks_for_tokens
        self._trends = Trends(state_dir)

    async def overview(self, request: Request) -> Response:
        """Show what goes on."""
        return await self._page(request, "overview", self._overview)

    async def gallery(self, request: Request) -> Response:
        """Show the last results, before and after."""
        return await self._page(request, "gallery", self._gallery)

    async def quarantine(self, request: Request) -> Response:
        """Show refused images with their reasons."""
        return await self._page(request, "quarantine", self._quarantine)

    async def folders(self, request: Request) -> Response:
        """Show the folders, to pause and to resume."""
        return await self._page(request, "folders", self._folders)

    async def image(self, request: Request) -> Response:
        """Show one image."""
        return await self._page(request, "image", self._image)

    async def refused(self, request: Request, status: int, message: str) -> Response:
        """Show why a request was refused; reads nothing."""
        text = self._rendered(request, "refused", None, {"message": message})
        return HTMLResponse(text, status)

    async def _page(
        self, request: Request, name: str, values: Callable[[Request, Reading], Values]
    ) -> Response:
        """Read the state directory and put a page together, in a thread."""

        def made() -> str:
            now = reading.read(self._state_dir, self._every_s)
            return self._rendered(request, name, now, values(request, now))

        try:
            return HTMLResponse(await run_in_threadpool(made))
        except SharpendError as error:
            return await self.refused(request, 503, str(error))

    def _rendered(self, request: Request, name: str, now: Reading | None, values: Values) -> str:
        session = request.state.session
        shown = {
            "page": name,
            "now": now,
            "csrf": "" if session is None else session.csrf,
            "who": session.who if session is not None and self._asks_for_tokens else "",
            "done": DONE.get(request.query_params.get("done", "")),
        }
        return render(f"{name}.html", shown | values)

    def _overview(self, request: Request, now: Reading) -> Values:
        year = request.query_params.get("range") == "year"
        return {
            "year": year,
            "column_s": (history.YEAR_S if year else history.DAY_S) / COLUMNS,
            "charts": self._trends.read(year=year, now_s=now.at_s),
            "agreement": summary_lines(now.last.get("agreement")),
            "canary": now.last.get("canary") or {},
        }

    def _gallery(self, request: Request, _: Reading) -> Values:
        after, previews = place_of(request), Previews(self._state_dir)
        ids = [] if request.query_params.get("of") == "all" else previews.ids()
        entries = self._read_page(lambda ledger: ledger.chosen(after, PAGE + 1, ids)) if ids else ()
        has_previews = bool(entries) or (bool(ids) and after != NEWEST)
        if not has_previews:
            entries = self._read_page(lambda ledger: ledger.results(after, PAGE + 1))
        shown = [(one, previews.find(one.job.id)) for one in entries[:PAGE]]
        return {
            "images": shown,
            "older": next_of(entries, PAGE),
            "is_first": after == NEWEST,
            "with_preview": has_previews,
            "part": "whole" if request.query_params.get("show") == "whole" else "crop",
        }

    def _quarantine(self, request: Request, _: Reading) -> Values:
        after = place_of(request)
        entries = self._read_page(lambda ledger: ledger.refused(after, ROWS + 1))
        return {
            "images": entries[:ROWS],
            "older": next_of(entries, ROWS),
            "is_first": after == NEWEST,
        }

    def _folders(self, _request: Request, now: Reading) -> Values:
        return {"left_alone": {one.name: left_alone_text(one.left_alone) for one in now.folders}}

    def _image(self, request: Request, now: Reading) -> Values:
        job_id = job_id_of(request)
        if not has_ledger(self._state_dir):
            raise HTTPException(404, "there is no such image")
        with LedgerPages.read_only(self._state_dir) as ledger:
            entry = ledger.entry(job_id)
        if entry is None:
            raise HTTPException(404, "there is no such image, or the ledger has forgotten it")
        events = image_history.read(self._state_dir, entry.job.folder, entry.job.relative)[
            :_MOST_EVENTS
        ]
        finished = [one for one in events if one["event"] == "image.finished"]
        folder = next((one for one in now.folders if one.name == entry.job.folder), None)
        return {
            "entry": entry,
            "folder": folder,
            "preview": Previews(self._state_dir).find(job_id),
            "events": [_event(one) for one in events],
            "stages": _stages(finished[0]) if finished else [],
            "options": (finished[0].get("options") or {}) if finished else {},
            "agreement": finished[0].get("agreement") if finished else None,
        }

    def _read_page(self, entries: Callable[[LedgerPages], Sequence[JobRow]]) -> Sequence[JobRow]:
        """Read a page of the ledger; nothing where there is none yet."""
        if not has_ledger(self._state_dir):
            return ()
        with LedgerPages.read_only(self._state_dir) as ledger:
            return entries(ledger)


def _stages(finished: Values) -> list[tuple[str, float]]:
    """List the stages of an attempt with their seconds."""
    return [
        (key.removesuffix("_s"), float(value))
        for key, value in finished.items()
        if key.endswith("_s") and isinstance(value, int | float)
    ]


def _event(values: Values) -> Values:
    """Split an event into its time, its name and its facts."""
    facts = {
        key: value
        for key, value in values.items()
        if key not in {*_EVENT_FRONT, "options"} and value is not None
    }
    return {"at": values.get("at", 0.0), "event": values["event"], "facts": facts}
