"""The status page in a real browser, Debian's chromium without a window, beside a real daemon."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.browser import chromium, serious_faults
from tests.conftest import drop, photograph
from tests.daemons import WITHIN_S, configured, running, surroundings
from tests.students import agreeing
from tests.visits import TOKEN, fill, preview, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytest.importorskip("starlette", reason="the extra `web` is not installed")
pytestmark = pytest.mark.slow

PAGES = ["/", "/?range=year", "/gallery", "/gallery?of=all&show=whole", "/quarantine", "/folders"]
PAGES += ["/image/1", "/image/4"]
SHAPES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 800}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}
LOUD = {"error", "warning"}
"""Kinds of lines on the console that a page must not cause."""
TIMEOUT_MS = WITHIN_S * 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with chromium() as found:
        yield found


@contextmanager
def visiting(browser: Browser, url: str, **shape: Any) -> Iterator[Page]:  # noqa: ANN401 - of a context
    """A page that must log no error, and ask no other host for anything."""
    context = browser.new_context(**shape)
    page, faults = context.new_page(), []
    page.set_default_timeout(TIMEOUT_MS)
    page.on("console", lambda told: faults.append(told.text) if told.type in LOUD else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda one: None if one.url.startswith(url) else faults.append(f"asks {one.url}"),
    )
    yield page
    context.close()
    assert faults == []


def webp(height: int, width: int, *, soft: bool) -> bytes:
    """An image as a worker leaves it in a preview."""
    picture = Image.fromarray(photograph(height, width))
    if soft:
        picture = picture.filter(ImageFilter.GaussianBlur(2))
    file = io.BytesIO()
    picture.save(file, "WEBP")
    return file.getvalue()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page with results, a preview, a refusal and a hostile name."""
    state = tmp_path_factory.mktemp("site")
    names = [b"a.jpg", b"<img src=x onerror=alert(1)>.jpg", b"c.jpg"]
    fill(state, done=names, pending=[b"w.jpg"], refused=[b"<b>bad</b>.jpg"])
    images = {
        f"{part}-{when}.webp": webp(*size, soft=when == "before")
        for part, size in (("crop", (256, 256)), ("whole", (450, 600)))
        for when in ("before", "after")
    }
    preview(state, 1, images)
    preview(state, 2, images)
    with served(state) as visitor:
        yield f"http://127.0.0.1:{visitor.port}"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pages_in_all_shapes(browser: Browser, site: str, path: str, shape: str) -> None:
    """Light, dark and 360 pixels wide: no scroll to the side, no serious fault for axe-core."""
    with visiting(browser, site, **SHAPES[shape]) as page:
        page.goto(site + path)
        page.wait_for_selector("#connection:text-is('live')")
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
        assert serious_faults(page) == []


def test_dark_is_dark(browser: Browser, site: str) -> None:
    """The background follows the scheme of the system."""
    sums = []
    for scheme in ("light", "dark"):
        with visiting(browser, site, color_scheme=scheme) as page:
            page.goto(site)
            shot = Image.open(io.BytesIO(page.screenshot()))
            sums.append(float(np.asarray(shot.convert("L")).mean()))
    assert sums[0] > 200
    assert sums[1] < 80


SHARE = """([share, off]) => {
    const found = parseFloat(document.querySelector(".frame").style.cssText.slice(8));
    return Math.abs(found - share) <= off;
}"""


def wait_for_share(page: Page, share: float, *, off: float = 0) -> None:
    """Wait until the image before takes so much of the frame, by what the browser has computed."""
    page.wait_for_function(SHARE, arg=[share, off])
    inset = page.eval_on_selector(".frame .before", "one => getComputedStyle(one).clipPath")
    assert "calc(" in inset or "%" in inset, inset


def test_the_slider_by_mouse_and_keyboard(browser: Browser, site: str) -> None:
    """A drag shows more of one image, arrow keys and Home and End do, and the pixels change."""
    with visiting(browser, site) as page:
        page.goto(f"{site}/image/1")
        frame = page.locator(".pair.crop .frame")
        box = frame.bounding_box()
        assert box is not None
        shots = []
        for share in (0.1, 0.9):
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + 60, steps=5)
            page.mouse.up()
            wait_for_share(page, 100 * share, off=3)
            shots.append(frame.screenshot())
        assert shots[0] != shots[1]
        page.locator(".pair.crop .slider").focus()
        page.keyboard.press("Home")
        wait_for_share(page, 0)
        page.keyboard.press("ArrowRight")
        wait_for_share(page, 1)
        page.keyboard.press("End")
        wait_for_share(page, 100)


