"""The rating page: the way of a rater, what counts as a vote, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
import pytest

from sharpend.errors import StateLockedError, UsageError
from tests.asgi import Answer, Asking
from tests.raters import SCREEN, Person, World, csrf_in, small_study, take_part, trial_in, vote_form
from trainer.evaluation.mos.app import rating_page
from trainer.evaluation.mos.forms import COOKIE, MOST_BODY_BYTES, rater_of
from trainer.evaluation.mos.order import trials_of
from trainer.evaluation.mos.raters import Raters
from trainer.evaluation.mos.study import VOTES, crop_path, read_study
from trainer.evaluation.mos.votes import Consent, Vote, VoteLog, Withdrawal, check_study, read_votes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainer.evaluation.mos.study import Study


class Visitor(Asking):
    """A browser for tests that are not asynchronous."""

    def visit(self, path: str) -> Answer:
        """Ask for a page, and follow redirections."""
        return asyncio.run(self.get(path))

    def send(self, path: str, **form: str) -> Answer:
        """Send a form, and follow redirections."""
        return asyncio.run(self.post(path, form))

    def raw(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request."""
        return asyncio.run(self.ask(method, path, body))

    def agree(self) -> Answer:
        """Consent; returns the first trial."""
        return self.send("/consent", csrf=csrf_in(self.visit("/").text), agree="yes")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study without votes."""
    made = tmp_path_factory.mktemp("study")
    small_study(made, images=3)
    return made


@pytest.fixture
def study(prepared: Path) -> Study:
    """What is in it."""
    return read_study(prepared)


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """The file of votes."""
    return tmp_path / VOTES


@pytest.fixture
def browser(prepared: Path, study: Study, votes: Path) -> Iterator[Visitor]:
    """A browser that asks the page of the study."""
    with VoteLog(votes) as log:
        yield Visitor(rating_page(prepared, Raters(study, log, now=lambda: 5.0)))


def of_votes(path: Path) -> list[Vote]:
    """The votes in a file."""
    return [one for one in read_votes(path) if isinstance(one, Vote)]


def test_nothing_is_shown_before_consent(browser: Visitor, votes: Path) -> None:
    """Without consent every way leads to the first page, and nothing is recorded."""
    for path in ("/trial", "/end", "/withdraw"):
        assert "Before you begin" in browser.visit(path).text
    assert browser.visit("/image/0/a").status == 404
    token = csrf_in(browser.visit("/").text)
    assert browser.send("/consent", csrf=token).status == 400
    browser.send("/vote", csrf=token, trial="0", score="3", **SCREEN)
    assert read_votes(votes) == []


def test_consent_is_recorded_once(browser: Visitor, study: Study, votes: Path) -> None:
    """The first record names the study that the rater agreed to, not the cookie."""
    browser.agree()
    browser.send("/consent", csrf=csrf_in(browser.visit("/").text), agree="yes")
    cookie = browser.cookies[COOKIE]
    assert read_votes(votes) == [Consent(rater_of(cookie), study.digest, 5.0)]
    assert cookie not in votes.read_text()


def test_a_rater_goes_through_the_whole_study(browser: Visitor, study: Study, votes: Path) -> None:
    """Training, single images and pairs are each voted on once, in the rater's own order."""
    person = Person(World(study, np.random.default_rng(0)), "honest", 0)
    rater = asyncio.run(take_part(browser, study, person))
    found = of_votes(votes)
    trials = trials_of(study, rater)
    assert [one.stimuli for one in found] == [one.stimuli for one in trials]
    assert [one.trial for one in found] == list(range(len(trials)))
    assert sum(one.training for one in found) == len(study.training)
    assert found[0].screen.dpr == 2
    assert rater in browser.visit("/trial").text
    assert "Thank you" in browser.visit("/").text


