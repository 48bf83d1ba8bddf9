"""The command line: every mistake is one readable line and its own exit status, never a traceback.

All in this process and without a worker, so these are the checks that come before one is started.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from sharpend import __main__, __version__, commands
from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.ledger.opening import lock
from sharpend.workers import ahead

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks


@pytest.fixture(autouse=True)
def surroundings(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings from outside, and the logging of the test run as it was before."""
    assert not bare.exists()
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    before = list(logging.getLogger().handlers)
    yield
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = before


def status_of(*arguments: str) -> int:
    """The exit status of a command line, whether it is returned or raised."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_once_alone_starts_a_worker_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends it where a mistake is found; another command starts none that it may not need."""
    steps: list[str] = []
    monkeypatch.setattr(ahead, "start", lambda: steps.append("start"))
    monkeypatch.setattr(ahead, "end", lambda: steps.append("end"))
    for command in ("check", "once"):
        monkeypatch.setattr("sys.argv", ["sharpend", command, "--config", "away.toml"])
        assert __main__.main() == ExitCode.CONFIGURATION
        assert steps == (["start", "end"] if command == "once" else [])


@pytest.mark.parametrize(
    ("status", "said", "arguments"),
    [
        (64, "required: COMMAND", ""),
        (64, "invalid choice: 'sharpen'", "sharpen"),
        (64, "unrecognized arguments: --colour", "once --colour"),
        (64, "invalid int value: 'two'", "run --workers two"),
        (64, "--input and --output belong together", "once --input in"),
        (64, "--input and --output belong together", "run --output out"),
        (64, "no folder to work on", "run"),
        (64, "no folder to work on", "once --json"),
        (64, "no folder to work on", "check"),
        (64, "--dry-run", "once --input in --output out --dry-run --json"),
        (66, "no such folder", "once --input away --output out"),
        (66, "not a folder", "check --input file --output out"),
        (66, "no daemon has worked with this state", "status --state unused"),
        (66, "no daemon has worked with this state", "retry --all --state unused"),
        (
            78,
            "command line: model.name: away: no such model",
            "once --input in --output out --model away",
        ),
        (78, "no such model", "run --input in --output out --model ./away.safetensors"),
        (73, "folder.output", "once --input in --output file --model MODEL"),
        (73, "folder.output", "run --input in --output file/below --model MODEL"),
        (75, "in use by process", "once --input in --output out --model MODEL --state locked"),
        (75, "in use by process", "run --input in --output out --model MODEL --state locked"),
        (78, "no such file: ", "run --config away.toml"),
        (78, "broken.toml: end of document: Expected ']'", "once --config broken.toml"),
        (
            78,
            "typo.toml: model.devise: unknown key; did you mean device?",
            "check --config typo.toml",
        ),
        (78, "overlap", "once --input in --output in"),
        (78, "overlap", "run --input in --output in/below"),
        (
            78,
            "command line: model.strength: must be at most 2, not 2.5",
            "check --input in --output out --strength 2.5",
        ),
        (
            78,
            "command line: model.crispness: must be at most 1, not 1.5",
            "check --input in --output out --crispness 1.5",
        ),
        (
            78,
            "command line: model.skip_sharp_above: must be at most 10, not 11.0",
            "check --input in --output out --skip-sharp --skip-sharp-above 11",
        ),
        (78, "device", "once --input in --output out --device gpu"),
    ],
)
def test_mistakes(
    networks: Networks,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    status: int,
    said: str,
    arguments: str,
) -> None:
    """Each kind of mistake has its exit status and says what is wrong on stderr."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "broken.toml").write_text("[model")
    (tmp_path / "typo.toml").write_text('[model]\ndevise = "cpu"\n')
    holder = lock(tmp_path / "locked")
    try:
        found = status_of(*arguments.replace("MODEL", str(networks.student)).split())
    finally:
        os.close(holder)
    output = capsys.readouterr()
    assert (found, output.out) == (status, "")
    assert said in output.err
    assert "Traceback" not in output.err


def test_a_misspelt_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A SHARPEND_ variable that names no setting ends with 78 and the name that was meant."""
    monkeypatch.setenv("SHARPEND_REPORT__EVRY_S", "1")
    assert status_of("run", "--input", "in", "--output", "out") == ExitCode.CONFIGURATION
    assert "did you mean SHARPEND_REPORT__EVERY_S?" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in a folder's name is spelled out."""
    assert status_of("once", "--input", "\x1b[31m\n", "--output", "out") == ExitCode.INPUT_MISSING
    error = capsys.readouterr().err
    assert "\\x1b[31m\\n" in error
    assert "\x1b" not in error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError(), ExitCode.BUG),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
    ids=["bug", "interrupt", "pipe"],
)
def test_other_ends(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
) -> None:
    """Only a bug of ours shows a traceback; Ctrl-C and a closed pipe end as the shell expects."""

    def fail(_options: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(commands.check, "main", fail)
    assert status_of("check") == status
    assert ("Traceback" in capfd.readouterr().err) == (status == ExitCode.BUG)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--help explains every exit status that we have; --version is that of the package."""
    assert status_of("--help") == 0
    told = capsys.readouterr().out
    assert all(str(int(code)) in told for code in ExitCode)
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"sharpend {__version__}\n"


def test_check_says_what_would_run(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` prints each folder's way and makes nothing."""
    arguments = ("--input", "in", "--output", "out", "--state", "s", "--workers", "3")
    assert status_of("check", *arguments, "--model", str(networks.student)) == 0
    told = capsys.readouterr().out
    assert f"in: {tmp_path}/in -> {tmp_path}/out, model {networks.student}, source keep" in told
    assert f"state: {tmp_path}/s; workers: 3" in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
