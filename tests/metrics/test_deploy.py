"""The dashboard and the alerts name metrics that exist, and the alerts fire when they should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from querybudget.metrics import METRICS, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "querybudget.json"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

ALERTS = {
    "QuerybudgetStoreDown",
    "QuerybudgetSettlementsLost",
    "QuerybudgetDisturbedShare",
    "QuerybudgetRefusalsJump",
    "QuerybudgetPoolNearlySpent",
    "QuerybudgetPoliciesDisagree",
    "QuerybudgetReloadFailed",
}
NAME = re.compile(r"\bquerybudget_\w+")
SELECTED = re.compile(r"(querybudget_\w+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
PROMETHEUS_OWN = {"instance", "job", "le"}


def _series() -> dict[str, set[str]]:
    """Return every name that a query may use, and its labels."""
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        suffixes = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        for suffix in suffixes:
            found[metric.name + suffix] = {*metric.labels, *PROMETHEUS_OWN}
    return found


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return panels


def _queries() -> Iterator[str]:
    for panel in _panels():
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_every_query_names_metrics_and_labels_that_exist() -> None:
    series = _series()
    for query in _queries():
        assert set(NAME.findall(query)) <= set(series), query
        for name, matchers in SELECTED.findall(query):
            assert set(MATCHER.findall(matchers)) <= series[name], query


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for query in _queries() for name in NAME.findall(query)}
    for metric in METRICS:
        names = {metric.name + suffix for suffix in ("", "_bucket", "_count", "_sum")}
        assert names & shown, metric.name


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        at = panel["gridPos"]
        across, down = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in across for y in down}
        assert max(across) < 24
        assert not cells & taken
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


def test_there_is_an_alert_for_each_thing_that_goes_wrong() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert set(alerts) == ALERTS
    for rule in alerts.values():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_page_names_every_metric_label_and_alert() -> None:
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| `(querybudget_\w+)` \|.*?\|(.*?)\|", page, re.MULTILINE))
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()} == {
        metric.name: set(metric.labels) for metric in METRICS
    }
    assert {name for name in ALERTS if name in page} == ALERTS


@pytest.mark.parametrize(
    "task", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]]
)
def test_promtool_agrees(task: list[str]) -> None:
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("NOT TESTED: the alerts' own tests need promtool (on PATH, or as $PROMTOOL)")
    done = subprocess.run(
        [promtool, *task], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