def test_the_slider_is_reached_by_the_tab_key(browser: Browser, site: str) -> None:
    """And shows where the focus is."""
    with visiting(browser, site) as page:
        page.goto(f"{site}/gallery")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('.slider')"):
                break
        outline = page.eval_on_selector(
            ".frame:focus-within", "one => getComputedStyle(one).outlineStyle"
        )
        assert outline == "solid"


def test_the_slider_by_touch(browser: Browser, site: str) -> None:
    """A finger moves it on a phone."""
    with visiting(browser, site, **SHAPES["phone"]) as page:
        page.goto(f"{site}/image/1")
        frame = page.locator(".pair.crop .frame")
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
        wait_for_share(page, 80, off=4)


def test_entry_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    """A token is typed and sent without a mouse; a wrong one is reported."""
    fill(tmp_path)
    with served(tmp_path, {"ann": TOKEN}) as visitor:
        url = f"http://127.0.0.1:{visitor.port}"
        with visiting(browser, url) as page:
            page.goto(f"{url}/gallery")
            page.wait_for_selector("input:focus")
            page.keyboard.type(TOKEN)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Sign out ann")
            assert serious_faults(page) == []


@contextmanager
def web(state: Path) -> Iterator[str]:
    """The address of a real `sharpend web`."""
    command = [sys.executable, "-m", "sharpend", "web", "--state", str(state)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, env=surroundings({})
    ) as process:
        assert process.stderr is not None
        try:
            yield json.loads(process.stderr.readline())["address"].rstrip("/")
        finally:
            process.terminate()
            assert process.wait(WITHIN_S) == 0
            said = [json.loads(line) for line in process.stderr]
    assert [one for one in said if one["level"] in {"warning", "error"}] == []


def test_a_real_daemon_at_work_is_seen_live(browser: Browser, tmp_path: Path) -> None:
    """Results show up without a reload; a retry and a pause from the page reach the daemon."""
    measured: dict[str, object] = {"sample": 1, "budget": 1}
    shown: dict[str, object] = {"share": 1}
    config = configured(tmp_path, agreeing(tmp_path), agreement=measured, previews=shown)
    with running("--config", config) as daemon, web(tmp_path / "state") as url:
        daemon.wait_for("daemon.ready")
        with visiting(browser, url) as page, visiting(browser, url) as gallery:
            page.goto(url)
            gallery.goto(f"{url}/gallery")
            page.evaluate("window.mark = 'not loaded again'")
            gallery.wait_for_selector("text=No image is finished yet.")
            drop(tmp_path / "in", "good.png")
            (tmp_path / "in" / "bad.png").write_bytes(b"no image")
            daemon.wait_for("image.finished")
            daemon.wait_for("image.quarantined")
            page.wait_for_selector("dl#numbers >> text=/^1$/ >> nth=1")
            gallery.wait_for_selector("text=good.png")
            gallery.locator(".slider").press("End")
            wait_for_share(gallery, 100)
            gallery.wait_for_function("document.querySelector('.before').naturalWidth > 0")
            assert page.evaluate("window.mark") == "not loaded again"
            page.click("text=Quarantine")
            page.click("button:has-text('Retry')")
            page.wait_for_selector("text=The image will be tried again.")
            daemon.wait_for("image.quarantined")
            page.wait_for_selector("text=in quarantine")
            page.wait_for_selector("#events li >> nth=2")
            page.goto(f"{url}/folders")
            page.click("button:has-text('Pause all')")
            daemon.wait_for("folder.paused")
            page.click("button:has-text('Resume all')")
            daemon.wait_for("folder.resumed")
            gallery.click("text=good.png")
            for told in ("infer", "Options", "strength", "SSIM to the teacher", "image.finished"):
                gallery.wait_for_selector(f"text={told}")
