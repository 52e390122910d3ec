# SPDX-License-Identifier: Apache-2.0
"""A payload as a person may see it: secrets and personal data masked, fields hidden by rule and role. Pure.

Whoever is not named in a rule does not see its field. What looks like a password, a token, an e-mail address or a card
is masked for everybody (``_base/redact``). A body that is neither JSON nor MessagePack has no fields: where a rule
hides something from the role, such a body is not shown at all, since nobody knows where it would stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..._base.redact import DEFAULT_REDACTOR
from ..._base.secret import MASK
from ..._base.typed import from_toml
from ..handling.payload import ABSENT, path_of, value_of

#: What stands where something is hidden.
HIDDEN: Final = "[hidden]"


class FieldRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field and who may see it. field: a JSON pointer (``/buyer/phone``), or a name, wherever it stands."""

    field: str
    roles: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fields: list[FieldRule] = []


def rules_of(text: str) -> list[FieldRule]:
    """The rules of a TOML file with ``[[fields]]``. Raises ValueError for what is none."""
    return from_toml(text, _File).fields


def shown(body: bytes, content_type: str, role: str, rules: Sequence[FieldRule]) -> str:
    """The body as text for ``role``. One that is nested deeper than can be walked through has no fields."""
    hidden = [rule.field for rule in rules if role not in rule.roles]  # guard: hidden unless the role is named
    value = value_of(body, content_type)
    try:
        text = None if value is ABSENT else _shown(value, hidden)
    except RecursionError:  # guard: a body that is nested too deep breaks nothing
        text = None
    if text is None:
        return HIDDEN if hidden else DEFAULT_REDACTOR(body.decode("utf-8", "backslashreplace"))
    return text


def _shown(value: Any, hidden: Sequence[str]) -> str:
    for field in hidden:
        value = _hidden(value, path_of(field)) if field.startswith("/") else _without(value, field)
    return msgspec.json.format(msgspec.json.encode(_masked(value)), indent=2).decode()


def _hidden(value: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return HIDDEN
    if isinstance(value, dict) and path[0] in value:
        return {**value, path[0]: _hidden(value[path[0]], path[1:])}
    if isinstance(value, list) and path[0].isdecimal() and int(path[0]) < len(value):
        return [_hidden(one, path[1:]) if n == int(path[0]) else one for n, one in enumerate(value)]
    return value


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if key == name else _without(one, name) for key, one in value.items()}
    return [_without(one, name) for one in value] if isinstance(value, list) else value


def _masked(value: Any) -> Any:
    """Each text by itself, so that a quote in one cannot hide another."""
    if isinstance(value, str):
        return DEFAULT_REDACTOR(value)
    if isinstance(value, dict):
        return {DEFAULT_REDACTOR(str(key)): _below(str(key), one) for key, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _below(name: str, value: Any) -> Any:
    """Masked where the name says that it is a secret: ``password``, ``api_key``, …"""
    if isinstance(value, dict | list):
        return _masked(value)
    told = f"{name}={value}" if value not in ("", None) else ""
    if told and DEFAULT_REDACTOR(told) == f"{name}={MASK}":  # guard: a secret by its name
        return MASK
    return _masked(value)
