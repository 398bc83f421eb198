"""The board and the alert rules ask for nothing that a running gateway does not show, and each alert has a runbook."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.cli import standing
from tests.app.test_gateway import config, started
from tests.house.test_docs import OPERATIONS, headings
from tests.house.tree import ROOT

FOLDER = ROOT / "docs" / "monitoring"
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]  # Any: YAML.
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())  # Any: JSON of Grafana.
ROWS = {"Payments", "Lanes", "Carriers: texts", "Carriers: money", "Webhooks", "Database", "Breaks"}
# Labels that Prometheus itself adds.
OF_PROMETHEUS = {"le", "job", "instance"}


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL)."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.fixture
async def shown(sqlite_url: str) -> AsyncIterator[dict[str, dict[str, set[str]]]]:
    """Of a running gateway: sample name → label → values."""
    async with started(config(sqlite_url)) as gateway, aiohttp.ClientSession() as http:
        async with http.get(f"{gateway.url}/metrics") as answer:
            text = await answer.text()
        found: dict[str, dict[str, set[str]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
        yield found


async def test_every_metric_label_and_value_that_is_asked_for_exists(shown: dict[str, dict[str, set[str]]]) -> None:
    asked = list(expressions())
    assert len(asked) > 50
    for where, expression in asked:
        metrics = re.findall(r"\b(gateway_\w+)(?:\{([^}]*)\})?", expression)
        assert metrics, where
        assert {name for name, _ in metrics} <= shown.keys(), where
        for name, matchers in metrics:
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                assert set(values.split("|")) <= shown[name][label], where
        known = set[str]().union(*(shown[name].keys() for name, _ in metrics)) | OF_PROMETHEUS
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            assert set(re.split(r",\s*", grouped)) <= known, where


def test_legends_and_annotations_use_labels_that_the_expression_leaves() -> None:
    for alert in ALERTS:
        texts = " ".join(alert["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= left_by(alert["expr"]), alert["alert"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left_by(target["expr"]), panel["title"]


def left_by(expression: str) -> set[str]:
    return {label for grouped in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", grouped)}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_says_what_it_is_and_leads_to_a_runbook(alert: dict[str, Any]) -> None:  # Any: YAML.
    assert re.fullmatch(r"Gateway[A-Za-z]+", alert["alert"])
    assert alert["labels"]["severity"] in ("page", "ticket") and re.fullmatch(r"\d+m", alert["for"])
    assert all(alert["annotations"][name].strip() for name in ("summary", "description"))
    page, _, heading = alert["annotations"]["runbook"].partition("#")
    assert heading == alert["alert"].lower() and heading in headings(ROOT / page)
    assert f"### {alert['alert']}\n" in OPERATIONS


def test_every_runbook_has_an_alert() -> None:
    assert re.findall(r"^### (Gateway\w+)$", OPERATIONS, re.MULTILINE) == [alert["alert"] for alert in ALERTS]


def test_the_board_has_its_rows_and_nothing_twice() -> None:
    assert {panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"} >= ROWS
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_limits_are_those_of_status() -> None:
    ends = {alert["alert"]: alert["expr"].rpartition(" > ")[2] for alert in ALERTS}
    assert float(ends["GatewayOldestWaiting"]) == standing.OLDEST_MAX_S
    assert float(ends["GatewayExportsWait"]) == standing.OLDEST_EXPORT_MAX_S
    assert float(ends["GatewayUnknownOutcome"]) == standing.UNKNOWN_MAX_S
    assert float(ends["GatewaySealLag"]) == standing.SEAL_LAG_MAX_S
    assert float(ends["GatewayDeadlinesLag"]) == standing.DEADLINES_LAG_MAX_S
