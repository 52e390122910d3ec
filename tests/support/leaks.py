# SPDX-License-Identifier: Apache-2.0
"""Looks through everything a test run writes for the secrets that its tests plant.

Planted is each ``Secret`` whose value begins with ``planted-``. Looked through is every log record with its traceback,
every message of an error of ours, every page of metrics, every dead letter's metadata, and what commands say on
standard error. The test during which one is found fails, and says where.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from holdfast import errors
from holdfast._base import letter_build
from holdfast._base.secret import Secret
from holdfast.sinks.prometheus import PrometheusSink

MARK = "planted-"


class Search(logging.Handler):
    """values: planted so far; found: where one of them was."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.values: set[str] = set()
        self.found: list[str] = []
        self.looked = 0
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record that cannot be formatted shows nothing; logging itself says so
            text = type(error).__name__
        self.look("a log record", text)

    def look(self, where: str, text: str) -> None:
        self.looked += 1
        if MARK in text and any(value in text for value in self.values):
            self.found.append(f"{where} holds a planted secret (of {len(text)} characters)")

    def plant(self, value: Any) -> None:
        text = value.decode("utf-8", "ignore") if isinstance(value, bytes | bytearray) else value
        if isinstance(text, str) and text.startswith(MARK):
            self.values.add(text)

    # -- where texts are made

    def __enter__(self) -> Self:
        self._undo: list[Callable[[], None]] = []
        logging.getLogger().addHandler(self)
        self._after(Secret, "__init__", lambda _, secret, value: self.plant(value))
        self._after(errors.HoldfastError, "__init__",
                    lambda _, error, *__, **___: self.look(f"the message of {type(error).__name__}", str(error)))
        self._after(PrometheusSink, "text", lambda page, *_, **__: self.look("a page of metrics", page))
        # Of a letter, what we say in it: the message itself is whatever somebody sent.
        self._after(letter_build, "fit", lambda said, *_, **__: self.look("a dead letter", repr(said)))
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        for undo in reversed(self._undo):
            undo()

    def _after(self, owner: Any, name: str, looks: Callable[..., None]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def called(*args: Any, **more: Any) -> Any:
            made = original(*args, **more)
            looks(made, *args, **more)
            return made

        setattr(owner, name, called)
        self._undo.append(lambda: setattr(owner, name, original))


class Plugin:
    """For pytest."""

    def __init__(self) -> None:
        self.search = Search()

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Iterator[None]:
        self.search.__enter__()
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        try:
            return (yield)
        finally:
            found, self.search.found = self.search.found, []
            if found:
                pytest.fail("; ".join(found), pytrace=False)

    def pytest_sessionfinish(self) -> None:
        self.search.__exit__()
