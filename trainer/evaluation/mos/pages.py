"""HTML of the rating page, and the files that it loads.

Owns the templates' folder and the escaping: every value is escaped, and one that is missing is an
error. No page names a condition, a model or a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trainer.evaluation.mos.protocol import KEYS, LABELS, minutes

if TYPE_CHECKING:
    from trainer.evaluation.mos.raters import Progress
    from trainer.evaluation.mos.study import Study

_FOLDER = Path(__file__).parent / "page"
FILES = {
    name: (kind, (_FOLDER / name).read_bytes())
    for name, kind in (
        ("rate.css", "text/css"),
        ("rate.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    )
}
"""Type and content of the files that pages load, by name."""
SIDES = "ab"
"""Names of the images of a trial, the first one first."""
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, auto_reload=False
)


def consent_page(study: Study, csrf: str) -> str:
    """The first page: what the study is, what is recorded, and the question for consent."""
    trials = study.trials + len(study.training)
    return _rendered("consent.html", study, csrf, trials=trials, minutes=minutes(trials))


def trial_page(study: Study, progress: Progress, csrf: str) -> str:
    """The page of a rater's next trial.

    Args:
        study: the study.
        progress: of a rater who has a next trial.
        csrf: of this rater.
    """
    trial = progress.trials[progress.voted]
    training = len(study.training)
    sizes = [study.stimuli[one] for one in trial.stimuli]
    labels = LABELS[trial.method]
    return _rendered(
        "trial.html",
        study,
        csrf,
        trial=trial,
        number=progress.voted,
        place=progress.voted + 1 - (0 if trial.training else training),
        count=training if trial.training else study.trials,
        images=list(zip(SIDES, sizes, strict=False)),
        choices=[(score, text, KEYS[trial.method][score]) for score, text in labels.items()],
    )


def end_page(study: Study, rater: str, *, withdrawn: bool) -> str:
    """The last page, with thanks and the rater's code."""
    return _rendered("end.html", study, "", rater=rater, withdrawn=withdrawn)


def withdrawal_page(study: Study, csrf: str) -> str:
    """The question whether the rater really withdraws."""
    return _rendered("withdraw.html", study, csrf)


def message_page(study: Study, text: str) -> str:
    """A page with one sentence, for requests that are refused."""
    return _rendered("message.html", study, "", text=text)


def _rendered(name: str, study: Study, csrf: str, **values: object) -> str:
    page = _TEMPLATES.get_template(name)
    return page.render(title=study.title, contact=study.contact, csrf=csrf, **values)
