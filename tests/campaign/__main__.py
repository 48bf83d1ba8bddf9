"""The fault campaign: each fault for real against a real daemon, many times, and what came of it.

    python -m tests.campaign [--few] [--again] [--only 1,2,16] [--figures FILE] [--table]

Prints one line a scenario: its number in the list of faults, rounds, violations of the promise or
of its target, worst recovery. Finished scenarios are remembered in the figures' file, so that a
campaign that was stopped goes on where it was. `--few` is the reduced form that the slow tests
run, `--table` prints the figures as a table in Markdown and runs nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from sharpend.errors import SIGNALLED
from tests.campaign import record
from tests.campaign.rig import tried
from tests.campaign.scenarios import SCENARIOS


def main() -> int:
    """Run what is not yet done; the exit status is 1 where the promise was broken."""
    options = parsed()
    if options.table:
        print(record.table(record.load(options.figures)))  # noqa: T201
        return 0
    known = {} if options.again else record.load(options.figures, few=options.few)
    try:
        go_on(options, known)
    except KeyboardInterrupt:
        print("stopped; given again, it goes on with this one")  # noqa: T201
        return SIGNALLED + signal.SIGINT
    return int(any(one.violations for one in known.values()))


def go_on(options: argparse.Namespace, known: dict[str, record.Entry]) -> None:
    """Run what is wanted and not known, and report all that is wanted."""
    wanted = set(filter(None, options.only.split(",")))
    for scenario in SCENARIOS:
        if wanted and scenario.number not in wanted:
            continue
        if scenario.number not in known:
            began_s = time.monotonic()
            finding = tried(scenario, scenario.few if options.few else scenario.rounds)
            took_s = round(time.monotonic() - began_s, 1)
            known[scenario.number] = record.entry(scenario, finding, took_s)
            in_order = {s.number: known[s.number] for s in SCENARIOS if s.number in known}
            record.save(options.figures, in_order, few=options.few)
        print(known[scenario.number].line, flush=True)  # noqa: T201


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--few", action="store_true", help="a few rounds of each")
    parser.add_argument("--again", action="store_true", help="forget what is done")
    parser.add_argument("--only", default="", help="numbers, with commas between")
    parser.add_argument("--figures", type=Path, default=Path("faults.json"))
    parser.add_argument("--table", action="store_true", help="print the figures as a table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
