"""Login with a token, and logout: the form, the check (`tokens`) and the session (`sessions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

from sharpend.logs.events import Event
from sharpend.web import access_control, forms
from sharpend.web.templates import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sharpend.web.access_control import Access


class Login:
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
        fields = await forms.read(request)
        # From here on without `await`: forms that were held back are counted one by one.
        wait_s = self._access.throttle.wait_s(caller.address)
        who = self._access.name_of(fields.get("token", ""), caller, access_control.LOGIN)
        if who is None and wait_s:
            self._access.refuse("too many wrong tokens", caller, access_control.LOGIN)
            return access_control.too_many(wait_s)
        if who is None:
            return self._form(request, "This token is wrong.", 403)
        self._access.log.info(Event.ACTION_TAKEN, action="enter", who=who, caller=caller.address)
        return self._begun(request, "/", who)

    async def logout(self, request: Request) -> Response:
        """End the session of a browser."""
        await forms.read(request)
        return self._begun(request, access_control.LOGIN, "")

    def _begun(self, request: Request, path: str, who: str) -> Response:
        """Lead to a page with a new session."""
        answer = RedirectResponse(path, 303)
        session = self._access.sessions.new(who)
        answer.headers["Set-Cookie"] = self._access.cookie_of(session, request.state.caller)
        return answer

    def _form(self, request: Request, message: str, status: int) -> Response:
        if not self._access.tokens.are_asked_for:
            raise HTTPException(404, "no token is needed here")
        session = request.state.session
        csrf = "" if session is None else session.csrf
        return HTMLResponse(render("login.html", {"csrf": csrf, "message": message}), status)
