"""Renew what is made from the source: `python -m tests.renew_documents`, or `make documents`."""

from __future__ import annotations

import hashlib

from sharpend.imaging import formats
from sharpend.model import weights
from sharpend.model.shipped import SHIPPED, find
from sharpend.web import metric_list
from tests.described import MONITORING, PAGE, markdown, split_page
from tests.shell_files import write_shell_files
from trainer.publishing.rewriting import renewed_card

_HEAD, _END = "| format | bits |", "\n\n"


def main() -> None:
    """Write the tables of the pages in config, the man page, the completions and the cards."""
    before, _, after = split_page()
    page = f"{before}\n{markdown()}\n{after}"
    PAGE.write_text(_with_formats(page), encoding="utf-8")
    before, _, after = split_page(MONITORING, "metrics")
    MONITORING.write_text(f"{before}\n{metric_list.markdown()}\n{after}", encoding="utf-8")
    write_shell_files()
    for card in sorted(SHIPPED.glob("*.md")):
        sha256 = hashlib.sha256(find(card.stem).read_bytes()).hexdigest()
        card.write_text(renewed_card(card.read_text(), weights.load(card.stem), sha256))


def _with_formats(page: str) -> str:
    """The page with today's two tables of formats and refusals, which are one after the other."""
    start = page.index(_HEAD)
    end = page.index(_END, page.index(_END, start) + len(_END))
    return page[:start] + formats.markdown() + page[end:]


if __name__ == "__main__":
    main()
