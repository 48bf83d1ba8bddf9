"""Server of the status page: a socket, uvicorn, and a clean end at SIGTERM."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeAlias

import uvicorn

from sharpend.daemon.systemd import Notifier
from sharpend.web import address
from sharpend.web.connections import MOST, BoundedConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from sharpend.web.address import Address

    Make: TypeAlias = Callable[[Callable[[], bool]], ASGIApp]

_STOP_S = 5
"""Longest wait for answers that are under way at a stop."""


class Server(uvicorn.Server):
    """Server that reports when it is ready.

    Args:
        make: makes the application of a function that returns True once the server stops.
        on_ready: called with the address for browsers.
        where: address of the socket that is given to `run`.
    """

    def __init__(self, make: Make, on_ready: Callable[[str], None], where: Address) -> None:
        self._on_ready = on_ready
        self._where = where
        super().__init__(
            uvicorn.Config(
                make(lambda: self.should_exit),
                log_config=None,
                log_level="error",  # with warnings any caller could fill the log
                access_log=False,
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                ws="none",
                http=BoundedConnection,
                loop="asyncio",
                limit_concurrency=MOST,
                timeout_graceful_shutdown=_STOP_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        url = address.url_of(self._where)
        Notifier().ready(url)
        self._on_ready(url)


def serve(make: Make, on_ready: Callable[[str], None], where: Address) -> None:
    """Answer until SIGTERM or SIGINT; arguments as of `Server`.

    Raises:
        UnavailableError: the address is in use, or may not be used.
    """
    with address.bind(where) as listener:
        # uvicorn sends itself the signal once more when it has ended.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Server(make, on_ready, address.bound(where, listener)).run(sockets=[listener])
