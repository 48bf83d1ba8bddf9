"""A ledger of millions: slim rows, counters in place of counts, a start that reads little."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger import opening
from sharpend.ledger.counts_sql import COUNTED
from sharpend.ledger.figures import _figures, read_figures
from sharpend.ledger.opening import open_beside, open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.ledger.store import require_sound
from tests.older_ledgers import LAST_WIDE, STATES, add_wide, older_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.ledger.ledger import Ledger

JOBS = 400
ONE = Fingerprint(10, 20, 30)


def wide(state_dir: Path, jobs: int) -> None:
    """A ledger of the last version with wide rows."""
    connection = older_ledger(state_dir, LAST_WIDE)
    add_wide(connection, jobs)
    connection.close()


def expected(jobs: int) -> dict[State, int]:
    """How many of `add_wide` are in each state."""
    states = [STATES[number % len(STATES)] for number in range(1, jobs + 1)]
    return {state: states.count(state) for state in State}


def counted(ledger: LedgerReader) -> dict[State, int]:
    """The rows themselves."""
    rows = ledger._store.rows("SELECT state, count(*) AS jobs FROM job GROUP BY state")
    return dict.fromkeys(State, 0) | {State(row["state"]): row["jobs"] for row in rows}


def kept_refusals(ledger: LedgerReader) -> list[tuple[object, ...]]:
    """The numbers of refusals by folder and reason that triggers keep, in order."""
    rows = ledger._store.rows("SELECT * FROM refusals WHERE jobs > 0 ORDER BY folder, reason")
    return [tuple(row) for row in rows]


def counted_refusals(ledger: LedgerReader) -> list[tuple[object, ...]]:
    """The same, of the rows themselves."""
    return [tuple(row) for row in ledger._store.rows(f"{COUNTED['refusals']} ORDER BY 1, 2")]


def test_wide_rows_are_read_as_they_are(tmp_path: Path) -> None:
    """`status` looks at a ledger that no writer has opened since the update."""
    wide(tmp_path, JOBS)
    with LedgerReader.read_only(tmp_path) as reader:
        assert reader.counts() == expected(JOBS)
        waiting = {"pending", "running", "staged", "deferred"}
        assert reader.waiting(["in"]) == sum(expected(JOBS)[State(one)] for one in waiting)
    figures = read_figures(tmp_path).folders["in"]
    assert sum(figures.refusals.values()) == expected(JOBS)[State.QUARANTINED]


def test_wide_rows_become_slim_ones(tmp_path: Path) -> None:
    """Nothing that a row says is lost: products, digests, owners of names, numbers of jobs."""
    wide(tmp_path, JOBS)
    with open_ledger(tmp_path) as ledger:
        assert ledger.counts() == counted(ledger) == expected(JOBS)
        assert kept_refusals(ledger) == counted_refusals(ledger)
        for state in (State.STAGED, State.DONE):
            for job, product in ledger.unfinished(state):
                assert product.fingerprint == Fingerprint(job.id, 1, 1)
                assert product.temp == (b"t" if state is State.STAGED else b"")
                assert product.model_digest == "m" * 64
                assert product.options_digest == f"{job.id % 3:064x}"
        found = (b"D/2.png", Fingerprint(2, 20, 99))
        ((_, (candidates,)),) = ledger.candidates("in", [found])
        assert candidates.digest == f"{2:064x}"
        (claim,) = ledger.claims("in", b"d/2.PNG")
        assert claim.output == b"D/2.png"
        ledger.add("in", [(b"new.png", ONE)], 6.0)
        (new,) = [one.job.id for one in ledger.listed(State.PENDING) if one.since_s == 6.0]
        assert new == JOBS + 2
        assert ledger.retry_outdated("in", model="m" * 64, options=f"{0:064x}") > 0
        assert ledger.retry_outdated("in", model="m" * 64, options=f"{0:064x}") == 0
    assert (tmp_path / f"ledger.db.schema-{LAST_WIDE}").exists()


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_an_upgrade_that_is_killed_is_made_again(tmp_path: Path, part: float) -> None:
    """Killed at any moment, the next start has every row, in the old form or in the new one."""
    wide(tmp_path / "whole", 40_000)
    wide(tmp_path / "killed", 40_000)
    began_s = time.monotonic()
    subprocess.run(starting(tmp_path / "whole"), check=True)
    takes_s = time.monotonic() - began_s
    with subprocess.Popen(starting(tmp_path / "killed")) as process:
        time.sleep(part * takes_s)  # the moment is what is tested
        process.send_signal(signal.SIGKILL)
    with open_ledger(tmp_path / "killed") as ledger:
        assert not ledger.rebuilt
        assert ledger.counts() == counted(ledger) == expected(40_000)


def starting(state_dir: Path) -> list[str]:
    """The command of a start."""
    program = "import sys, pathlib; from sharpend.ledger.opening import open_ledger;"
    return [
        sys.executable,
        "-c",
        f"{program} open_ledger(pathlib.Path(sys.argv[1]))",
        str(state_dir),
    ]


class Checks:
    """How often a whole file was read to check it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._real = require_sound
        monkeypatch.setattr(opening, "require_sound", self._counted)

    def _counted(self, *given: object) -> None:
        self.count += 1
        self._real(*given)  # type: ignore[arg-type]


