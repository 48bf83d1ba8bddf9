"""Renew what is made from the source: `python -m tests.renew_documents`, or `make documents`."""

from __future__ import annotations

from tests.described import PAGE, markdown, split_page
from tests.shell_files import write_shell_files


def main() -> None:
    """Write the tables of events into config/README.md, the man page and the completions."""
    before, _, after = split_page()
    PAGE.write_text(f"{before}\n{markdown()}\n{after}", encoding="utf-8")
    write_shell_files()


if __name__ == "__main__":
    main()
