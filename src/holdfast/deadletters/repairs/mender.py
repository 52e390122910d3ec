# SPDX-License-Identifier: Apache-2.0
"""Repairs by name, one after the other: for the service as its ``Mender``, and for people as a dry run with a diff."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

import msgspec

from ...errors import ConfigurationError, RepairRefused
from ..handling.doors import Mended
from ..handling.verdict import Mending
from ..letters import LetterInfo
from . import fields, known, text
from .draft import Draft, draft_of
from .fields import Repair
from .options import Options
from .patch import difference

Make = Callable[[Options], Repair]
#: Entry points under which an installed package offers functions as repairs.
ENTRY_POINTS: Final = "holdfast.repairs"
BUILTIN: Final[dict[str, Make]] = {
    "coerce": fields.coerce, "default": fields.default, "encoding": text.encoding, "lookup": known.lookup,
    "patch": fields.patch, "rename": fields.rename, "upcast": known.upcast, "validate": known.validate,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of repairs. changed: names of those that changed something, in order; why: the same as a sentence.

    patch: from the body before to the one after as JSON Patch; None where one of them has no value.
    """

    before: Draft
    after: Draft
    changed: tuple[str, ...]
    why: str
    patch: list[dict[str, Any]] | None

    @property
    def is_changed(self) -> bool:
        """Did any repair change anything?"""
        return self.before.body != self.after.body


class Repairs:
    """Fulfils ``handling.Mender``.

    functions: repairs of yours by name, beside those that are built in, ``module:function`` and the entry points
    ``holdfast.repairs``. types: by message type, what its handler takes; ``""``: of messages without a type. What comes
    out of repairs has to be one.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None,
                 types: Mapping[str, Any] | None = None) -> None:
        self._functions = dict(functions or {})
        self._types = {name: known.validating(wanted) for name, wanted in (types or {}).items()}
        self._made: dict[bytes, Repair] = {}

    def check(self, name: str, options: Mapping[str, Any]) -> None:
        """Raises ConfigurationError when there is no such repair, or it cannot do with these options."""
        self._repair(name, options)

    async def mend(self, letter: LetterInfo, repairs: Sequence[Mending]) -> Mended | None:
        """The message as these repairs leave it; None when none of them changed it. Raises RepairRefused."""
        trial = await asyncio.to_thread(self.tried, draft_of(letter), repairs)
        return Mended(trial.after.body, trial.patch, trial.why) if trial.is_changed else None

    def tried(self, before: Draft, repairs: Sequence[Mending]) -> Trial:
        """What would come of it: nothing is written anywhere."""
        after, changed = before, []
        for one in repairs:
            repair = self._repair(one.name, one.options)
            try:
                now = repair(after)
            except RepairRefused as error:
                raise RepairRefused(f"{one.name}: {error}") from error
            if now.body != after.body:
                changed.append(one.name)
            after = now
        if changed:
            self._check_type(after)
        return Trial(before, after, tuple(changed), ", ".join(changed) or "no repair changed anything",
                     _patch(before, after))

    def _check_type(self, draft: Draft) -> None:
        check = self._types.get(draft.type or "")
        if check is not None:
            check(draft)  # guard: what comes out is what the handler takes

    def _repair(self, name: str, options: Mapping[str, Any]) -> Repair:
        known_as = msgspec.json.encode([name, options], enc_hook=str, order="sorted")
        if known_as not in self._made:
            given = Options(name, options)
            repair = self._maker(name)(given)
            given.done()
            self._made[known_as] = repair
        return self._made[known_as]

    def _maker(self, name: str) -> Make:
        if name in BUILTIN:
            return BUILTIN[name]
        if name in self._functions:
            return known.yours(name, self._functions[name])
        if ":" in name:
            return known.yours(name, known.loaded(name))
        for point in entry_points(group=ENTRY_POINTS, name=name):
            return known.yours(name, point.load())
        there = ", ".join(sorted({*BUILTIN, *self._functions}))
        raise ConfigurationError(f"there is no repair {name!r}: there are {there}, and functions of yours as "
                                 "module:function")


def _patch(before: Draft, after: Draft) -> list[dict[str, Any]] | None:
    try:
        return difference(before.value(), after.value())
    except RepairRefused:  # one of them is no JSON: an encoding was mended
        return None
