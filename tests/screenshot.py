"""Picture of the status page for README.md: `python -m tests.screenshot`, of a new demo.

Needs Debian's chromium.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import chromium
from tests.visits import served

PICTURE = Path(__file__).parent.parent / "config" / "page.png"
_WIDTH, _HEIGHT = 1000, 620
_COLORS = 256
"""Of the palette: a small file, in which text stays sharp."""


def main() -> None:
    """Run a demo, and take the picture of its gallery."""
    with tempfile.TemporaryDirectory(prefix="sharpend-picture-") as folder:
        command = [sys.executable, "-m", "sharpend", "demo", "--output", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with served(Path(folder) / "demo-state") as visitor:
            shot = _shot(f"http://127.0.0.1:{visitor.port}/gallery")
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(_COLORS)
    picture.save(PICTURE, optimize=True)


def _shot(url: str) -> bytes:
    """Take the picture of a page, in PNG."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.goto(url)
        page.wait_for_function("() => [...document.images].every((one) => one.complete)")
        return page.screenshot()


if __name__ == "__main__":
    main()
