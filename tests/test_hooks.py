"""Hooks: programs and addresses that are informed of events."""

from __future__ import annotations

import json
import os
import pwd
import select
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.daemon.hook_runs import MOST_WAITING, Hook, HookRuns, Run
from sharpend.daemon.hooked_log import HookedLog
from sharpend.logs.events import Event
from tests.conftest import drop
from tests.daemons import WITHIN_S, configured, running
from tests.fakes import ListLog, Shop
from tests.students import agreeing
from tests.test_settings import read, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_S = 0.01
"""How soon the server notices that it is to stop; half a second by default."""
WRITE = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
SLEEP = "import time; time.sleep(600)"


def python(code: str, *arguments: object, **values: Any) -> Hook:  # noqa: ANN401 - of any field
    """A hook that runs a program of Python."""
    command = (sys.executable, "-c", code, *map(str, arguments))
    return Hook(1, "image.finished", command, **values)


def run_of(hook: Hook, body: bytes = b"{}\n") -> Run:
    """The end of one run."""
    runs = HookRuns()
    runs.add(hook, body)
    runs.stop(60)
    (run,) = runs.ended()
    return run


def test_a_program_gets_the_line_of_the_log(tmp_path: Path) -> None:
    """JSON on its standard input: the event, its keys and the folder's paths."""
    log, out = ListLog(), tmp_path / "told"
    hooked = HookedLog(log, [python(WRITE, out)], {"in": (b"/the/in", b"/the/out")})
    hooked.info(Event.IMAGE_VANISHED, folder="in", path=b"other.jpg")
    hooked.info(Event.IMAGE_FINISHED, folder="in", path=b"\xff.jpg", output=b"\xff.jpg")
    hooked.info(Event.DAEMON_STOPPED)
    told = json.loads(out.read_text())
    assert abs(told.pop("at") - time.time()) < 600
    assert told == {
        "event": "image.finished",
        "folder": "in",
        "path": "\udcff.jpg",
        "output": "\udcff.jpg",
        "input_root": "/the/in",
        "output_root": "/the/out",
    }
    (ended,) = log.of(Event.HOOK_ENDED)
    assert (ended["hook"], ended["cause"], ended["status"]) == (1, "image.finished", 0)
    assert log.told[-1][1] is Event.DAEMON_STOPPED


def test_a_program_starts_without_a_shell_and_with_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments are as they are, and the daemon's environment and files are its own."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    code = (
        "import json, os, sys; json.dump([sys.argv[2], dict(os.environ), os.getcwd(),"
        " sorted(os.listdir('/proc/self/fd'))[:3], os.getsid(0) == os.getpid()],"
        " open(sys.argv[1], 'w'))"
    )
    assert run_of(python(code, tmp_path / "told", "$(reboot); *")).status == 0
    argument, environment, folder, _, own_session = json.loads((tmp_path / "told").read_text())
    assert (argument, folder, own_session) == ("$(reboot); *", "/", True)
    assert set(environment) <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME"}


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("raise SystemExit(3)", 3, "exit status 3"),
        ("import os; os.kill(os.getpid(), 9)", -9, "exit status -9"),
        ("import sys; sys.stdin.close()", 0, ""),
    ],
)
def test_the_exit_status_is_reported(code: str, status: int, message: str) -> None:
    """Also where the program does not read its input."""
    run = run_of(python(code), b" " * 200_000)
    assert (run.status, run.message) == (status, message)


def test_a_program_that_is_missing_is_reported() -> None:
    """It ends that run alone."""
    run = run_of(Hook(1, "image.finished", ("/no/such/program",)))
    assert run.status is None
    assert "No such file" in run.message


@pytest.mark.slow
def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """The time limit holds for the whole session of the program."""
    code = 'sleep 600 & echo $! > "$0"; wait'  # a shell is there at once
    command = ("/bin/sh", "-c", code, str(tmp_path / "pid"))
    run = run_of(Hook(1, "image.finished", command, timeout_s=5.0))
    assert (run.status, run.message) == (None, "ended after 5 s")
    child = int((tmp_path / "pid").read_text())
    with suppress(ProcessLookupError):
        ended, _, _ = select.select([os.pidfd_open(child)], [], [], WITHIN_S)
        assert ended


def test_a_full_queue_holds_up_nobody_and_drops_are_counted() -> None:
    """What does not fit, or waits at the stop, is reported with its number."""
    log = ListLog()
    hooked = HookedLog(log, [python(SLEEP)], {})
    for _ in range(MOST_WAITING + 50):
        hooked.info(Event.IMAGE_FINISHED, folder="in")
    assert log.of(Event.HOOK_ENDED) == log.of(Event.HOOK_DROPPED) == []
    hooked.close()
    ended = [told["message"] for told in log.of(Event.HOOK_ENDED)]
    assert ended in ([], ["ended because the daemon stops"])  # [] where none had begun yet
    (dropped,) = log.of(Event.HOOK_DROPPED)
    assert dropped["dropped"] == MOST_WAITING + 50 - len(ended)


