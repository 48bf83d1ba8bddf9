"""What a training tells while it runs: a bar or JSON lines, a record on disk, curves.

Owns record.jsonl, one line for each validation, and the choice of the other two: a progress bar
on a terminal, else the record's lines; TensorBoard's curves where TensorBoard is installed.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Self

from trainer.record import RECORD

if TYPE_CHECKING:
    from pathlib import Path

CURVES = "curves"
_BAR_STEPS = 1000
"""The bar's length; a budget in minutes has no number of steps."""


class Progress:
    """A context manager around one part of a training."""

    def __init__(self, folder: Path, name: str, *, speaks: bool) -> None:
        """`speaks`: one of a team tells, the others are silent."""
        self._record = folder / RECORD
        self._curves = _summary_writer(folder / CURVES) if speaks else None
        self._bar = _bar(name) if speaks and sys.stderr.isatty() else None

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
        with self._record.open("a") as file:
            file.write(line + "\n")
        if self._bar:
            self._bar.set_postfix(step=step, psnr=f"{values['psnr']:.3f}")
        else:
            print(line, flush=True)
        if self._curves:
            for key, value in values.items():
                self._curves.add_scalar(key, value, step)


def _summary_writer(folder: Path) -> Any:  # noqa: ANN401 - TensorBoard has no types
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return SummaryWriter(str(folder))


def _bar(name: str) -> Any:  # noqa: ANN401 - tqdm has no types
    """A progress bar, or None on a machine without tqdm."""
    try:
        from tqdm import tqdm  # noqa: PLC0415 - a bare training machine may lack it
    except ImportError:
        return None
    return tqdm(
        total=_BAR_STEPS,
        desc=name,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )
