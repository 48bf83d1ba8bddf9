"""The server of a rating page, on this machine's own address or a unix socket.

Owns the socket. Other addresses are refused: whoever wants raters from elsewhere puts a web server
with TLS in front.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from sharpend.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

UNIX = "unix:"
LOCAL = {"127.0.0.1": socket.AF_INET, "localhost": socket.AF_INET}
_MOST_PORT = 65_535
_WAITING = 64
_OWNER_AND_GROUP = 0o117


@contextmanager
def listening(where: str) -> Iterator[socket.socket]:
    """Open the socket that `--listen` names.

    Args:
        where: `127.0.0.1:PORT`, where port 0 takes a free one, or `unix:PATH`.

    Raises:
        UsageError: it is neither.
        UnavailableError: the address is in use.
        OSError: the socket cannot be made.
    """
    path = where.removeprefix(UNIX) if where.startswith(UNIX) else ""
    made = _unix(Path(path)) if path else _local(where)
    with made:
        yield made
    if path:
        Path(path).unlink(missing_ok=True)


def _local(where: str) -> socket.socket:
    host, _, port = where.rpartition(":")
    if host not in LOCAL or not port.isascii() or not port.isdigit() or int(port) > _MOST_PORT:
        raise UsageError(f"--listen {where}: give 127.0.0.1:PORT or unix:PATH")
    try:
        return socket.create_server((host, int(port)), family=LOCAL[host], backlog=_WAITING)
    except OSError as error:
        raise UnavailableError(f"--listen {where}: {os.strerror(error.errno or 0)}") from error


def _unix(path: Path) -> socket.socket:
    """A unix socket for the owner and their group; one that a killed server left is replaced."""
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(_OWNER_AND_GROUP)
    try:
        made.bind(str(path))
        made.listen(_WAITING)
    except OSError as error:
        made.close()
        raise UnavailableError(f"--listen unix:{path}: {error}") from error
    finally:
        os.umask(before)
    return made


def _remove_stale(path: Path) -> None:
    if not path.exists() or not stat.S_ISSOCK(path.lstat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as trial:
        if trial.connect_ex(str(path)) == 0:
            raise UnavailableError(f"--listen unix:{path}: another server listens there")
    path.unlink()


def address(listener: socket.socket) -> str:
    """The address for people: a URL, or the path of the socket."""
    name = listener.getsockname()
    return f"{UNIX}{name}" if isinstance(name, str) else f"http://{name[0]}:{name[1]}/"


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM.

    Whoever may connect to a unix socket is a web server of this machine and is believed that a
    browser came by HTTPS; on 127.0.0.1 uvicorn believes that of this machine alone.
    """
    unix = listener.family == socket.AF_UNIX
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        lifespan="off",
        forwarded_allow_ips="*" if unix else "127.0.0.1",
    )
    uvicorn.Server(config).run(sockets=[listener])
