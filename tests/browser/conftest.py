# SPDX-License-Identifier: Apache-2.0
"""What the browser's tests share: one browser and one scene for each test process.

``scene``     a server, a shop with dead letters, and a console that may change things
``browser``   a window at it, of a desk's width and light, with nobody signed in
``signed_in`` signs somebody in: ``signed_in("ana", "/letters")``
``window``    one of a module's own, at the page on disk that its ``report`` gives
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.browser import Browser
from tests.browser.scene import Scene, password


@pytest.fixture(scope="session")
def _window() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def scene(_window: Browser) -> Iterator[Scene]:
    """After the browser: where that is missing, nothing else is started."""
    with Scene() as scene:
        yield scene


@pytest.fixture
def browser(_window: Browser, scene: Scene) -> Browser:
    """The one window, as if new."""
    _window.home = scene.url
    _window.emulate(1440, "light")
    _window.driver.delete_all_cookies()
    _window.driver.get("about:blank")
    _window.log()
    return _window


@pytest.fixture
def signed_in(browser: Browser) -> Callable[..., Browser]:
    """The window, once this person is in."""
    def sign_in(name: str, path: str = "/") -> Browser:
        browser.sign_in(name, password(name), path)
        return browser

    return sign_in


@pytest.fixture(scope="module")
def _own_window() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def window(_own_window: Browser, report: Path) -> Browser:
    """One that is at the file that the tests of this module call ``report``."""
    _own_window.emulate(1440, "light")
    _own_window.driver.get(report.as_uri())
    _own_window.log()
    return _own_window
