"""Addresses that the page listens on: parsed, judged as local or not, and bound.

Owns the forms `127.0.0.1:PORT`, `[::1]:PORT`, `localhost:PORT` and `unix:PATH`. Refuses names of
other machines, and to take a socket from a process that listens on it.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from sharpend.errors import UnavailableError, UsageError

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
_BACKLOG = 128
_FORMS = "give 127.0.0.1:PORT, [::1]:PORT or unix:PATH"
SOCKET_MODE = 0o660
"""Mode of a unix socket: user and group of the process may connect."""


@dataclass(frozen=True, slots=True)
class Address:
    """Address to listen on: a unix socket, or an IP address with a port."""

    path: str = ""
    """Of the unix socket; empty for an IP address."""
    host: _IP = _LOOPBACK
    port: int = 0
    """0 takes a free one."""

    @property
    def is_local(self) -> bool:
        """True if only processes of this machine can reach it."""
        return bool(self.path) or self.host.is_loopback

    @property
    def cookie(self) -> str:
        """Name of the session's cookie: browsers share cookies among all ports of a machine."""
        place = self.path or f"{self.host}:{self.port}"
        return f"sharpend-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    @property
    def names(self) -> frozenset[str]:
        """Names by which a browser on this machine may call it, without port, as in `Host`."""
        own = {"localhost", "127.0.0.1", "[::1]"} if self.is_local else set()
        if not self.path and not self.host.is_unspecified:
            own.add(_bracketed(self.host))
        return frozenset(own)


def parse(text: str) -> Address:
    """Parse the address of `--listen`.

    Raises:
        UsageError: it has none of the forms.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(path=text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"--listen: {text}: {_FORMS}")
    name = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        return Address(host=ipaddress.ip_address(name), port=int(port))
    except ValueError as error:
        raise UsageError(f"--listen: {text}: {_FORMS}") from error


def bind(address: Address) -> socket.socket:
    """Bind a listening socket.

    Raises:
        UnavailableError: the address is in use, or may not be used.
    """
    try:
        return _bound_to_path(address.path) if address.path else _bound_to_port(address)
    except OSError as error:
        text = f"--listen: {address.path or url_of(address)}: {error.strerror}"
        raise UnavailableError(f"{text}: choose another address") from error


def bound(address: Address, listener: socket.socket) -> Address:
    """Return the address of a socket, with the port that it was given where any was wanted."""
    return address if address.path else replace(address, port=listener.getsockname()[1])


def url_of(address: Address) -> str:
    """Return where a browser finds the page; of a unix socket, its address."""
    if address.path:
        return f"unix:{address.path}"
    return f"http://{_bracketed(address.host)}:{address.port}/"


def _bracketed(host: _IP) -> str:
    return f"[{host}]" if host.version == 6 else str(host)  # noqa: PLR2004 - IPv6


def _bound_to_port(address: Address) -> socket.socket:
    family = socket.AF_INET6 if address.host.version == 6 else socket.AF_INET  # noqa: PLR2004
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address.host), address.port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _bound_to_path(path: str) -> socket.socket:
    """Bind a unix socket; one that an earlier process left is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; any other file stays.

    Raises:
        OSError: somebody listens, or it is no socket.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket has this name")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            if caller.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)
