"""Attacks on the status page, each with what it gets, over real sockets."""

from __future__ import annotations

import os
import re
import socket
from contextlib import closing
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")

from sharpend.cli import main
from sharpend.errors import ConfigError, ExitCode, UsageError
from sharpend.files.preview_layout import IMAGES
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.web import access_control, address, sessions, tokens
from sharpend.web.tokens import FAILURES_A_MINUTE, FAILURES_OF_ALL_A_MINUTE, Throttle, Tokens
from tests.visits import HTML, TOKEN, fill, preview, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.visits import Answer, Visitor

RETRY = "/image/1/retry"
PAGES = ["/", "/gallery", "/quarantine", "/folders", "/image/1", f"/image/1/{IMAGES[0]}"]
PAGES += ["/events", "/metrics"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one refused image, and a preview of it."""
    return _filled(tmp_path)


def _filled(state: Path) -> Path:
    fill(state, refused=[b"bad.jpg"])
    preview(state, 1)
    return state


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory as `state`, of a page on which every attack fails."""
    return _filled(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def page(attacked: Path) -> Iterator[Visitor]:
    """Its page, open to everybody."""
    with served(attacked) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def guarded(attacked: Path) -> Iterator[Visitor]:
    """Its page, which asks for a token."""
    with served(attacked, {"ann": TOKEN}) as visitor:
        yield visitor


def is_untouched(state: Path) -> bool:
    """Whether the refused image is where it was, and no folder is paused."""
    with LedgerReader.read_only(state) as ledger:
        return ledger.counts()[State.QUARANTINED] == 1 and not ledger.pauses()


HOSTS = {
    "another name that points here (DNS rebinding)": ["attacker.example"],
    "the same with our port": ["attacker.example:8484"],
    "a name that begins like ours": ["localhost.attacker.example"],
    "an address behind ours": ["127.0.0.1.attacker.example"],
    "a user before our name": ["localhost@attacker.example"],
    "no name": [],
    "an empty name": [""],
    "two names": ["localhost", "attacker.example"],
    "a name with a dot at its end, and a port": ["attacker.example.:8484"],
    "IPv6, mapped": ["[::ffff:127.0.0.1]:8484"],
    "IPv6, another address": ["[::2]"],
    "IPv6, a name behind it": ["[::1].attacker.example"],
    "IPv6 without brackets": ["::1"],
    "a number for an address": ["2130706433"],
    "an address cut short": ["127.1"],
    "every address": ["0.0.0.0:8484"],
    "two ports": ["localhost:80:80"],
    "a port that is none": ["localhost:x"],
    "two dots": ["localhost.."],
    "two names in one line": ["localhost, attacker.example"],
    "digits of another script": ["localhost:\u0661"],
}
"""Attack by the header Host, and the headers that are sent."""


@pytest.mark.parametrize("attack", HOSTS)
def test_another_host_gets_nothing(page: Visitor, attack: str) -> None:
    """Every page, file and probe is refused before it is asked."""
    for path in (*PAGES, "/healthz", "/static/page.js", "/login"):
        lines = "".join(f"Host: {host}\r\n" for host in HOSTS[attack])
        request = f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", page.port)) as line:
            line.sendall(request.encode())
            status = line.makefile("rb").readline().split()[1]
        assert status in {b"421", b"400"}, path


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:9", "localhost."]
)
def test_names_of_this_machine_are_let_in(page: Visitor, host: str) -> None:
    """With any port, because a tunnel has its own."""
    assert page.other().send("GET", "/", b"", {**HTML, "Host": host}).status == 200


FORGED: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "no token of the form": ({"csrf": ""}, {}),
    "a wrong token": ({"csrf": "0" * 64}, {}),
    "a token that is no ASCII": ({"csrf": "\u00e9" * 64}, {}),
    "the form of another site": ({}, {"Origin": "https://attacker.example"}),
    "the form of a sandboxed frame": ({}, {"Origin": "null"}),
    "another port of this machine": ({}, {"Origin": "http://127.0.0.1:1"}),
    "an origin without a scheme": ({}, {"Origin": "127.0.0.1"}),
    "another site, by the browser": ({}, {"Sec_Fetch_Site": "cross-site"}),
    "a neighbour site, by the browser": ({}, {"Sec_Fetch_Site": "same-site"}),
    "no cookie": ({}, {"Cookie": "x=1"}),
    "a cookie of our own making": ({}, {"Cookie": f"sharpend=bG9jYWw=.9999999999.x.{'0' * 64}"}),
}
"""Attack on an action: fields and headers that are other than those of the page."""


