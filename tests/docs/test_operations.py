"""docs/operations.md tells what a node shows."""

import yaml

from node.observe.catalog import METRICS
from router.tracing import MAX_STEPS, Step
from tests.support.documents import ROOT, code_in, read

OPERATIONS = read("docs/operations.md")


def test_every_metric_is_told_with_what_it_means_and_what_to_do() -> None:
    table = OPERATIONS.table("metric", "type", "unit", "labels", "means", "when it is odd")
    told = [
        (code_in(name)[0], kind, unit, code_in(labels), means)
        for name, kind, unit, labels, means, _ in table.rows
    ]
    assert told == [
        (m.shown, m.kind.value, m.unit, m.label.split(", ") if m.label else [], m.help)
        for m in METRICS
    ]
    assert all(table.column("when it is odd"))


def test_what_to_watch_has_a_metric_and_an_alert_that_there_are() -> None:
    table = OPERATIONS.table("what", "alert", "metric")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    shown = {metric.shown for metric in METRICS} | {metric.name for metric in METRICS}
    for _, named, metrics in table.rows:
        assert code_in(named)
        assert set(code_in(named)) <= alerts
        assert set(code_in(metrics)) <= shown


def test_every_step_of_a_message_is_told_in_order() -> None:
    table = OPERATIONS.table("step", "noted by", "says")
    assert [code_in(cell)[0] for cell in table.column("step")] == [step.value for step in Step]
    assert f"At most {MAX_STEPS} steps" in OPERATIONS.prose
