# SPDX-License-Identifier: Apache-2.0
"""Telling somebody that a threshold was crossed: JSON to a URL, or to a command's standard input.

A URL is posted to, up to three times when the way or the server fails; what it answers but 2xx is a failure, and
redirections are not followed. A command is started without a shell. Neither is told twice of what was taken. The URL
may hold a token, so no error repeats more of it than its host.
"""

from __future__ import annotations

import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ...errors import ConfigurationError, ServerUnreachable
from .record import Story

TIMEOUT_S = 10.0
#: Seconds before the second and the third try.
WAITS_S = (0.5, 2.0)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A redirection is an answer that is not 2xx."""


def message(story: Story) -> bytes:
    """What is told: the file, the thresholds crossed, and the numbers of the report's head."""
    report = story.report
    return msgspec.json.encode({
        "event": "traces_threshold_crossed", "sources": story.input.sources, "breaches": list(story.breaches),
        "text": "; ".join(one.text for one in story.breaches[:10]), "traces": report.traces, "spans": report.spans,
        "rejected": report.rejected, "errors": report.errors, "root_us": report.root_us})


def tell(hook: str, story: Story, *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Tells it. hook: a URL with http or https, or a command line. Raises ConfigurationError, ServerUnreachable."""
    body = message(story)
    if hook.startswith(("http://", "https://")):
        _post(hook, body, sleep)
    else:
        _start(parts_of(hook), body)


def parts_of(hook: str) -> Sequence[str]:
    """A command line's words. Raises ConfigurationError."""
    try:
        words = shlex.split(hook)
    except ValueError as error:
        raise ConfigurationError(f"--hook: {hook!r} is no command line: {error}") from error
    if not words:
        raise ConfigurationError("--hook: name a URL or a command")
    return words


def _post(url: str, body: bytes, sleep: Callable[[float], object]) -> None:
    host = urlsplit(url).hostname or "?"
    opener = urllib.request.build_opener(_Stay)
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 - http(s)
    for wait in (*WAITS_S, None):
        try:
            with opener.open(request, timeout=TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            why = f"answered {error.code}"
            if error.code < 500 and error.code != 429:
                raise ConfigurationError(f"--hook: {host} {why}: it did not take the message") from error
        except (OSError, ValueError) as error:
            why = f"does not answer: {getattr(error, 'reason', error)}"
        if wait is None:
            raise ServerUnreachable(f"--hook: {host} {why}: nobody was told")
        sleep(wait)


def _start(words: Sequence[str], body: bytes) -> None:
    try:
        done = subprocess.run(list(words), input=body, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S * 3, check=False)
    except FileNotFoundError as error:
        raise ConfigurationError(f"--hook: there is no command {words[0]!r}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnreachable(f"--hook: {words[0]} did not end well: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise ServerUnreachable(f"--hook: {words[0]} ended with {done.returncode}{f': {said}' if said else ''}")