@pytest.mark.parametrize("attack", FORGED)
@pytest.mark.parametrize("path", [RETRY, "/folders/pause", "/folders/resume", "/logout"])
def test_forged_actions_do_nothing(
    attacked: Path, guarded: Visitor, attack: str, path: str
) -> None:
    """Refused with status 403, and the ledger is as it was."""
    fields, headers = FORGED[attack]
    visitor = guarded.other()
    signed_in(visitor)
    answer = visitor.post(path, {"folder": "", "csrf": visitor.csrf, **fields}, **headers)
    assert answer.status in {401, 403}
    assert is_untouched(attacked)


def signed_in(visitor: Visitor) -> Answer:
    """Enter with the token."""
    visitor.get("/login")
    answer = visitor.act("/login", token=TOKEN)
    assert answer.status == 303
    return answer


def test_a_token_of_one_session_is_none_of_another(state: Path) -> None:
    """A form that another visitor loaded is refused."""
    with served(state) as visitor:
        visitor.get("/folders")
        of_first, visitor.cookie = visitor.csrf, ""
        visitor.get("/folders")
        assert visitor.post("/folders/pause", {"csrf": of_first, "folder": ""}).status == 403
    assert is_untouched(state)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("kind", ["text/html", "*/*"])
def test_nobody_comes_in_without_a_token(
    attacked: Path, guarded: Visitor, path: str, kind: str
) -> None:
    """A browser is led to the form, a program gets an error; neither sees a name."""
    visitor = guarded.other()
    answer = visitor.get(path, Accept=kind)
    assert answer.status == (303 if kind == "text/html" else 401)
    assert b"bad.jpg" not in answer.body
    assert visitor.post(RETRY, {"csrf": "x"}).status == 401
    assert visitor.get("/healthz").status == 200
    assert is_untouched(attacked)


def test_a_token_lets_in_and_names_who_acts(state: Path) -> None:
    """By the form, or in the header for programs; what is done is logged with the token's name."""
    with served(state, {"ann": TOKEN, "bert": TOKEN[::-1]}) as visitor:
        signed_in(visitor)
        assert "Sign out ann" in visitor.get("/").text
        assert visitor.act("/folders/pause", folder="in").status == 303
        assert visitor.log.of(Event.ACTION_TAKEN)[-1]["who"] == "ann"
        assert visitor.act("/logout").status == 303
        assert visitor.get("/").status == 303
        visitor.cookie = ""
        assert visitor.get("/", Authorization=f"Bearer {TOKEN[::-1]}").status == 200
        assert visitor.get("/", Authorization="Bearer wrong").status == 303
        assert visitor.get("/", Authorization=f"Basic {TOKEN}").status == 303


def test_the_token_is_in_no_answer_and_no_log(state: Path) -> None:
    """Nor in the cookie."""
    with served(state, {"ann": TOKEN}) as visitor:
        answer = signed_in(visitor)
        said = [answer.text, str(answer.headers), visitor.get("/").text, str(visitor.log.told)]
        assert not [one for one in said if TOKEN in one]


def test_the_cookie_is_out_of_reach(state: Path) -> None:
    """Scripts cannot read it, other sites do not send it, and it changes at the entry."""
    with served(state, {"ann": TOKEN}) as visitor:
        visitor.get("/login")
        before = visitor.cookie
        signed_in(visitor)
        assert visitor.cookie != before
        for given in visitor.given:
            (cookie,) = SimpleCookie(given).values()
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
            assert cookie["path"] == "/"


