"""Results of a study as Markdown.

Owns titles and the order of columns. The first line says whether the result is a pilot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.evaluation.matrix.tables import number, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Table = Mapping[str, Any]

_EXPLAINED = (
    "MOS: mean of the votes from 1 (bad) to 5 (excellent) on single images (ITU-T P.910, ACR with "
    "hidden reference). DMOS: the same less the rater's vote for the hidden reference, plus 5; "
    "above 5 is better than the original. Gain: over the degraded image. Intervals of 95 % over "
    "raters and images (bootstrap); those of single images are over raters (Student's t)."
)
RULES = (
    "Rules, fixed in `study.json` before the first vote: votes on at least {least_share:.0%} of "
    "the trials; the original rated more than {least_reference_gain:g} above the degraded image; "
    "pairs of equal images rated at most {most_control:g} away from 0, as a mean; one score on at "
    "most {most_same_share:.0%} of the single images; correlation (r) with the other raters of at "
    "least {least_correlation_stimuli:g} over single images or {least_correlation_conditions:g} "
    "over conditions."
)
"""Each of `ScreeningRules`, in words."""


def as_markdown(results: Table) -> str:
    """All sections; those without figures are left out."""
    sections = [
        ("Conditions", _conditions(results["conditions"])),
        ("By kind of softness", _kinds(results)),
        ("Comparisons", _pairs(results["pairs"])),
        ("Raters", _raters(results)),
        ("Single images", _items(results["items"])),
    ]
    text = [f"## {title}\n\n{text}" for title, text in sections if text]
    return "\n\n".join([f"# {heading(results)}", _preamble(results), *text]) + "\n"


def heading(results: Table) -> str:
    """The title of a report; one of few raters begins with `Pilot`."""
    raters = results["raters"]
    pilot = f"Pilot, n = {raters['kept']}: " if raters["pilot"] else ""
    return f"{pilot}mean opinion scores of {raters['kept']} raters"


def _preamble(results: Table) -> str:
    raters, seen = results["raters"], results["seen"]
    kinds = ", ".join(results["kinds"])
    ratios = ", ".join(f"{ratio:g}" for ratio in seen["device_pixel_ratios"])
    lines = [
        f"{escaped(results['study']['title'])}: {results['images']} images, kinds of softness: "
        f"{kinds}. {raters['kept']} raters kept, {raters['screened']} left out by screening, "
        f"{raters['withdrawn']} withdrawn. {seen['votes']['acr']} votes on single images, "
        f"{seen['votes']['ccr']} on pairs.",
        _EXPLAINED,
    ]
    if seen["median_shown_ms"] is not None:
        lines.append(
            f"Median time to a vote {seen['median_shown_ms'] / 1000:.1f} s; device pixel ratios "
            f"{ratios}; {seen['window_too_small']} votes in a window smaller than the image."
        )
    return "\n\n".join(lines)


def escaped(text: str) -> str:
    """A name that is no markup, and no end of a cell."""
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]" else letter for letter in text)


def interval(estimate: Table | None, digits: str = ".2f") -> str:
    """A mean with its interval; nothing where there is none."""
    if estimate is None or estimate["mean"] is None:
        return ""
    if estimate["low"] is None:
        return f"{estimate['mean']:{digits}}"
    low, high = (f"{estimate[end]:{digits}}" for end in ("low", "high"))
    return f"{estimate['mean']:{digits}} [{low}, {high}]"


def _scores(one: Table) -> list[str]:
    return [interval(one["mos"]), interval(one["dmos"]), interval(one["gain"], "+z.2f")]


def _conditions(conditions: Sequence[Table]) -> str:
    rows = [[escaped(one["condition"]), *_scores(one), str(one["votes"])] for one in conditions]
    return table(["", "MOS", "DMOS", "gain", "votes"], rows) if rows else ""


def _kinds(results: Table) -> str:
    rows = [
        [kind, escaped(one["condition"]), *_scores(one["kinds"][kind])]
        for kind in results["kinds"]
        for one in results["conditions"]
        if one["kinds"]
    ]
    return table(["kind", "", "MOS", "DMOS", "gain"], rows) if rows else ""


def _pairs(pairs: Sequence[Table]) -> str:
    rows = [
        [
            escaped(one["condition"]),
            escaped(one["compared_with"]),
            interval(one["score"], "+z.2f"),
            str(one["votes"]),
        ]
        for one in pairs
    ]
    text = "From -3 (much worse) to 3 (much better), ITU-T P.910, CCR.\n\n"
    return text + table(["", "compared with", "score", "votes"], rows) if rows else ""


def _raters(results: Table) -> str:
    rows = [
        [
            one["rater"],
            f"{one['share']:.0%}",
            number(one["correlation_stimuli"], ".2f"),
            number(one["correlation_conditions"], ".2f"),
            number(one["reference_gain"], ".2f"),
            number(one["control"], ".2f"),
            f"{one['same_share']:.0%}",
            ", ".join(one["reasons"]) or "kept",
        ]
        for one in results["raters"]["each"]
    ]
    titles = [
        "rater",
        "trials",
        "r over single images",
        "r over conditions",
        "reference - degraded",
    ]
    titles += ["equal pairs", "most frequent score", ""]
    return f"{RULES.format(**results['raters']['rules'])}\n\n{table(titles, rows)}"


def _items(items: Sequence[Table]) -> str:
    rows = [
        [
            escaped(one["image"]),
            one["kind"],
            escaped(one["condition"]),
            interval(one["mos"]),
            interval(one["dmos"]),
            str(one["votes"]),
        ]
        for one in items
    ]
    return table(["image", "kind", "", "MOS", "DMOS", "votes"], rows) if rows else ""
