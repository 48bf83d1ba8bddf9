"""Metrics: every figure from its source, none that is old, and the file of node_exporter."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from prometheus_client.parser import text_string_to_metric_families

from sharpend.cli import main
from sharpend.daemon.history import History
from sharpend.daemon.snapshot import Snapshot
from sharpend.daemon.status import StatusReporter
from sharpend.errors import ExitCode, Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.free_space import DiskSpace, DiskSpaceReader, disk_space_of
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import Product, QuarantineReason
from sharpend.web.metric_list import METRICS, Origin, markdown
from sharpend.web.metrics import exposition
from sharpend.workers.loading import LoadedModel
from tests.conftest import drop
from tests.daemons import configured, running, until
from tests.described import MONITORING, split_page
from tests.fakes import ListLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger
    from tests.conftest import Networks

PROMTOOL = shutil.which("promtool")
ODD = 'b"\\ {}\nü'
"""Name of a folder with what the text format must escape."""
AGREEMENT = {
    "n": 9,
    "mean": 0.97,
    "min": 0.9,
    "rolling": 0.96,
    "noop_mean": 0.8,
    "alarm_below": 0.93,
    "residual_ratio": 0.3,
    "residual_above": 0.5,
    "measurable": 7,
    "verdict": "good",
}
CANARY = {
    **AGREEMENT,
    "model": "new",
    "teacher": "teacher-new",
    "used_teacher": "teacher-old",
    "verdict": "low",
    "mean": 0.95,
    "used_mean": 0.96,
    "used_residual_ratio": 0.2,
    "difference": 5.1,
    "crop_ms": 12.0,
    "used_crop_ms": 10.0,
}
NOW = Snapshot(
    workers=2,
    queue_depth=3,
    oldest_pending_s=1.5,
    sharpened=4,
    quarantined=1,
    agreement={"lite": AGREEMENT},
    low=(),
    canary=CANARY,
    folders=("in", ODD),
    paused={ODD: "full"},
    unreadable={"in": 5},
    left_alone={"in": {".nef": 2, "link": 4}},
)
WINDOW = {
    "images_total": 40,
    "failures_total": 2,
    "megapixels_per_s": 1.5,
    "latency_ms": {"infer": {"p50": 250.0, "p95": 900.0}},
    "sharpness": {"p10": -1.0, "p50": -0.5, "p90": 0.25},
}
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values_in(text: str) -> Values:
    """Every value of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def values_of(state: Path) -> Values:
    """What a state directory exposes now."""
    return values_in(exposition(state)[1].decode())


def of(values: Values, name: str, **labels: str) -> float | None:
    """One value, or None where it is left out."""
    return values.get((name, frozenset(labels.items())))


def names_in(values: Values) -> set[str]:
    """The metrics that have a value."""
    return {name for name, _ in values}


@dataclass
class Watched:
    """A state directory with a ledger and reports, as a daemon fills them."""

    base: Path
    ledger: Ledger

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.base / "state"

    def add(self, folder: str, *names: str, at_s: float) -> None:
        """Inputs that are found in a folder."""
        roots = os.fsencode(self.base / "in"), os.fsencode(self.base / folder)
        (self.base / folder).mkdir(exist_ok=True)
        name = self.ledger.folder(folder, *roots)
        found = [(os.fsencode(one), Fingerprint(1, 2, 3)) for one in names]
        self.ledger.add(name, found, at_s)

    def claim_all(self, folder: str) -> None:
        """Give every waiting input its end: the first is refused, the rest are finished."""
        job = self.ledger.claim(time.time(), [folder])
        assert job is not None
        self.ledger.quarantine(job, QuarantineReason(Reason.EMPTY, "0 bytes"), time.time())
        while job := self.ledger.claim(time.time(), [folder]):
            self.ledger.stage(job, Product(job.relative, job.fingerprint))
            self.ledger.finish(job, time.time())
            self.ledger.dispose(job)

    def report(self, now: Snapshot = NOW, **window: object) -> None:
        """Publish a report."""
        loaded = LoadedModel("lite", "digest", "cpu", 128, 4, None, None)
        reporter = StatusReporter(self.state, loaded, ListLog(), History(self.state))
        reporter.publish(now, {**WINDOW, **window})


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """One whose daemon works: folders of a plain and an odd name, each with something in it."""
    made = Watched(tmp_path, open_ledger(tmp_path / "state"))
    made.add("in", "a", "b", "c", at_s=time.time())
    made.claim_all("in")
    made.add(ODD, "old", at_s=time.time() - 1000)
    made.report()
    yield made
    made.ledger.close()


