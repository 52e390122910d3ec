# SPDX-License-Identifier: Apache-2.0
"""What a broker cannot do, said before anything runs: as sentences at the start, and as one error when it is asked for.

A consumer that asks for order where there is none would seem to work until two messages of a key meet. So nothing is
taken back silently: what is asked for is there, or the start is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import ConfigurationError
from .contract import Abilities

#: Who can everything: streams on Redis and Valkey, and the broker in memory.
EVERYTHING: Final = Abilities(atomic_settle=True, native_delay=True, ordering="key", delivery_counter=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a consumer needs of its broker. effects: records beside the stream, or locks. dead_heads: what follows a
    dead letter of its key is buried too."""

    stream: str
    group: str
    ordered: bool = False
    effects: bool = False
    dead_heads: bool = False


def shortcomings(broker: str, abilities: Abilities, *, records: bool = False) -> list[str]:
    """What users of ``broker`` have to know, a sentence each; nothing where nothing is missing. records: there is a
    server of records beside it."""
    said = {
        "settling takes several steps there: a crash between them makes a message come twice, and none is lost; "
        'once="sql" makes the effect once, and dead letters are told apart by their ids': abilities.atomic_settle,
        "a retry cannot wait there by itself: it holds up what lies behind it": abilities.native_delay,
        f"order is kept {_UNITS[abilities.ordering]}, and ordered=True is refused": abilities.ordering == "key",
        "it does not count deliveries: what kills its process is found by marks only": abilities.delivery_counter,
        "a new group sees what is published from then on, and nothing before": abilities.history,
        'records of effects and locks cannot lie there: once="sql" is what makes an effect once, or '
        'records="redis://…" says where they lie instead': abilities.effects or records,
        "records of effects lie at the server of `records`, and go after kept_days: what is older than that, letters "
        "included, would take effect a second time if it came again": abilities.effects or not records,
        "nothing can be published for later": abilities.later,
        'it forgets which keys have a dead head when partitions move, so on_dead_head="bury-following" is refused':
            abilities.dead_heads,
    }
    return [f"{broker}: {sentence}" for sentence, able in said.items() if not able]


_UNITS: Final = {"none": "nowhere", "key": "within a key", "partition": "within a partition until something fails",
                 "stream": "within a stream"}


def refuse(broker: str, abilities: Abilities, asked: Asked) -> None:
    """Raises ConfigurationError when a consumer asks for what its broker cannot do."""
    who = f"group {asked.group!r} of {asked.stream!r}"
    if asked.ordered and abilities.ordering != "key":  # guard: no order is promised where there is none
        raise ConfigurationError(
            f"{who} asks for ordered=True and {broker} keeps order {_UNITS[abilities.ordering]}: leave it out, or use "
            f"a stream on Redis")
    if asked.effects and not abilities.effects:  # guard: no record of an effect that nobody keeps
        raise ConfigurationError(
            f"{who} asks for records of effects, or locks, beside the stream, and {broker} has no place for them: say "
            f'where they lie, Holdfast(…, records="redis://…") or --records, or use once="sql" with Holdfast(…, '
            f'sql="postgresql+psycopg://…")')
    if asked.dead_heads and not abilities.dead_heads:  # guard: what is forgotten at the next rebalance is not promised
        raise ConfigurationError(
            f'{who} asks for on_dead_head="bury-following" and {broker} forgets which keys have a dead head when '
            f'partitions move: use "continue", or a stream on Redis')


def refuse_later(broker: str, abilities: Abilities) -> None:
    """Raises ConfigurationError when nothing can be published for later."""
    if not abilities.later:
        raise ConfigurationError(f"{broker} publishes at once: it has no messages for later")


__all__ = ["EVERYTHING", "Asked", "refuse", "refuse_later", "shortcomings"]
