# SPDX-License-Identifier: Apache-2.0
"""What people do at the console, in a browser: found, mended, sent back, and really applied by the shop."""

from __future__ import annotations

import json

import pytest

from tests.browser.scene import APPROVE_ABOVE, HUGE, order, password
from tests.browser.shop import SCRIPT

#: A browser on two cores that others use as well.
pytestmark = pytest.mark.timeout(300)
#: Milliseconds within which the longest letter is to be seen.
SHOWN_MS = 2_000
ACTS = "form[method=post]:not([action='/sign-out']), a[href$='/edit'], a[href^='/jobs/new']"


def mended(text: str) -> str:
    """The body with what it lacked."""
    return json.dumps({**json.loads(text), "currency": "EUR"})


def test_a_letter_is_found_edited_replayed_and_seen_to_be_applied(signed_in, scene):
    one = order()
    (letter,) = scene.dead(one)
    browser = signed_in("bea")
    for name in ("Dead letters", "ValueError", letter, "Edit"):
        browser.press(name)
    before = browser.find("textarea", "Body").get_attribute("value")
    browser.fill("Body", mended(before))
    browser.press("Show what changes")
    browser.reads("currency", "EUR")
    browser.press("Keep this edit")
    browser.press("Replay as edited")
    body = scene.applied(one.body["id"])
    assert body["currency"] == "EUR"
    assert body["customer"] == {"email": "ada@example.org"}, "guard: what is masked is sent as it was"
    browser.open(f"/letters/{letter}")
    browser.settles("resolved")


def test_the_same_by_keyboard_alone(signed_in, scene):
    one = order()
    (letter,) = scene.dead(one)
    browser = signed_in("bea")
    browser.tab_to("Dead letters", "a")
    browser.enter()
    for name, kind in (("ValueError", "a"), (letter, "a"), ("Edit", "a")):
        browser.skip_to(name, kind)
        browser.enter()
    browser.skip_to("Body", "textarea")
    browser.write(mended(browser.find("textarea", "Body").get_attribute("value")))
    browser.tab_to("Show what changes", "button")
    browser.enter()
    for name in ("Keep this edit", "Replay as edited"):
        browser.skip_to(name, "button")
        browser.enter()
    assert scene.applied(one.body["id"])["currency"] == "EUR"


def test_a_discard_is_taken_back(signed_in, scene):
    (letter,) = scene.dead(order())
    browser = signed_in("bea", f"/letters/{letter}")
    browser.press("Discard")
    browser.reads("can be taken back")
    browser.press("Undo")
    browser.open(f"/letters/{letter}")
    browser.reads("manual", "undone")


def test_a_viewer_is_offered_nothing(signed_in, scene):
    browser = signed_in("bea", f"/letters/{scene.letters['plain']}")
    assert browser.count(ACTS) > 3
    signed_in("vic")
    for path in ("/", "/letters", "/letters/list", f"/letters/{scene.letters['plain']}", "/jobs", "/queue", "/log",
                 "/locks", "/workers"):
        browser.open(path)
        assert browser.count(ACTS) == 0, f"guard: what a role may not do is not offered: {path}"
    browser.open(f"/letters/{scene.letters['plain']}/edit")
    assert browser.count("textarea") == 0
    browser.reads("operator")


def test_nobody_comes_in_with_another_password(browser):
    browser.open("/letters")
    browser.fill("Name", "ana")
    browser.fill("Password", "not hers")
    browser.press("Sign in")
    browser.reads("Not signed in")
    browser.fill("Password", password("ana"))
    browser.press("Sign in")
    assert browser.path == "/letters", "one comes to where one wanted"


def test_whoever_left_is_out_and_leaves_nothing_in_the_browser(browser):
    for _ in range(3):  # a browser keeps a page to go back to now and then only; the header is held to by its own test
        browser.sign_in("ana", password("ana"), "/letters")
        browser.press("Sign out")
        assert browser.path == "/sign-in"
        browser.driver.back()
        browser.until(lambda: browser.path.startswith("/sign-in"), "guard: nothing is left behind in the browser")
        browser.driver.get("about:blank")


