"""The command line of the trainer: arguments, help and exit codes.

Owns the words; what a command does is in `commands`, which is imported only once the arguments
make sense, because it brings torch.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sharpend.errors import ExitCode, SharpendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Leaves with sysexits' code for a bad command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has written what there is to say
        return int(leaving.code or 0)
    try:
        from trainer import commands  # noqa: PLC0415 - brings torch: not for --help

        getattr(commands, options.command)(options)
    except SharpendError as error:
        return _told(str(error), error.exit_code)
    except OSError as error:
        return _told(str(error), ExitCode.OUTPUT_FAILED)
    except KeyboardInterrupt:
        return _told("interrupted; teach, distill and label continue when run again", INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last door: a bug is ours, and told as one
        traceback.print_exc()
        return ExitCode.BUG
    return ExitCode.OK


def _told(message: str, code: int) -> int:
    print(f"trainer: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="trainer", description="Make the weights that sharpend ships.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, fill: Callable[[argparse.ArgumentParser], None]) -> None:
        fill(commands.add_parser(name, help=text, description=text))

    add("prepare", "Check pictures and divide them into training and validation.", _prepare)
    add("degrade", "Soften sharp pictures as the report does, to try sharpend on them.", _degrade)
    add("teach", "Train a teacher against the sharp originals.", _teach)
    add("label", "Let a teacher sharpen every picture of a split, once.", _label)
    add("distill", "Train a student against a teacher's labels and the originals.", _distill)
    add("evaluate", "Measure SSIM, PSNR, agreement and speed on sharp pictures.", _evaluate)
    add("export", "Make a weights file and its model card from a run.", _export)
    return parser


def _prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures", nargs="+", type=Path, metavar="DIR", help="folders of sharp pictures"
    )
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="JSON to write")
    parser.add_argument(
        "--validation", type=_share, default=0.1, help="share that validates, 0..1 (default 0.1)"
    )
    parser.add_argument(
        "--smallest-px",
        type=_count,
        default=256,
        help="leave out pictures with a shorter side, pixels (default 256)",
    )


def _degrade(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, metavar="DIR", help="sharp pictures")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="softened ones, PNG, same names"
    )
    parser.add_argument(
        "--factor", type=_count, default=4, help="of the bicubic reduction (default 4)"
    )


def _teach(parser: argparse.ArgumentParser) -> None:
    _run_options(parser, kind="teacher")
    parser.add_argument(
        "--labels", type=Path, metavar="DIR", help="learn from these labels too (default none)"
    )


def _distill(parser: argparse.ArgumentParser) -> None:
    _run_options(parser, kind="student")
    parser.add_argument(
        "--labels", required=True, type=Path, metavar="DIR", help="what `trainer label` wrote"
    )


def _run_options(parser: argparse.ArgumentParser, *, kind: str) -> None:
    """The fields of Run; what is not given stays out of the namespace, so Run's defaults hold."""
    channels, blocks = {"teacher": (96, 6), "student": (32, 2)}[kind]
    parser.set_defaults(kind=kind)
    parser.add_argument(
        "--data", required=True, type=Path, metavar="FILE", help="split by `trainer prepare`"
    )
    parser.add_argument(
        "--run",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of checkpoints and record; a run in it is resumed",
    )
    parser.add_argument(
        "--channels", type=_count, default=channels, help=f"of the network (default {channels})"
    )
    parser.add_argument(
        "--blocks", type=_count, default=blocks, help=f"residual blocks (default {blocks})"
    )
    parser.add_argument("--steps", type=_count, default=9000, help="batches (default 9000)")
    for flag, kind_of, text in _RUN_FIELDS:
        parser.add_argument(flag, type=kind_of, default=argparse.SUPPRESS, help=text)
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        default=argparse.SUPPRESS,
        help="of the forward pass; the loss is float32 always (default float32)",
    )
    _machine(parser)


def _label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", required=True, type=Path, metavar="FILE", help="split by `trainer prepare`"
    )
    parser.add_argument(
        "--teacher", required=True, metavar="MODEL", help="shipped name, weights file or x4 model"
    )
    parser.add_argument(
        "--labels", required=True, type=Path, metavar="DIR", help="where PNG files go; resumed"
    )
    _placement(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pictures", nargs="+", type=Path, metavar="DIR", help="folders of sharp originals"
    )
    parser.add_argument("--student", metavar="MODEL", help="shipped name or weights file")
    parser.add_argument("--teacher", metavar="MODEL", help="the same, or a pretrained x4 model")
    parser.add_argument(
        "--outputs", type=Path, metavar="DIR", help="measure these pictures instead ..."
    )
    parser.add_argument(
        "--originals", type=Path, metavar="DIR", help="... against those of the same names"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write crops side by side (PNG)")
    parser.add_argument(
        "--sheet-rows", type=_count, default=4, help="pictures on the sheet (default 4)"
    )
    parser.add_argument(
        "--sheet-crop-px", type=_count, default=160, help="side of its crops, pixels (default 160)"
    )
    _placement(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--run", required=True, type=Path, metavar="DIR", help="folder of a run")
    add("--name", required=True, type=_name, help="of the network; names the files")
    add("--to", required=True, type=Path, metavar="DIR", help="folder for <name>.safetensors, .md")
    add("--data", required=True, type=Path, metavar="FILE", help="split that the run trained on")
    add("--data-note", required=True, type=Path, metavar="FILE", help="Markdown: sources, licences")
    add("--license", required=True, help="of the weights, for example CC-BY-SA-4.0")
    add("--dataset", action="append", default=[], metavar="NAME", help="for the card; repeatable")
    add("--teacher", metavar="MODEL", help="a student's teacher: shipped name or weights file")
    add(
        "--crop-px",
        type=_count,
        default=256,
        help="side of the crops for the alarm line, pixels: the daemon's agreement.crop_px "
        "(default 256)",
    )
    add("--scores", type=Path, metavar="FILE", help="what `trainer evaluate --json` wrote")
    _placement(parser)


def _placement(parser: argparse.ArgumentParser) -> None:
    _machine(parser)
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="of the networks (default auto: the faster one)",
    )


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--threads", type=_count, help="of torch on a CPU (default its own choice)")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _weight(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def _name(text: str) -> str:
    if not text or "/" in text or text.startswith((".", "-")):
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a file")
    return text


_RUN_FIELDS: tuple[tuple[str, Callable[[str], float], str], ...] = (
    ("--batch", _count, "crops a step (default 8)"),
    ("--crop-px", _count, "side of the square crops, pixels (default 128)"),
    ("--learning-rate", _weight, "Adam's peak rate (default 0.001)"),
    ("--warm-up", _seed, "steps up to that rate (default 200)"),
    ("--ema", _share, "decay of the averaged weights that are exported (default 0.999)"),
    ("--clip", _weight, "largest norm of the gradient (default 0.5)"),
    ("--validate-every", _count, "steps between checkpoints (default 250)"),
    ("--validation-px", _count, "side of the crops that validate, pixels (default 256)"),
    ("--seed", _seed, "of every random choice (default 0)"),
    ("--target-l1", _weight, "weight of |output - original| (default 1)"),
    ("--target-ssim", _weight, "weight of 1 - SSIM to the original (default 0)"),
    ("--teacher-mse", _weight, "weight of MSE to the label (default 10 with labels, else 0)"),
    ("--teacher-ssim", _weight, "weight of 1 - SSIM to the label (default 0.05 with, else 0)"),
)
"""Options that are fields of Run and LossWeights, with the defaults written there."""