def test_a_reload_lets_hooks_go_on(tmp_path: Path) -> None:
    """What was queued before is done, and reported by the log that follows."""
    before, after, out = ListLog(), ListLog(), tmp_path / "told"
    hooked = HookedLog(before, [python(WRITE, out)], {})
    hooked.info(Event.IMAGE_FINISHED, folder="in")
    HookedLog(after, [python(WRITE, out)], {}, hooked.runs).info(Event.DAEMON_STOPPED)
    assert out.exists()
    told = [log.of(Event.HOOK_ENDED) for log in (before, after)]
    assert [len(ended) for ended in told] == [0, 1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_program_runs_as_another_user() -> None:
    """With the user's groups and home, where the daemon is root."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(dir="/tmp") as open_folder:
        os.chmod(open_folder, 0o777)  # noqa: S103 - likewise
        write = f'echo "$(id -u) $(id -g) $HOME" > {open_folder}/told'
        run = run_of(Hook(1, "image.finished", ("/bin/sh", "-c", write), user="nobody"))
        told = Path(open_folder, "told").read_text().split()
    assert (run.status, run.message) == (0, "")
    assert told == [str(nobody.pw_uid), str(nobody.pw_gid), nobody.pw_dir]


@contextmanager
def server(status: int) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server that answers POST with a status; yields its address and what it was sent."""
    sent: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=[POLL_S])
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/x", sent
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (204, ""),
        (302, "HTTP status 302 Found"),
        (500, "HTTP status 500 Internal Server Error"),
        (599, "HTTP status 599"),
    ],
)
def test_an_address_gets_a_post(status: int, message: str) -> None:
    """Its status is reported; a redirection is not followed."""
    with server(status) as (url, sent):
        run = run_of(Hook(1, "image.finished", url=url), b'{"a": 1}\n')
    assert (run.status, run.message) == (status, message)
    assert sent == [b'{"a": 1}\n']


def test_an_address_that_nobody_answers_is_reported() -> None:
    """No network is a failure of the run alone."""
    run = run_of(Hook(1, "image.finished", url="http://127.0.0.1:9/"))
    assert run.status is None
    assert "refused" in run.message


def test_a_batch_ends_when_the_queue_ran_empty(tmp_path: Path) -> None:
    """Once for all images that came together, and not while one waits."""
    shop = Shop(tmp_path)
    shop.drop("a.jpg")
    shop.take("b.jpg")
    shop.pool.stage()
    shop.turn()
    assert shop.log.of(Event.BATCH_FINISHED) == []
    shop.pool.stage()
    for _ in range(5):
        shop.turn()
    assert shop.log.of(Event.BATCH_FINISHED) == [{"images": 2, "quarantined": 0}]
    shop.close()


@pytest.mark.slow
def test_a_daemon_runs_its_hooks(tmp_path: Path) -> None:
    """A real daemon reports the end of a batch."""
    config = configured(tmp_path, agreeing(tmp_path), log={"level": "debug"})
    told = tmp_path / "told"
    command = json.dumps([sys.executable, "-c", WRITE, str(told)])
    hook = f'[[hook]]\nevent = "batch.finished"\ncommand = {command}\n'
    config.write_text(config.read_text() + hook)
    drop(tmp_path / "in", "good.png")
    with running("--config", config) as daemon:
        daemon.wait_for("hook.ended")
    assert json.loads(told.read_text())["images"] == 1


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ('event = "image.lost"', "hook.1.event: must be"),
        ('event = "batch.finished"', "hook.1.url: is required where there is no command"),
        ('event = "batch.finished"\ncommand = "rm"', "hook.1.command: must be a list"),
        ('event = "batch.finished"\ncommand = ["rm"]', "hook.1.command: must be a list"),
        ('event = "batch.finished"\nurl = "file:///etc/passwd"', "hook.1.url: must be an address"),
        ('event = "batch.finished"\nurl = "http://a b/"', "hook.1.url: must be an address"),
        (
            'event = "batch.finished"\ncommand = ["/bin/x"]\nurl = "http://a/"',
            "hook.1.url: is required where there is no command, and refused with one",
        ),
        (
            'event = "batch.finished"\nurl = "http://a/"\nuser = "root"',
            "hook.1.user: needs command",
        ),
        (
            'event = "batch.finished"\ncommand = ["/bin/x"]\nuser = "no one"',
            "hook.1.user: must be a user of this system",
        ),
        ('event = "batch.finished"\nrun = "x"', "hook.1.run: unknown key"),
    ],
)
def test_a_wrong_hook_is_refused(tmp_path: Path, table: str, line: str) -> None:
    """The line names its number, its key and what to change."""
    assert any(f"FILE: {line}" in one for one in refusal(tmp_path, f"[[hook]]\n{table}\n"))


def test_hooks_are_a_list_of_tables(tmp_path: Path) -> None:
    """For a single table the error says how it is written."""
    assert refusal(tmp_path, '[hook]\nevent = "x"\n') == [
        "FILE: hook: must be a list of tables: write [[hook]], not [hook]"
    ]
    assert read(tmp_path, "").hook == ()