def test_a_vote_counts_once(browser: Visitor, votes: Path) -> None:
    """A double click, a reload and the old page after "back" change nothing."""
    form = vote_form(browser.agree().text, 4)
    after = browser.send("/vote", **form)
    assert trial_in(after.text) == 1
    for score in ("4", "1", "99"):
        again = browser.send("/vote", **{**form, "score": score})
        assert trial_in(again.text) == 1
    assert trial_in(browser.visit("/trial").text) == 1
    assert [one.score for one in of_votes(votes)] == [4]
    ahead = vote_form(after.text, 3) | {"trial": "2"}
    browser.send("/vote", **ahead)
    assert len(of_votes(votes)) == 1


def test_a_rater_goes_on_after_a_restart(
    browser: Visitor, prepared: Path, study: Study, tmp_path: Path, votes: Path
) -> None:
    """Another server with the same file shows the next trial; a torn record is cut off."""
    browser.send("/vote", **vote_form(browser.agree().text, 4))
    second = tmp_path / "second.jsonl"
    whole = votes.read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    for torn in (b"", b'{"event": "vo', line.replace(b'"trial": 0', b'"trial": 1')[:-1]):
        second.write_bytes(whole + torn)
        assert read_votes(second) == read_votes(votes)
        with VoteLog(second) as log:
            assert log.torn_bytes == len(torn)
            assert second.read_bytes() == whole
            later = Visitor(rating_page(prepared, Raters(study, log)), browser.cookies)
            page = later.visit("/")
            assert trial_in(page.text) == 1
            assert trial_in(later.send("/vote", **vote_form(page.text, 2)).text) == 2
        assert [one.score for one in of_votes(second)] == [4, 2]


def test_two_servers_do_not_share_a_file(votes: Path) -> None:
    """A second one is refused, until the first has ended."""
    with VoteLog(votes), pytest.raises(StateLockedError, match="another"):
        VoteLog(votes)
    with VoteLog(votes):
        pass


def test_each_vote_is_on_the_disk_before_the_answer(
    browser: Visitor, votes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synchronised after every record; a failed one is reported and does not count."""
    page = browser.agree()
    synced: list[int] = []
    real = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(votes.stat().st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    after = browser.send("/vote", **vote_form(page.text, 4))
    assert synced == [votes.stat().st_size]

    def failing(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    answer = browser.send("/vote", **vote_form(after.text, 5))
    assert (answer.status, "could not be stored" in answer.text) == (503, True)
    monkeypatch.setattr(os, "fsync", real)
    assert trial_in(browser.visit("/trial").text) == 1
    assert [one.score for one in of_votes(votes)] == [4]


def test_half_a_record_spoils_no_other(
    browser: Visitor, votes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk takes a part of a record, and cannot even take that back: the next vote is whole."""
    page = browser.agree()
    real = os.write, os.ftruncate

    def half(descriptor: int, line: bytes) -> int:
        return real[0](descriptor, line[: len(line) // 2])

    def failing(*_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", half)
        broken.setattr(os, "ftruncate", failing)
        assert browser.send("/vote", **vote_form(page.text, 5)).status == 503
    browser.send("/vote", **vote_form(page.text, 4))
    assert [one.score for one in of_votes(votes)] == [4]


def test_a_file_that_was_removed_takes_no_vote(browser: Visitor, votes: Path) -> None:
    """Its votes would be gone with it."""
    page = browser.agree()
    votes.unlink()
    assert browser.send("/vote", **vote_form(page.text, 5)).status == 503


def test_withdrawal_ends_a_rater(browser: Visitor, votes: Path) -> None:
    """Votes after it are not taken, and it is recorded once."""
    page = browser.agree()
    form = vote_form(page.text, 4)
    token = csrf_in(browser.visit("/withdraw").text)
    for _ in range(2):
        assert "You have withdrawn" in browser.send("/withdraw", csrf=token).text
    assert "You have withdrawn" in browser.send("/vote", **form).text
    assert [type(one) for one in read_votes(votes)] == [Consent, Withdrawal]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csrf": ""}, 403),
        ({"csrf": "0" * 32}, 403),
        ({"csrf": "\N{SNOWMAN}"}, 403),
        ({"score": "0"}, 400),
        ({"score": "6"}, 400),
        ({"score": "3.5"}, 400),
        ({"score": ""}, 400),
        ({"score": "\N{ARABIC-INDIC DIGIT THREE}"}, 400),
        ({"score": "1" * 5000}, 413),
        ({"score": "1" * 3000}, 400),
        ({"trial": "-1"}, 400),
        ({"trial": "x"}, 400),
        ({"trial": "9" * 400}, 400),
        ({"dpr": "0"}, 400),
        ({"dpr": "nan"}, 400),
        ({"dpr": "inf"}, 400),
        ({"dpr": "1e3"}, 400),
        ({"dpr": "-1"}, 400),
        ({"dpr": "99"}, 400),
        ({"width": "0"}, 400),
        ({"width": "100001"}, 400),
        ({"height": ""}, 400),
        ({"shown_ms": "-1"}, 400),
        ({"shown_ms": "86400001"}, 400),
        ({f"more{number}": "1" for number in range(20)}, 400),
    ],
)
def test_forms_are_checked(
    browser: Visitor, votes: Path, changes: dict[str, str], status: int
) -> None:
    """A value that the page cannot have sent is refused, and nothing is recorded."""
    form = vote_form(browser.agree().text, 3) | changes
    assert browser.send("/vote", **form).status == status
    assert of_votes(votes) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"csrf", b"\xff\xfe", b"a=1&a=2", b"x" * (MOST_BODY_BYTES + 1), b"%zz=%", b"score=%ff"],
)
def test_bodies_are_checked(browser: Visitor, body: bytes) -> None:
    """What is no form is refused, not answered with an error of ours."""
    browser.agree()
    for path in ("/consent", "/vote", "/withdraw"):
        assert browser.raw("POST", path, body).status in {400, 403, 413}


