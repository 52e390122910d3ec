# SPDX-License-Identifier: Apache-2.0
"""From the tables of a file to rules. Everything that is wrong is said at once, each with the rule it stands in. Pure.

::

    breaker: {ratio: 0.5, min: 10, window: 5m, pause: 30s, pause_max: 15m}
    builtin: true                 # behind these rules stand the built-in ones (default)
    categories:
      transient: {retry: {strategy: exponential, base: 10s, max: 8}}
    rules:
      - name: bank-down
        match: {chain: ConnectionError, service: billing}
        category: transient
        severity: warning         # default: that of the category
        action: retry             # default: that of the category
        retry: {max: 20}          # over those of the category
        label: bank
      - name: no-currency
        match: {stage: validate, payload: {/currency: {exists: false}}}
        category: permanent
        action: repair
        repairs: [{name: default, path: /currency, value: EUR}]
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..._base.durations import seconds
from ...consume.backoff import Backoff, Exponential, Fixed, Immediate
from ...errors import ConfigurationError, MissingExtra
from . import builtin
from .amounts import minute_of_day, moment_ms
from .breaker import BreakerRules
from .conditions import NAMES, conditions_of
from .rules import Rule, RuleSet
from .strategies import KINDS, TRIES_MAX, Strategy
from .verdict import ACTIONS, BUSINESS, CATEGORIES, SEVERITIES, Mending, Verdict

#: Says whether there is a repair of this name and whether its options are good: nothing, or raises ConfigurationError.
CheckRepair = Callable[[str, Mapping[str, Any]], None]
#: Makes of the section ``notify`` what whoever tells people goes by. Raises ConfigurationError.
ReadNotify = Callable[[Any], Any]

_TOP: Final = ("breaker", "builtin", "categories", "notify", "rules")
_RULE: Final = ("name", "match", "category", "severity", "action", "retry", "repairs", "notify", "label")
_CATEGORY: Final = ("severity", "action", "retry", "notify", "label")
_RETRY: Final = ("strategy", "wait", "base", "cap", "factor", "jitter", "at", "max", "until")
#: Words of the file, and what they are called in ``BreakerRules``.
_BREAKER: Final = {"ratio": "ratio", "min": "min_calls", "window": "window_s", "pause": "pause_s",
                   "pause_max": "pause_s_max", "probe": "probe_s"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,99}")
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
#: So many rules are looked through for each letter, at most.
RULES_MAX: Final = 1_000


def any_repair(name: str, options: Mapping[str, Any]) -> None:
    """Any repair will do: it is another process that mends."""


class _Faults:
    """Collects what is wrong."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.found: list[str] = []

    def at(self, place: str, make: Callable[[], Any], instead: Any = None) -> Any:
        try:
            return make()
        except MissingExtra:
            raise
        except ConfigurationError as error:
            self.found.append(f"{self.origin} {place}: {error}" if place else f"{self.origin}: {error}")
            return instead


def nobody_tells(_: Any) -> None:
    """Whatever it says will do: it is another process that tells people."""


def rule_set(tables: Any, origin: str = "rules", *, check: CheckRepair = any_repair, notify: ReadNotify = nobody_tells
             ) -> RuleSet:
    """The rules of a file. Raises ConfigurationError that names all faults, a line each."""
    faults = _Faults(origin)
    if not isinstance(tables, Mapping):
        raise ConfigurationError(f"{origin}: a table with `rules` is wanted, not {_kind(tables)}")
    faults.at("", lambda: _known(tables, _TOP))
    categories = _categories(tables.get("categories", {}), faults)
    rules = _rules(tables.get("rules", []), categories, faults, check)
    has_builtin = faults.at("", lambda: _flag(tables, "builtin", default=True))
    pauses = faults.at("breaker", partial(_breaker, tables.get("breaker", {})))
    tells = faults.at("notify", partial(notify, tables["notify"])) if "notify" in tables else None
    if faults.found:  # guard: all or nothing
        raise ConfigurationError("\n".join(faults.found))
    if has_builtin:
        rules += [_rule(one, one["name"], categories, any_repair) for one in builtin.RULES]
    return RuleSet(tuple(rules), origin, _verdict({"category": "unknown"}, categories, any_repair), pauses, tells)


