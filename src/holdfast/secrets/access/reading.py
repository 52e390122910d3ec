# SPDX-License-Identifier: Apache-2.0
"""Policies from JSON, TOML or YAML.

::

    version: 1
    roles:
      shop:
        - paths: ["shop/**", "shared/*/webhook"]
          actions: [read, list]
      keeper:
        - paths: ["**"]
          actions: [read, write, rotate]
          approvals: 2                 # of others
          hours: "08:00-18:00"         # UTC
          days: [mon, tue, wed, thu, fri]
          until: 2027-01-01T00:00:00Z
        - effect: deny
          paths: ["root/**"]
          actions: ["*"]

What is wrong is one error with its place, ``policy.roles.keeper[1].paths[0]: …``. Nothing that is not understood is
passed over: a rule that was meant to deny and is spelled wrong would be none.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from ...errors import ConfigurationError, MissingExtra
from ..names import check_name
from .policy import DAYS, ONE, REST, Action, Glob, Hours, Policy, Rule

#: Bytes of a policy; what is larger is none.
POLICY_MAX: Final = 1 << 20
#: Rules of one policy: each is looked at for each question.
RULES_MAX: Final = 10_000
APPROVALS_MAX: Final = 64
_ROLE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_KEYS: Final = frozenset(("effect", "paths", "actions", "approvals", "hours", "days", "since", "until"))


def read(text: str, form: str, source: str = "policy") -> Policy:
    """A policy. form: json, toml or yaml. source: what it is called in errors. Raises ConfigurationError, which says
    where; MissingExtra for YAML without its library."""
    if len(text.encode("utf-8", "replace")) > POLICY_MAX:
        raise ConfigurationError(f"{source}: a policy has {POLICY_MAX:,} bytes at most")
    return policy_of(_parsed(text, form, source), source)


def policy_of(said: object, source: str = "policy") -> Policy:
    """The same from what was parsed already."""
    top = _table(said, source)
    _only(top, ("version", "roles"), source)
    version = top.get("version")
    if type(version) is not int or version != 1:
        _wrong(f"{source}.version", "it is 1, the only one there is")
    roles: dict[str, tuple[Rule, ...]] = {}
    for role, rules in _table(top.get("roles"), f"{source}.roles").items():
        where = f"{source}.roles.{role}"
        roles[_role(role, source)] = tuple(_rule(rule, f"{where}[{at}]") for at, rule in enumerate(_list(rules, where)))
    if sum(map(len, roles.values())) > RULES_MAX:
        _wrong(f"{source}.roles", f"there are {RULES_MAX:,} rules at most")
    return Policy(roles)


def glob_of(text: object, where: str) -> Glob:
    """A pattern of names. Raises ConfigurationError."""
    if not isinstance(text, str):
        _wrong(where, "a path is a text")
    parts = tuple(text.split("/"))
    if REST in parts[:-1]:
        _wrong(where, f"{REST} stands at the end only: write {ONE} for one part")
    for part in parts:
        if ONE in part and part not in (ONE, REST):
            _wrong(where, f"a star stands for a whole part, and {ascii(part)[:80]} has one among other characters")
    plain = [part if part not in (ONE, REST) else "x" for part in parts]
    try:
        check_name("/".join(plain))
    except ConfigurationError as error:
        _wrong(where, str(error))
    return Glob(parts)


def _parsed(text: str, form: str, source: str) -> object:
    try:
        if form == "json":
            return json.loads(text, object_pairs_hook=_once)
        if form == "toml":
            return tomllib.loads(text)
        if form == "yaml":
            return _yaml(text)
    except (ValueError, RecursionError) as error:  # both JSON's and TOML's errors are ValueErrors, and say the line
        raise ConfigurationError(f"{source} is no {form.upper()}: {error}") from None
    raise ConfigurationError(f"{source}: a policy is written in json, toml or yaml, and not in {form!r}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in a table, and only one of them would count")
    return found


def _yaml(text: str) -> object:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("dlq", "a policy in YAML") from error

    class Strict(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
        """One in which no key stands twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value]
            if len(set(map(str, keys))) != len(keys):
                raise ValueError(f"line {node.start_mark.line + 1}: a key stands twice, and only one would count")
            return super().construct_mapping(node, deep)

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # ten lines of them can stand for a billion values
                raise ValueError(f"line {self.peek_event().start_mark.line + 1}: aliases are not taken")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Strict)  # noqa: S506 - a SafeLoader that is stricter still
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(f"{line}{getattr(error, 'problem', None) or type(error).__name__}") from None


