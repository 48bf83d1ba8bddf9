"""`sharpend once` as people use it: in cron, on folders of RAW files, on single images, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import drop
from tests.daemons import configured, once, surroundings, until

if TYPE_CHECKING:
    from tests.conftest import Networks

pytestmark = pytest.mark.slow


def summary(text: str) -> dict[str, object]:
    """The summary of --json."""
    told: dict[str, object] = json.loads(text.splitlines()[-1])["summary"]
    return told


def test_what_is_left_alone_is_said(networks: Networks, tmp_path: Path) -> None:
    """A folder of RAW files and links ends with their number and why, and so does a dry run."""
    config = configured(tmp_path, networks.student)
    for name in ("1.NEF", "2.NEF", "3.nef", ".4.nef"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "album").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe.png")
    told = "3 .nef (no known format), 1 link, 1 special file"
    dry = once("--config", config, "--dry-run")
    assert f"in: no images there (0.00 megapixels); 5 left alone: {told}\n" in dry.stdout
    ran = once("--config", config)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("0 sharpened, 0 unchanged, 0 quarantined")
    assert f"5 left alone: {told}\n" in ran.stdout
    as_json = summary(once("--config", config, "--json").stdout)
    assert as_json["left_alone"] == {".nef": 3, "link": 1, "special file": 1}


def test_an_old_refusal_is_no_news(networks: Networks, tmp_path: Path) -> None:
    """Exit 65 is for what this run refused; a later run counts it apart and ends with 0."""
    config = configured(tmp_path, networks.student)
    drop(tmp_path / "in", "a.png")
    (tmp_path / "in" / "old.png").write_bytes(b"")
    assert once("--config", config).returncode == 65
    again = once("--config", config)
    assert again.returncode == 0
    assert "0 sharpened, 1 unchanged, 0 quarantined" in again.stdout
    assert "1 quarantined by an earlier run: `sharpend list quarantined`" in again.stdout
    (tmp_path / "in" / "new.png").write_bytes(b"")
    news = once("--config", config, "--json")
    assert news.returncode == 65
    *told, last = [json.loads(line) for line in news.stdout.splitlines()]
    earlier = {os.path.basename(one["input"]): one["earlier"] for one in told}
    assert earlier == {"a.png": True, "old.png": True, "new.png": False}
    assert all(one["setting"] and one["message"] for one in told if one["reason"])
    assert last["summary"]["counts"]["quarantined"] == 1
    assert last["summary"]["quarantined_earlier"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_says_what_is_left(
    networks: Networks, tmp_path: Path, number: signal.Signals
) -> None:
    """After Ctrl-C, or with its terminal closed, it drains and counts what is left."""
    config = configured(tmp_path, networks.student)
    names = {f"{index}.png" for index in range(60)}
    large = drop(tmp_path, "large.png", height=900, width=1200)
    for name in names:  # half a minute of work
        os.link(large, tmp_path / "in" / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "sharpend", "once", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings({}),
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # noqa: PLW1509 - not by nohup
    )
    until(lambda: list((tmp_path / "out").glob("*.png")))
    process.send_signal(number)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    done = {path.name for path in (tmp_path / "out").iterdir()}
    found = re.search(r"(\d+) left undone: run the same command again", text)
    assert found is not None, text
    assert int(found[1]) == len(names - done)
    assert f"{len(done)} sharpened" in text


def test_single_images(networks: Networks, tmp_path: Path) -> None:
    """Named files alone are done, from any folders, with the same promise: again, nothing is."""
    given = [drop(tmp_path / "x", "a.png"), drop(tmp_path / "x" / "y", "a.png", seed=1)]
    drop(tmp_path / "x", "other.png", seed=2)
    ways = ("--output", tmp_path / "sharp", "--state", tmp_path / "state")
    options = (*ways, "--model", networks.student, "--json")
    first = once(*given, *options)
    assert first.returncode == 0, first.stderr
    assert summary(first.stdout)["counts"] == {"sharpened": 2, "unchanged": 0, "quarantined": 0}
    outputs = {path.name for path in (tmp_path / "sharp").iterdir()}
    assert outputs == {"a.png", "a-2.png"}
    again = once(given[1], *options)
    assert summary(again.stdout)["counts"] == {"sharpened": 0, "unchanged": 1, "quarantined": 0}
    elsewhere = ("--input", tmp_path / "x" / "y", *options)
    told = summary(once(*elsewhere).stdout)
    assert told["counts"] == {"sharpened": 0, "unchanged": 1, "quarantined": 0}


def test_a_list_from_stdin(networks: Networks, tmp_path: Path) -> None:
    """NUL-separated paths below a configured input keep their paths in the output."""
    config = configured(tmp_path, networks.student)
    drop(tmp_path / "in" / "sub", "a\nb.png")
    drop(tmp_path / "in", "not-named.png", seed=1)
    (tmp_path / "in" / "notes.txt").touch()
    names = [tmp_path / "in" / "sub" / "a\nb.png", tmp_path / "in" / "notes.txt"]
    arguments = ("once", "--config", config, "--from-file", "-", "--null", "--json")
    ran = subprocess.run(
        [sys.executable, "-m", "sharpend", *map(str, arguments)],
        check=False,
        capture_output=True,
        input=b"\0".join(os.fsencode(name) for name in names),
        env=surroundings({}),
    )
    assert ran.returncode == 0, ran.stderr
    assert summary(ran.stdout.decode())["left_alone"] == {".txt": 1}
    made = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png")]
    assert made == [Path("sub/a\nb.png")]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("gone.png", "--output", "out"), 66, "gone.png: no such file"),
        (("folder", "--output", "out"), 64, "is a folder: give it by --input"),
        (("a.png",), 64, "is in none of the input folders"),
        (("out/made.png", "--output", "out"), 64, "is in the output"),
        (("a.png", "--null", "--output", "out"), 64, "--null belongs to --from-file"),
        (("--from-file", "no-list", "--output", "out"), 66, "no-list: No such file"),
        (("--from-file", "empty", "--output", "out"), 0, "there is nothing to do"),
    ],
)
def test_mistakes_in_a_selection(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Each is one line, before any work."""
    drop(tmp_path, "a.png")
    drop(tmp_path / "out", "made.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    command = [sys.executable, "-m", "sharpend", "once", "--state", str(tmp_path / "state")]
    ran = subprocess.run(
        [*command, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=surroundings({"HOME": str(tmp_path)}),
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (status, False), ran.stderr
    assert said in ran.stderr
    assert not (tmp_path / "state").exists()
