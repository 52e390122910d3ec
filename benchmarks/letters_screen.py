# SPDX-License-Identifier: Apache-2.0
"""How soon is the console's page of letters there? Over HTTP to its last byte, and painted, where a browser is there.

The console is the command itself, with a user who signs in as people do. Painted is what Chromium calls the first
contentful paint, since the page is rendered by the console and there is nothing to wait for after that.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until

from .figures import percentile
from .rig import Rig

PATH = "/letters"
_PASSWORD = "for this run alone"


def screens(bench: Rig, desk: str, looks: int) -> dict[str, Any]:
    """Percentiles of ``looks`` pages after a first one: until the first byte, and until the last."""
    with _console(bench, desk) as port:
        cookie = _signed_in(port)
        pages = [_page(port, cookie) for _ in range(looks + 1)]
        first, whole = (sorted(page[which] for page in pages[1:]) for which in (0, 1))
        painted = _painted(port, looks)
    return {"bytes": pages[-1][2], "first_ms": pages[0][1], "ttfb_p95_ms": percentile(first, 95),
            "p50_ms": percentile(whole, 50), "p95_ms": percentile(whole, 95), **painted}


@contextmanager
def _console(bench: Rig, desk: str) -> Iterator[int]:
    from .letters import command_of

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        password = Path(folder) / "admin"
        password.write_text(_PASSWORD)
        argv = [sys.executable, "-m", "holdfast.cli", "console", "--bind", f"127.0.0.1:{port}", "--password-file",
                str(password)]
        with command_of(bench, argv, desk):
            wait_until(lambda: _answers(port), 60.0, "the console answers", errors=(OSError,))
            yield port


def _answers(port: int) -> bool:
    return _asked(port, "GET", "/healthz")[0].status == 200


def _signed_in(port: int) -> str:
    answer, _ = _asked(port, "POST", "/api/session", json.dumps({"name": "admin", "password": _PASSWORD}), {
        "Content-Type": "application/json"})
    if answer.status != 204:
        raise RuntimeError(f"signing in was answered {answer.status}")
    return (answer.headers["Set-Cookie"] or "").partition(";")[0]


def _page(port: int, cookie: str) -> tuple[float, float, int]:
    """Milliseconds until the answer began, until it was whole, and its bytes."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", PATH, headers={"Cookie": cookie, "Accept": "text/html"})
        answer = connection.getresponse()
        first = time.perf_counter() - began
        body = answer.read()
    if answer.status != 200 or b"</html>" not in body:
        raise RuntimeError(f"{PATH} was answered {answer.status}")
    return 1000 * first, 1000 * (time.perf_counter() - began), len(body)


def _asked(port: int, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
           ) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return answer, answer.read()


def _painted(port: int, looks: int) -> dict[str, float]:
    """Nothing where there is no browser, or nothing to drive it with."""
    from holdfast.testing.binaries import ServerMissing

    try:
        from tests.browser.browser import Browser

        with Browser() as browser:
            return _paints(browser, port, looks)
    except (ImportError, ServerMissing):
        return {}


def _paints(browser: Any, port: int, looks: int) -> dict[str, float]:
    browser.home = f"http://127.0.0.1:{port}"
    browser.emulate(1440, "light")
    browser.sign_in("admin", _PASSWORD, PATH)
    took = []
    for _ in range(looks + 1):
        browser.open(PATH)
        took.append(float(browser.until(lambda: browser.run(
            "const p = performance.getEntriesByName('first-contentful-paint')[0]; return p ? p.startTime : null"),
            "the page is painted")))
    took = sorted(took[1:])
    return {"painted_p50_ms": percentile(took, 50), "painted_p95_ms": percentile(took, 95)}