def _rule(said: object, where: str) -> Rule:
    table = _table(said, where)
    _only(table, sorted(_KEYS), where)
    effect = table.get("effect", "allow")
    if effect not in ("allow", "deny"):
        _wrong(f"{where}.effect", "it is allow or deny")
    approvals = table.get("approvals", 0)
    if type(approvals) is not int or not 0 <= approvals <= APPROVALS_MAX:
        _wrong(f"{where}.approvals", f"it is a number from 0 to {APPROVALS_MAX}")
    if approvals and effect == "deny":
        _wrong(f"{where}.approvals", "nobody approves what is denied: leave it out")
    paths = tuple(glob_of(path, f"{where}.paths[{at}]")
                  for at, path in enumerate(_list(table.get("paths"), f"{where}.paths")))
    since, until = (_instant(table.get(key), f"{where}.{key}") for key in ("since", "until"))
    if until and until <= since:
        _wrong(f"{where}.until", "it is after since")
    return Rule(paths, _actions(table.get("actions"), f"{where}.actions"), effect == "allow", approvals,
                _hours(table, where), since, until, where)


def _actions(said: object, where: str) -> frozenset[Action]:
    found: set[Action] = set()
    for at, word in enumerate(_list(said, where)):
        if word == ONE:
            found |= set(Action)
        elif isinstance(word, str) and word in {action.value for action in Action}:
            found.add(Action(word))
        else:
            _wrong(f"{where}[{at}]", f"it is one of {', '.join(action.value for action in Action)}, or {ONE}")
    return frozenset(found)


def _hours(table: Mapping[str, Any], where: str) -> Hours | None:
    hours, days = table.get("hours"), table.get("days")
    if hours is None and days is None:
        return None
    since, until = 0, 1_440
    if hours is not None:
        found = _HOURS.fullmatch(hours) if isinstance(hours, str) else None
        times = [int(number) for number in found.groups()] if found else [0, 99, 0, 0]
        since, until = times[0] * 60 + times[1], times[2] * 60 + times[3]
        if max(times[1::2]) > 59 or since >= 1_440 or until > 1_440 or since == until:
            _wrong(f"{where}.hours", 'it is written "08:00-18:00", in UTC')
    if days is None:
        return Hours(since, until)
    for at, day in enumerate(_list(days, f"{where}.days")):
        if day not in DAYS:
            _wrong(f"{where}.days[{at}]", f"it is one of {', '.join(DAYS)}")
    return Hours(since, until, frozenset(DAYS.index(day) for day in days))


def _instant(said: object, where: str) -> int:
    """Milliseconds since 1970; 0 where nothing is said. TOML and YAML have times, JSON texts."""
    if said is None:
        return 0
    when = said
    if isinstance(said, str):
        try:
            when = dt.datetime.fromisoformat(said)
        except ValueError:
            when = None
    if not isinstance(when, dt.datetime) or when.tzinfo is None or when.timestamp() <= 0:
        _wrong(where, "it is a time with its zone, like 2027-01-01T00:00:00Z")
    return round(when.timestamp() * 1000)


def _role(role: object, source: str) -> str:
    if not isinstance(role, str) or not _ROLE.fullmatch(role):
        _wrong(f"{source}.roles", f"{ascii(role)[:80]} is no role: small letters, digits, dots, dashes and underscores "
                                  "are, a letter first, 64 at most")
    return role


def _only(table: Mapping[str, Any], known: Any, where: str) -> None:
    for key in table:
        if key not in known:
            _wrong(where, f"nothing is called {ascii(key)[:80]} here; there are {', '.join(known)}")


def _table(said: object, where: str) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        _wrong(where, "a table is wanted")
    return said


def _list(said: object, where: str) -> list[Any]:
    if not isinstance(said, list) or not said:
        _wrong(where, "a list is wanted, with one thing in it at least")
    return said


def _wrong(where: str, why: str) -> NoReturn:
    raise ConfigurationError(f"{where}: {why}")