def test_a_field_counts_once(browser: Visitor, votes: Path) -> None:
    """A form with two scores is refused."""
    body = urlencode(vote_form(browser.agree().text, 3)).encode() + b"&score=5"
    assert browser.raw("POST", "/vote", body).status == 400
    assert of_votes(votes) == []


def test_the_token_of_another_rater_is_refused(browser: Visitor, votes: Path) -> None:
    """A form works with the cookie that it was made for alone."""
    form = vote_form(browser.agree().text, 3)
    other = Visitor(browser.app)
    other.agree()
    assert other.send("/vote", **form).status == 403
    nobody = Visitor(browser.app)
    assert nobody.send("/vote", **form).status == 403
    assert of_votes(votes) == []


@pytest.mark.parametrize("cookie", ["", "x", "a" * 31, "a" * 33, "../../etc/passwd", "ä" * 32])
def test_cookies_of_others_are_no_cookies(browser: Visitor, cookie: str) -> None:
    """A cookie of another form gets a new one."""
    browser.cookies[COOKIE] = cookie.encode().decode("latin-1")
    browser.visit("/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", browser.cookies[COOKIE])


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "localhost.evil"])
def test_other_hosts_are_refused(browser: Visitor, host: str) -> None:
    """A page under another name (DNS rebinding) gets nothing."""
    browser.host = host
    for path in ("/", "/trial", "/page/rate.js", "/image/0/a"):
        assert browser.raw("GET", path).status == 400
    assert browser.raw("POST", "/consent").status == 400


