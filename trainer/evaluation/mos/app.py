"""The rating page as a web application: routes, cookies and headers.

Owns the way of a rater: consent, training, trials, end. A page is answered after the vote is on the
disk, with a redirection, so that reloading repeats nothing. Every response forbids what the page
does not need: scripts and styles of others, frames, caches.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sharpend.errors import UsageError
from sharpend.web import address
from sharpend.web.client_address import caller_of
from trainer.evaluation.mos.forms import (
    COOKIE,
    csrf_of,
    new_token,
    rater_of,
    read_form,
    score_in,
    screen_in,
    token_of,
    trial_in,
)
from trainer.evaluation.mos.pages import (
    FILES,
    SIDES,
    consent_page,
    end_page,
    message_page,
    trial_page,
    withdrawal_page,
)
from trainer.evaluation.mos.study import crop_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sharpend.web.address import Address
    from trainer.evaluation.mos.raters import Progress, Raters

LOCAL_HOSTS = ("127.0.0.1", "localhost")
_COOKIE_AGE_S = 90 * 24 * 3600
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SEE_OTHER = 303
_LOG = logging.getLogger(__name__)


class _Headers:
    """Add the headers of this application to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, sending)


class _Pages:
    """The handlers of all routes, for one study."""

    def __init__(self, folder: Path, raters: Raters, token: Callable[[], str]) -> None:
        self._folder = folder
        self._study = raters.study
        self._raters = raters
        self._new_token = token

    async def first(self, request: Request) -> Response:
        """The consent page, which gives a new rater their cookie."""
        token = token_of(request)
        if token and self._raters.find(rater_of(token)):
            return _redirect("/trial")
        token = token or self._new_token()
        response = HTMLResponse(consent_page(self._study, csrf_of(token)))
        response.set_cookie(
            COOKIE,
            token,
            max_age=_COOKIE_AGE_S,
            secure=_is_by_https(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def consent(self, request: Request) -> Response:
        """Record a rater's consent."""
        token = token_of(request)
        fields = await read_form(request, token)
        if fields.get("agree") != "yes":
            raise HTTPException(400, "Tick the box to take part.")
        if not self._raters.admit(rater_of(str(token))):
            raise HTTPException(503, "This study has as many raters as it can take. Thank you.")
        return _redirect("/trial")

    async def trial(self, request: Request) -> Response:
        """The rater's next trial, or the way to the first or last page."""
        token, progress = self._session(request)
        if progress is None:
            return _redirect("/")
        if progress.current is None:
            return _redirect("/end")
        return HTMLResponse(trial_page(self._study, progress, csrf_of(token)))

    async def image(self, request: Request) -> Response:
        """An image of the rater's next trial; no other can be asked for."""
        _, progress = self._session(request)
        number, side = request.path_params["number"], request.path_params["side"]
        current = progress.current if progress and str(progress.voted) == number else None
        shown = dict(zip(SIDES, current.stimuli, strict=False)) if current else {}
        if side not in shown:
            raise HTTPException(404, "There is no such image.")
        content = crop_path(self._folder, shown[side]).read_bytes()
        return Response(content, media_type="image/png")

    async def vote(self, request: Request) -> Response:
        """Record the vote on the rater's next trial; one on another trial changes nothing."""
        token = token_of(request)
        fields = await read_form(request, token)
        rater = rater_of(str(token))
        progress, number = self._raters.find(rater), trial_in(fields)
        if progress and progress.current and number == progress.voted:
            score = score_in(fields, progress.current.method)
            self._raters.vote(rater, number, score, screen_in(fields))
        return _redirect("/trial")

    async def withdrawal(self, request: Request) -> Response:
        """The page that asks whether the rater withdraws."""
        token, progress = self._session(request)
        if progress is None:
            return _redirect("/")
        return HTMLResponse(withdrawal_page(self._study, csrf_of(token)))

    async def withdraw(self, request: Request) -> Response:
        """Record that none of the rater's votes may be used."""
        token = token_of(request)
        await read_form(request, token)
        rater = rater_of(str(token))
        if self._raters.find(rater):
            self._raters.withdraw(rater)
        return _redirect("/end")

    async def end(self, request: Request) -> Response:
        """The last page."""
        token, progress = self._session(request)
        if progress is None or progress.current is not None:
            return _redirect("/trial")
        page = end_page(self._study, rater_of(token), withdrawn=progress.withdrawn)
        return HTMLResponse(page)

    def refused(self, _: Request, error: Exception) -> Response:
        """The answer to a request that is refused, or to a vote that could not be stored."""
        status, text = 503, "The answer could not be stored. Go back and send it again."
        if isinstance(error, HTTPException):
            status, text = error.status_code, error.detail
        else:
            _LOG.error("%s: %s", self._folder, error)
        return HTMLResponse(message_page(self._study, text), status)

    def _session(self, request: Request) -> tuple[str, Progress | None]:
        token = token_of(request) or ""
        return token, self._raters.find(rater_of(token)) if token else None


def _is_by_https(request: Request) -> bool:
    """Return whether a server in front declares it; a false header harms the caller alone."""
    return caller_of(request.scope, request.headers, behind_proxy=True).is_secure


def _redirect(path: str) -> Response:
    return RedirectResponse(path, _SEE_OTHER)


async def _file(_: Request, *, name: str) -> Response:
    kind, content = FILES[name]
    return Response(content, media_type=kind)


def rating_page(
    folder: Path,
    raters: Raters,
    *,
    hosts: Sequence[str] = LOCAL_HOSTS,
    token: Callable[[], str] = new_token,
) -> Starlette:
    """Make the application.

    Args:
        folder: of the study.
        raters: of the study, with its open file of votes.
        hosts: names under which browsers may ask for the page.
        token: draws the value of a new rater's cookie.
    """
    pages = _Pages(folder, raters, token)
    return Starlette(
        routes=[
            Route("/", pages.first),
            Route("/consent", pages.consent, methods=["POST"]),
            Route("/trial", pages.trial),
            Route("/image/{number}/{side}", pages.image),
            Route("/vote", pages.vote, methods=["POST"]),
            Route("/withdraw", pages.withdrawal),
            Route("/withdraw", pages.withdraw, methods=["POST"]),
            Route("/end", pages.end),
            *(Route(f"/page/{name}", partial(_file, name=name)) for name in FILES),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        ],
        exception_handlers={HTTPException: pages.refused, OSError: pages.refused},
    )


def local(text: str) -> Address:
    """Parse the address of `--listen`; raters from elsewhere come by a server with TLS in front.

    Args:
        text: `127.0.0.1:PORT`, where port 0 takes a free one, or `unix:PATH`.

    Raises:
        UsageError: it is neither.
    """
    where = address.parse(text)
    if not where.path and str(where.host) != LOCAL_HOSTS[0]:
        raise UsageError(f"--listen: {text}: give {LOCAL_HOSTS[0]}:PORT or unix:PATH")
    return where
