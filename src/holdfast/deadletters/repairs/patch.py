# SPDX-License-Identifier: Apache-2.0
"""JSON Patch (RFC 6902): applied whole or not at all, and made from two values. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...errors import RepairRefused
from .pointer import ABSENT, Steps, added, at, pointer_of, removed, steps_of

Operation = Mapping[str, Any]

#: What each operation has beside ``op`` and ``path``.
WANTS: Final[dict[str, str]] = {"add": "value", "remove": "", "replace": "value", "move": "from", "copy": "from",
                                "test": "value"}


def checked(operations: Any) -> list[Operation]:
    """A patch that is one. Raises RepairRefused that says which operation is not."""
    if not isinstance(operations, Sequence) or isinstance(operations, str | bytes):
        raise RepairRefused("a JSON Patch is a list of operations")
    for n, one in enumerate(operations, 1):
        wants = WANTS.get(one.get("op", "")) if isinstance(one, Mapping) else None
        if wants is None:
            raise RepairRefused(f"operation {n}: `op` is one of {', '.join(WANTS)}")
        if not isinstance(one.get("path"), str) or (wants == "from" and not isinstance(one.get("from"), str)):
            raise RepairRefused(f"operation {n} ({one['op']}): a `path` is wanted"
                                + (", and a path in `from`" if wants == "from" else ""))
        if wants == "value" and "value" not in one:
            raise RepairRefused(f"operation {n} ({one['op']}): a `value` is wanted")
        steps_of(one["path"])
        steps_of(one.get("from", ""))
    return list(operations)


def applied(value: Any, operations: Sequence[Operation]) -> Any:
    """``value`` after all operations; it itself stays as it is. Raises RepairRefused at the first that cannot be."""
    new = copy.deepcopy(value)  # guard: all operations or none
    for n, one in enumerate(operations, 1):
        try:
            new = _operated(new, one)
        except RepairRefused as error:
            raise RepairRefused(f"operation {n} ({one['op']} {one['path']}): {error}") from None
    return new


def _operated(value: Any, one: Operation) -> Any:
    op, steps = one["op"], steps_of(one["path"])
    if op == "add":
        return added(value, steps, copy.deepcopy(one["value"]))
    if op == "remove":
        return removed(value, steps)
    if op == "replace":
        return _replaced(value, steps, copy.deepcopy(one["value"]))
    if op == "test":
        if not same(at(value, steps), one["value"]):
            raise RepairRefused("it does not hold")
        return value
    return _brought(value, op, steps_of(one["from"]), steps)


def _replaced(value: Any, steps: Steps, new: Any) -> Any:
    if at(value, steps) is ABSENT:
        raise RepairRefused("there is nothing to replace")
    return added(removed(value, steps), steps, new) if steps else new


def _brought(value: Any, op: str, source: Steps, target: Steps) -> Any:
    found = at(value, source)
    if found is ABSENT:
        raise RepairRefused(f"there is no {pointer_of(source)}")
    if op == "copy":
        return added(value, target, copy.deepcopy(found))
    if target[:len(source)] == source and target != source:
        raise RepairRefused("nothing is moved into itself")
    return value if target == source else added(removed(value, source), target, found)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: ``true`` is not 1, and 1 is 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """A patch that makes ``after`` of ``before``. Lists are compared from both ends; what is between is replaced."""
    return list(_difference(before, after, ()))


def _difference(before: Any, after: Any, steps: Steps) -> Iterator[dict[str, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(before, after, steps)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, steps)
    elif not same(before, after) or type(before) is not type(after):
        yield {"op": "replace", "path": pointer_of(steps), "value": after}


def _of_objects(before: dict[str, Any], after: dict[str, Any], steps: Steps) -> Iterator[dict[str, Any]]:
    for name in before:
        if name not in after:
            yield {"op": "remove", "path": pointer_of((*steps, name))}
    for name, value in after.items():
        if name in before:
            yield from _difference(before[name], value, (*steps, name))
        else:
            yield {"op": "add", "path": pointer_of((*steps, name)), "value": value}


def _of_lists(before: list[Any], after: list[Any], steps: Steps) -> Iterator[dict[str, Any]]:
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if not same(before[n], after[n])), shorter)
    tail = next((n for n in range(shorter - head) if not same(before[-1 - n], after[-1 - n])), shorter - head)
    old, new = before[head:len(before) - tail], after[head:len(after) - tail]
    both = min(len(old), len(new))
    for n in range(both):
        yield from _difference(old[n], new[n], (*steps, str(head + n)))
    for n in reversed(range(both, len(old))):
        yield {"op": "remove", "path": pointer_of((*steps, str(head + n)))}
    for n in range(both, len(new)):
        yield {"op": "add", "path": pointer_of((*steps, str(head + n))), "value": new[n]}
