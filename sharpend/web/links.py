"""Addresses of pages: ids of images, and places where a page begins. Never a path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException

from sharpend.ledger.pages import LARGEST_ID, NEWEST, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from sharpend.ledger.pages import JobRow

_PLACE = re.compile(r"([0-9]{1,12}\.[0-9]{1,9})-([0-9]{1,19})")


class _Ids(Convertor[int]):
    """Ids in routes, `{job_id:id}`; more digits than an id can have lead to no page."""

    regex = "[0-9]{1,19}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the digits."""
        return str(value)


register_url_convertor("id", _Ids())


def job_id_of(request: Request) -> int:
    """Return the id in an address; HTTPException for a number that no image can have."""
    job_id: int = request.path_params["job_id"]
    if not 0 < job_id <= LARGEST_ID:
        raise HTTPException(404, "there is no such image")
    return job_id


def place_of(request: Request) -> Place:
    """Return the place after which a page begins; HTTPException for a malformed one."""
    text = request.query_params.get("after")
    if text is None:
        return NEWEST
    found = _PLACE.fullmatch(text)
    if found is None or int(found[2]) > LARGEST_ID:
        raise HTTPException(400, "this is not the address of a page")
    return Place(float(found[1]), int(found[2]))


def next_of(entries: Sequence[JobRow], most: int) -> str | None:
    """Return the place of the next page, or None after the last one.

    Args:
        entries: of this page, and one more where there is a next page.
        most: entries of a page.
    """
    if len(entries) <= most:
        return None
    place = entries[most - 1].place
    return f"{place.at_s:.9f}-{place.job_id}"
