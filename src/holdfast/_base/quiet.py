# SPDX-License-Identifier: Apache-2.0
"""The HTTP library writes each request's address to its own log, and callers' logging would print that. An address may
be a key: whoever sends to one does so within ``quiet``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_LOGGERS: Final = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.http2", "httpcore2.proxy",
                   "httpcore2.socks")
_silent: ContextVar[bool] = ContextVar("holdfast_quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of this task's requests is logged by the library."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_passes)  # once, however often it is added
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def _passes(_: logging.LogRecord) -> bool:
    return not _silent.get()
