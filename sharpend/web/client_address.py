"""Client address of a request, from its socket or from headers of a trusted reverse proxy.

Owns the headers `X-Forwarded-For` and `X-Forwarded-Proto`. They are used with `--behind-proxy`
only, because every client can send them, too.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Scope

UNIX = "unix"
"""Address of everybody behind a unix socket."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Origin of a request."""

    address: str
    """IP address; of IPv6 its network of 64 bits, which one machine has; `unix`."""
    scheme: str | None
    """http or https, as the browser has it; None where it is not known."""

    @property
    def is_secure(self) -> bool:
        """True if the browser is known to have come by https."""
        return self.scheme == "https"


def caller_of(scope: Scope, headers: Headers, *, behind_proxy: bool) -> Caller:
    """Return the caller of a request.

    Args:
        scope: of the request.
        headers: of the request.
        behind_proxy: True believes a server in front. The last address counts: the server has added
            it itself, entries before it may be forged by the visitor.
    """
    client = scope.get("client")
    own = _address(client[0] if client else "") or UNIX
    if not behind_proxy:
        return Caller(own, None)
    scheme = _last(headers, "x-forwarded-proto").lower()
    forwarded = _address(_last(headers, "x-forwarded-for"))
    return Caller(forwarded or own, scheme if scheme in {"http", "https"} else None)


def _last(headers: Headers, name: str) -> str:
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _address(text: str) -> str | None:
    """Return the IP address in a text, as callers are counted; None where there is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:  # a socket of IPv6 that takes IPv4, too
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
