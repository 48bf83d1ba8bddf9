"""The matrix as Markdown tables, made from the values of the JSON.

Owns titles, order and digits. Cells are columns, methods are rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.evaluation.matrix.cells import CELLS, SHARP
from trainer.evaluation.matrix.comparison import BEST_MASK, NOOP
from trainer.evaluation.matrix.roc import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Table = Mapping[str, Any]

_GAINING = [cell for cell in CELLS if cell != SHARP]
_NAMES = (
    "Cells: bic = bicubic reduction and enlargement by a factor; g = Gaussian of a sigma in "
    "pixels; disk = defocus disk of a radius; mot = motion line of a length; n = noise of a sigma "
    "in levels; q = JPEG quality, 4:2:0; sharp = the original. All blur encoded values. The first "
    "fourteen are the soft cells. `mask` = Pillow's unsharp mask, radius/per cent; the best mask "
    "of each cell is chosen among twenty on middle crops of these very images."
)


def as_markdown(matrix: Table) -> str:
    """All sections; those without figures are left out."""
    sections = [
        ("Gain over the input, PSNR in dB", _gains(matrix)),
        ("Gain in the worst image, PSNR in dB", _cells(matrix, "psnr_gain_worst", "+z.2f")),
        ("Gain over the input, SSIM", _cells(matrix, "ssim_gain", "+z.3f", mean="ssim_gain")),
        ("PSNR of the output to the input, dB", _distances(matrix)),
        ("Sharp originals", _sharp(matrix)),
        ("By set", _sets(matrix)),
        ("Agreement with the teacher", _agreement(matrix)),
        ("Harm elsewhere", _harm(matrix)),
        ("Repeated passes", _passes(matrix)),
        ("The cue, for `skip_sharp`", cue_tables(matrix["cue"])),
        ("Real photographs", _real(matrix)),
        ("Targets", _targets(matrix)),
    ]
    text = [f"## {title}\n\n{text}" for title, text in sections if text]
    return "\n\n".join(["# Evaluation by kind of softness", _preamble(matrix), *text]) + "\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, digits: str) -> str:
    """A figure; nothing where it was not measured."""
    return "" if value is None else f"{value:{digits}}"


def _preamble(matrix: Table) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in matrix["machine"].items())
    sets = ", ".join(f"{name} ({one['images']})" for name, one in matrix["sets"].items())
    options = matrix["options"]
    crop = f"middle crops of at most {options['crop_px']} px" if options["crop_px"] else "whole"
    parts = [
        f"Images: {sets}, {crop}. Figures are means over images where nothing else is said; PSNR "
        f"of equal images counts as 100 dB. Measured with {machine}, in the daemon's sharpener.",
        f"Crispness {options['crispness']:g}." if options["crispness"] else "",
        _NAMES,
        f"Best single mask on these images: {matrix['masks']['best_single']}.",
    ]
    return "\n\n".join(part for part in parts if part)


def _rows(matrix: Table, *, without: Sequence[str] = (NOOP,)) -> list[tuple[str, Table]]:
    return [(row, one) for row, one in matrix["rows"].items() if row not in without]


def _gains(matrix: Table) -> str:
    cells = matrix["rows"][NOOP]["cells"]
    nothing = ["no-op, dB", "", *(number(cells[cell]["psnr"], ".2f") for cell in _GAINING)]
    by_cell = matrix["masks"]["by_cell"]
    masks = [f"its radius/per cent ({BEST_MASK})", "", *(by_cell[cell] for cell in _GAINING)]
    gains = _cell_rows(matrix, "psnr_gain", "+z.2f", mean="psnr_gain")
    return table(["", "mean of soft", *_GAINING], [nothing, *gains, masks])


def _cells(matrix: Table, figure: str, digits: str, *, mean: str = "") -> str:
    titles = ["", *(["mean of soft"] if mean else []), *_GAINING]
    return table(titles, _cell_rows(matrix, figure, digits, mean=mean))


def _cell_rows(matrix: Table, figure: str, digits: str, *, mean: str) -> list[list[str]]:
    return [
        [
            row,
            *([number(one["soft"][mean], digits)] if mean else []),
            *(number(one["cells"][cell][figure], digits) for cell in _GAINING),
        ]
        for row, one in _rows(matrix)
    ]


def _distances(matrix: Table) -> str:
    def cell(figures: Table) -> str:
        return f"{figures['distance']:.1f} / {figures['distance_worst']:.1f}"

    rows = [[row, *(cell(one["cells"][at]) for at in CELLS)] for row, one in _rows(matrix)]
    return "Mean / worst image.\n\n" + table(["", *CELLS], rows)


def _sharp(matrix: Table) -> str:
    rows = []
    for row, one in _rows(matrix):
        sharp, really = one["sharp"], one["sharp"]["cue_above"]
        worst = ", ".join(
            f"{image['image']} {image['distance']:.1f} (cue {image['cue']:+.2f})"
            for image in sharp["worst_images"]
        )
        numbers = [sharp["mean"], sharp["worst"], really["mean"], really["worst"]]
        rows.append([row, *(number(value, ".1f") for value in numbers), worst])
    first = matrix["rows"][NOOP]["sharp"]
    above = f"cue above {first['cue_above']['threshold']:g}"
    titles = ["", "mean", "worst", f"{above}: mean", "worst", "five worst"]
    text = f"PSNR to the input, dB; {first['cue_above']['images']} of {first['images']} have a "
    return f"{text}{above}.\n\n" + table(titles, rows)


def _sets(matrix: Table) -> str:
    titles, names = [""], list(matrix["sets"])
    for name in names:
        titles += [f"{name}: soft, dB", "SSIM", "least", "sharp, mean dB", "worst"]
    rows = []
    for row, one in _rows(matrix):
        line = [row]
        for own in (one["sets"][name] for name in names):
            soft, sharp = own["soft"], own["sharp"]
            least = f"{soft['least_psnr_gain']:+.2f} ({soft['least']})"
            line += [f"{soft['psnr_gain']:+z.2f}", f"{soft['ssim_gain']:+z.3f}", least]
            line += [f"{sharp['mean']:.1f}", f"{sharp['worst']:.1f}"]
        rows.append(line)
    return table(titles, rows) if len(names) > 1 else ""


def _agreement(matrix: Table) -> str:
    rows = []
    cells = {row: one["cells"] for row, one in matrix["rows"].items()}
    for row in (row for row in cells if "agreement" in cells[row][SHARP]):
        ssim = [number(cells[row][cell]["agreement"], ".4f") for cell in CELLS]
        rows.append([f"{row}, SSIM", *ssim])
        if row != NOOP:
            ratio = [number(cells[row][cell]["residual_ratio"], ".3f") for cell in CELLS]
            rows.append([f"{row}, residual ratio", *ratio])
    text = (
        f"With {matrix['teacher']}. The residual ratio is pooled over the images of a cell: the "
        "sum of |student - teacher|² over that of |input - teacher|²; the no-op's is 1.\n\n"
    )
    return text + table(["", *CELLS], rows) if rows else ""


def _harm(matrix: Table) -> str:
    rows = []
    for row, one in _rows(matrix, without=(NOOP, BEST_MASK)):
        harm = one["harm"]
        over = " / ".join(number(value, ".0f") for value in harm["overshoot"].values())
        rows.append([row, number(harm["noise_worst"], ".3f"), number(harm["blocks"], ".3f"), over])
    blurs = " / ".join(matrix["rows"][NOOP]["harm"]["overshoot"])
    titles = ["", "flat noise, worst ratio", "JPEG blocks of q75, ratio"]
    return table([*titles, f"overshoot of steps blurred by {blurs} px, % of the step"], rows)


def _passes(matrix: Table) -> str:
    def line(row: str, one: Table) -> list[str]:
        return [row, *(" ".join(f"{db:.1f}" for db in passes) for passes in one["passes"].values())]

    cells = list(matrix["rows"][NOOP]["passes"])
    text = "PSNR to the original in dB after no, one, two, three passes.\n\n"
    return text + table(["", *cells], [line(row, one) for row, one in _rows(matrix)])


def cue_tables(cue: Table) -> str:
    """Two tables: the cue as a classifier of sharp originals, and shares skipped by threshold."""
    titles = ["cell", "least", "median", "largest", "AUC", f"error at {cue['threshold']:g}"]
    digits = {"least": "+.2f", "median": "+.2f", "largest": "+.2f", "auc": ".3f", "error": ".2f"}
    kinds = [
        [cell, *(number(one[figure], form) for figure, form in digits.items())]
        for cell, one in cue["kinds"].items()
    ]
    shares = [
        [threshold, *(number(share[cell], ".2f") for cell in CELLS)]
        for threshold, share in cue["left_alone"].items()
    ]
    return "\n\n".join(
        [
            "AUC is of sharp originals against the cell; an error is a sharp image that is "
            "processed, or a soft one that is skipped.",
            table(titles, kinds),
            f"Share of the images that each of {len(THRESHOLDS)} thresholds leaves alone:",
            table(["threshold", *CELLS], shares),
        ]
    )


def _real(matrix: Table) -> str:
    if not matrix["real"]:
        return ""
    titles = list(matrix["real"][0]["rows"])
    images = [
        [image["image"], f"{image['cue']:+.2f}", *map(_real_cell, image["rows"].values())]
        for image in matrix["real"]
    ]
    text = (
        "Against the input, as it is: slope at its strongest 1 % of edges, noise in its flattest "
        "tenth of tiles (both ratios), overshoot at those edges (levels, 95th percentile), and dB "
        "to the input.\n\n"
    )
    return text + table(["image", "cue", *titles], images)


def _real_cell(figures: Table) -> str:
    over = f"over {figures['overshoot']:.0f}"
    ratios = f"slope {figures['slope']:.2f}, noise {figures['noise']:.2f}"
    return f"{ratios}, {over}, {figures['distance']:.0f} dB"


def _targets(matrix: Table) -> str:
    judged = {row: one["targets"] for row, one in matrix["rows"].items() if "targets" in one}
    sections = [f"{row}: {_judged(one)}" for row, one in judged.items()]
    if matrix["order"]:
        ranked = ", ".join(f"{one['row']} {one['psnr_gain']:+z.2f}" for one in matrix["order"])
        sections.append(f"Photo networks by the mean of the soft cells, dB: {ranked}.")
    return "\n\n".join(sections)


def _judged(targets: Table) -> str:
    checks = targets["checks"]
    missed = sum(one["met"] is False for one in checks)
    words = {True: "met", False: "missed", None: "not measured"}
    rows = [
        [
            one["what"],
            f"{'at least' if one['sense'] == 'above' else 'at most'} {one['asked']:g}",
            number(one["found"], ".3f"),
            words[one["met"]],
        ]
        for one in checks
    ]
    text = f"column {targets['column']}, {missed} of {len(checks)} missed.\n\n"
    return text + table(["target", "asked", "found", ""], rows)
