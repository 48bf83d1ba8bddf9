"""Application of the status page: the addresses and what answers them.

Addresses have ids of images, never paths or names of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from sharpend.web import images, templates
from sharpend.web.access_control import AccessControl
from sharpend.web.actions import Actions
from sharpend.web.event_stream import EventStream
from sharpend.web.links import job_id_of
from sharpend.web.login import Login
from sharpend.web.pages import Pages
from sharpend.web.probes import Probes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from sharpend.web.access_control import Access

_UNCHANGING = {"Cache-Control": "private, max-age=31536000, immutable"}
"""A preview of an id can be made anew, so that this is for static files alone: their address has
the digest of their content."""
_FAULT = "a fault of the page itself: its log has the cause, as request.failed"
_SHORTLY = {"Cache-Control": "private, max-age=60"}


@dataclass(frozen=True, slots=True)
class Site:
    """Parts that the application is made of."""

    state_dir: Path
    every_s: float
    """Seconds between two reports of the daemon."""
    access: Access


def make(site: Site, is_stopping: Callable[[], bool]) -> AccessControl:
    """Make the application, behind its gate.

    Args:
        site: its parts.
        is_stopping: True once the server stops, which ends streams.
    """
    pages = Pages(site.state_dir, site.every_s, asks_for_tokens=site.access.tokens.are_asked_for)

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        message = error.detail if isinstance(error, HTTPException) else _FAULT
        return await pages.refused(request, status, message)

    inner = Starlette(
        routes=[
            *_routes_of_pages(pages),
            *_routes_of_actions(site),
            *_routes_of_files(site.state_dir, EventStream(site.state_dir, is_stopping)),
            *_routes_of_probes(site),
        ],
        exception_handlers={HTTPException: refused, Exception: refused},
    )
    inner.router.redirect_slashes = False
    return AccessControl(inner, site.access)


def _routes_of_pages(pages: Pages) -> list[Route]:
    return [
        Route("/", pages.overview),
        Route("/gallery", pages.gallery),
        Route("/quarantine", pages.quarantine),
        Route("/folders", pages.folders),
        Route("/image/{job_id:id}", pages.image),
    ]


def _routes_of_actions(site: Site) -> list[Route]:
    actions, entry = Actions(site.state_dir, site.access.log), Login(site.access)
    return [
        Route("/image/{job_id:id}/retry", actions.retry, methods=["POST"]),
        Route("/folders/pause", actions.pause, methods=["POST"]),
        Route("/folders/resume", actions.resume, methods=["POST"]),
        Route("/login", entry.form),
        Route("/login", entry.enter, methods=["POST"]),
        Route("/logout", entry.logout, methods=["POST"]),
    ]


def _routes_of_probes(site: Site) -> list[Route]:
    probes = Probes(site.state_dir, site.every_s)
    return [
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        Route("/metrics", probes.metrics),
    ]


def _routes_of_files(state_dir: Path, changes: EventStream) -> list[Route]:
    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in templates.TYPES:
            raise HTTPException(404, "there is no such file")
        kind = templates.TYPES[name]
        return Response(templates.static(name), headers={**_UNCHANGING, "Content-Type": kind})

    async def preview(request: Request) -> Response:
        job_id, name = job_id_of(request), request.path_params["name"]
        content = await run_in_threadpool(images.read, state_dir, job_id, name)
        if content is None:
            raise HTTPException(404, "there is no such preview")
        return Response(content, media_type="image/webp", headers=_SHORTLY)

    async def events(_: Request) -> ASGIApp:
        return changes

    return [
        Route("/static/{name}", static),
        Route("/image/{job_id:id}/{name}", preview),
        Route("/events", events),
    ]
