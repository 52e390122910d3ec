# SPDX-License-Identifier: Apache-2.0
"""The page that tells operators what to watch speaks of metrics and numbers that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.sinks.metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/how-to/watch.md").read_text()
RULES = (ROOT / "ops/alerts/holdfast-dlq.rules.yml").read_text()
NAMES = {metric.name: metric for metric in METRICS}

#: What docs/requirements.md asks for, row by row, and the words under which the page has it.
ASKED = {
    "S03.12": ["length of the main stream", "lag of a group", "pending entries", "oldest pending", "claims", "retries",
               "dead letters by reason", "number and age of dead letters", "errors of the settling script"],
    "S04.11": ["pending per consumer", "oldest pending", "claims", "recovered messages", "duplicates detected",
               "dead consumers"],
    "S05.10": ["duplicates detected, suppressed", "retries, redeliveries", "time of the settling script",
               "records for deduplication", "failed acknowledgements", "effects in doubt"],
    "S06.10": ["seen by the service", "dead letters by reason", "what became of them", "success of replays",
               "retries to come, letters for people", "messages to people", "time of a step", "handed to the service"],
    "S13.3": ["conformance of dead letters by service"],
}
#: Labels that the requirements name.
LABELS = {"holdfast_buried_total": {"reason"}, "holdfast_dlq_in_total": {"reason"},
          "holdfast_dlq_handled_total": {"category", "action", "result"},
          "holdfast_dlq_notify_total": {"channel", "result"}, "holdfast_letters_checked": {"service", "verdict"}}


def table(title):
    """Rows of the table under a heading."""
    chapter = re.split(r"\n##+ ", PAGE.split(f"# {title}\n")[1])[0]
    rows = [line.strip("|").split("|") for line in chapter.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


LOOKED_FOR = dict(table("What to look for, and where it is"))
NUMBERS = [(row[0].strip("`"), row[1]) for row in table("Numbers of the dead-letter alerts")]


@pytest.mark.parametrize(("row", "words"), [(row, words) for row, many in ASKED.items() for words in many])
def test_what_is_asked_for_has_a_metric_on_the_page(row, words):
    found = [metrics for looked_for, metrics in LOOKED_FOR.items() if words in looked_for]
    assert found, f"{row}: nothing on the page is called {words!r}"
    assert re.search(r"`holdfast_", found[0])


@pytest.mark.parametrize("looked_for", LOOKED_FOR)
def test_every_metric_on_the_page_is_one_that_there_is(looked_for):
    named = re.findall(r"`(holdfast_\w+)`", LOOKED_FOR[looked_for])
    assert named
    assert set(named) <= NAMES.keys()


@pytest.mark.parametrize("name", LABELS)
def test_a_metric_has_the_labels_that_are_asked_for(name):
    assert LABELS[name] <= set(NAMES[name].labels)


@pytest.mark.parametrize(("alert", "numbers"), NUMBERS)
def test_the_numbers_on_the_page_are_those_of_the_rules(alert, numbers):
    rule = RULES.split(f"- alert: {alert}\n")[1].split("- alert:")[0]
    quoted = re.findall(r"`([^`]+)`", numbers)
    assert quoted
    for number in quoted:
        assert re.search(rf"{re.escape(number)}(?![\d.])", rule), f"{alert} does not say {number}"


def test_every_number_of_the_rules_is_on_the_page():
    for alert, rule in re.findall(r"- alert: (\w+)\n(.*?)(?=- alert:|\Z)", RULES, re.DOTALL):
        bounds = {bound for bound in re.findall(r"> ([\d.]+)", rule.split("for:")[0]) if float(bound)}
        told = " ".join(numbers for name, numbers in NUMBERS if name == alert)
        assert all(f"> {bound}`" in told or f"> {bound} " in told for bound in bounds), (alert, bounds)
