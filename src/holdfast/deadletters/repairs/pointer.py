# SPDX-License-Identifier: Apache-2.0
"""JSON Pointer (RFC 6901): one place in a value, found, written, taken away. Pure.

A repair's ``path`` may also be dotted (``order.lines.0.sku``), and one of its steps may be ``*``: each element of a
list. Errors name places and never say what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ...errors import RepairRefused

#: There is nothing at that place. None is a value: JSON has it.
ABSENT: Final = object()
#: Behind the last element of a list.
BEHIND: Final = "-"
EACH: Final = "*"
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_TILDE: Final = re.compile(r"~(?![01])")

Steps = tuple[str, ...]


def steps_of(pointer: str) -> Steps:
    """The steps of a pointer; ``""`` is the whole. Raises RepairRefused for what is none."""
    if not pointer:
        return ()
    if not pointer.startswith("/") or _TILDE.search(pointer):
        raise RepairRefused(f"{pointer!r} is no JSON Pointer: it begins with /; in names ~ is written ~0, and / is ~1")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))


def pointer_of(steps: Steps) -> str:
    """The pointer of these steps."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def at(value: Any, steps: Steps) -> Any:
    """What stands there, or ABSENT."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value


def places(value: Any, steps: Steps) -> Iterator[Steps]:
    """Where ``steps`` point to, with each element of a list in the place of ``*``. A name of an object that is ``*``
    is itself."""
    if EACH not in steps:
        yield steps
        return
    head, tail = steps[:steps.index(EACH)], steps[steps.index(EACH) + 1:]
    there = at(value, head)
    if not isinstance(there, list):
        yield steps
        return
    for n in range(len(there)):
        yield from places(value, (*head, str(n), *tail))


def added(value: Any, steps: Steps, new: Any) -> Any:
    """``value`` with ``new`` there: into a list before what stands at the index, over what an object has."""
    if not steps:
        return new
    parent, last = _parent(value, steps), steps[-1]
    if isinstance(parent, dict):
        parent[last] = new
    else:
        parent.insert(len(parent) if last == BEHIND else _index(last, len(parent) + 1, steps), new)
    return value


def put(value: Any, steps: Steps, new: Any) -> Any:
    """``value`` with ``new`` there, over what is there; objects on the way are made where they are missing."""
    if not steps:
        return new
    here = value
    for n, step in enumerate(steps[:-1]):
        if isinstance(here, dict) and step not in here:
            here[step] = {}
        here = at(here, (step,))
        if not isinstance(here, dict | list):
            raise RepairRefused(f"{pointer_of(steps[:n + 1])} is no object and no list: nothing can be put below it")
    if isinstance(here, dict):
        here[steps[-1]] = new
    elif isinstance(here, list):
        here[_index(steps[-1], len(here), steps)] = new
    else:
        raise RepairRefused(f"the body is no object: there is no {pointer_of(steps)} in it")
    return value


def removed(value: Any, steps: Steps) -> Any:
    """``value`` without what stands there."""
    if not steps:
        raise RepairRefused("the whole body cannot be removed")
    parent, last = _parent(value, steps), steps[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent), steps)]
    elif last in parent:
        del parent[last]
    else:
        raise RepairRefused(f"there is no {pointer_of(steps)}")
    return value


def _parent(value: Any, steps: Steps) -> dict[str, Any] | list[Any]:
    parent = at(value, steps[:-1])
    if not isinstance(parent, dict | list):
        raise RepairRefused(f"there is no object and no list at {pointer_of(steps[:-1]) or 'the top'}")
    return parent


def _index(step: str, length: int, steps: Steps) -> int:
    if not _INDEX.fullmatch(step) or int(step) >= length:
        raise RepairRefused(f"{pointer_of(steps)} is no element of the list, which has {length}")
    return int(step)