def builtin_rules() -> RuleSet:
    """Those that are in force without a file."""
    return rule_set({}, "built-in rules")


def _rules(said: Any, categories: Mapping[str, Any], faults: _Faults, check: CheckRepair) -> list[Rule]:
    if not isinstance(said, list) or len(said) > RULES_MAX:
        faults.found.append(f"{faults.origin}: `rules` is a list of at most {RULES_MAX} rules")
        return []
    found: list[Rule] = []
    for number, one in enumerate(said, 1):
        name = one.get("name") if isinstance(one, Mapping) else None
        place = f"rule {number}" + (f" ({name})" if isinstance(name, str) else "")
        rule = faults.at(place, partial(_rule, one, place, categories, check))
        if rule is None:
            continue
        if any(rule.name == other.name for other in found):
            faults.found.append(f"{faults.origin} {place}: there is another rule of this name, and the handling log "
                                "would not tell them apart")
        if found and not found[-1].conditions:
            faults.found.append(f"{faults.origin} {place}: is never reached, since {found[-1].name!r} before it "
                                "matches everything")
        found.append(rule)
    return found


def _rule(said: Any, place: str, categories: Mapping[str, Any], check: CheckRepair) -> Rule:
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"is {_kind(said)}, and a table is wanted")
    _known(said, _RULE)
    name = said.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError("`name` is wanted, of letters, digits and _./-: the handling log names the rule by it")
    match = said.get("match", {})
    if not isinstance(match, Mapping):
        raise ConfigurationError(f"`match` is {_kind(match)}, and a table is wanted")
    _known(match, NAMES, "match.")
    return Rule(name, conditions_of(match), _verdict(said, categories, check), place)


def _categories(said: Any, faults: _Faults) -> dict[str, dict[str, Any]]:
    """What each category is worth: the built-in words, with the file's over them."""
    found = {name: dict(words) for name, words in builtin.CATEGORIES.items()}
    if not isinstance(said, Mapping):
        faults.found.append(f"{faults.origin} categories: a table is wanted, not {_kind(said)}")
        return found
    for name, words in said.items():
        place = f"categories.{name}"
        faults.at(place, partial(_category, found, name, words))
        if name in found:
            faults.at(place, partial(_verdict, {"category": name}, found, any_repair))
    return found


def _category(found: dict[str, dict[str, Any]], name: str, words: Any) -> None:
    _check_category(name)
    if not isinstance(words, Mapping):
        raise ConfigurationError(f"is {_kind(words)}, and a table is wanted")
    _known(words, _CATEGORY)
    base = found.get(name) or found[name.partition(":")[0]]
    found[name] = _over(base, words)


