"""Entry with a token: the form, the check, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from sharpend.logs.events import Event
from sharpend.web import forms, gate
from sharpend.web.templates import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sharpend.web.gate import Access


class Entry:
    """Entry and exit of visitors.

    Args:
        access: rules.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def form(self, request: Request) -> Response:
        """Show the form for a token."""
        return self._form(request, "", 200)

    async def enter(self, request: Request) -> Response:
        """Begin a session for a right token."""
        caller = request.state.caller
        _, fields = await forms.read(request)
        # From here on without `await`: forms that were held back are counted one by one.
        wait_s = self._access.throttle.wait_s(caller)
        if wait_s:
            self._access.refuse("too many wrong tokens", caller, gate.LOGIN)
            return gate.too_many(wait_s)
        who = self._access.tokens.name_of(fields.get("token", ""))
        if who is None:
            self._access.throttle.failed(caller)
            self._access.refuse("wrong token", caller, gate.LOGIN)
            return self._form(request, "This token is wrong.", 403)
        self._access.log.info(Event.ACTION_TAKEN, action="enter", who=who, caller=caller)
        answer = RedirectResponse("/", 303)
        answer.headers["Set-Cookie"] = self._cookie(who)
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session of a browser."""
        await forms.read(request)
        answer = RedirectResponse(gate.LOGIN, 303)
        answer.headers["Set-Cookie"] = self._cookie("")
        return answer

    def _cookie(self, who: str) -> str:
        """Format the header that begins a session."""
        return gate.cookie_of(self._access.sessions.new(who), self._access.sessions.cookie)

    def _form(self, request: Request, message: str, status: int) -> Response:
        if not self._access.tokens.are_asked_for:
            raise HTTPException(404, "no token is needed here")
        session = request.state.session
        csrf = "" if session is None else session.csrf
        return HTMLResponse(render("login.html", {"csrf": csrf, "message": message}), status)