def test_every_metric_of_the_list_is_exposed(watched: Watched) -> None:
    """The list is what a state directory with everything in it exposes, with these labels."""
    values = values_of(watched.state)
    assert names_in(values) == {metric.name for metric in METRICS}
    labels = {name: {label for label, _ in pairs} for name, pairs in values}
    assert labels == {metric.name: set(metric.labels) for metric in METRICS}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("sharpend_up", {}, 1),
        ("sharpend_ready", {}, 1),
        ("sharpend_workers", {}, 2),
        ("sharpend_images_registered_total", {}, 4),
        ("sharpend_images", {"folder": "in", "state": "disposed"}, 2),
        ("sharpend_images", {"folder": "in", "state": "pending"}, 0),
        ("sharpend_images", {"folder": ODD, "state": "pending"}, 1),
        ("sharpend_quarantined_images", {"folder": "in", "reason": "empty"}, 1),
        ("sharpend_oldest_pending_seconds", {"folder": "in"}, 0),
        ("sharpend_images_finished_total", {}, 40),
        ("sharpend_images_quarantined_total", {}, 2),
        ("sharpend_pixels_per_second", {}, 1_500_000),
        ("sharpend_stage_seconds", {"stage": "infer", "percentile": "95"}, 0.9),
        ("sharpend_input_sharpness", {"percentile": "10"}, -1),
        ("sharpend_health", {"health": "degraded"}, 1),
        ("sharpend_health", {"health": "ok"}, 0),
        ("sharpend_folder_paused", {"folder": ODD}, 1),
        ("sharpend_folder_paused", {"folder": "in"}, 0),
        ("sharpend_unreadable_entries", {"folder": "in"}, 5),
        ("sharpend_left_alone_entries", {"folder": "in"}, 6),
        ("sharpend_agreement_rolling_ssim", {"model": "lite", "role": "in_use"}, 0.96),
        ("sharpend_agreement_noop_ssim", {"model": "lite", "role": "in_use"}, 0.8),
        ("sharpend_agreement_residual_ratio", {"model": "lite", "role": "in_use"}, 0.3),
        ("sharpend_agreement_residual_alarm_ratio", {"model": "lite", "role": "in_use"}, 0.5),
        ("sharpend_agreement_low", {"model": "lite", "role": "in_use"}, 0),
    ],
)
def test_each_figure_is_that_of_its_source(
    watched: Watched, name: str, labels: dict[str, str], value: float
) -> None:
    """Counts of the ledger, and figures of the report in base units."""
    assert of(values_of(watched.state), name, **labels) == pytest.approx(value)


def test_ages_times_and_space_are_those_of_now(watched: Watched) -> None:
    """The queue's age grows between reports; the disk is asked."""
    values = values_of(watched.state)
    assert of(values, "sharpend_oldest_pending_seconds", folder=ODD) == pytest.approx(1000, abs=60)
    assert of(values, "sharpend_metrics_timestamp_seconds") == pytest.approx(time.time(), abs=60)
    space = disk_space_of(os.fsencode(watched.base / ODD))
    assert space is not None
    size = of(values, "sharpend_disk_size_bytes", place="output", folder=ODD)
    assert size == of(values, "sharpend_disk_size_bytes", place="state", folder="")
    assert size == space.size_bytes


def test_models_have_their_own_figures(watched: Watched) -> None:
    """Several models are distinguished by their label, the one whose alarm is raised among them."""
    low = {**AGREEMENT, "verdict": "low", "residual_ratio": None}
    watched.report(replace(NOW, agreement={"lite": AGREEMENT, "base": low}, low=("base",)))
    values = values_of(watched.state)
    lows = [of(values, "sharpend_agreement_low", model=m, role="in_use") for m in ("lite", "base")]
    assert lows == [0, 1]
    assert of(values, "sharpend_agreement_residual_ratio", model="base", role="in_use") is None


