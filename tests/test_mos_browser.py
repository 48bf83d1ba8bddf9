"""The rating page in a real browser: a rater needs a keyboard and nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from sharpend.errors import UsageError
from sharpend.web.connections import MOST
from tests.browser import chromium, serious_faults
from tests.raters import small_study
from trainer.evaluation.mos.app import local
from trainer.evaluation.mos.forms import COOKIE
from trainer.evaluation.mos.study import VOTES, read_study
from trainer.evaluation.mos.votes import Vote, read_votes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Request

SCALES = (1, 1.5, 2)
"""Device pixels in a CSS pixel."""
PATIENCE_MS = 180_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, if there is one."""
    with chromium() as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared study."""
    small_study(tmp_path, images=3)
    return tmp_path


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run `trainer mos serve` on a free port; returns the page's address."""
    command = [sys.executable, "-m", "trainer", "mos", "serve", str(folder)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split("rating page: ")[1].strip()
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


def opened(browser: Browser, url: str, faults: list[str], *, scale: float = 1) -> Page:
    """A page in a browser of its own, at the study's first page; faults are noted."""
    page = browser.new_context(device_scale_factor=scale).new_page()
    page.set_default_timeout(PATIENCE_MS)

    def elsewhere(request: Request) -> None:
        if not request.url.startswith(url):
            faults.append(request.url)

    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", elsewhere)
    page.goto(url)
    return page


def agree(page: Page) -> None:
    """Tick the box, which gets the focus, and go on, by keyboard."""
    page.wait_for_selector("input[name=agree]:focus")
    page.keyboard.press("Space")
    page.wait_for_selector("input[name=agree]:checked")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    ready(page)


def ready(page: Page) -> None:
    """Wait until the trial's images are there, or for the end."""
    page.wait_for_selector("fieldset:enabled, .text h1")


def vote(page: Page, key: str) -> None:
    """Choose by a key, and go on by Enter."""
    page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    ready(page)


@pytest.mark.slow
def test_a_rater_completes_a_study_by_keyboard_alone(browser: Browser, folder: Path) -> None:
    """From consent to the end by Space, digits and Enter; no fault, no request elsewhere."""
    study, faults = read_study(folder), list[str]()
    with served(folder) as url:
        page = opened(browser, url, faults)
        assert serious_faults(page) == []
        agree(page)
        pressed: list[int] = []
        while page.url.endswith("/trial"):
            if len(pressed) in {0, len(study.training) - 1}:
                assert serious_faults(page) == []
            keys = page.locator("input[data-key]").count()
            pressed.append(1 + len(pressed) % keys)
            vote(page, str(pressed[-1]))
        assert "Thank you" in page.inner_text("h1")
        assert serious_faults(page) == []
    votes = [one for one in read_votes(folder / VOTES) if isinstance(one, Vote)]
    assert len(votes) == study.trials + len(study.training)
    given = [one.score if len(one.stimuli) == 1 else one.score + 4 for one in votes]
    assert given == pressed
    assert faults == []


@pytest.mark.slow
def test_the_arrows_work_as_well(browser: Browser, folder: Path) -> None:
    """Tab and arrow keys choose; without a choice Enter sends nothing."""
    faults = list[str]()
    with served(folder) as url:
        page = opened(browser, url, faults)
        agree(page)
        page.keyboard.press("Enter")
        page.wait_for_selector("input[data-key='1']:focus:not(:checked)")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        ready(page)
        page.keyboard.press("Tab")
        page.wait_for_selector("input[data-key='1']:focus")
        page.keyboard.press("Space")
        with page.expect_navigation():
            page.keyboard.press("Enter")
    assert [one.score for one in read_votes(folder / VOTES) if isinstance(one, Vote)] == [2, 1]


@pytest.mark.slow
def test_an_image_that_does_not_load_is_reported(browser: Browser, folder: Path) -> None:
    """No vote can be given, by key either; loaded again, the same trial goes on."""
    with served(folder) as url:
        page = opened(browser, url, [])
        page.route("**/image/**", lambda route: route.abort())
        page.click("input[name=agree]")
        page.click("button.go")
        page.wait_for_selector(".broken:visible")
        for key in ("1", "Enter"):
            page.keyboard.press(key)
        assert page.query_selector("fieldset:disabled")
        page.unroute("**/image/**")
        page.click(".broken a")
        ready(page)
        assert " 1 of " in page.inner_text(".place")
    assert not [one for one in read_votes(folder / VOTES) if isinstance(one, Vote)]


@pytest.mark.slow
def test_a_vote_counts_once_in_a_browser(browser: Browser, folder: Path) -> None:
    """A double press, a reload and "back" leave one vote; a restart goes on where it was."""
    faults = list[str]()
    with served(folder) as url:
        page = opened(browser, url, faults)
        agree(page)
        page.keyboard.press("3")
        with page.expect_navigation():
            page.evaluate("form.requestSubmit(); form.requestSubmit()")
        ready(page)
        page.reload()
        ready(page)
        assert page.inner_text(".place").endswith("2 of 7")
        page.go_back()
        ready(page)
        vote(page, "4")
        assert page.inner_text(".place").endswith("3 of 7")
        cookie = page.context.cookies()[0]["value"]
    assert [one.score for one in read_votes(folder / VOTES) if isinstance(one, Vote)] == [3, 4]
    with served(folder) as url:
        page = browser.new_context().new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.context.add_cookies([{"name": COOKIE, "value": cookie, "url": url}])
        page.goto(url)
        ready(page)
        assert page.inner_text(".place").endswith("3 of 7")
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_images_are_shown_at_their_own_pixels(browser: Browser, folder: Path, scale: float) -> None:
    """One pixel of the image is one of the device, and the vote reports how it was seen."""
    faults = list[str]()
    with served(folder) as url:
        page = opened(browser, url, faults, scale=scale)
        agree(page)
        shown = page.evaluate(
            "images.map((one) => [one.getBoundingClientRect().width * devicePixelRatio,"
            " one.naturalWidth])"
        )
        assert shown
        assert all(width == pytest.approx(natural, abs=0.05) for width, natural in shown)
        vote(page, "1")
        window = page.evaluate("[innerWidth, innerHeight]")
    seen = next(one for one in read_votes(folder / VOTES) if isinstance(one, Vote)).screen
    assert (seen.dpr, [seen.width, seen.height]) == (scale, window)
    assert faults == []


@pytest.mark.parametrize("where", ["0.0.0.0:80", "192.0.2.1:80", "[::1]:80", "127.0.0.1", "unix:"])
def test_only_this_machine_is_listened_to(where: str) -> None:
    """Any other address is refused, and the two forms are named."""
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:PORT.* or unix:PATH"):
        local(where)


@pytest.mark.slow
def test_held_connections_keep_no_rater_out(folder: Path) -> None:
    """More visitors than there are places connect and say nothing; a rater gets in at once."""
    with served(folder) as url, ExitStack() as stack:
        port = int(url.rstrip("/").rpartition(":")[2])
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            for _ in range(MOST)
        ]
        with urlopen(url, timeout=60) as answer:  # noqa: S310 - of this test
            assert answer.status == 200
        assert silent[0].recv(1) == b""