def test_every_answer_has_the_headers(browser: Visitor) -> None:
    """Pages, files, images, refusals and redirections forbid what is not needed."""
    browser.agree()
    asked = [("GET", path) for path in ("/", "/trial", "/page/rate.css", "/image/0/a", "/x")]
    for method, path in [*asked, ("POST", "/vote"), ("DELETE", "/vote"), ("GET", "/vote")]:
        headers = browser.raw(method, path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store", path
    browser.host = "evil.example"
    assert "content-security-policy" in browser.raw("GET", "/").headers


def test_the_cookie_is_for_this_page_alone(browser: Visitor) -> None:
    """Scripts and other sites do not get it; over HTTPS it is sent over HTTPS only."""
    cookie = browser.raw("GET", "/").headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {one.strip() for one in cookie.split(";")}


def test_images_are_those_of_the_trial(browser: Visitor, prepared: Path, study: Study) -> None:
    """A rater can ask for the images of the next trial only, by number and side."""
    browser.agree()
    trials = trials_of(study, rater_of(browser.cookies[COOKIE]))
    answer = browser.raw("GET", "/image/0/a")
    assert answer.headers["content-type"] == "image/png"
    assert answer.body == crop_path(prepared, trials[0].stimuli[0]).read_bytes()
    others = (
        "0/b",
        "1/a",
        "99999/a",
        "0/",
        "0/ab",
        "0/..%2fa",
        "-1/a",
        "x/a",
        "00/a",
        "9" * 5000 + "/a",
    )
    for other in others:
        assert browser.raw("GET", f"/image/{other}").status == 404, other
    assert Visitor(browser.app).raw("GET", "/image/0/a").status == 404


def test_pages_name_no_condition(browser: Visitor, study: Study) -> None:
    """No page of the whole study names a model, an image, a stimulus or a kind of softness."""
    told = {*study.conditions, *study.stimuli}
    told |= {one.image for one in study.contents} | {one.kind for one in study.contents}
    page = browser.agree()
    while page.path != "/end":
        assert not [name for name in told if re.search(rf"\b{re.escape(name)}\b", page.text)]
        page = browser.send("/vote", **vote_form(page.text, 1))


def test_texts_are_escaped(prepared: Path, study: Study, votes: Path) -> None:
    """Title and contact are text, whatever they contain."""
    hostile = '<script>alert("1")</script>'
    with VoteLog(votes) as log:
        named = replace(study, title=hostile, contact=hostile)
        browser = Visitor(rating_page(prepared, Raters(named, log)))
        for page in (browser.visit("/"), browser.agree(), browser.visit("/absent")):
            assert hostile not in page.text
            assert "&lt;script&gt;" in page.text


def test_pages_have_no_inline_code(browser: Visitor) -> None:
    """Scripts and styles are files, as the policy of the page demands."""
    pages = [browser.visit("/").text, browser.agree().text, browser.visit("/withdraw").text]
    for page in pages:
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)
        assert "http:" not in page
        assert "//" not in re.sub(r"<!doctype[^>]*>", "", page)


def test_raters_are_bounded(prepared: Path, study: Study, votes: Path) -> None:
    """A study that is full says so, and records nothing."""
    with VoteLog(votes) as log:
        app = rating_page(prepared, Raters(study, log, most=2))
        statuses = [Visitor(app).agree().status for _ in range(3)]
    assert statuses == [200, 200, 503]
    assert len(read_votes(votes)) == 2


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "[]",
        '{"event": "other"}',
        '{"event": "consent"}',
        '{"event": "withdrawal", "rater": "r", "time_s": 1, "more": 1}',
    ],
)
def test_a_damaged_file_of_votes_is_reported(votes: Path, line: str) -> None:
    """A whole line that is no record is named, and nothing is cut off."""
    votes.write_text(f"{line}\n")
    for opening in (read_votes, VoteLog):
        with pytest.raises(UsageError, match="line 1 is no record"):
            opening(votes)
    assert votes.read_text() == f"{line}\n"


def test_votes_that_were_copied_are_refused(browser: Visitor, votes: Path) -> None:
    """A vote that is in the file twice, without consent or on no scale is not counted."""
    browser.send("/vote", **vote_form(browser.agree().text, 4))
    consent, vote = votes.read_text().splitlines()
    off = json.dumps(json.loads(vote) | {"score": 9})
    for lines in ([consent, vote, vote], [vote], [consent, off]):
        votes.write_text("".join(f"{line}\n" for line in lines))
        with pytest.raises(UsageError):
            read_votes(votes)


def test_votes_for_another_study_are_refused(browser: Visitor, votes: Path, study: Study) -> None:
    """A study that was prepared anew does not get the votes for the earlier one."""
    browser.agree()
    records = read_votes(votes)
    check_study(records, study.digest, votes.parent)
    with pytest.raises(UsageError, match="prepared anew"):
        check_study(records, replace(study, seed=2).digest, votes.parent)
