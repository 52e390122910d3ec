# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that speaks to loopback alone, driven as a person would drive it: by what is to be read.

Names are those that a screen reader would say: the words of a link or a button, the label of a field. It is started
with a profile of its own, and ended by its process ids; should the tests die, a watchdog ends it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from selenium import webdriver
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver import ActionChains, ChromeOptions, ChromeService, Keys
from selenium.webdriver.remote.webelement import WebElement

from holdfast.testing.binaries import ServerMissing
from holdfast.testing.waiting import wait_until
from holdfast.testing.watchdog import watchdog

T = TypeVar("T")

#: Nothing but loopback is looked up or asked, no matter what the browser would like to fetch.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--disable-default-apps", "--disable-extensions", "--force-color-profile=srgb", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost")
#: What a screen has to do within.
DEADLINE_S = 15.0
#: Tab stops of one page, at most.
STOPS_MAX = 250

#: What is on the screen and can be used, by its name. Kinds are CSS selectors.
_NAMED = """
const name = (e) => (e.getAttribute('aria-label') || (e.labels && e.labels.length ? e.labels[0].innerText : '')
                     || e.innerText || e.value || e.title || '').replace(/\\s+/g, ' ').trim();
const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden';
const found = [...document.querySelectorAll(arguments[0])].filter((e) => shown(e));
return found.find((e) => name(e) === arguments[1]) || found.find((e) => name(e).includes(arguments[1])) || null;
"""
#: What has the focus, as a person at the keyboard knows it: kind, name, and whether that is to be seen.
_FOCUSED = """
const e = document.activeElement;
if (!e || e === document.body) return null;
const style = getComputedStyle(e), name = (e.getAttribute('aria-label')
    || (e.labels && e.labels.length ? e.labels[0].innerText : '') || e.innerText || e.value || e.title || '');
return {kind: e.tagName.toLowerCase(), type: e.type || '', name: name.replace(/\\s+/g, ' ').trim().slice(0, 200),
        checked: Boolean(e.checked), seen: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0)
                                           || style.boxShadow !== 'none'};
"""
_ANSWER = """
const done = arguments[arguments.length - 1];
fetch(arguments[0]).then(async (a) => done({status: a.status, type: a.headers.get('content-type'), disposition:
    a.headers.get('content-disposition') || '', length: (await a.arrayBuffer()).byteLength}));
"""


def need(*programs: str) -> str:
    """The path of the first of these programs that is there. Raises ServerMissing."""
    for program in programs:
        if found := shutil.which(program):
            return found
    raise ServerMissing(programs[0], "make servers, or apt-get install chromium chromium-driver npm")


