"""Pictures of pages: `python -m tests.screenshot` renews those of the README files.

They show the status page of a demo, and a trial of a study of people's opinion. With a folder as
argument it takes every status page with 0, 5 and 100,000 images, light, dark and 360 pixels wide,
for people to look at. Needs Debian's chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from sharpend.commands.demo import _sample_pictures
from sharpend.daemon.history import History
from tests.browser import chromium
from tests.test_history import report
from tests.test_mos_browser import agree, opened, ready
from tests.test_mos_browser import served as rated
from tests.test_web import working
from tests.visits import fill, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CONFIG = Path(__file__).parent.parent / "config"
PICTURE, STUDY = CONFIG / "page.png", CONFIG / "study.png"
_WIDTH, _HEIGHT = 1000, 620
_COLORS = 256
"""Of the palette: a small file, in which text stays sharp."""
PAGES = {
    "overview": "/",
    "year": "/?range=year",
    "gallery": "/gallery",
    "whole": "/gallery?show=whole",
    "quarantine": "/quarantine",
    "folders": "/folders",
    "image": "/image/1",
}
SHAPES = {
    "light": (_WIDTH, 900, "light"),
    "dark": (_WIDTH, 900, "dark"),
    "narrow": (360, 780, "light"),
}
"""Width, height and scheme of a window."""
_MANY = 100_000


def main() -> None:
    """Run a demo, and take the picture of its gallery, or all pictures."""
    with tempfile.TemporaryDirectory(prefix="sharpend-picture-") as folder:
        command = [sys.executable, "-m", "sharpend", "demo", "--output", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        demo = Path(folder) / "demo-state"
        if len(sys.argv) > 1:
            _take_all(demo, Path(folder), Path(sys.argv[1]))
            return
        with chromium() as browser, served(demo) as visitor:
            shot = _shot(browser, f"http://127.0.0.1:{visitor.port}/gallery", _WIDTH, _HEIGHT)
            _save(shot, PICTURE)
            _save(_trial(browser, Path(folder) / "study"), STUDY)


def _save(shot: bytes, target: Path) -> None:
    picture = Image.open(io.BytesIO(shot)).convert("RGB").quantize(_COLORS)
    picture.save(target, optimize=True)


def _trial(browser: Browser, folder: Path) -> bytes:
    """Prepare a study of the demo's photographs, and take the picture of its first pair."""
    folder.mkdir()
    for name, pixels in _sample_pictures().items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    command = [sys.executable, "-m", "trainer", "mos", "prepare", str(folder / "study")]
    command += ["--set", str(folder), "--model", "lite-photo", "--contact", "Ann Example"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with rated(folder / "study") as url:
        page = opened(browser, url, [])
        page.set_viewport_size({"width": _WIDTH, "height": _HEIGHT + 80})
        agree(page)
        while page.locator(".images img").count() == 1:
            page.keyboard.press("4")
            with page.expect_navigation():
                page.keyboard.press("Enter")
            ready(page)
        return page.screenshot()


def _take_all(demo: Path, scratch: Path, target: Path) -> None:
    """Take the pictures of all pages in all shapes."""
    target.mkdir(parents=True, exist_ok=True)
    states = {"0": _empty(scratch / "0"), "5": demo, "100000": _large(scratch / "many", demo)}
    with chromium() as browser:
        for count, state in states.items():
            with ExitStack() as stack:
                if state is not demo:  # whose daemon has ended
                    stack.callback(os.close, working(state, **_FIGURES))
                visitor = stack.enter_context(served(state))
                for page, path in PAGES.items():
                    for shape, (width, height, scheme) in SHAPES.items():
                        url = f"http://127.0.0.1:{visitor.port}{path}"
                        shot = _shot(browser, url, width, height, scheme, whole=True)
                        (target / f"{count}-{page}-{shape}.png").write_bytes(shot)


_FIGURES = {"device": "cpu bfloat16", "model": "lite-photo", "workers": 2, "version": "0.1.0"}


def _empty(state: Path) -> Path:
    """Make the state of a daemon that has met no image."""
    state.mkdir()
    fill(state)
    return state


def _large(state: Path, demo: Path) -> Path:
    """Make the state of a daemon with many images, and the previews of the demo for the last."""
    state.mkdir()
    refused, pending = [b"2019/broken-%d.jpg" % n for n in range(120)], range(3000)
    fill(
        state,
        done=(b"2026/%02d/order-%06d.jpg" % (1 + n % 12, n) for n in range(_MANY)),
        refused=refused,
        pending=(b"2026/12/order-%06d.jpg" % (_MANY + n) for n in pending),
        message="the file ends in the middle of the image",
    )
    past, now_s = History(state), time.time()
    for minute in range(1440, -1, -3):
        past.add(report(), now_s - 60 * minute)
    for number, folder in enumerate(sorted((demo / "previews").glob("[0-9]*"))):
        shutil.copytree(folder, state / "previews" / str(_MANY - number))
    return state


def _shot(
    browser: Browser,
    url: str,
    width: int,
    height: int,
    scheme: str = "light",
    *,
    whole: bool = False,
) -> bytes:
    """Take the picture of a page, in PNG."""
    window = {"width": width, "height": height}
    with browser.new_context(viewport=window, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url)
        if whole:  # images further down are loaded when they come into sight
            page.evaluate("() => [...document.images].forEach((one) => (one.loading = 'eager'))")
        page.wait_for_function("() => [...document.images].every((one) => one.complete)")
        return page.screenshot(full_page=whole)


if __name__ == "__main__":
    main()
