"""`trainer alarm`: false alarms and detection delay of the daemon's agreement alarm."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.agreement.alarm import MEASURABLE_FROM, AlarmOptions
from sharpend.agreement.opinion import SecondOpinion
from sharpend.errors import UsageError
from sharpend.files.atomic import write_atomically
from sharpend.model import weights
from trainer.commands.options import add_placement, count, placement
from trainer.evaluation.agreement.samples import (
    KINDS,
    X4_KINDS,
    damaged,
    measure_samples,
    pieces,
    softenings,
    student_of,
)
from trainer.evaluation.agreement.streams import Streams, alarm_figures, as_json, as_markdown
from trainer.evaluation.sets import open_set
from trainer.training.dataset import read_image
from trainer.training.progress import with_progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sharpend.model.weights import Card
    from trainer.degradations.mixture import Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Write the command's options into its parser."""
    add = parser.add_argument
    add("student", metavar="MODEL", help="shipped name or weights file; its card names its teacher")
    add(
        "--set", action="append", required=True, metavar="PLACE", help="sharp originals; repeatable"
    )
    add(
        "--kind",
        action="append",
        default=[],
        metavar="KIND",
        help=f"kind of softness: {', '.join(KINDS)} (default {', '.join(X4_KINDS)}); repeatable",
    )
    add(
        "--wrong",
        action="append",
        default=[],
        metavar="MODEL",
        help="another model that may take its place; repeatable",
    )
    add("--to", type=Path, metavar="DIR", help="folder for alarm.json and alarm.md")
    _add_alarm(parser)
    _add_streams(parser)
    add_placement(parser)


def _add_alarm(parser: argparse.ArgumentParser) -> None:
    """Write the options of the alarm and of its samples."""
    add = parser.add_argument
    add(
        "--residual-above",
        type=float,
        metavar="R",
        help="residual ratio that raises the alarm (default the card's)",
    )
    add(
        "--measurable-from",
        type=float,
        metavar="M",
        help="detail that the teacher adds to a measurable crop, at least (default the card's)",
    )
    add(
        "--strength",
        type=float,
        default=1.0,
        help="strength of all models, above 0 to 1 (default 1)",
    )
    add("--crop-px", type=count, default=256, help="agreement.crop_px (default 256)")
    add("--window", type=count, default=50, help="agreement.window (default 50)")
    add(
        "--piece-px",
        type=count,
        default=512,
        help="images are cut into pieces with about this side (default 512)",
    )


def _add_streams(parser: argparse.ArgumentParser) -> None:
    """Write the options of the streams."""
    add = parser.add_argument
    drawn = Streams()
    add(
        "--samples",
        type=count,
        default=drawn.healthy,
        help="samples of each healthy stream (default %(default)s)",
    )
    add(
        "--streams",
        type=count,
        default=drawn.damaged,
        help="streams of each damage and kind (default %(default)s)",
    )


def alarm(options: argparse.Namespace) -> None:
    """Measure samples, draw streams from them, and write the figures.

    Raises:
        UsageError: a kind is unknown, or the strength out of its range.
        InputMissingError, UnavailableError, ImageRefusedError: a set or a model cannot be read.
    """
    if not 0 < options.strength <= 1:
        raise UsageError("--strength: must be above 0 and at most 1")
    student, where = weights.load(options.student), placement(options)
    wrong = [weights.load(model) for model in options.wrong]
    measured = measure_samples(
        student_of(student, where, options.strength),
        SecondOpinion(student.card, where),
        _originals(options),
        softenings(options.kind or X4_KINDS),
        crop_px=options.crop_px,
        others=damaged(student, where, wrong=wrong, strength=options.strength),
        strength=options.strength,
    )
    thresholds = _thresholds(student.card, options)
    streams = Streams(healthy=options.samples, damaged=options.streams)
    judged = alarm_figures(measured, thresholds, streams)
    values = {
        "student": student.card.name,
        "digest": student.digest,
        "teacher": student.card.teacher,
        "sets": options.set,
        "strength": options.strength,
        "alarm": asdict(thresholds),
        "streams": asdict(streams),
        "figures": as_json(judged),
    }
    _write(options.to, values, f"{_preamble(values, thresholds)}\n\n{as_markdown(judged)}\n")


def _originals(options: argparse.Namespace) -> Iterator[Pixels]:
    paths = [member.original for place in options.set for member in open_set(place).members]
    for path in with_progress(paths, what="images", total=len(paths)):
        yield from pieces(read_image(path), options.piece_px)


def _thresholds(card: Card, options: argparse.Namespace) -> AlarmOptions:
    """The options of the alarm as in the daemon, except for the thresholds given."""
    above, least = options.residual_above, options.measurable_from
    least = card.measurable_from if least is None else least
    return AlarmOptions(
        window=options.window,
        below=card.alarm_below,
        residual_above=card.residual_above if above is None else above,
        measurable_from=MEASURABLE_FROM if least is None else least,
    )


def _preamble(values: dict[str, object], thresholds: AlarmOptions) -> str:
    return (
        f"# The agreement alarm of {values['student']}\n\n"
        f"Teacher {values['teacher']}, sets {values['sets']}, strength {values['strength']:g}; "
        f"measurable from {thresholds.measurable_from:g}, "
        f"residual ratio above {thresholds.residual_above}, window {thresholds.window}. "
        "Streams are drawn with replacement, seed in alarm.json."
    )


def _write(folder: Path | None, values: dict[str, object], text: str) -> None:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("alarm.json", json.dumps(values, indent=1)), ("alarm.md", text)):
            write_atomically(folder / name, content.encode())
    sys.stdout.write(text)