class Browser:
    """One window. ``home``: where paths begin; set it to a console's address."""

    def __init__(self) -> None:
        self.home = ""
        self._profile = Path(tempfile.mkdtemp(prefix="holdfast-chromium-"))
        options = ChromeOptions()
        options.binary_location = need("chromium", "chromium-browser", "google-chrome")
        for flag in (*FLAGS, f"--user-data-dir={self._profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._service = ChromeService(executable_path=need("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=self._service)
        self._pids = [self._service.process.pid, int(self.driver.capabilities.get("goog:processID", 0))]
        for pid in filter(None, self._pids):
            watchdog.guard(pid, self._profile)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()
        for pid in filter(None, self._pids):
            watchdog.release(pid)
        shutil.rmtree(self._profile, ignore_errors=True)

    # -- looking

    def emulate(self, width: int, scheme: str, *, height: int = 900) -> None:
        """A window so wide, of a person who likes it ``light`` or ``dark``, and still."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def open(self, path: str) -> None:
        """Goes to a path of the console."""
        self.driver.get(self.home + path)

    @property
    def path(self) -> str:
        """Where it is."""
        return self.driver.current_url.removeprefix(self.home)

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.run("return document.body.innerText"))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script answers."""
        return self.driver.execute_script(script, *arguments)

    def find(self, kinds: str, name: str) -> WebElement | None:
        """What is called so; an exact name goes before a part of one."""
        return self.run(_NAMED, kinds, name)

    def until(self, met: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
        """Waits for it; a page that is just being replaced counts as not yet."""
        return wait_until(met, deadline_s, f"{what}, at {self.path}", poll_s=0.05,
                          errors=(StaleElementReferenceException, JavascriptException))

    def reads(self, *words: str, deadline_s: float = DEADLINE_S) -> None:
        """Waits until all of this can be read."""
        self.until(lambda: all(word in self.text for word in words), f"{words} can be read", deadline_s)

    def count(self, css: str) -> int:
        """How many elements there are of a kind."""
        return len(self.run("return [...document.querySelectorAll(arguments[0])].map((e) => 1)", css))

    def settles(self, *words: str, deadline_s: float = DEADLINE_S) -> None:
        """Loads the page again until all of this can be read."""
        def met() -> bool:
            self.driver.refresh()
            return all(word in self.text for word in words)

        wait_until(met, deadline_s, f"{words} can be read at {self.path}", poll_s=0.3)

    def answer(self, url: str) -> dict[str, Any]:
        """What the console answers to whoever is signed in here: status, type, disposition, length."""
        found: dict[str, Any] = self.driver.execute_async_script(_ANSWER, url)
        return found

    def log(self) -> list[str]:
        """What went to the browser's console since the last look: errors of scripts, refusals of the policy."""
        return [f"{line['level']}: {line['message']}" for line in self.driver.get_log("browser")]

    # -- doing

    def press(self, name: str) -> None:
        """Clicks the button or the link of this name, and waits for the page that it leads to."""
        def clicked() -> bool:
            found = self.find("a[href], button", name)
            if found is not None:
                found.click()
            return found is not None

        self._moved(lambda: self.until(clicked, f"{name!r} is there"))

    def fill(self, label: str, text: str) -> None:
        """Types into the field of this label, in the place of what stood there."""
        field = self.until(lambda: self.find("input, textarea, select", label), f"field {label!r} is there")
        field.clear()
        field.send_keys(text)

    def sign_in(self, name: str, password: str, path: str = "/") -> None:
        """As somebody else than before."""
        self.driver.delete_all_cookies()
        self.open(path)
        self.fill("Name", name)
        self.fill("Password", password)
        self.press("Sign in")
        self.until(lambda: not self.path.startswith("/sign-in"), f"{name} is in")

    # -- by keyboard alone

    def type(self, *keys: str) -> None:
        """Into whatever has the focus."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def write(self, text: str) -> None:
        """Types over all that stands in the field that has the focus."""
        ActionChains(self.driver, duration=0).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL) \
            .send_keys(text).perform()

    def focused(self) -> dict[str, Any] | None:
        """What has the focus: kind, type, name, checked, and whether that is to be seen."""
        return self.run(_FOCUSED)

    def tab_to(self, name: str, kind: str = "") -> None:
        """Presses Tab until the focus is on what is called so. Each stop has to show that it has the focus."""
        passed = []
        for _ in range(STOPS_MAX):
            self.type(Keys.TAB)
            now = self.focused()
            if now is None:
                continue
            assert now["seen"], f"guard: the focus is seen: {now} at {self.path}"
            if name in now["name"] and kind in (now["kind"], ""):
                return
            passed.append(now["name"][:30])
        raise AssertionError(f"Tab never comes to {name!r} at {self.path}; it passes {passed[:60]}")

    def skip_to(self, name: str, kind: str = "") -> None:
        """The same on a page that was just opened, past all that every page begins with."""
        self.tab_to("Skip to the content", "a")
        self.type(Keys.ENTER)
        self.tab_to(name, kind)

    def enter(self) -> None:
        """Presses Enter, and waits for the page that it leads to."""
        self._moved(lambda: self.type(Keys.ENTER))

    def _moved(self, act: Callable[[], object]) -> None:
        """Does what leads to another page, and waits until that one is whole."""
        self.run("window.leaving = true")
        act()
        self.until(lambda: self.run("return !window.leaving && document.readyState === 'complete'"), "another page")
