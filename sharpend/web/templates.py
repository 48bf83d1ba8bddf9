"""Templates of the pages: everything that is put into them is escaped."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sharpend import __version__
from sharpend.web import formatting

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
STATIC = HERE / "static"
TYPES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files that are served as they are, with their types; no other file is."""


def render(name: str, values: Mapping[str, object]) -> str:
    """Render a template; a value that is missing is an error."""
    return _environment().get_template(name).render(values)


@cache
def static(name: str) -> bytes:
    """Read one of `TYPES`."""
    return (STATIC / name).read_bytes()


def address_of(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return f"/static/{name}?{hashlib.sha256(static(name)).hexdigest()[:12]}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for one in (
        formatting.name,
        formatting.state,
        formatting.health,
        formatting.base,
        formatting.clock,
        formatting.stamp,
        formatting.duration,
        formatting.count,
        formatting.figure,
        formatting.fact,
    ):
        made.filters[one.__name__] = one
    made.globals |= {"static": address_of, "version": __version__, "zone": formatting.zone}
    return made
