# SPDX-License-Identifier: Apache-2.0
"""Every screen, on a phone and at a desk, light and dark: nothing that axe-core calls a fault, nothing to scroll
sideways, nothing that the policy refused or a script failed at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import axe
from tests.browser.browser import Browser
from tests.browser.scene import LONG, Scene, order, password

#: A browser on two cores that others use as well.
pytestmark = pytest.mark.timeout(300)
PHONE, DESK = 390, 1440
LOOKS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]
#: Nothing is there, and that is an answer.
NOTHING = "/nothing-is-here"
_WIDER = """
const wide = document.documentElement.scrollWidth;
if (wide <= arguments[0]) return [];
return [`the page is ${wide} wide`, ...[...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > arguments[0] + 1).slice(0, 5)
    .map((e) => `${e.tagName.toLowerCase()}.${e.className} reaches ${Math.round(e.getBoundingClientRect().right)}`)];
"""


def faults(browser: Browser, width: int) -> list[str]:
    """What is wrong with the page that is open."""
    # That a page answers 404 is noted by the browser as an error, though it is what was asked for.
    said = [line for line in browser.log() if not (NOTHING in line and "404" in line)]
    headings = browser.count("h1")
    return [*said, *browser.run(_WIDER, width), *axe.violations(browser),
            *([] if headings == 1 else [f"{headings} headings of the first order"]),
            *([] if browser.driver.title else ["no title"])]


def screens(scene: Scene) -> list[str]:
    """The paths that need nothing done before."""
    letters = [scene.letters[order] for order in ("plain", "script", "huge", LONG)]
    return ["/", "/letters", "/letters/list", "/letters/list?stream=nowhere", *(f"/letters/{one}" for one in letters),
            f"/letters/{letters[0]}/edit", "/jobs", "/jobs/new?reason=rejected", "/queue", "/log", "/locks", "/workers",
            NOTHING]


def states(browser: Browser, scene: Scene) -> Iterator[str]:
    """Brings the window to what is only there once something was done, and says what it is."""
    (letter,) = scene.dead(order(kind="credit"))
    browser.open(f"/letters/{letter}")
    browser.press("Discard")
    yield "a letter that was discarded"
    browser.press("Undo")
    yield "one that was taken back"
    browser.press("Edit")
    browser.fill("Body", '{"kind": "order", "id": "another", "currency": "EUR"}')
    browser.press("Show what changes")
    yield "an edit that is not kept yet"
    browser.open(f"/letters/{letter}")
    browser.press("Replay")
    browser.reads("died again\n1")
    yield "a job"


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_no_screen_keeps_anybody_out(browser, scene, width, scheme):
    browser.emulate(width, scheme)
    browser.open("/letters")
    assert browser.path.startswith("/sign-in")
    found = {"/sign-in": faults(browser, width)}
    browser.sign_in("ana", password("ana"))
    for path in screens(scene):
        browser.open(path)
        found[path] = faults(browser, width)
    for what in states(browser, scene):
        found[what] = faults(browser, width)
    assert not any(found.values()), "guard: every screen is for everybody\n" + "\n".join(
        f"{path}\n    " + "\n    ".join(wrong) for path, wrong in found.items() if wrong)


HURTS = {
    "document.querySelector('label').remove()": "critical label",
    "document.querySelector('h1').remove()": "0 headings",
    "document.documentElement.removeAttribute('lang')": "serious html-has-lang",
    "document.querySelector('.hint').classList.add('faint')": "serious color-contrast",
    "document.body.insertAdjacentHTML('beforeend', '<pre>' + 'x'.repeat(999) + '</pre>')": "the page is",
    "document.querySelector('main').setAttribute('style', 'color: red')": "inline style",
    "const s = document.createElement('script'); s.textContent = '1'; document.body.append(s)": "inline script",
    "setTimeout(() => { throw new Error('planted') }, 0)": "planted",
}


def test_the_check_would_see_it(browser):
    browser.emulate(PHONE, "light")
    browser.open("/sign-in")
    browser.run("const s = new CSSStyleSheet(); s.replaceSync('.faint { color: #ccc }'); "
                "document.adoptedStyleSheets.push(s)")
    for hurt in HURTS:
        browser.run(hurt)
    browser.run("return 1")  # what a timer throws is noted before the next script is run
    seen = "\n".join(faults(browser, PHONE))
    assert not [said for said in HURTS.values() if said not in seen], seen
