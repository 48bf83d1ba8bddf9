"""Forms that pages send: read within bounds, with the token of their session.

Refuses bodies that are larger than any form of this site, and forms of other sites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sharpend.web.sessions import is_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from sharpend.web.sessions import Session

MOST_BYTES = 8192
_MOST_FIELDS = 8


async def read(request: Request) -> Mapping[str, str]:
    """Read a form of the session that it is sent in.

    Raises:
        HTTPException: it is too large, no form, or without the token of its session.
    """
    try:
        body = (await _body(request)).decode()
        fields = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except (ValueError, ClientDisconnect) as error:
        raise HTTPException(400, "this is not a form") from error
    session: Session | None = request.state.session
    if session is None or not is_token(session, fields.get("csrf", "")):
        raise HTTPException(403, "this form is too old, or not of this page: load the page again")
    return fields


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "the form is too large")
    return bytes(body)
