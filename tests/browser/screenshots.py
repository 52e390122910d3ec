# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the console that the documents show: ``make screenshots``, into ``docs/screenshots``."""

from __future__ import annotations

import io
import json
import random
import threading
from pathlib import Path

from PIL import Image

from tests.browser.browser import Browser
from tests.browser.scene import Order, Scene, order, password
from tests.house.tree import ROOT

FOLDER = ROOT / "docs" / "screenshots"
#: Bytes of one picture, at most.
PICTURE_MAX = 150_000
#: Seconds of traffic before the first picture, so that charts have something to show.
BEFORE_S = 40.0
_ORDERS = (*(order(n) for n in range(7)), *(order(kind="credit") for _ in range(3)),
           *(order(kind="stock") for _ in range(4)))


def traffic(scene: Scene, ended: threading.Event) -> None:
    """Orders that the shop can use, more and less of them, until it is ended."""
    rng = random.Random(7)
    n = 0
    while not ended.wait(0.5):
        n += 1
        scene.order(*(Order({"kind": "order", "id": f"fine-{n}-{m}", "currency": "EUR"})
                      for m in range(rng.randrange(1, 12))))


def draw(browser: Browser, name: str) -> Path:
    """The window as a picture, as small as it can be without a loss."""
    path = FOLDER / f"{name}.png"
    Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB").save(path, optimize=True)
    assert path.stat().st_size <= PICTURE_MAX, f"{path.name} has {path.stat().st_size} bytes"
    return path


def pictures(browser: Browser, scene: Scene) -> None:
    """All of them."""
    browser.emulate(1440, "light")
    browser.sign_in("bea", password("bea"))
    browser.until(lambda: browser.count("main svg") > 0, "the overview is there")
    threading.Event().wait(BEFORE_S)
    draw(browser, "overview")
    browser.emulate(1440, "dark")
    draw(browser, "overview-dark")
    browser.emulate(1440, "light", height=620)
    browser.open("/letters")
    draw(browser, "letters")
    browser.press("ValueError")
    browser.emulate(390, "light", height=760)
    draw(browser, "letters-phone")
    browser.emulate(1440, "light", height=860)
    browser.press(scene.letters[_ORDERS[2].body["id"]])
    draw(browser, "letter")
    browser.press("Edit")
    text = browser.find("textarea", "Body").get_attribute("value")
    browser.fill("Body", json.dumps({**json.loads(text), "currency": "EUR"}))
    browser.press("Show what changes")
    draw(browser, "edit")


def main() -> None:
    """All processes of it are ended."""
    FOLDER.mkdir(exist_ok=True)
    ended = threading.Event()
    with Browser() as browser, Scene(_ORDERS) as scene:
        browser.home = scene.url
        publishing = threading.Thread(target=traffic, args=(scene, ended))
        publishing.start()
        try:
            pictures(browser, scene)
        finally:
            ended.set()
            publishing.join()


if __name__ == "__main__":
    main()
