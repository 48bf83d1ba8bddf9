"""`trainer mos`: prepare a study for people's opinion, serve its page, report its votes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UnavailableError, UsageError
from sharpend.files.atomic import write_atomically
from trainer.commands.options import add_placement, count, count_or_none, placement
from trainer.evaluation.lineup import RequestedModels, open_lineup
from trainer.evaluation.matrix.cells import CELLS
from trainer.evaluation.mos.protocol import minutes
from trainer.evaluation.mos.raters import MOST_RATERS, Raters
from trainer.evaluation.mos.ratings import ratings_of
from trainer.evaluation.mos.stimuli import ANCHORS, Plan, check_images, prepare
from trainer.evaluation.mos.study import VOTES, check_crops, read_study, write_study
from trainer.evaluation.mos.tables import as_markdown
from trainer.evaluation.mos.votes import VoteLog, check_study, read_votes
from trainer.evaluation.sets import open_set
from trainer.figures.canvas import write_png
from trainer.figures.opinions import draw_scores
from trainer.training.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.evaluation.lineup import Lineup

    Adding = Callable[..., argparse.ArgumentParser]

CROP_PX = 384
KIND = "g1.5"
LISTEN = "127.0.0.1:8321"
_MOST_TITLE, _MOST_CONTACT = 100, 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each step of a study."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    _add_prepare(_step(steps.add_parser, "prepare", "Make the crops and the trials of a study."))
    served = _step(steps.add_parser, "serve", "Serve the rating page of a study, and store votes.")
    listen = f"127.0.0.1:PORT or unix:PATH (default {LISTEN})"
    served.add_argument("--listen", default=LISTEN, metavar="WHERE", help=listen)
    host = "a further name under which browsers reach the page, behind a web server; repeatable"
    served.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=host)
    most = "raters that are admitted (default %(default)s)"
    served.add_argument("--raters", type=count, default=MOST_RATERS, metavar="N", help=most)
    reported = _step(steps.add_parser, "report", "Screen the raters, and compute the scores.")
    without = "code of a rater who has asked to withdraw; repeatable"
    reported.add_argument("--without", action="append", default=[], metavar="CODE", help=without)
    to = "folder for mos.json, mos.md and mos.png (default STUDY/report)"
    reported.add_argument("--to", type=Path, metavar="DIR", help=to)


def _step(add: Adding, name: str, text: str) -> argparse.ArgumentParser:
    parser = add(name, help=text, description=text)
    parser.add_argument("study", type=Path, metavar="STUDY", help="folder of the study")
    return parser


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    a_set = "folder of sharp originals, or a split (its validation side); repeatable"
    add("--set", action="append", required=True, metavar="[NAME=]PLACE", help=a_set)
    a_model = "shipped name, weights file or run folder; repeatable"
    add("--model", action="append", required=True, metavar="[ROW=]MODEL", help=a_model)
    kind = f"kind of softness: {', '.join(CELLS)} (default {KIND}); repeatable"
    add("--kind", action="append", choices=list(CELLS), metavar="KIND", help=kind)
    add("--limit", type=count, metavar="N", help="take N images, evenly spread, one for training")
    add("--crop", type=count, default=CROP_PX, metavar="PX", help="side (default %(default)s)")
    seed = "of names and orders (default %(default)s)"
    add("--seed", type=count_or_none, default=0, metavar="N", help=seed)
    add(
        "--title",
        type=partial(_text, most=_MOST_TITLE),
        default="Quality of photographs",
        help="shown to raters (default %(default)s)",
    )
    add(
        "--contact",
        type=partial(_text, most=_MOST_CONTACT),
        required=True,
        metavar="TEXT",
        help="shown to raters: who runs the study, and how to reach them",
    )
    add_placement(parser)


def _text(given: str, *, most: int) -> str:
    if not given.strip() or len(given) > most or not given.isprintable():
        raise argparse.ArgumentTypeError(f"give 1 to {most} printable characters")
    return given


def mos(options: argparse.Namespace) -> None:
    """Run the step that was chosen.

    Raises:
        UsageError: options that do not go together, or a study that was changed.
        InputMissingError, ImageRefusedError: images, a study or votes are missing or unreadable.
        UnavailableError: a model, an address or a package cannot be used.
        StateLockedError: another server works on the study.
        OSError: the study cannot be written.
    """
    {"prepare": _prepare, "serve": _serve, "report": _report}[options.step](options)


def _prepare(options: argparse.Namespace) -> None:
    folder: Path = options.study
    if folder.exists() and os.listdir(folder):
        raise UsageError(f"{folder}: is not empty; name a new folder for the study")
    plan = Plan(
        options.title,
        options.contact,
        _images(options),
        list(dict.fromkeys(options.kind or [KIND])),
        options.crop,
        options.seed,
    )
    check_images(plan.images)
    lineup = _lineup(options)
    study = prepare(
        plan,
        {row: model.sharpen_degraded for row, model in lineup.models.items()},
        {row: {"role": "model", **facts} for row, facts in lineup.identities.items()},
        folder,
        over=partial(with_progress, what="images", total=len(plan.images)),
    )
    write_study(study, folder)
    print(
        f"{folder}: {len(study.stimuli)} crops; a rater has {len(study.acr)} single images and "
        f"{len(study.ccr)} pairs after {len(study.training)} for training, about "
        f"{minutes(study.trials + len(study.training))} minutes"
    )


def _images(options: argparse.Namespace) -> Sequence[Path]:
    images = [member.original for place in options.set for member in open_set(place).members]
    if options.limit is None or options.limit >= len(images):
        return images
    return [images[at * len(images) // options.limit] for at in range(options.limit)]


def _lineup(options: argparse.Namespace) -> Lineup:
    lineup = open_lineup(RequestedModels(options.model), placement(options), reserved=ANCHORS)
    for row, model in lineup.models.items():
        if model.card is None:
            raise UsageError(f"{row}: a study shows only models that the daemon can run")
    return lineup


def _serve(options: argparse.Namespace) -> None:
    try:
        from sharpend.web.serve import serve  # noqa: PLC0415 - an extra
        from trainer.evaluation.mos.app import LOCAL_HOSTS, local, rating_page  # noqa: PLC0415
    except ImportError as error:
        text = f"the rating page needs {error.name}: pip install 'sharpend[web]'"
        raise UnavailableError(text) from error
    where, study = local(options.listen), read_study(options.study)
    check_crops(study, options.study)
    with VoteLog(options.study / VOTES) as log:
        check_study(log.records, study.digest, options.study)
        if log.torn_bytes:
            print(f"{options.study / VOTES}: an unfinished record was cut off", file=sys.stderr)
        hosts = [*LOCAL_HOSTS, *options.allow_host]
        raters = Raters(study, log, most=options.raters)
        app = rating_page(options.study, raters, hosts=hosts)
        serve(lambda _: app, lambda url: print(f"rating page: {url}", flush=True), where)


def _report(options: argparse.Namespace) -> None:
    try:
        from trainer.evaluation.mos.results import results_of  # noqa: PLC0415 - an extra
    except ImportError as error:
        text = f"the report needs {error.name}: pip install 'sharpend[train]'"
        raise UnavailableError(text) from error

    study = read_study(options.study)
    records = read_votes(options.study / VOTES)
    check_study(records, study.digest, options.study)
    ratings = ratings_of(study, records, without=options.without)
    if not ratings.votes:
        raise InputMissingError(f"{options.study}: nobody has voted yet, so there is no score")
    results = results_of(study, ratings)
    text = as_markdown(results)
    folder = options.to or options.study / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "mos.json", json.dumps(results, indent=1, allow_nan=False).encode())
    write_atomically(folder / "mos.md", text.encode("utf-8", "backslashreplace"))
    if results["conditions"]:
        write_png(draw_scores(results), folder / "mos.png")
    sys.stdout.write(text)