def test_a_script_in_a_letter_is_text(signed_in, scene):
    browser = signed_in("bea")
    letter = f"/letters/{scene.letters['script']}"
    browser.open(letter)
    browser.press("Discard")
    browser.press("Undo")
    browser.open(letter)
    browser.fill("Say something about it", SCRIPT)
    browser.press("Comment")
    for path, seen in (("/letters", True), ("/letters/list", True), (letter, True), (f"{letter}/edit", False),
                       ("/log", False), ("/queue", False), (f"/letters?text={SCRIPT}", False)):
        browser.open(path)
        assert browser.run("return window.owned") is None, f"guard: what is in a letter is text: {path}"
        assert browser.count("main script, main img") == 0, f"guard: what is in a letter is text: {path}"
        if seen:
            browser.reads("<script>window.owned")


def test_a_long_payload_is_cut_and_can_be_had_whole(signed_in, scene):
    browser = signed_in("vic")
    took_ms = []
    while not took_ms or (min(took_ms) > SHOWN_MS and len(took_ms) < 8):  # a busy machine may be slow several times
        browser.open(f"/letters/{scene.letters['huge']}")
        took_ms.append(browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(took_ms) <= SHOWN_MS, "a payload of 1 MB is there within two seconds"
    browser.reads("Cut here")
    assert len(browser.text) < 150_000, "guard: a page is no longer than can be read"
    whole = browser.answer(browser.find("a", "Download").get_attribute("href"))
    assert whole["length"] > HUGE
    assert whole["type"].startswith(("text/plain", "application/octet-stream"))
    assert whole["disposition"].startswith("attachment")


@pytest.mark.parametrize("width", [390, 1440])
def test_counts_change_while_one_looks(signed_in, scene, width):
    browser = signed_in("vic")
    browser.emulate(width, "light")
    browser.open("/")
    browser.run("window.same = true")
    count = "return Number(document.querySelector('[data-k=dead]').innerText)"
    before = browser.run(count)
    scene.order(order(kind="credit"))
    browser.until(lambda: browser.run(count) == before + 1, "the count of dead letters changes")
    assert browser.run("return window.same"), "guard: without loading the page again"


def test_a_second_person_approves_and_the_job_is_seen_to_go_on(signed_in, scene):
    scene.mend(whole=False)
    stock = [order(kind="stock") for _ in range(APPROVE_ABOVE + 1)]
    scene.dead(*stock)
    browser = signed_in("bea")
    for name in ("Dead letters", "ArithmeticError", "Replay all of these as a job", "Make the job"):
        browser.press(name)
    browser.reads("waiting", "An approver other than bea has to approve it")
    job = browser.path
    assert browser.find("button", "Approve") is None, "guard: whoever asks does not approve"
    scene.mend()
    signed_in("ana", job)
    browser.press("Approve")
    browser.run("window.same = true")
    for one in stock:
        scene.applied(one.body["id"])
    browser.reads(f"{len(stock)} of {len(stock)}", "All came through", "Approved by\nana")
    assert browser.run("return window.same"), "guard: without loading the page again"


def test_a_server_that_is_gone_is_said_and_no_page_is_blank(signed_in, scene):
    browser = signed_in("bea")
    browser.run("window.same = true")
    scene.server.kill()
    browser.reads("does not answer", "It shows what was there")
    assert browser.run("return window.same"), "guard: the page that is open says so by itself"
    for path in ("/", "/locks", "/workers"):
        browser.open(path)
        browser.reads("Overview", "Dead letters", "load it again", "503")
    browser.open("/letters")
    browser.reads("ValueError")
    scene.server.restart()
    browser.press("Overview")
    browser.reads("billing", "alive")
