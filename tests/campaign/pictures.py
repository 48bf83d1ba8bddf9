"""Images that are cut off, too large, or something else than their names say."""

from __future__ import annotations

import os
import stat
import time
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.campaign.rig import LOOK_EVERY_S, Finding, Rig, Scenario, files
from tests.conftest import photograph
from tests.daemons import Daemon, running

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("jpg", "png", "webp", "tiff")
SHARES = (0.01, 0.1, 0.5, 0.99)
CUT_OFF = {"truncated", "damaged", "not_an_image", "empty"}
FOREIGN = {
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "pdf.jpg": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "svg.webp": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "html.jpg": b"<!DOCTYPE html><title>404</title>",
    "empty.png": b"",
    "zip.tiff": b"PK\x03\x04" + bytes(200),
}
PROGRAMS = ("gs", "convert", "magick", "inkscape", "rsvg-convert")
MOST_MB = 6000
"""Of a worker with an image of 100 megapixels."""


def truncated(rig: Rig, rounds: int, finding: Finding) -> None:
    """20: images of four kinds, cut off at 1, 10, 50 and 99 %."""
    whole = {kind: encoded(kind) for kind in KINDS}
    count = 0
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        for number in range(rounds):
            for kind, content in whole.items():
                for share in SHARES:
                    kept = int(len(content) * share) - number
                    rig.drop(f"{number}-{share}.{kind}", content[: max(1, kept)])
                    count += 1
        rig.wait_until_idle(daemon, count)
        reasons = {event["error_code"] for event in daemon.events("image.quarantined")}
        finding.expect(not daemon.events("worker.died"), "a worker died")
    finding.expect(not files(rig.outbox), f"{len(files(rig.outbox))} outputs of broken images")
    finding.expect(rig.counts()["quarantined"] == count, f"{rig.counts()} of {count}")
    finding.expect(reasons <= CUT_OFF, f"{reasons - CUT_OFF}")
    finding.rounds = count
    finding.figures = f"reasons: {', '.join(sorted(reasons))}"


def encoded(kind: str) -> bytes:
    """A photograph of one kind."""
    buffer = BytesIO()
    names = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
    Image.fromarray(photograph(120, 160)).save(buffer, names[kind])
    return buffer.getvalue()


def huge(rig: Rig, rounds: int, finding: Finding) -> None:
    """23: a legal image of so many megapixels, and the same above the limit."""
    buffer = BytesIO()
    large = np.tile(photograph(100, 1000), (rounds, 10, 1))
    Image.fromarray(large).save(buffer, "JPEG", quality=90)
    with running("--config", rig.config) as daemon:
        daemon.wait_for("daemon.ready")
        rig.drop("huge.jpg", buffer.getvalue())
        began_s = time.monotonic()
        most_mb = watched_mb(daemon, rig)
        finding.recovery_s.append(time.monotonic() - began_s)
        daemon.wait_for("image.finished", path="huge.jpg")
    finding.expect(most_mb < MOST_MB, f"a worker held {most_mb:.0f} MB")
    rig.configure(limits={"max_megapixels": rounds - 1})
    with running("--config", rig.config) as daemon:
        rig.drop("refused.jpg", buffer.getvalue())
        refused = daemon.wait_for("image.quarantined", path="refused.jpg")
        finding.expect(refused["error_code"] == "too_many_pixels", refused["error_code"])
        finding.expect(refused["setting"] == "limits.max_megapixels", str(refused["setting"]))
    rig.check_outputs(finding, {"huge.jpg"})
    finding.rounds = rounds
    finding.figures = f"{rounds} megapixels, worker {most_mb:.0f} MB"


def watched_mb(daemon: Daemon, rig: Rig) -> float:
    """The most that a worker held until the only image was finished."""
    most_mb = 0.0
    while not rig.counts()["disposed"]:
        held = [worker.memory_info().rss / 1e6 for worker in daemon.workers()]
        most_mb = max([most_mb, *held])
        time.sleep(LOOK_EVERY_S)
    return most_mb


def foreign(rig: Rig, rounds: int, finding: Finding) -> None:
    """24: documents and pages under an image's name; no other program is ever started."""
    tools = rig.base / "tools"
    tools.mkdir()
    for program in PROGRAMS:
        told = tools / program
        told.write_text(f"#!/bin/sh\ntouch {tools}/started\n")
        told.chmod(told.stat().st_mode | stat.S_IXUSR)
    path = f"{tools}:{os.environ['PATH']}"
    with running("--config", rig.config, PATH=path) as daemon:
        daemon.wait_for("daemon.ready")
        (rig.inbox / "folder.png").mkdir()
        for number in range(rounds):
            for name, content in FOREIGN.items():
                drop_even_empty(rig.inbox / f"{number}-{name}", content)
        rig.wait_until_idle(daemon, len(FOREIGN) * rounds)
        finding.expect(not daemon.events("worker.died"), "a worker died")
    finding.expect(rig.counts()["quarantined"] == len(FOREIGN) * rounds, f"{rig.counts()}")
    finding.expect(not (tools / "started").exists(), "another program was started")
    rig.check_outputs(finding, set())
    finding.rounds = len(FOREIGN) * rounds


def drop_even_empty(path: Path, content: bytes) -> None:
    """Under its final name in one step."""
    hidden = path.with_name(".new.tmp")
    hidden.write_bytes(content)
    hidden.rename(path)


SCENARIOS = (
    Scenario(
        "20",
        "JPEG, PNG, WebP, TIFF cut off at 1, 10, 50, 99 %",
        "quarantined with the reason, never an output",
        truncated,
        25,
        1,
        in_ci=False,
    ),
    Scenario(
        "23",
        "an image of 100 megapixels, and one over the limit",
        f"done in tiles, worker < {MOST_MB / 1000:g} GB; refused with the setting",
        huge,
        100,
        4,
        in_ci=False,
    ),
    Scenario(
        "24",
        "EPS, PDF, SVG, HTML, nothing, under an image's name",
        "refused, no other program started",
        foreign,
        20,
        1,
        in_ci=False,
    ),
)