def test_guessing_tokens_is_slowed_down(state: Path) -> None:
    """After five wrong ones a minute has to pass; the log reports it."""
    with served(state, {"ann": TOKEN}) as visitor:
        visitor.get("/login")
        statuses = [visitor.act("/login", token=f"wrong {n}").status for n in range(8)]
        assert statuses == [403] * FAILURES_A_MINUTE + [429] * 3
        visitor.cookie = ""
        assert visitor.get("/metrics", Accept="*/*", Authorization="Bearer wrong").status == 429
        causes = [one["cause"] for one in visitor.log.of(Event.REQUEST_REFUSED)]
        assert causes[:5] == ["wrong token"] * 5


def test_wrong_tokens_keep_no_right_one_out(state: Path) -> None:
    """Whoever tries them, from the same address too: else anybody could lock the owner out."""
    with served(state, {"ann": TOKEN}) as visitor:
        for number in range(FAILURES_A_MINUTE + 1):
            visitor.get("/", Authorization=f"Bearer wrong {number}")
        assert visitor.get("/metrics", Accept="*/*", Authorization=f"Bearer {TOKEN}").status == 200
        signed_in(visitor)
        assert visitor.get("/").status == 200


BEHIND = {
    "the last address is the server's own word": ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
    "a network of IPv6": ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    "IPv4 in IPv6": ("::ffff:203.0.113.7", "203.0.113.7"),
    "no address": ("unknown", "127.0.0.1"),
    "markup": ("<script>", "127.0.0.1"),
}
"""Header X-Forwarded-For of a server in front, and who is counted and logged."""


@pytest.mark.parametrize("case", BEHIND)
def test_a_trusted_server_in_front_says_who_calls(state: Path, case: str) -> None:
    """Only where an option says so; else the header is anybody's, and counts for nothing."""
    forwarded, caller = BEHIND[case]
    for behind_proxy in (True, False):
        with served(state, {"ann": TOKEN}, behind_proxy=behind_proxy) as visitor:
            visitor.get("/", X_Forwarded_For=forwarded, Authorization="Bearer wrong")
            (refused,) = visitor.log.of(Event.REQUEST_REFUSED)
            assert refused["caller"] == (caller if behind_proxy else "127.0.0.1")


def test_wrong_tokens_are_counted_by_caller_behind_a_server(state: Path) -> None:
    """One who guesses is slowed down, the others are not."""
    with served(state, {"ann": TOKEN}, behind_proxy=True) as visitor:
        for _ in range(FAILURES_A_MINUTE):
            visitor.get("/metrics", Authorization="Bearer wrong", X_Forwarded_For="203.0.113.7")
        sent = {"Accept": "*/*", "Authorization": "Bearer wrong"}
        assert visitor.get("/metrics", **sent, X_Forwarded_For="203.0.113.7").status == 429
        assert visitor.get("/metrics", **sent, X_Forwarded_For="203.0.113.8").status == 401


def test_by_https_the_cookie_stays_on_https(state: Path) -> None:
    """It is `Secure`, and its name lets no other host and no page of http set it."""
    https = {"X_Forwarded_Proto": "https"}
    with served(state, {"ann": TOKEN}, behind_proxy=True) as visitor:
        visitor.get("/login", **https)
        (given,) = visitor.given
        name = f"__Host-{visitor.sessions.cookie}"
        assert given.startswith(f"{name}=")
        assert "Secure" in given.split("; ")
        own, tossed = f"{name}={visitor.cookie}", f"{visitor.sessions.cookie}={visitor.cookie}"
        fields = {"csrf": visitor.csrf, "token": TOKEN}
        assert visitor.post("/login", fields, **https, Cookie=tossed).status == 403
        assert visitor.post("/login", fields, **https, Cookie=own, Origin=HERE).status == 403
        assert visitor.post("/login", fields, **https, Cookie=own).status == 303
    with served(state) as visitor:
        visitor.get("/", **https)
        assert "Secure" not in visitor.given[0]


HERE = "http://127.0.0.1"
"""Our name, by another scheme than that of the page, which is another origin."""


