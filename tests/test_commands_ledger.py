"""`status` and `retry`: what they say of a ledger, and what they change in it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.quarantine import Quarantine
from sharpend.daemon.status import write_status
from sharpend.errors import ExitCode, Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.mounted_roots import look
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import Job, Product, QuarantineReason, State
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger

NOW_S = 1_800_000_000.0


@dataclass
class Records:
    """A state directory with jobs in it, and the folder that they came from."""

    base: Path
    ledger: Ledger

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.base / "state"

    def destination(self, source: SourcePolicy) -> Destination:
        """The folder's way out."""
        roots = os.fsencode(self.base / "in"), os.fsencode(self.base / "out")
        return Destination(self.ledger.folder("inbox", *roots), *roots, source=source)

    def claimed(self, name: str) -> Job:
        """An input that a worker has got."""
        path = self.base / "in" / name
        path.write_text(name)
        destination = self.destination(SourcePolicy.KEEP)
        found = [(os.fsencode(name), Fingerprint.of(path.stat()))]
        assert self.ledger.add(destination.folder, found, NOW_S).jobs == 1
        job = self.ledger.claim(NOW_S, [destination.folder])
        assert job is not None
        return job

    def finish(self, name: str) -> None:
        """An input whose output is in place."""
        job = self.claimed(name)
        self.ledger.stage(job, Product(os.fsencode(name), job.fingerprint))
        self.ledger.finish(job, NOW_S)
        self.ledger.dispose(job)

    def refuse(self, name: str, source: SourcePolicy = SourcePolicy.KEEP) -> Path:
        """An input in quarantine; returns its reason file."""
        job = self.claimed(name)
        quarantine = Quarantine(self.ledger, self.state, TempNames(self.state))
        refusal = QuarantineReason(Reason.TOO_MANY_PIXELS, "too large")
        quarantine.complete(self.destination(source), quarantine.record(job, refusal, NOW_S))
        return self.state / "quarantine" / "inbox" / f"{name}.reason.json"

    def retry(self, *arguments: str | Path) -> int:
        """The exit status of `sharpend retry`."""
        return main(["retry", "--state", str(self.state), *map(str, arguments)])


@pytest.fixture
def records(bare: Path, tmp_path: Path) -> Iterator[Records]:
    """An empty ledger that a running daemon has locked."""
    assert not bare.exists()
    (tmp_path / "in").mkdir()
    made = Records(tmp_path, open_ledger(tmp_path / "state"))
    yield made
    made.ledger.close()