def test_a_canary_is_beside_the_model_in_use(watched: Watched) -> None:
    """Its block of the report names its model, and both are compared over the same crops."""
    values = values_of(watched.state)
    assert of(values, "sharpend_agreement_low", model="lite", role="in_use") == 0
    assert of(values, "sharpend_agreement_low", model="new", role="canary") == 1
    for name, canary, in_use in (
        ("sharpend_canary_ssim", 0.95, 0.96),
        ("sharpend_canary_residual_ratio", 0.3, 0.2),
        ("sharpend_canary_crop_seconds", 0.012, 0.01),
    ):
        found = [of(values, name, role=role) for role in ("canary", "in_use")]
        assert found == [pytest.approx(canary), pytest.approx(in_use)]
    assert of(values, "sharpend_canary_difference_ratio") == pytest.approx(0.02)
    watched.report(replace(NOW, canary=None))
    assert not {name for name in names_in(values_of(watched.state)) if "canary" in name}


def test_a_daemon_that_is_down_shows_no_old_figure(watched: Watched) -> None:
    """`sharpend_up` is 0, the report's figures are left out, and the ledger's are still true."""
    watched.ledger.close()
    values = values_of(watched.state)
    assert of(values, "sharpend_up") == of(values, "sharpend_ready") == 0
    assert of(values, "sharpend_images", folder=ODD, state="pending") == 1
    of_reports = {metric.name for metric in METRICS if metric.origin is Origin.REPORT}
    assert not names_in(values) & of_reports


def test_a_daemon_that_has_not_reported_shows_no_figure_of_an_earlier_one(
    watched: Watched,
) -> None:
    """From a start to the first report it is up and not ready, and the report before is not its."""
    watched.ledger.close()
    watched.ledger = open_ledger(watched.state)
    values = values_of(watched.state)
    assert (of(values, "sharpend_up"), of(values, "sharpend_ready")) == (1, 0)
    assert of(values, "sharpend_images_finished_total") is None
    watched.report(images_total=0)
    assert of(values_of(watched.state), "sharpend_images_finished_total") == 0


def test_the_last_report_of_a_daemon_that_stops_is_no_work(watched: Watched) -> None:
    """One that has written its end, and holds the directory for a moment more, is not ready."""
    loaded = LoadedModel("lite", "digest", "cpu", 128, 4, None, None)
    reporter = StatusReporter(watched.state, loaded, ListLog(), History(watched.state))
    reporter.publish(NOW, WINDOW, state="stopped")
    assert of(values_of(watched.state), "sharpend_ready") == 0


def test_registered_images_never_get_fewer(watched: Watched) -> None:
    """Retries, forgotten jobs and a restart leave the counter as it is, and new images raise it."""
    assert watched.ledger.retry_finished() == 2
    watched.claim_all("in")
    watched.ledger.close()
    watched.ledger = open_ledger(watched.state)
    assert of(values_of(watched.state), "sharpend_images_registered_total") == 4
    watched.add("in", "d", at_s=time.time())
    assert of(values_of(watched.state), "sharpend_images_registered_total") == 5


def test_folders_that_the_settings_no_longer_have_are_left_out(watched: Watched) -> None:
    """Their waiting images raise no alert; before any report all folders are shown."""
    watched.report(replace(NOW, folders=("in",)))
    assert of(values_of(watched.state), "sharpend_images", folder=ODD, state="pending") is None
    (watched.state / "status.json").unlink()
    assert of(values_of(watched.state), "sharpend_images", folder=ODD, state="pending") == 1


def test_where_nothing_ever_ran(tmp_path: Path) -> None:
    """A missing state directory is a daemon that is down, and is not made."""
    values = values_of(tmp_path / "state")
    assert of(values, "sharpend_up") == of(values, "sharpend_ledger_readable") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_read_is_reported(watched: Watched) -> None:
    """The report's figures remain, the ledger's are left out."""
    watched.ledger.close()
    for suffix in ("-wal", "-shm"):
        (watched.state / f"ledger.db{suffix}").unlink(missing_ok=True)
    (watched.state / "ledger.db").write_bytes(b"no database" * 1000)
    values = values_of(watched.state)
    assert of(values, "sharpend_ledger_readable") == 0
    assert of(values, "sharpend_images_registered_total") is None


def test_a_disk_that_hangs_costs_one_wait(tmp_path: Path) -> None:
    """It is left out, is not asked again while it hangs, and is shown again once it responds."""
    responds, asked = threading.Event(), threading.Semaphore(0)
    answer = DiskSpace(10, 5)

    def ask(_: bytes) -> DiskSpace:
        asked.release()
        responds.wait()
        return answer

    reader, folder = DiskSpaceReader(ask, patience_s=0.01), os.fsencode(tmp_path)
    assert reader.read(folder) is None
    assert reader.read(folder) is None
    assert asked.acquire(timeout=60)
    assert not asked.acquire(blocking=False)
    responds.set()
    until(lambda: reader.read(folder) == answer)


