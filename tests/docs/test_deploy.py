"""deploy/prometheus and deploy/grafana name nothing that a node does not show.

The queries are parsed by promql-parser, which knows the grammar of Prometheus 2.45; that a query
means what its title says is not checked, nor is Grafana's own model of a dashboard.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml

from node.observe.catalog import METRICS
from node.observe.metric import Kind, Metric
from router.model import Outcome
from router.store.trouble import TROUBLES
from tests.support.documents import ROOT

RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
BOARD = json.loads((ROOT / "deploy/grafana/switchboard.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
OF_PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
OF_PROMETHEUS = {"up"}
EVERYWHERE = {"instance", "job", "le"}


def samples_of(metric: Metric) -> list[str]:
    if metric.kind is Kind.HISTOGRAM:
        return [f"{metric.name}_{end}" for end in ("bucket", "sum", "count")]
    return [metric.shown]


SHOWN = {sample: metric for metric in METRICS for sample in samples_of(metric)}


def queries() -> Iterator[Any]:
    for alert in ALERTS:
        yield pytest.param(alert["expr"], id=alert["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            yield pytest.param(query, id=f"{panel['title']}, {target['refId']}")


def nodes_of(query: str) -> list[Any]:
    """Return every part of a query; raise ValueError if it is none."""
    found: list[Any] = []
    promql.walk(promql.parse(query), found.append)
    return found


def selectors_of(query: str) -> list[promql.VectorSelector]:
    return [part for part in nodes_of(query) if isinstance(part, promql.VectorSelector)]


@pytest.mark.parametrize("query", list(queries()))
class TestQueries:
    def test_each_is_promql(self, query: str) -> None:
        assert selectors_of(query)

    def test_each_metric_is_one_that_a_node_shows(self, query: str) -> None:
        named = {selector.name for selector in selectors_of(query)}
        assert named <= SHOWN.keys() | OF_PROCESS | OF_PROMETHEUS

    def test_each_label_is_one_that_the_metric_has(self, query: str) -> None:
        labels = set(EVERYWHERE)
        for selector in selectors_of(query):
            metric = SHOWN.get(selector.name or "")
            labels |= set(metric.label.split(", ")) if metric else set()
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= labels
        for part in nodes_of(query):
            if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
                assert set(part.modifier.labels) <= labels

    def test_each_value_of_a_label_is_one_that_there_is(self, query: str) -> None:
        known = {"outcome": {str(o) for o in Outcome}, "kind": {*TROUBLES, "other"}}
        for selector in selectors_of(query):
            for matcher in selector.matchers.matchers:
                wanted = known.get(matcher.name)
                assert wanted is None or set(matcher.value.split("|")) <= wanted

    def test_what_only_rises_is_looked_at_by_its_rate(self, query: str) -> None:
        ranged = {
            part.vector_selector.name
            for part in nodes_of(query)
            if isinstance(part, promql.MatrixSelector)
        }
        for selector in selectors_of(query):
            name = selector.name or ""
            rises = name.endswith(("_total", "_bucket"))
            assert rises == (name in ranged), name


class TestAlerts:
    def test_each_says_what_is_wrong_and_what_to_do(self) -> None:
        for alert in ALERTS:
            told = alert["annotations"]
            assert told.keys() == {"summary", "action"}, alert["alert"]
            assert told["action"].endswith("."), alert["alert"]
            assert alert["labels"]["severity"] in ("page", "ticket")
            assert alert.keys() <= {"alert", "expr", "for", "labels", "annotations"}

    def test_they_and_the_nodes_are_found_by_the_configuration_that_is_shown(self) -> None:
        shown = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        assert shown["rule_files"] == ["alerts.yml"]
        (job,) = shown["scrape_configs"]
        assert all(f'job="{job["job_name"]}"' in a["expr"] for a in ALERTS if "job=" in a["expr"])

    def test_no_two_have_the_same_name(self) -> None:
        assert [name for name, n in Counter(a["alert"] for a in ALERTS).items() if n > 1] == []


class TestDashboard:
    def test_it_can_be_imported_into_any_grafana(self) -> None:
        assert BOARD["uid"] == "switchboard"
        assert "id" not in BOARD  # that of the Grafana it came from
        assert [v["name"] for v in BOARD["templating"]["list"]] == ["datasource", "instance"]
        sources = {panel["datasource"]["uid"] for panel in PANELS}
        assert sources == {"${datasource}"}

    def test_every_panel_has_a_place_of_its_own(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in BOARD["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y)
                for x in range(place["w"])
                for y in range(place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells

    def test_every_panel_has_a_name_and_queries_told_apart(self) -> None:
        ids = [panel["id"] for panel in BOARD["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in PANELS:
            assert panel["title"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)

    def test_every_metric_of_ours_has_its_place(self) -> None:
        text = json.dumps([panel["targets"] for panel in PANELS])
        missing = [metric.name for metric in METRICS if metric.name not in text]
        assert missing == []