def filled(state_dir: Path) -> Ledger:
    """An open ledger with some jobs."""
    ledger = open_ledger(state_dir)
    ledger.folder("in", b"/in", b"/out")
    ledger.add("in", [(b"%d.png" % number, ONE) for number in range(3000)], 5.0)
    return ledger


def test_a_ledger_closed_in_order_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start trusts it, also when somebody has read it meanwhile."""
    filled(tmp_path).close()
    checks = Checks(monkeypatch)
    for _ in range(2):
        with LedgerReader.read_only(tmp_path) as reader:
            assert reader.counts()[State.PENDING] == 3000
        with open_ledger(tmp_path) as ledger:
            assert ledger.counts()[State.PENDING] == 3000
    assert checks.count == 0


@pytest.mark.parametrize("how", ["killed", "touched", "copied", "written beside", "failed"])
def test_any_other_ledger_is_read_whole_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A stop that was not in order, or a file that changed since: wrong numbers are mended."""
    ledger = filled(tmp_path)
    with ledger._store.transaction() as cursor:
        cursor.execute("UPDATE tally SET jobs = 7")
        cursor.execute("INSERT INTO refusals VALUES (1, 'empty', 7)")
    file = tmp_path / "ledger.db"
    if how == "failed":
        ledger._store.distrust()
    if how == "killed":
        ledger._store.close()
        monkeypatch.setattr(ledger._store, "close_in_order", lambda: None)
    ledger.close()
    if how == "touched":
        file.touch()
    if how == "copied":
        (tmp_path / "copy").write_bytes(file.read_bytes())
        (tmp_path / "copy").rename(file)
    if how == "written beside":
        with open_beside(tmp_path) as beside:
            beside.pause("in", 1.0)
    checks = Checks(monkeypatch)
    with open_ledger(tmp_path) as again:
        assert checks.count == 1
        assert again.counts() == counted(again)
        assert kept_refusals(again) == counted_refusals(again) == []


def test_metrics_read_no_rows(tmp_path: Path) -> None:
    """Figures that are asked for every few seconds cost the same however many jobs there are."""
    with filled(tmp_path) as ledger:
        asked: list[str] = []
        ledger._store._connection.set_trace_callback(asked.append)
        _figures(ledger._store)
        ledger._store._connection.set_trace_callback(None)
        plans = [ledger._store.rows(f"EXPLAIN QUERY PLAN {query}") for query in asked]
        reads = [step["detail"] for plan in plans for step in plan if " job" in step["detail"]]
    assert reads == ["SEARCH job USING COVERING INDEX job_by_age (folder=? AND state=?)"]


def test_noise_in_a_ledger_that_was_closed_in_order_is_found(tmp_path: Path) -> None:
    """It is moved aside and begun anew, as after any damage."""
    filled(tmp_path).close()
    with (tmp_path / "ledger.db").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(bytes(range(256)) * 64)
    with open_ledger(tmp_path) as ledger:
        assert ledger.rebuilt


def test_a_seal_is_used_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is killed leaves none behind."""
    filled(tmp_path).close()
    ledger = open_ledger(tmp_path)
    assert list(tmp_path.glob("*.closed")) == []
    ledger._store.close()
    monkeypatch.setattr(ledger._store, "close_in_order", lambda: None)
    ledger.close()
    checks = Checks(monkeypatch)
    open_ledger(tmp_path).close()
    assert checks.count == 1