def test_those_who_ask_at_once_share_an_answer(tmp_path: Path) -> None:
    """Two monitors that scrape in the same moment both see the disk."""
    responds, asked, folder = threading.Event(), threading.Event(), os.fsencode(tmp_path)
    answer = DiskSpace(10, 5)

    def ask(_: bytes) -> DiskSpace:
        asked.set()
        responds.wait()
        return answer

    reader = DiskSpaceReader(ask, patience_s=60)
    with ThreadPoolExecutor(8) as monitors:
        read = [monitors.submit(reader.read, folder) for _ in range(8)]
        assert asked.wait(60)
        responds.set()
        assert [one.result() for one in read] == [answer] * 8


def test_the_file_is_for_node_exporter(watched: Watched) -> None:
    """Readable by all whatever the umask, in its place in one step, and alone there."""
    target = watched.base / "textfiles" / "sharpend.prom"
    target.parent.mkdir()
    target.write_text("old")
    before = os.umask(0o077)
    try:
        command = ["metrics", "--state", str(watched.state), "--textfile", str(target)]
        assert main(command) == ExitCode.OK
    finally:
        os.umask(before)
    assert os.listdir(target.parent) == ["sharpend.prom"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert of(values_in(target.read_text()), "sharpend_up") == 1


def test_the_command_prints_without_a_file(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the exposition; where nothing ever ran it is one too."""
    assert main(["metrics", "--state", str(watched.state)]) == ExitCode.OK
    assert of(values_in(capsys.readouterr().out), "sharpend_up") == 1
    assert main(["metrics", "--state", str(watched.base / "never")]) == ExitCode.OK
    assert of(values_in(capsys.readouterr().out), "sharpend_up") == 0


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("sharpend.txt", ExitCode.USAGE, "node_exporter reads *.prom only"),
        ("gone/sharpend.prom", ExitCode.OUTPUT_FAILED, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_serve_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, status: ExitCode, told: str
) -> None:
    """One that node_exporter would not read, or that cannot be written, is reported in one line."""
    command = ["metrics", "--state", str(tmp_path), "--textfile", str(tmp_path / name)]
    assert main(command) == status
    assert told in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_missing_library_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the extra is not installed, one line names it."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert main(["metrics"]) == ExitCode.UNAVAILABLE
    assert "pip install 'sharpend[web]'" in capsys.readouterr().err


def test_the_page_has_the_list() -> None:
    """The table of config/monitoring/README.md is that of the list."""
    told = "config/monitoring/README.md is out of date: python -m tests.renew_documents"
    assert split_page(MONITORING, "metrics")[1] == markdown(), told


@pytest.mark.slow
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_no_fault(watched: Watched) -> None:
    """Names, units, labels and help texts follow the conventions, by the linter of Prometheus."""
    linted = subprocess.run(
        [PROMTOOL or "", "check", "metrics"],
        input=exposition(watched.state)[1],
        check=False,
        capture_output=True,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


@pytest.mark.slow
def test_a_real_daemon_from_outside(tmp_path: Path, networks: Networks) -> None:
    """Another process sees what it has done, that it was killed, and what the next one does."""
    target = tmp_path / "sharpend.prom"
    config = configured(tmp_path, networks.student, report={"every_s": 0.2})
    command = ["metrics", "--config", str(config), "--textfile", str(target)]

    def written() -> Values:
        done = subprocess.run([sys.executable, "-m", "sharpend", *command], check=False)
        assert done.returncode == ExitCode.OK
        return values_in(target.read_text())

    with running("--config", config) as daemon:
        drop(tmp_path / "in", "good.png")
        daemon.wait_for("report.published", images_total=1)
        values = written()
        assert of(values, "sharpend_up") == of(values, "sharpend_ready") == 1
        assert of(values, "sharpend_images_finished_total") == 1
        assert of(values, "sharpend_images_registered_total") == 1
        daemon.kill()
    values = written()
    assert of(values, "sharpend_up") == 0
    assert of(values, "sharpend_images_finished_total") is None
    with running("--config", config) as daemon:
        drop(tmp_path / "in", "better.png", seed=1)
        daemon.wait_for("report.published", images_total=1)
        values = written()
        assert of(values, "sharpend_images_finished_total") == 1
        assert of(values, "sharpend_images_registered_total") == 2
