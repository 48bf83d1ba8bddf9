"""Values and options that several commands take, with the checks on them."""

from __future__ import annotations

import argparse
from pathlib import Path

from sharpend.model.device import Placement
from sharpend.model.trial import INT8, OPENVINO, TORCH


def count(text: str) -> int:
    """A whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be 1 or more")
    return value


def count_or_none(text: str) -> int:
    """A whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} must be 0 or more")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1, both included."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be from 0 to 1")
    return value


def share(text: str) -> float:
    """A number between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be between 0 and 1")
    return value


def file_name(text: str) -> str:
    """A file name without a folder, and not hidden."""
    if not text or "/" in text or text.startswith((".", "-")):
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a file")
    return text


def add_split(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the option for the split of training and validation images, described by `text`."""
    default = Path("split.json")
    parser.add_argument("--data", type=Path, default=default, metavar="FILE", help=text)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add the options for device and threads."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument(
        "--threads", type=count, help="threads of torch on a CPU (default chosen by torch)"
    )


def add_placement(parser: argparse.ArgumentParser) -> None:
    """Add the options for device, threads and precision of inference."""
    add_machine(parser)
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "int8"],
        default="auto",
        help="precision of sharpend's models (default auto: the faster one)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the option for several processes."""
    parser.add_argument(
        "--workers",
        type=count,
        default=1,
        help="processes that share the work, each on one thread (default %(default)s)",
    )


def placement(options: argparse.Namespace) -> Placement:
    """The placement that the options of `add_placement` describe."""
    runtime = OPENVINO if options.precision == INT8 else TORCH
    return Placement(
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        runtime=runtime,
    )
