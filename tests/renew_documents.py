"""Renew what the pages have from the source: `python -m tests.renew_documents`."""

from __future__ import annotations

from tests.described import PAGE, markdown, split_page


def main() -> None:
    """Write the tables of events into config/README.md."""
    before, _, after = split_page()
    PAGE.write_text(f"{before}\n{markdown()}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
