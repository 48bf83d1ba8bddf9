"""Access control in front of all pages: host names, sessions, tokens, origin; security headers.

Owns the checks that every request passes: the name in `Host`, which another name that points here
(DNS rebinding) does not have; the session or token; for an action the page that sent it. Refuses
before any page is asked. Owns the headers of every answer, the content security policy among them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from sharpend.logs.events import Event
from sharpend.web import sessions
from sharpend.web.client_address import caller_of
from sharpend.web.tokens import LOCAL

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sharpend.logs.logs import Log
    from sharpend.web.client_address import Caller
    from sharpend.web.sessions import Session, Sessions
    from sharpend.web.tokens import Throttle, Tokens

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PROBES = frozenset({"/healthz", "/readyz"})
"""Answered without a token: they show only whether a daemon runs."""
LOGIN = "/login"
_METHODS = {"GET", "HEAD", "POST"}
_FROM_HERE = {"", "same-origin", "none"}
"""Values of `Sec-Fetch-Site` of a request that no other site has caused; older browsers send none.
"""
_SCHEMES = ("http", "https")
_AGAIN = """<!doctype html><html lang="en"><title>sharpend</title>
<meta http-equiv="refresh" content="0; url=/"><p><a href="/">Status page of sharpend</a></p></html>
"""
"""Answer to a link from another site: the browser then comes by itself, with its cookie."""


@dataclass(frozen=True, slots=True)
class Access:
    """Rules of access.

    Attributes:
        names: names of this page without port, in lower case, as in `Host`.
        tokens: tokens that are accepted.
        sessions: sessions of visitors with a token.
        throttle: counts failed tokens.
        log: for what is refused.
        behind_proxy: trust X-Forwarded-For and X-Forwarded-Proto of the server in front.
    """

    names: frozenset[str]
    tokens: Tokens
    sessions: Sessions
    throttle: Throttle
    log: Log
    behind_proxy: bool = False

    @property
    def visitor(self) -> str:
        """Name of somebody who has given no token."""
        return "" if self.tokens.are_asked_for else LOCAL

    def session_in(self, headers: Headers, caller: Caller) -> Session | None:
        """Return the session of the cookie in a request, or None."""
        cookies = cookie_parser(headers.get("cookie", ""))  # other programs' cookies may be odd
        return self.sessions.of(cookies.get(self._cookie(caller), ""))

    def cookie_of(self, session: Session, caller: Caller) -> str:
        """Format the header that sets the cookie of a session."""
        secure = "; Secure" if caller.is_secure else ""
        given = f"{self._cookie(caller)}={session.cookie}; Path=/; HttpOnly; SameSite=Strict"
        return f"{given}; Max-Age={sessions.LASTS_S}{secure}"

    def _cookie(self, caller: Caller) -> str:
        """Name the cookie; by https so that no other host and no http page can set it."""
        return f"__Host-{self.sessions.cookie}" if caller.is_secure else self.sessions.cookie

    def name_of(self, token: str, caller: Caller, path: str) -> str | None:
        """Return the name of a token; of a wrong one None, counted while the caller may try.

        A valid token is accepted after any number of wrong ones from any address: else anybody
        could lock its owner out. Tokens are too long to be guessed.
        """
        who = self.tokens.name_of(token)
        if who is None and not self.throttle.wait_s(caller.address):
            self.throttle.failed(caller.address)
            self.refuse("wrong token", caller, path)
        return who

    def refuse(self, cause: str, caller: Caller, path: str) -> None:
        """Log a refused request."""
        self.log.warning(Event.REQUEST_REFUSED, cause=cause, caller=caller.address, address=path)

    def fail(self, cause: str, caller: Caller, path: str) -> None:
        """Log a request that failed because of a fault of the page."""
        self.log.error(Event.REQUEST_FAILED, cause=cause, caller=caller.address, address=path)


class AccessControl:
    """ASGI middleware; sets `state.session` and `state.caller` of each request.

    Args:
        app: behind the gate.
        access: rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        caller = caller_of(scope, headers, behind_proxy=self._access.behind_proxy)
        session = self._session_of(headers, caller, scope["path"])
        begins = session is None and _may_begin(scope, headers)
        if begins:
            session = self._access.sessions.new(self._access.visitor)
        scope.setdefault("state", {}).update(session=session, caller=caller)
        refusal = self._refusal(scope, headers, session, caller)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    given[name] = value
                given.setdefault("Cache-Control", "no-store")
                if begins and session is not None and "set-cookie" not in given:
                    given.append("Set-Cookie", self._access.cookie_of(session, caller))
            await send(message)

        try:
            await (refusal or self._app)(scope, receive, answer)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the visitor has an answer; the log has the cause
            self._access.fail(f"{type(error).__name__}: {error}", caller, scope["path"])

    def _session_of(self, headers: Headers, caller: Caller, path: str) -> Session | None:
        """Return the session of a cookie, or of a token in `Authorization` for this request."""
        known = self._access.session_in(headers, caller)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        is_given = scheme.lower() == "bearer" and self._access.tokens.are_asked_for
        if (known is not None and known.who) or not is_given:
            return known
        who = self._access.name_of(token.strip(), caller, path)
        return known if who is None else self._access.sessions.new(who)

    def _refusal(
        self, scope: Scope, headers: Headers, session: Session | None, caller: Caller
    ) -> Response | None:
        """Return the answer to a request that must not pass, or None."""
        fault = self._fault(scope["method"], headers, caller)
        if fault is not None:
            status, cause = fault
            self._access.refuse(cause, caller, scope["path"])
            return PlainTextResponse(f"{cause}\n", status)
        if is_open(scope["path"]):
            return None
        if session is None and _is_linked(headers):
            return HTMLResponse(_AGAIN)
        if not self._access.tokens.are_asked_for or (session is not None and session.who):
            return None
        return self._asked_for_token(scope, headers, caller)

    def _asked_for_token(self, scope: Scope, headers: Headers, caller: Caller) -> Response:
        """Return the answer to a request without a right token."""
        wait_s = self._access.throttle.wait_s(caller.address)
        if wait_s and "authorization" in headers:
            return too_many(wait_s)
        if scope["method"] == "GET" and _shows_page(headers):
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"})

    def _fault(self, method: str, headers: Headers, caller: Caller) -> tuple[int, str] | None:
        """Return status and cause of what is wrong about a request, or None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or name_in(hosts[0]) not in self._access.names:
            return 421, "Host is no name of this page: add it with --allow-host"
        if method not in _METHODS:
            return 405, "method is not allowed"
        if method == "POST" and not _is_sent_from_here(headers, hosts[0], caller):
            return 403, "another site sent this form"
        if not (_is_from_here(headers) or _shows_page(headers)):
            return 403, "another site asks for this"
        return None


def is_open(path: str) -> bool:
    """Return whether a path is answered without a session."""
    return path in PROBES or path == LOGIN or path.startswith("/static/")


def _may_begin(scope: Scope, headers: Headers) -> bool:
    """Return whether a request may begin a session: a browser shows a page, not by a link.

    A request from another site lacks the cookie of its session, which a new session would replace.
    """
    is_shown = _is_from_here(headers) and _shows_page(headers)
    return scope["method"] == "GET" and is_shown and scope["path"] not in PROBES


def _is_linked(headers: Headers) -> bool:
    """Return whether a browser shows this site's page because another site links to it."""
    return not _is_from_here(headers) and _shows_page(headers)


def _is_from_here(headers: Headers) -> bool:
    """Return whether no other site has caused a request, by its browser's headers."""
    return headers.get("sec-fetch-site", "") in _FROM_HERE


def _shows_page(headers: Headers) -> bool:
    """Return whether a browser wants a page to show."""
    return "text/html" in headers.get("accept", "")


def _is_sent_from_here(headers: Headers, host: str, caller: Caller) -> bool:
    """Return whether a page of this origin sent a form; browsers add these headers themselves."""
    origin, schemes = headers.get("origin"), (caller.scheme,) if caller.scheme else _SCHEMES
    same = origin is None or origin.lower() in {f"{one}://{host.lower()}" for one in schemes}
    return same and _is_from_here(headers)


def name_in(host: str) -> str:
    """Return the name in a `Host` header without its port, in lower case."""
    name, colon, port = host.rpartition(":")
    has_port = bool(colon) and port.isascii() and port.isdigit()
    return (name if has_port else host).lower().removesuffix(".")


def too_many(wait_s: float) -> Response:
    """Answer to somebody who tried too many tokens."""
    seconds = math.ceil(wait_s)
    text = f"too many wrong tokens: try again in {seconds} s\n"
    return PlainTextResponse(text, 429, {"Retry-After": str(seconds)})