def test_the_limit_is_of_each_caller_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another caller may try; many callers together may not, and memory is bounded."""
    now_s = [1000.0]
    limit = Throttle(clock=lambda: now_s[0])
    for _ in range(FAILURES_A_MINUTE):
        limit.failed("one")
    assert limit.wait_s("one") == pytest.approx(60)
    assert limit.wait_s("other") == 0
    now_s[0] += 60.1
    assert limit.wait_s("one") == 0
    for number in range(FAILURES_OF_ALL_A_MINUTE):
        limit.failed(f"caller {number}")
    assert limit.wait_s("fresh") > 0
    monkeypatch.setattr(tokens, "_MOST_CALLERS", 10)
    limit.failed("last")
    assert len(limit._failures) == 10


def test_tokens_are_compared_as_a_whole() -> None:
    """No token passes that is only alike, and every token is looked at whatever was given."""
    known = Tokens({"ann": TOKEN, "bert": "another-token-of-the-test"})
    assert known.name_of(TOKEN) == "ann"
    assert known.name_of("another-token-of-the-test") == "bert"
    for wrong in ("", TOKEN[:-1], f"{TOKEN} ", TOKEN.upper(), "\udcff", "x" * 100_000):
        assert known.name_of(wrong) is None


def test_old_and_changed_cookies_are_none() -> None:
    """A cookie lasts twelve hours, and no part of it can be changed."""
    now_s = [1000.0]
    made = sessions.Sessions(clock=lambda: now_s[0])
    cookie = made.new("ann").cookie
    found = made.of(cookie)
    assert found is not None
    assert found.who == "ann"
    for number in range(len(cookie)):
        other = "A" if cookie[number] != "A" else "B"
        assert made.of(cookie[:number] + other + cookie[number + 1 :]) is None
    for wrong in ("", ".", "...", "a.b.c.d", cookie * 9, "\u00e9"):
        assert made.of(wrong) is None
    assert sessions.Sessions().of(cookie) is None
    now_s[0] += sessions.LASTS_S + 1
    assert made.of(cookie) is None


PATHS = {
    "/static/": 404,
    "/static": 404,
    "/static/../app.py": 404,
    "/static/..%2fapp.py": 404,
    "/static/%2e%2e/app.py": 404,
    "/static/page.css%00.py": 404,
    "/static/templates/base.html": 404,
    "/image/1/..%2f..%2fledger.db": 404,
    "/image/1/preview.json": 404,
    "/image/1/": 404,
    "/image/../../etc/passwd": 404,
    "/image/0": 404,
    "/image/-1": 404,
    "/image/99999999999999999999999999": 404,
    "/image/99999999999999999999999999/crop-after.webp": 404,
    f"/image/{'9' * 5000}": 404,
    f"/image/{'0' * 5000}1/crop-after.webp": 404,
    "/image/1e3": 404,
    "/previews/1/crop-after.webp": 404,
    "//etc/passwd": 404,
    "/gallery?after=": 400,
    "/gallery?after=1.5-99999999999999999999": 400,
    "/gallery?after=nan-1": 400,
    "/quarantine?after=1.0-1%20OR%201=1": 400,
    "/quarantine?after=%d9%a1.0-1": 400,
    "/?range=<script>": 200,
    "/?done=<script>alert(1)</script>": 200,
    "/static/%252e%252e/app.py": 404,
    "/static/%2e%2e%5c%2e%2e%5capp.py": 404,
    "/static/%c0%ae%c0%ae/app.py": 404,
    "/static/page.css;app.py": 404,
    "/static/PAGE.css": 404,
    "/static//etc/passwd": 404,
    "/image/1%2f..%2f2": 404,
    "/image/1%252fcrop-after.webp": 404,
    "/image/1/crop-after.webp%00": 404,
    "/image/1/crop-after.webp/": 404,
    "/image/%31": 200,
    "/image/+1": 404,
    "/image/1.0": 404,
    "/image/0x1": 404,
    "//attacker.example/": 404,
    "/%2f%2fattacker.example/": 404,
    "/\\attacker.example/": 404,
    "http://attacker.example/": 404,
    "/gallery?after=1.0-1&after=x": 400,
    "/gallery?show=../../etc/passwd": 200,
}
"""Address and status of the answer."""


@pytest.mark.parametrize("path", PATHS)
def test_addresses_lead_to_pages_only(page: Visitor, path: str) -> None:
    """No file of the machine, no list of a folder, nothing of the address in the page."""
    answer = page.other().get(path.replace("<", "%3C").replace(">", "%3E"))
    assert answer.status == PATHS[path]
    assert b"root:" not in answer.body
    assert b"<script>alert" not in answer.body
    assert b"SQLite" not in answer.body


def test_methods_bodies_and_fields_are_bounded(state: Path) -> None:
    """Other methods, large forms and many fields are refused; HEAD is GET without its body."""
    with served(state) as visitor:
        visitor.get("/folders")
        for method in ("PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"):
            assert visitor.send(method, "/", b"", {}).status == 405
        assert visitor.post("/folders/pause", {"csrf": visitor.csrf, "x": "y" * 9000}).status == 413
        fields = {"csrf": visitor.csrf, **{f"x{number}": "" for number in range(20)}}
        assert visitor.post("/folders/pause", fields).status == 400
        assert visitor.send("POST", "/folders/pause", b"\xff=\xff", {}).status in {400, 403}
        assert visitor.send("HEAD", "/", b"", {}).body == b""
        assert visitor.get(RETRY).status == 404
    assert is_untouched(state)


def test_every_answer_has_the_headers(state: Path) -> None:
    """Pages, files, refusals and errors: the policy without inline, nosniff, no cache."""
    with served(state) as visitor:
        for path in (*PATHS, "/", "/gallery", "/healthz", f"/image/1/{IMAGES[0]}"):
            headers = visitor.get(path.replace("<", "%3C").replace(">", "%3E")).headers
            lower = {name.lower(): value for name, value in headers.items()}
            for name, value in access_control.SECURITY_HEADERS.items():
                assert lower[name.lower()] == value, path
            assert "server" not in lower
            if "/static/page" not in path and not path.endswith(".webp"):
                assert lower["cache-control"] == "no-store", path
    policy = access_control.SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_pages_have_no_inline_script_or_style(state: Path) -> None:
    """What the policy forbids is not there, and nothing comes from another host."""
    with served(state) as visitor:
        for path in ("/", "/gallery", "/quarantine", "/folders", "/image/1"):
            text = visitor.get(path).text
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), path
            assert not re.search(r"<script(?! src=\"/static/)", text), path
            assert not re.search(r"(src|href)=\"(?!/|#)", text), path


def test_a_link_from_another_site_does_not_end_a_session(state: Path) -> None:
    """Its request comes without the cookie, and gets no new one; the browser then comes again."""
    with served(state, {"ann": TOKEN}) as visitor:
        signed_in(visitor)
        kept, visitor.cookie = visitor.cookie, ""
        answer = visitor.get("/", Sec_Fetch_Site="cross-site")
        assert "set-cookie" not in {name.lower() for name in answer.headers}
        assert 'http-equiv="refresh"' in answer.text
        visitor.cookie = kept
        assert visitor.get("/").status == 200


def test_a_preview_that_is_a_link_is_not_served(state: Path) -> None:
    """A worker that a hostile image took over cannot have other files shown."""
    secret = state / "secret"
    secret.write_bytes(b"x" * len(IMAGES[0]))
    path = state / "previews/1" / IMAGES[0]
    path.unlink()
    path.symlink_to(secret)
    with served(state) as visitor:
        assert visitor.get(f"/image/1/{IMAGES[0]}").status == 404
    path.unlink()
    os.mkfifo(path)
    with served(state) as visitor:
        assert visitor.get(f"/image/1/{IMAGES[0]}").status == 404


def test_open_streams_are_bounded(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several at once, those too many get an error; the pages are served all the same."""
    monkeypatch.setattr("sharpend.web.event_stream.MOST_STREAMS", 2)
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(state) as visitor:
        lines = [socket.create_connection(("127.0.0.1", visitor.port)) for _ in range(20)]
        for line in lines:
            line.sendall(request)
        heads = []
        for line in lines:
            with closing(line.makefile("rb")) as head:
                heads.append(head.readline().split()[1])
        assert sorted(heads) == [b"200"] * 2 + [b"503"] * 18
        assert visitor.send("HEAD", "/events", b"", {}).status == 200
        assert visitor.get("/").status == 200
        for line in lines:
            line.close()


