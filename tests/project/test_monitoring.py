"""The dashboard, the alerts and the pages name the metrics that there are, and no others."""

from __future__ import annotations

import json
import re
from itertools import chain

import pytest
import yaml

import fly_orm
from fly_orm import errors
from fly_orm.prometheus.definitions import BUCKETS, DEFINITIONS, UNDELIVERED
from tests.support import ROOT

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "fly_orm.json").read_text())
RULES = (ROOT / "deploy" / "prometheus" / "fly_orm.rules.yaml").read_text()
[GROUP] = yaml.safe_load(RULES)["groups"]
OPERATING = (ROOT / "docs" / "deploy" / "operating.md").read_text()

#: The suffixes of the samples of each type of metric.
_SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
SAMPLES = {each.name + suffix: each for each in DEFINITIONS for suffix in _SUFFIXES[each.type]}
#: Labels that Prometheus adds, or that belong to the buckets of a histogram.
_ADDED = {"instance", "job", "le"}

_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<string>"(?:[^"\\]|\\.)*") | (?P<duration>\d+(?:\.\d+)?(?:ms|[smhdwy])(?![\w]))
    | (?P<number>\d+(?:\.\d+)?) | (?P<variable>\$\w+) | (?P<word>[A-Za-z_:][\w:]*)
    | (?P<operator>=~|!~|!=|==|>=|<=|[=<>+\-*/%^]) | (?P<bracket>[()\[\]{}]) | (?P<comma>,)""",
    re.VERBOSE,
)
_OPENS = {"(": ")", "[": "]", "{": "}"}
_FUNCTIONS = {"sum", "max", "min", "count", "rate", "increase", "histogram_quantile", "min_over_time"}
_GROUPINGS = {"by", "without"}


def tokens(expression):
    """The tokens of a PromQL expression, with their kinds; ValueError if it has none, or brackets do not match."""
    found, at, open_brackets = [], 0, []
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"{expression[at:]!r}")
        at = match.end()
        if match[0] in _OPENS:
            open_brackets.append(_OPENS[match[0]])
        elif match["bracket"] and (not open_brackets or open_brackets.pop() != match[0]):
            raise ValueError(f"{match[0]} is not open before {expression[at:]!r}")
        if not match["space"]:
            found.append((match.lastgroup, match[0]))
    if open_brackets:
        raise ValueError(f"{open_brackets} are missing")
    return found


def used(expression):
    """The samples that an expression uses, and all labels in it."""
    names, labels, depth, grouping = [], [], 0, False
    found = tokens(expression)
    for position, (kind, text) in enumerate(found):
        following = found[position + 1][1] if position + 1 < len(found) else ""
        if text in "{}":
            depth += 1 if text == "{" else -1
        if grouping and text == ")":
            grouping = False
        elif kind == "word" and text in _GROUPINGS:
            grouping = True
        elif kind == "word" and (grouping or depth):
            labels.append(text)
        elif (kind == "word" and following == "(") or text in _FUNCTIONS:
            assert text in _FUNCTIONS, f"{text} is not a function that is used here"
        elif kind == "word":
            names.append(text)
    return names, labels


def expressions():
    """All expressions, by what they are for."""
    for rule in GROUP["rules"]:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(
    ("expression", "names", "labels"),
    [
        ('sum by (database) (rate(a_total{b="c"}[5m])) > 0.5 * d', ["a_total", "d"], ["database", "b"]),
        ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[$__rate_interval])))", ["x_bucket"], ["le"]),
        ("min_over_time(x[2m]) > 0", ["x"], []),
    ],
)
def test_expressions_are_taken_apart(expression, names, labels):
    assert used(expression) == (names, labels)


@pytest.mark.parametrize("expression", ["sum(a", "a)", "rate(a[5m)]", "a ? b", 'a{b="c}'])
def test_malformed_expressions_are_noticed(expression):
    with pytest.raises(ValueError, match=r"'|open|missing"):
        tokens(expression)


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_an_expression_uses_only_metrics_and_labels_that_there_are(name, expression):
    names, labels = used(expression)
    ours = [each for each in names if each != "up"]
    assert set(ours) <= set(SAMPLES), name
    allowed = set(chain.from_iterable(SAMPLES[each].labels for each in ours)) | _ADDED
    assert set(labels) <= allowed, name
    for each in ours:
        assert SAMPLES[each].type != "counter" or re.search(rf"(rate|increase)\({each}\b", expression), name


def test_the_dashboard_shows_every_metric():
    shown = chain.from_iterable(
        used(target["expr"])[0] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    )
    assert {SAMPLES[name].name for name in shown} == {each.name for each in DEFINITIONS}


def test_the_dashboard_is_one_that_grafana_can_import():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
    named = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert named - {"__rate_interval", "__range"} <= variables
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels]
    assert len(set(places)) == len(places)


def test_each_alert_says_what_to_do_and_leads_to_the_page():
    names = [rule["alert"] for rule in GROUP["rules"]]
    assert len(set(names)) == len(names)
    table = OPERATING.split("### Alerts")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(FlyOrm\w+)` \|", table, re.MULTILINE) == names
    for rule in GROUP["rules"]:
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook"}
        assert notes["runbook"] == "docs/deploy/operating.md#alerts"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert notes["summary"].endswith(".")
        assert len(notes["description"]) > 40
        mentioned = set(re.findall(r"\$labels\.(\w+)", notes["summary"] + notes["description"]))
        grouped = re.search(r"by \(([^)]*)\)", rule["expr"])
        kept = set(grouped[1].split(", ")) if grouped else {"instance", "database"}
        assert mentioned <= kept, rule["alert"]


def test_the_rules_and_every_page_that_sets_up_a_scrape_name_the_job_of_the_alerts():
    [job] = set(chain.from_iterable(re.findall(r'job="(\w+)"', rule["expr"]) for rule in GROUP["rules"]))
    assert job in RULES.split("groups:")[0]
    for page in ("metrics.md", "deploy/containers.md", "deploy/fly.md"):
        text = (ROOT / "docs" / page).read_text()
        [scrapes] = [block for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S) if "scrape" in block]
        assert [each["job_name"] for each in yaml.safe_load(scrapes)["scrape_configs"]] == [job], page


def names_of(error: type[Exception]):
    """The names of the public classes that are this one, or derived from it: callers get to see no others."""
    return {name for name in errors.__all__ if issubclass(getattr(errors, name), error)}


def test_alerts_are_about_every_error_by_which_nothing_was_executed():
    assert set(UNDELIVERED) == names_of(fly_orm.NotDelivered) | names_of(fly_orm.Refused)
    alerts = {rule["alert"]: rule["expr"] for rule in GROUP["rules"]}
    for name in ("FlyOrmRequestsFail", "FlyOrmCallsFail"):
        [classes] = re.findall(r'error=~"([^"]*)"', alerts[name])
        assert tuple(classes.split("|")) == UNDELIVERED, name


def test_the_severities_of_the_page_are_those_of_the_alerts():
    for rule in GROUP["rules"]:
        [row] = re.findall(rf"^\| `{rule['alert']}` \| (\w+) \|", OPERATING, re.MULTILINE)
        assert row == rule["labels"]["severity"], rule["alert"]


def test_every_metric_in_a_text_of_an_alert_or_page_exists():
    texts = [rule["annotations"]["description"] for rule in GROUP["rules"]] + [OPERATING]
    named = set(re.findall(r"\bfly_orm_[a-z_]+", " ".join(texts)))
    names = {each.name for each in DEFINITIONS}
    assert named - {"fly_orm_transports", "fly_orm_node"} <= names | set(SAMPLES)


def test_the_page_has_the_table_of_all_metrics():
    assert table() in (ROOT / "docs" / "metrics.md").read_text(), table()


def table():
    """The table, as the page has it."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for each in DEFINITIONS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{each.name}` | {each.type} | {labels} | {each.meaning} |")
    return "\n".join(rows)


def test_the_buckets_are_in_order():
    assert list(BUCKETS) == sorted(set(BUCKETS))
