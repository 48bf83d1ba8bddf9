"""The model card for people: Markdown with the front matter that model hubs read.

Owns its text. Contains only the card of the weights file, the digest of the file and the curve.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trainer.degradations.registry import DEGRADATIONS
from trainer.publishing.matrix_section import MATRIX, matrix_section
from trainer.training.teacher import count_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sharpend.model.weights import Card, Weights
    from trainer.training.record import Record

CURVE_ROWS = 10
KINDS_TITLE = "Kinds of softness"
"""Title of the section of models with a measured matrix."""
_WHAT = """\
A {kind} model of `sharpend` with {parameters:,} parameters ({channels} channels, {blocks}
residual blocks): `pixel_unshuffle(4)`, 3x3 convolutions with ReLU and skips, `pixel_shuffle(4)`,
plus the input. It takes an sRGB image in [0, 1] of any size and gives back the same image,
sharper. Its receptive field reaches {halo_px} pixels; tiles with that halo equal one pass."""

_BIAS_FREE = """ It has no
biases and sees each colour less its mean over the surrounding 12 x 12 pixels, so what is flat stays
flat, and a brighter image gets the same detail."""

_CUED = """ Cues
say how soft the whole image is, logarithms of the energies of luma bands and the falls of its power
spectrum, by direction, too: they scale its features (FiLM, arXiv:1709.07871) and set the gains of
an adaptive unsharp mask beside it. In inference the finest band of this mask has a least gain where
a photograph is slightly soft and has little noise (`sharpend.model.leastgain`)."""

_SPECIALIST = """ Images that
are exactly a bicubic enlargement by four go to `{specialist}` (`{digest}`)."""


_REPRODUCE = """\
Write the recipe above as a TOML file (the shipped ones are in `trainer/recipes`), and with the
images of the training data:

    trainer prepare IMAGES
    trainer label --teacher MODEL --labels labels/MODEL     # the one named under trained_on.labels
    trainer {command} RECIPE

{repeats}"""

_STEPS = "The same seed and threads give the same weights on the same CPU, bit for bit."
_MINUTES = """\
The budget is in minutes, and the rate follows the clock: the same recipe gives other weights of
about the same quality, better ones on a faster machine."""


def model_card(weights: Weights, datasets: Sequence[str], sha256: str, record: Record) -> str:
    """Write the card.

    Args:
        weights: as read back from the file.
        datasets: short names for the front matter.
        sha256: of the weights file, hexadecimal.
        record: of the run.
    """
    card = weights.card
    described = {
        "kind": card.kind,
        "parameters": count_parameters(weights.network),
        "channels": card.channels,
        "blocks": card.blocks,
        "halo_px": card.halo_px,
        "softened_by": card.softened_by,
        "degradation": card.degradation,
    }
    degradation = DEGRADATIONS[card.degradation]
    scores = dict(card.scores)
    matrix = scores.pop(MATRIX, None)
    sections = {
        "Intended use": degradation.use.format(**described),
        "Limits": degradation.limits,
        **({KINDS_TITLE: matrix_section(matrix)} if isinstance(matrix, dict) else {}),
        "Training data": f"{card.data.strip()}\n\nLicence of these weights: {card.license}",
        "Recipe": _recipe(card),
        "Reproduce": _reproduce(card),
        "Scores": _scores(scores),
        "Curve": _curve(record),
        "Identity": _identity(weights, sha256),
    }
    parts = [_front_matter(card, datasets), f"# {card.name}", _what(card, described)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def _what(card: Card, described: Mapping[str, object]) -> str:
    parts = [_WHAT.format(**described), _BIAS_FREE if card.bias_free else ""]
    if card.cued:
        parts.append(_CUED)
    if card.specialist:
        parts.append(_SPECIALIST.format(specialist=card.specialist, digest=card.specialist_digest))
    return "".join(parts)


def _reproduce(card: Card) -> str:
    schedule = card.recipe.get("schedule")
    in_steps = isinstance(schedule, dict) and schedule.get("steps")
    return _REPRODUCE.format(
        command="distill" if card.teacher else "teacher", repeats=_STEPS if in_steps else _MINUTES
    )


def _front_matter(card: Card, datasets: Sequence[str]) -> str:
    # JSON strings are YAML strings, for any name.
    lines = [
        "---",
        f"license: {json.dumps(card.license)}",
        "library_name: sharpend",
        "pipeline_tag: image-to-image",
        *(["datasets:", *(f"- {json.dumps(name)}" for name in datasets)] if datasets else []),
        "metrics:\n- ssim\n- psnr",
        "---",
    ]
    return "\n".join(lines)


def _recipe(card: Card) -> str:
    rows = [f"| {key} | {value} |" for key, value in _flat(card.recipe)]
    taught = f"Teacher: {card.teacher} (`{card.teacher_digest}`)\n\n" if card.teacher else ""
    return taught + "\n".join(["| setting | value |", "|---|---|", *rows])


def _scores(scores: Mapping[str, object]) -> str:
    rows = [f"| {what} | {value} |" for what, value in _flat(scores)]
    text = (
        "PSNR in dB and SSIM (11 x 11 Gaussian window, sigma 1.5, valid positions, mean of R, G, B,"
        " data range 1) against the sharp original, those with `_y` on BT.601 luma without a border"
        " of four pixels. `agreement` is SSIM to the teacher's output. In brackets the 95 %"
        " bootstrap interval over the images of a set."
    )
    return "\n".join([text, "", "| what | value |", "|---|---|", *rows])


def _curve(record: Record) -> str:
    """About ten validations of the run, the last among them."""
    stride = max(1, len(record.rows) // CURVE_ROWS)
    rows = record.rows[::-1][::stride][::-1]
    keys = [key for key in ("step", "minutes", "psnr", "ssim", "agreement") if key in rows[-1]]
    lines = [f"| {' | '.join(_number(row[key]) for key in keys)} |" for row in rows]
    text = "Validation scores during the run: they show what more steps would bring."
    return "\n".join([text, "", f"| {' | '.join(keys)} |", "|---" * len(keys) + "|", *lines])


def _flat(values: Mapping[str, object], at: str = "") -> list[tuple[str, str]]:
    """Flatten nested tables to (dotted name, value) without None."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value.keys() >= {"mean", "low", "high"}:
            rows.append((at + key, _interval(value)))
        elif isinstance(value, dict):
            rows += _flat(value, f"{at}{key}.")
        elif value is not None and value != "":
            rows.append((at + key, _number(value)))
    return rows


def _interval(value: Mapping[str, object]) -> str:
    return f"{_number(value['mean'])} ({_number(value['low'])} to {_number(value['high'])})"


def _number(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _identity(weights: Weights, sha256: str) -> str:
    lines = [
        f"- SHA-256 of the file: `{sha256}`",
        f"- SHA-256 of the tensors, by which students name their teacher: `{weights.digest}`",
        f"- commit of the trainer: `{weights.card.commit}`",
    ]
    return "\n".join([*lines, *_alarm(weights.card)])


def _alarm(card: Card) -> list[str]:
    """The threshold of the alarm; that of SSIM only where there is no other."""
    if card.residual_above is not None:
        return [
            f"- the daemon alarms above a residual ratio of {card.residual_above} to the teacher, "
            f"over crops to which the teacher adds at least {card.measurable_from:g} times the "
            "finest detail that is there"
        ]
    if card.alarm_below is not None:
        return [f"- the daemon alarms below an agreement of {card.alarm_below}"]
    return []