def test_retry_takes_all_of_the_quarantine(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without paths every quarantined input is tried again, and nothing else."""
    reasons = [records.refuse("a.png"), records.refuse("b.png")]
    records.finish("done.png")
    assert records.retry() == ExitCode.OK
    assert capsys.readouterr().out == "2 will be retried\n"
    assert records.ledger.counts()[State.PENDING] == 2
    assert records.ledger.counts()[State.DISPOSED] == 1
    assert not any(reason.exists() for reason in reasons)


def test_retry_takes_the_named_paths(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """With paths, absolute or not, only those are tried again."""
    records.refuse("a.png")
    reason = records.refuse("b.png")
    monkeypatch.chdir(records.base / "in")
    assert records.retry("a.png") == ExitCode.OK
    assert records.ledger.counts()[State.PENDING] == 1
    assert reason.exists()
    assert records.retry(records.base / "in" / "b.png") == ExitCode.OK
    assert records.ledger.counts()[State.PENDING] == 2


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_retry_puts_a_moved_source_back(records: Records, source: SourcePolicy) -> None:
    """Where sources are moved, a repaired one in the quarantine returns to its own place."""
    reason = records.refuse("a.png", source)
    assert not (records.base / "in" / "a.png").exists()
    reason.with_name("a.png").write_text("repaired")
    assert records.retry() == ExitCode.OK
    assert (records.base / "in" / "a.png").read_text() == "repaired"
    assert records.ledger.counts()[State.PENDING] == 1
    assert list(reason.parent.iterdir()) == []


def test_retry_never_takes_a_place(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    """A moved source stays in quarantine where another file has its name; exit 65 and the cause."""
    reason = records.refuse("a.png", SourcePolicy.DELETE)
    (records.base / "in" / "a.png").write_text("new")
    assert records.retry() == ExitCode.SOME_QUARANTINED
    assert "0 will be retried, 1 cannot be" in capsys.readouterr().out
    assert (records.base / "in" / "a.png").read_text() == "new"
    assert reason.with_name("a.png").read_text() == "a.png"


def test_retry_puts_nothing_on_another_disk(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """A moved source stays in quarantine while the input's disk is not the one that it was."""
    reason = records.refuse("a.png", SourcePolicy.DELETE)
    inbox = os.fsencode(records.base / "in")
    before = replace(look(inbox), kind="ext4", volume="another")
    ((name, _),) = records.ledger.folders()
    records.ledger.record_root(name, inbox, before.as_text())
    assert records.retry() == ExitCode.SOME_QUARANTINED
    assert f"`sharpend accept {name}`" in capsys.readouterr().out
    assert not (records.base / "in" / "a.png").exists()
    assert reason.with_name("a.png").exists()


def test_retry_all_takes_finished_ones(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """--all does finished inputs again too: all of them, or the named ones."""
    records.finish("a.png")
    records.finish("b.png")
    records.refuse("c.png")
    assert records.retry("--all", records.base / "in" / "a.png") == ExitCode.OK
    assert records.ledger.counts()[State.PENDING] == 1
    assert records.retry("--all") == ExitCode.OK
    assert records.ledger.counts()[State.PENDING] == 3
    assert capsys.readouterr().out == "1 will be retried\n2 will be retried\n"


def test_retry_knows_what_it_does_not_know(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that is not in quarantine ends with 66 and its name."""
    records.finish("a.png")
    assert records.retry(records.base / "in" / "a.png") == ExitCode.INPUT_MISSING
    assert "a.png: not in quarantine or, with --all, finished" in capsys.readouterr().err


def test_status_counts_and_quotes(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    """`status` says whether a daemon runs, the ledger's counts now, and the last report."""
    records.finish("a.png")
    records.refuse("b.png")
    path = records.base / "in" / "c.png"
    path.write_text("c")
    found = [(b"c.png", Fingerprint.of(path.stat()))]
    records.ledger.add("inbox", found, NOW_S)
    agreement = {"n": 9, "mean": 0.97, "rolling": 0.98, "min": 0.9, "noop_mean": 0.94}
    report = {
        "images_per_s": 1.5,
        "megapixels_per_s": 3.25,
        "model": "lite",
        "device": "cpu float32",
        "health": "degraded",
        "agreement": agreement,
        "sharpness": {"p10": -1.7, "p50": -1.1, "p90": 0.25},
        "paused": {"inbox": "No space left\non device"},
    }
    write_status(records.state, report)
    assert main(["status", "--state", str(records.state)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("running\nwaiting 1, done 1, quarantined 1, vanished 0\n")
    assert "1.50 images/s, 3.25 megapixels/s, model lite on cpu float32" in text
    assert "health degraded" in text
    assert "SSIM 0.9700 on 9 crop(s) (input itself: 0.9400)" in text
    assert "residual" not in text
    came = "slightly soft, median sharpness -1.10, 80 % from -1.70 to 0.25"
    assert f"inputs: {came}" in text
    assert "paused: inbox: No space left\\non device" in text
    told = {"measurable": 2, "residual_ratio": None, "residual_above": 0.3, "verdict": "low"}
    write_status(records.state, report | {"agreement": agreement | told})
    assert main(["status", "--state", str(records.state)]) == 0
    assert "residual ratio: not measurable, 2 measurable crop(s)" in capsys.readouterr().out
    write_status(records.state, report)
    records.ledger.close()
    assert main(["status", "--json", "--state", str(records.state)]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["running"], status["last"]) == (False, report)
    assert {state: count for state, count in status["counts"].items() if count} == {
        "pending": 1,
        "disposed": 1,
        "quarantined": 1,
    }
    assert set(status["counts"]) == {state.value for state in State}


def test_list_shows_each_kind(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` has the path, the reason and the time of each image, as text or JSON, by folder."""
    records.finish("done.png")
    reason = records.refuse("bad.png")
    records.claimed("waits.png")
    known = {"waiting": "waits.png", "quarantined": "bad.png", "done": "done.png"}
    for which, name in known.items():
        arguments = ["list", which, "--state", str(records.state)]
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert len(text.splitlines()) == 1
        assert text.startswith("2027-01-1")  # NOW_S, whatever the time zone
        assert f"  {records.base}/in/{name}" in text
        assert ("too_many_pixels: too large" in text) == (which == "quarantined")
        assert main([*arguments, "--json", "--folder", "inbox"]) == 0
        values = json.loads(capsys.readouterr().out)
        assert (values["input"], values["since"]) == (f"{records.base}/in/{name}", NOW_S)
        assert (values["reason_file"] == str(reason)) == (which == "quarantined")
    assert main(["list", "done", "--folder", "x", "--state", str(records.state)]) == 66
    assert "--folder: x: no such folder; known: inbox" in capsys.readouterr().err


def test_retry_takes_paths_of_quarantine_and_outputs(records: Records) -> None:
    """What people see is a reason file, a moved source, or an output: each names its input."""
    reason = records.refuse("a.png")
    moved = records.refuse("b.png", SourcePolicy.DELETE).with_name("b.png")
    records.finish("c.png")
    assert records.retry(reason) == ExitCode.OK
    assert records.retry(moved) == ExitCode.OK
    assert records.retry("--all", records.base / "out" / "c.png") == ExitCode.OK
    assert records.ledger.counts()[State.PENDING] == 3


@pytest.mark.parametrize(
    ("health", "runs", "status", "said"),
    [
        ("ok", True, 0, "health ok"),
        ("degraded", True, 1, "health degraded: inbox: No space left on device"),
        ("fail", True, 1, "all work is paused: disk full"),
        ("ok", False, 69, "not running with this state directory"),
    ],
)
def test_status_as_a_health_check(
    records: Records,
    capsys: pytest.CaptureFixture[str],
    *,
    health: str,
    runs: bool,
    status: int,
    said: str,
) -> None:
    """--check is one line and an exit status; without it the status is 0 whatever it says."""
    told_s = time.time()
    report: dict[str, object] = {
        "state": "running",
        "pid": 7,
        "version": "1",
        "at": told_s,
        "health": health,
        "paused": {"inbox": "No space left on device"} if health == "degraded" else {},
        "state_fault": "disk full" if health == "fail" else None,
        "queue_depth": 3,
        "left_alone": {"inbox": {".nef": 3}},
    }
    write_status(records.state, report)
    if not runs:
        records.ledger.close()
    assert main(["status", "--check", "--state", str(records.state)]) == status
    text = capsys.readouterr().out
    assert (said in text, text.count("\n")) == (True, 1)
    assert main(["status", "--state", str(records.state)]) == 0
    text = capsys.readouterr().out
    local = time.strftime("%Y-%m-%d %H:", time.localtime(told_s))
    assert f"(last report {local}" in text
    assert "left alone: inbox: 3 .nef (no known format)" in text
