"""Progress of long work: a bar or JSON lines, a record on disk, curves.

Shows a progress bar on a terminal, else JSON lines, which for a training are those of its record;
writes curves where TensorBoard is installed.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trainer.training.record import RECORD, append_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

CURVES = "curves"
_BAR_STEPS = 1000
"""Length of the bar: a budget in minutes has no number of steps."""


def with_progress(items: Iterable[T], *, what: str, total: int) -> Iterator[T]:
    """Iterate with a bar on a terminal, else with a JSON line on stderr for each tenth.

    Args:
        items: at most `total`.
        what: noun for the items, plural; key of the JSON line.
        total: their number.
    """
    bar = _bar(what, total) if sys.stderr.isatty() else None
    for number, item in enumerate(items, start=1):
        yield item
        if bar:
            bar.update()
        elif number * 10 // total > (number - 1) * 10 // total:
            print(json.dumps({what: number, "of": total}), file=sys.stderr, flush=True)
    if bar:
        bar.close()


def print_values(values: Mapping[str, str]) -> None:
    """Print a JSON line on stderr."""
    print(json.dumps(values), file=sys.stderr, flush=True)


class Progress:
    """Progress of a training: a context manager."""

    def __init__(self, folder: Path, name: str, *, since: int, is_leader: bool) -> None:
        """`since`: step to resume from; `is_leader`: shows progress, the others are silent."""
        self._record = folder / RECORD
        self._curves = _summary_writer(folder / CURVES, since) if is_leader else None
        self._bar = _bar(name, _BAR_STEPS) if is_leader and sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.close()
        if self._curves:
            self._curves.close()

    def stepped(self, share: float) -> None:
        """Move the bar to a share of the budget, 0..1."""
        if self._bar:
            self._bar.update(int(share * _BAR_STEPS) - self._bar.n)

    def validated(self, step: int, values: dict[str, float]) -> None:
        """Record the scores of a step."""
        line = json.dumps({"step": step, **{key: round(value, 6) for key, value in values.items()}})
        append_line(self._record, line)
        if self._bar:
            self._bar.set_postfix(step=step, psnr=f"{values['psnr']:.3f}")
        else:
            print(line, flush=True)
        if self._curves:
            for key, value in values.items():
                self._curves.add_scalar(key, value, step)


def _summary_writer(folder: Path, since: int) -> Any:  # noqa: ANN401 - TensorBoard has no types
    """Writer of TensorBoard, which drops later steps than `since`; None without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=since + 1 if since else None)


def _bar(name: str, total: int) -> Any:  # noqa: ANN401 - tqdm has no types
    """A progress bar, or None on a machine without tqdm."""
    try:
        from tqdm import tqdm  # noqa: PLC0415 - a bare training machine may lack it
    except ImportError:
        return None
    return tqdm(
        total=total,
        desc=name,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )
