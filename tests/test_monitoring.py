"""Alert rules and dashboard: they name metrics that exist, and each rule does as it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sharpend.web.metric_list import METRICS

MONITORING = Path(__file__).parent.parent / "config" / "monitoring"
RULES, TESTS = MONITORING / "alerts.yml", MONITORING / "alerts.test.yml"
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds."""
LABELS = {metric.name: set(metric.labels) | SCRAPED for metric in METRICS}

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def alerts() -> dict[str, str]:
    """Each alert with its expression in one line."""
    found = re.findall(
        r"- alert: (\w+)\n\s+expr: (?:>-\n)?(.*?)\n\s+(?:for|labels):", text(), re.DOTALL
    )
    return {name: " ".join(expression.split()) for name, expression in found}


def text() -> str:
    """The file of the rules."""
    return RULES.read_text(encoding="utf-8")


def expressions() -> list[str]:
    """Every query of the dashboard."""
    board = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return queries + [one["query"]["query"] for one in board["templating"]["list"][1:]]


def unknown(expression: str) -> list[str]:
    """Metrics that nothing exposes, and labels that they do not have."""
    wrong = []
    for name, braces in re.findall(r"(sharpend_\w+)(?:\{(.*?)\})?", expression):
        labels = set(re.findall(r"(\w+)(?==|!|=~)", re.sub('"[^"]*"', '""', braces)))
        if name not in LABELS:
            wrong.append(name)
        elif labels - LABELS[name]:
            wrong.append(f"{name}: {labels - LABELS[name]}")
    return wrong


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A finished promtool."""
    return subprocess.run(
        [PROMTOOL or "", *map(str, arguments)], check=False, capture_output=True, text=True
    )


def test_what_is_unknown_is_found() -> None:
    """The comparison below is one: it finds a metric and a label that do not exist."""
    assert unknown('sharpend_up{instance="a"} + sharpend_sung') == ["sharpend_sung"]
    assert unknown('sharpend_up{path="a"}') == ["sharpend_up: {'path'}"]


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_alerts_name_metrics_that_exist(alert: str) -> None:
    """Each metric of a rule is exposed, with its labels, and the rule has a test."""
    assert "sharpend_" in alerts()[alert]
    assert unknown(alerts()[alert]) == []
    assert f"alertname: {alert}\n" in TESTS.read_text(encoding="utf-8")


def test_no_alert_is_overlooked() -> None:
    """All rules of the file are among those that are looked at."""
    assert len(alerts()) == text().count("alert: ")


def test_the_dashboard_shows_metrics_that_exist() -> None:
    """Each of its queries asks for what is exposed, and its panels are in a grid without holes."""
    assert [fault for one in expressions() for fault in unknown(one)] == []
    board = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    places = [panel["gridPos"] for panel in board["panels"]]
    assert sum(place["w"] * place["h"] for place in places) == 24 * max(
        place["y"] + place["h"] for place in places
    )
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


@pytest.mark.slow
@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    """They are rules of Prometheus, and fire and stay silent as their tests say."""
    assert promtool("check", "rules", RULES).returncode == 0
    tested = promtool("test", "rules", TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.slow
@needs_promtool
@pytest.mark.parametrize("alert", sorted(alerts()))
@pytest.mark.parametrize("instead", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
def test_each_rule_is_held_by_its_test(alert: str, instead: str, tmp_path: Path) -> None:
    """A rule that never fires, or always does, fails the tests of the rules."""
    one = rf"(alert: {alert}\n\s+expr: )(?:>-\n)?.*?(\n\s+(?:for|labels):)"
    changed, number = re.subn(one, rf"\g<1>{instead}\g<2>", text(), flags=re.DOTALL)
    assert number == 1
    (tmp_path / RULES.name).write_text(changed, encoding="utf-8")
    shutil.copy(TESTS, tmp_path)
    assert promtool("test", "rules", tmp_path / TESTS.name).returncode != 0