LISTENS = {
    "127.0.0.1:0": True,
    "127.9.9.9:0": True,
    "[::1]:0": True,
    "localhost:0": True,
    "unix:/run/page.sock": True,
    "0.0.0.0:80": False,
    "[::]:80": False,
    "192.168.1.5:80": False,
    "[::ffff:192.168.1.5]:80": False,
}
"""Address, and whether only this machine reaches it."""


@pytest.mark.parametrize("listen", LISTENS)
def test_what_others_can_reach_needs_a_token(
    listen: str, tmp_path: Path, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command refuses it with the option that helps."""
    assert bare
    assert address.parse(listen).is_local is LISTENS[listen]
    if not LISTENS[listen]:
        assert main(["web", "--state", str(tmp_path), "--listen", listen]) == ExitCode.USAGE
        assert "--token-file" in capsys.readouterr().err


def test_a_name_for_others_needs_a_token(
    tmp_path: Path, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also at a unix socket, behind which a proxy may stand."""
    assert bare
    listen = ["--listen", f"unix:{tmp_path}/page.sock", "--allow-host", "photos.example"]
    assert main(["web", "--state", str(tmp_path), *listen]) == ExitCode.USAGE
    assert "--token-file" in capsys.readouterr().err


def test_pages_on_two_ports_have_cookies_of_their_own() -> None:
    """A browser sends the cookies of all ports of a machine."""
    listens = ("127.0.0.1:8484", "127.0.0.1:8485", "[::1]:8484", "unix:/run/a", "unix:/run/b")
    names = {address.parse(listen).cookie for listen in listens}
    assert len(names) == len(listens)


@pytest.mark.parametrize("odd", ["foo", 'prefs={"a":"b"}', "a[0]=x"])
def test_cookies_of_other_programs_end_no_session(page: Visitor, odd: str) -> None:
    """Whatever their form."""
    visitor = page.other()
    visitor.get("/")
    cookie = f"{odd}; {visitor.sessions.cookie}={visitor.cookie}"
    assert "Set-Cookie" not in visitor.get("/", Cookie=cookie).headers


@pytest.mark.parametrize(
    "listen",
    ["", ":80", "80", "host.example:80", "127.0.0.1", "127.0.0.1:x", "unix:", "[::1]:99999"],
)
def test_addresses_of_no_form_are_refused(listen: str) -> None:
    """The text names the forms."""
    with pytest.raises(UsageError, match=r"give 127\.0\.0\.1:PORT"):
        address.parse(listen)


FILES = {
    "short": ("ann short\n", 0o600, "at least"),
    "none": ("# nothing\n\n", 0o600, "no token"),
    "three words": (f"ann b {TOKEN}\n", 0o600, "a line has"),
    "one name twice": (f"ann {TOKEN}\nann {TOKEN}x\n", 0o600, "each name once"),
    "readable by everybody": (f"ann {TOKEN}\n", 0o604, "everybody may read it"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_of_tokens_is_checked(tmp_path: Path, fault: str) -> None:
    """A token that can be guessed or read is reported, with what to change."""
    text, mode, told = FILES[fault]
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=told):
        tokens.read(path)


def test_a_sound_file_of_tokens(tmp_path: Path) -> None:
    """Names, a token without a name, comments."""
    path = tmp_path / "tokens"
    path.write_text(f"# people\nann {TOKEN}\n\n{TOKEN}x\n")
    path.chmod(0o640)
    known = tokens.read(path)
    assert (known.name_of(TOKEN), known.name_of(f"{TOKEN}x")) == ("ann", tokens.NAMELESS)
    with pytest.raises(ConfigError, match="cannot be read"):
        tokens.read(tmp_path / "gone")
