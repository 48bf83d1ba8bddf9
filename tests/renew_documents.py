"""Renew what is made from the source: `python -m tests.renew_documents`, or `make documents`."""

from __future__ import annotations

from sharpend.imaging import formats
from tests.described import PAGE, markdown, split_page
from tests.shell_files import write_shell_files

_HEAD, _END = "| format | bits |", "\n\n"


def main() -> None:
    """Write config/README.md's tables of events and formats, the man page and the completions."""
    before, _, after = split_page()
    page = f"{before}\n{markdown()}\n{after}"
    PAGE.write_text(_with_formats(page), encoding="utf-8")
    write_shell_files()


def _with_formats(page: str) -> str:
    """The page with today's two tables of formats and refusals, which stand one after the other."""
    start = page.index(_HEAD)
    end = page.index(_END, page.index(_END, start) + len(_END))
    return page[:start] + formats.markdown() + page[end:]


if __name__ == "__main__":
    main()
