# SPDX-License-Identifier: Apache-2.0
"""Repairs of single fields: ``patch``, ``coerce``, ``default``, ``rename``. Pure.

A repair is made of its options once, which says what is wrong with them, and then mends any number of drafts. It gives
the draft back as it was where there was nothing to mend.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ...errors import ConfigurationError, RepairRefused
from .draft import Draft
from .options import Options
from .patch import applied, checked, same
from .pointer import ABSENT, at, places, pointer_of, put, removed
from .values import TYPES, coercion

#: What makes another draft of a draft. Raises RepairRefused.
Repair = Callable[[Draft], Draft]
#: What makes another value of a body's value, which it may change on the way.
Change = Callable[[Any], Any]


def of_value(change: Change) -> Repair:
    """A repair of the value; a body whose value stays the same keeps its bytes."""
    def repair(draft: Draft) -> Draft:
        before, after = draft.value(), change(draft.value())
        return draft if same(before, after) and _alike(before, after) else draft.with_value(after)

    return repair


def _alike(before: Any, after: Any) -> bool:
    """Equal ones differ still when 1 became 1.0, or names changed places."""
    if isinstance(before, dict):
        return list(before) == list(after) and all(_alike(before[name], after[name]) for name in before)
    if isinstance(before, list):
        return all(map(_alike, before, after))
    return type(before) is type(after) and str(before) == str(after)


def patch(options: Options) -> Repair:
    """``ops``: a JSON Patch (RFC 6902)."""
    try:
        operations = checked(options.need("ops", "a JSON Patch, a list of operations"))
    except RepairRefused as error:
        raise ConfigurationError(f"the repair patch: {error}") from None
    return of_value(lambda value: applied(value, operations))


def coerce(options: Options) -> Repair:
    """``path`` or ``paths``, ``to`` (integer, number, string, boolean, date, datetime). ``map``: which texts are true
    and false. ``forms``: how dates are written (``%d.%m.%Y``). What is absent or null is left alone."""
    paths, to = options.paths(), options.one_of("to", TYPES)
    forms = options.take("forms", [])
    if not isinstance(forms, list) or not all(isinstance(form, str) for form in forms):
        raise ConfigurationError('the repair coerce: `forms` is a list such as ["%d.%m.%Y"]')
    make = coercion(to, options.table("map", "which texts are true and which are false"), tuple(forms))

    def change(value: Any) -> Any:
        for steps in (found for path in paths for found in places(value, path)):
            now = at(value, steps)
            if now is ABSENT or now is None:
                continue
            try:
                value = put(value, steps, make(now))
            except RepairRefused as error:
                raise RepairRefused(f"{pointer_of(steps)}: {error}") from None
        return value

    return of_value(change)


def default(options: Options) -> Repair:
    """``path`` or ``paths``, ``value``. ``when``: absent (and no more), null (or that), empty (or "", [], {})."""
    paths, new = options.paths(), options.need("value", "what is put there")
    when = options.one_of("when", ("absent", "null", "empty"), "absent")

    def missing(now: Any) -> bool:
        return now is ABSENT or (when != "absent" and now is None) or (when == "empty" and now in ("", [], {}))

    def change(value: Any) -> Any:
        for steps in (found for path in paths for found in places(value, path)):
            if missing(at(value, steps)):  # guard: what is there is not written over
                value = put(value, steps, copy.deepcopy(new))
        return value

    return of_value(change)


def rename(options: Options) -> Repair:
    """``from``, ``to``: a field under another name or in another place. Nothing is written over."""
    source, target = options.path("from"), options.path("to")

    def change(value: Any) -> Any:
        found = at(value, source)
        if found is ABSENT:
            return value
        if at(value, target) is not ABSENT:  # guard: two fields do not become one
            raise RepairRefused(f"{pointer_of(source)} cannot become {pointer_of(target)}: that is there already")
        if target[:len(source)] == source:
            raise RepairRefused(f"{pointer_of(source)} cannot become {pointer_of(target)}, a part of itself")
        return put(removed(value, source), target, found)

    return of_value(change)
