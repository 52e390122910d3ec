# SPDX-License-Identifier: Apache-2.0
"""The report of traces, opened from a disk: for everybody, on a phone and at a desk, with scripts and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Keys

from holdfast.traces import Span
from holdfast.traces.answers.graph import Graph, GraphNode
from holdfast.traces.answers.report import Edge
from holdfast.traces.formats import Bad
from holdfast.traces.output.html import graph_page, page
from tests.browser.test_screens import LOOKS, faults
from tests.unit.traces.output.shop import HOSTILE, named, orders, span
from tests.unit.traces.output.told import told

pytestmark = pytest.mark.timeout(300)
LONG = "very-long-name-of-a-service-" * 8


def spans() -> list[Span]:
    """Slow and failed orders, hostile and endless names, a deep trace, a service that two others call in a circle."""
    deep = [span("d" * 32, str(n), str(n - 1) if n else "", "deep", f"level {n}", n, 400 - 2 * n) for n in range(60)]
    back = [span("c" * 32, "1", "", "ping", "a", 0, 50), span("c" * 32, "2", "1", "pong", "b", 1, 40),
            span("c" * 32, "3", "2", "ping", "c", 2, 30)]
    return [*orders(), *deep, *back, *named(HOSTILE, f"GET {HOSTILE}"),
            span("9" * 32, "1", "", LONG, f"/{'x' * 300}", 0, 20)]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    bad = [Bad("spans.jsonl", n * 9, 9, n, "not JSON", HOSTILE.encode() * 9) for n in range(3)]
    story, shown, stacks = told(spans(), bad, HOSTILE)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(story, shown, stacks.sum()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_report_keeps_nobody_out(window, report, width, scheme):
    window.emulate(width, scheme)
    window.driver.get(report.as_uri())
    window.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert not faults(window, width), "guard: every screen is for everybody"


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_graph_alone_keeps_nobody_out(window, tmp_path, width, scheme):
    nodes = [GraphNode(name, "service", 9, 1, 9, 1, 1_000, 2_000) for name in ("shop", LONG, HOSTILE)]
    found = Graph([*nodes, GraphNode("orders", "database", 0, 0, 9, 0, 1_000, 2_000)],
                  [Edge("shop", LONG, 9, 1, 1, 2, 3, 4), Edge(LONG, "shop", 1, 0, 1, 2, 3, 4),
                   Edge(HOSTILE, "orders", 5, 0, 1, 2, 3, 4)], [[LONG, "shop"]])
    path = tmp_path / "graph.html"
    path.write_text(graph_page(found, ["spans.jsonl"]), encoding="utf-8")
    window.emulate(width, scheme)
    window.driver.get(path.as_uri())
    assert not faults(window, width)
    assert "reach each other" in window.text


def test_what_names_say_is_not_run(window):
    assert window.run("return document.scripts.length") == 1
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.log() == []
    window.run("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    assert window.run("return window.ran") is None, "the policy lets no other script run"
    assert "script" in "".join(window.log())


def test_a_table_is_sorted_by_keyboard_and_by_numbers(window):
    window.tab_to("Failed", "button")
    window.type(Keys.ENTER)
    rows = ("return [...document.querySelectorAll('#operations-table tbody tr')]"
            ".map((row) => Number(row.cells[3].dataset.v))")
    numbers = window.run(rows)
    assert numbers == sorted(numbers, reverse=True)
    assert max(numbers) == 1
    window.type(Keys.ENTER)
    assert window.run(rows) == sorted(numbers)
    assert window.run("return document.querySelectorAll('#operations-table th[aria-sort]').length") == 1


def test_an_operation_is_found(window):
    window.find("input", "Find an operation").send_keys("charge")
    shown = "return [...document.querySelectorAll('#operations-table tbody tr')].filter((row) => !row.hidden).length"
    assert window.run(shown) == 1
    assert "1 of" in window.text


def test_the_flame_graph_is_walked_by_keyboard(window):
    window.run("document.querySelector('svg.flame .frame[tabindex=\"0\"]').focus()")
    first = window.run("return document.activeElement.getAttribute('aria-label')")
    window.type(Keys.ARROW_DOWN)
    below = window.run("return document.activeElement.getAttribute('aria-label')")
    assert first != below
    assert below.split(":")[0] in window.text, "what has the focus is said"
    window.type(Keys.ENTER)
    assert window.run("return document.activeElement.getAttribute('width')") == "100%"
    hidden = "return document.querySelectorAll('svg.flame .frame[display=none]').length"
    assert window.run(hidden) > 0
    window.type(Keys.ESCAPE)
    assert window.run(hidden) == 0
    window.type(Keys.ARROW_UP)
    assert window.run("return document.activeElement.getAttribute('aria-label')") == first


def test_evidence_leads_to_its_trace_and_opens_it(window):
    window.run("for (const one of document.querySelectorAll('details')) one.open = false")
    window.find("#findings a", "").click()
    window.until(lambda: window.count("details[open]") == 1, "it is open")


def test_only_the_critical_path_can_be_looked_at(window):
    seen = ("return [...document.querySelectorAll('details[open] .fall li')]"
            ".filter((one) => one.getClientRects().length > 0).length")
    window.run("for (const one of document.querySelectorAll('details')) one.open = true")
    everything = window.run(seen)
    for box in window.driver.find_elements("css selector", "input.only"):
        box.click()
    assert 0 < window.run(seen) < everything


def test_without_scripts_all_of_it_can_be_read(window, report):
    window.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        window.driver.get(report.as_uri())
        text = window.driver.find_element("css selector", "body").text
        for words in ("Slowest traces", "charge", "Flame graph of critical paths", "Rejected records (3)", "not JSON"):
            assert words in text
        assert not window.driver.find_elements("css selector", "th button")
    finally:
        window.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
