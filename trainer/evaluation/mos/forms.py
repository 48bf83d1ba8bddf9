"""Input from browsers: the cookie of a rater, and forms of bounded size and values.

Owns every check on input from outside. The rater's id and the token against cross-site requests are
digests of the cookie, so that neither can be turned back into it.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException

from trainer.evaluation.mos.protocol import LABELS, Method
from trainer.evaluation.mos.votes import Screen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

COOKIE = "rater"
MOST_BODY_BYTES = 4096
MOST_FIELDS = 16
MOST_DPR = 32.0
MOST_SIDE = 100_000
MOST_SHOWN_MS = 86_400_000
_TOKEN_BYTES = 24
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,17})?")


def new_token() -> str:
    """Draw the value of a new cookie."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_of(request: Request) -> str | None:
    """The value of this page's cookie; None without one."""
    token = request.cookies.get(COOKIE, "")
    return token if _TOKEN.fullmatch(token) else None


def rater_of(token: str) -> str:
    """The rater's id."""
    return _digest("rater", token)[:16]


def csrf_of(token: str) -> str:
    """The token that every form of this rater carries."""
    return _digest("form", token)[:32]


def _digest(purpose: str, token: str) -> str:
    return hashlib.sha256(f"{purpose}:{token}".encode()).hexdigest()


async def read_form(request: Request, token: str | None) -> Mapping[str, str]:
    """Read a form that our own page sent.

    Raises:
        HTTPException: 413 too large, 400 not a form, 403 without this rater's token.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise HTTPException(413, "The form is too large.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError as error:
        raise HTTPException(400, "The form is not valid.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise HTTPException(400, "The form is not valid.")
    sent = fields.get("csrf", "").encode()
    if token is None or not hmac.compare_digest(sent, csrf_of(token).encode()):
        raise HTTPException(403, "This form is not of this session. Open the first page again.")
    return fields


def trial_in(fields: Mapping[str, str]) -> int:
    """The number of the trial that a vote is for.

    Raises:
        HTTPException: 400 not a number.
    """
    return _whole(fields, "trial", least=0, most=10**9)


def score_in(fields: Mapping[str, str], method: Method) -> int:
    """The score of a vote.

    Raises:
        HTTPException: 400 not on the scale.
    """
    labels = LABELS[method]
    return _whole(fields, "score", least=min(labels), most=max(labels))


def screen_in(fields: Mapping[str, str]) -> Screen:
    """Read the circumstances of a trial, as the page sends them.

    Raises:
        HTTPException: 400 not possible.
    """
    text = fields.get("dpr", "")
    dpr = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not 0 < dpr <= MOST_DPR:
        raise HTTPException(400, "dpr: is not possible.")
    return Screen(
        dpr=dpr,
        width=_whole(fields, "width", least=1, most=MOST_SIDE),
        height=_whole(fields, "height", least=1, most=MOST_SIDE),
        shown_ms=_whole(fields, "shown_ms", least=0, most=MOST_SHOWN_MS),
    )


def _whole(fields: Mapping[str, str], name: str, *, least: int, most: int) -> int:
    text = fields.get(name, "")
    if not _WHOLE_NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise HTTPException(400, f"{name}: must be a whole number from {least} to {most}.")
    return int(text)
