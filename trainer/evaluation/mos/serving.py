"""The server of a rating page: that of the status page, on this machine alone.

Owns which addresses are allowed. Others are refused: whoever wants raters from elsewhere puts a web
server with TLS in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.web import address
from sharpend.web.serve import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from sharpend.web.address import Address

THIS_MACHINE = "127.0.0.1"


def local(text: str) -> Address:
    """Parse the address of `--listen`.

    Args:
        text: `127.0.0.1:PORT`, where port 0 takes a free one, or `unix:PATH`.

    Raises:
        UsageError: it is neither.
    """
    where = address.parse(text)
    if not where.path and str(where.host) != THIS_MACHINE:
        raise UsageError(f"--listen: {text}: give {THIS_MACHINE}:PORT or unix:PATH")
    return where


def run(app: ASGIApp, where: Address, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, with the bounds of `sharpend.web.connections`.

    Args:
        app: the rating page.
        where: as of `local`.
        on_ready: called with the address for browsers.

    Raises:
        UnavailableError: the address is in use, or may not be used.
    """
    serve(lambda _: app, on_ready, where)
