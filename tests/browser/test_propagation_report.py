# SPDX-License-Identifier: Apache-2.0
"""The report of propagation, opened from a disk: for everybody, on a phone and at a desk, with scripts and without."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from selenium.webdriver import Keys

from holdfast.propagation import simulate
from holdfast.propagation.analysis import across, figures, of_simulation
from holdfast.propagation.analysis.html import Told, page
from holdfast.propagation.sim.watch import Watch
from tests.browser.test_screens import LOOKS, faults
from tests.unit.propagation.analysis.test_page import HOSTILE, told

pytestmark = pytest.mark.timeout(300)
HAVE = "return document.querySelectorAll('#timeline-0 .dot:not(.waits)').length"


def simulated(preset: str, nodes: int) -> Told:
    watch = Watch()
    _, spreads = simulate(preset, nodes=nodes, seed=1, watch=watch)
    run = of_simulation(preset, 1, spreads, watch)
    return Told(run, figures(run, random.Random(1)))


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    pytest.importorskip("numpy")
    runs = [simulated("flood", 200), simulated("erlay", 100), simulated("erlay", 60),
            told(name=HOSTILE * 6, arrived=(0.0, 1.0, float("inf")))]
    medians = {"flood": across([simulate("flood", nodes=50, seed=seed)[0] for seed in range(6)])}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(runs, medians), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_report_keeps_nobody_out(window, report, width, scheme):
    window.emulate(width, scheme)
    window.driver.get(report.as_uri())
    assert not faults(window, width), "guard: every screen is for everybody"


def test_what_names_say_is_not_run(window):
    assert window.run("return document.scripts.length") == 1
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.log() == []


def test_time_is_scrubbed_by_keyboard_and_nodes_fill_up(window):
    assert window.run(HAVE) == 200
    window.run("document.querySelector('#timeline-0 input').focus()")
    window.type(Keys.HOME)
    assert window.run(HAVE) == 1
    assert "0.000 s: 1 of 200 have it" in window.text
    window.type(Keys.PAGE_UP, Keys.PAGE_UP, Keys.PAGE_UP, Keys.PAGE_UP, Keys.PAGE_UP)
    part = window.run(HAVE)
    assert 1 < part < 200
    valued = window.run("return document.querySelector('#timeline-0 input').getAttribute('aria-valuetext')")
    assert valued.endswith(f"{part} of 200 have it")
    window.type(Keys.END)
    assert window.run(HAVE) == 200


def test_it_plays_from_the_beginning_and_can_be_stopped(window):
    play = window.run("return document.querySelector('#timeline-0 button')")
    play.click()
    window.until(lambda: window.run(HAVE) < 200, "it plays from the beginning")
    window.until(lambda: play.text == "Play" or window.run(HAVE) > 1, "it goes on")
    play.click()
    window.until(lambda: play.text in {"Play", "Pause"}, "it was stopped or begun again")
    window.until(lambda: window.run(HAVE) == 200 or play.text == "Play", "it ends")


def test_who_never_had_it_stays_empty(window):
    window.run("document.querySelector('#timeline-3 input').focus()")
    window.type(Keys.HOME)
    assert "0.000 s: 1 of 3 have it" in window.text
    window.type(Keys.END)
    assert "1.000 s: 2 of 3 have it" in window.text


def test_without_scripts_all_of_it_can_be_read(window, report):
    window.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        window.driver.get(report.as_uri())
        text = window.driver.find_element("css selector", "body").text
        for words in ("Figures", "Medians, and in brackets", "announce", "What was odd", "never"):
            assert words in text
        assert not [one for one in window.driver.find_elements("css selector", ".player") if one.is_displayed()]
        assert len(window.driver.find_elements("css selector", "#timeline-0 .dot")) == 200
    finally:
        window.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