def _over(base: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """``words`` over ``base``. Another retry strategy takes nothing of the former one but how often."""
    retry = words.get("retry")
    if isinstance(retry, Mapping):
        former = base.get("retry", {})
        kept = former if retry.get("strategy", former.get("strategy")) == former.get("strategy") else {
            name: former[name] for name in ("max", "until") if name in former}
        words = {**words, "retry": {**kept, **retry}}
    return {**base, **words}


def _verdict(said: Mapping[str, Any], categories: Mapping[str, Any], check: CheckRepair) -> Verdict:
    category = said.get("category", "unknown")
    _check_category(category)
    base = categories.get(category) or categories[str(category).partition(":")[0]]
    words = _over(base, said)
    action = _one_of(words, "action", tuple(ACTIONS))
    repairs = _repairs(words.get("repairs", []), check)
    if (action == "repair") is not bool(repairs):
        raise ConfigurationError("`repairs` go with action: repair" if repairs else "action: repair wants `repairs`, a "
                                 "list of {name: …}")
    label = words.get("label", "")
    if not isinstance(label, str) or len(label) > 100:
        raise ConfigurationError("`label` is text of at most 100 characters")
    return Verdict(
        category=BUSINESS if category == "business" else category, severity=_one_of(words, "severity", SEVERITIES),
        rule=str(said.get("name", Verdict().rule)), action=action, strategy=_strategy(words.get("retry", {})),
        repairs=repairs, notify=_flag(words, "notify", default=True), label=label)


def _check_category(name: Any) -> None:
    if name in CATEGORIES or name == "business":
        return
    if not isinstance(name, str) or not name.startswith(BUSINESS) or not _CODE.fullmatch(name[len(BUSINESS):]):
        raise ConfigurationError(f"{name!r} is no category: {', '.join(CATEGORIES)}, business (by the letter's own "
                                 "code), or business:CODE")


def _repairs(said: Any, check: CheckRepair) -> tuple[Mending, ...]:
    if not isinstance(said, list):
        raise ConfigurationError("`repairs` is a list of {name: …, and its options}")
    found = []
    for one in said:
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise ConfigurationError("each of `repairs` is a table with a `name`")
        options = {name: value for name, value in one.items() if name != "name"}
        check(one["name"], options)
        found.append(Mending(one["name"], options))
    return tuple(found)


# -- retry


def _strategy(said: Any) -> Strategy:
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"`retry` is {_kind(said)}, and a table is wanted")
    _known(said, _RETRY, "retry.")
    kind = said.get("strategy", "immediate")
    if kind not in KINDS:
        raise ConfigurationError(f"retry.strategy: there is no {kind!r}: {', '.join(KINDS)}")
    most = said.get("max", TRIES_MAX)
    if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= 10_000:
        raise ConfigurationError(f"retry.max: {most!r}: a number of tries is wanted, at most 10000")
    until = said.get("until")
    is_length = isinstance(until, int | float) or (isinstance(until, str) and "T" not in until)
    return Strategy(
        backoff=_backoff(kind, said), tries_max=most,
        minutes=tuple(sorted(map(minute_of_day, _listed(said, "at")))) if kind == "daily" else (),
        at_ms=moment_ms(said.get("at")) if kind == "at" else None,
        until_s=seconds(until) if until is not None and is_length else None,
        until_ms=moment_ms(until) if until is not None and not is_length else None)


def _backoff(kind: str, said: Mapping[str, Any]) -> Backoff:
    if kind == "fixed":
        if "wait" not in said:
            raise ConfigurationError("retry: strategy fixed wants `wait`, for example 5m")
        return Fixed(seconds(said["wait"]))
    if kind == "exponential":
        factor = said.get("factor", 2)
        if not isinstance(factor, int | float):
            raise ConfigurationError(f"retry.factor: {factor!r} is no number")
        return Exponential(base_s=seconds(said.get("base", "30s")), cap_s=seconds(said.get("cap", "1h")),
                           factor=float(factor), jitter=said.get("jitter", "full"))
    return Immediate()


def _breaker(said: Any) -> BreakerRules:
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"is {_kind(said)}, and a table is wanted")
    _known(said, _BREAKER)
    values: dict[str, Any] = {}
    for name, value in said.items():
        if name in ("ratio", "min") and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise ConfigurationError(f"`{name}` is {value!r}: a number is wanted")
        values[_BREAKER[name]] = value if name in ("ratio", "min") else seconds(value)
    return BreakerRules(**values)


def _listed(said: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = said.get(name)
    values = value if isinstance(value, list) else [value]
    if value is None or not values:
        raise ConfigurationError(f'retry: strategy daily wants `{name}`, for example ["03:00"]')
    return values


# -- words


def _one_of(said: Mapping[str, Any], name: str, values: tuple[Any, ...]) -> Any:
    value = said.get(name)
    if value not in values:
        raise ConfigurationError(f"`{name}` is {value!r}: {', '.join(values)}")
    return value


def _flag(said: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = said.get(name, default)
    if not isinstance(value, bool):
        raise ConfigurationError(f"`{name}` is {value!r}: true or false")
    return value


def _known(said: Mapping[str, Any], names: Collection[str], before: str = "") -> None:
    for name in said:
        if name in names:
            continue
        near = difflib.get_close_matches(str(name), names, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
        raise ConfigurationError(f"there is no `{before}{name}`: {advice}")


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return "nothing" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
