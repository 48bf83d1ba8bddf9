"""A real browser for tests: Debian's chromium without a window, driven by Playwright."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

MODULES = ("playwright", "axe_playwright_python")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, or skip the test with the reason where it cannot be."""
    program = shutil.which("chromium")
    absent = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if program is None or absent:
        pytest.skip(f"no {' or '.join(absent) or 'chromium'}")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everywhere

    with sync_playwright() as playwright:
        # Root needs --no-sandbox; a container's /dev/shm may be too small for the browser.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def serious_faults(page: Page) -> list[str]:
    """Find what keeps people from using a page: axe-core's faults of a serious or critical kind."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - not everywhere

    page.wait_for_load_state()
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
