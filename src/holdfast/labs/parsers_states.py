# SPDX-License-Identifier: Apache-2.0
"""The line as a finite-state machine: a table that says, for each state and byte, which state comes next. Pure.

Every byte is looked at once, whatever the line holds: nothing is tried and taken back, so there is no input that takes
longer than its length. What looks like the end (" took 5us") and turns out to be part of the operation is no trouble: a
state of the end knows that the same bytes may be a word of the operation, and falls back to that.

States are numbers that are steps of 256 apart, so that ``table[state + byte]`` is the next one, and those that mark a
place have the highest numbers, so that one comparison a byte finds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .parsers_lines import DIGITS, HEX, LEVELS, SERVICE, SPAN, TIME, TOOK, TRACE, WORD

#: Of the numbers of states.
STEP: Final = 256


class Machine:
    """Being built: state 0 refuses everything, state ``start`` is before the first byte."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = [[0] * STEP]
        self.marks: list[int] = []
        self.start = self.state()

    def state(self, *, mark: bool = False) -> int:
        """One more. mark: where it is entered has to be known afterwards."""
        self.rows.append([0] * STEP)
        if mark:
            self.marks.append(len(self.rows) - 1)
        return len(self.rows) - 1

    def on(self, state: int, characters: str, then: int) -> int:
        """In ``state``, each of these leads to ``then``, which is given back."""
        for character in characters:
            self.rows[state][ord(character)] = then
        return then

    def path(self, state: int, steps: Sequence[str], then: int | None = None) -> int:
        """New states, one behind the other: each step lists what leads to the next. The last one, or ``then``."""
        for number, characters in enumerate(steps, 1):
            last = then is not None and number == len(steps)
            state = self.on(state, characters, then if last and then is not None else self.state())
        return state

    def table(self) -> tuple[list[int], dict[int, int]]:
        """The table, and the number of each state in it: marks stand last."""
        order = [state for state in range(len(self.rows)) if state not in self.marks] + self.marks
        numbers = {state: STEP * number for number, state in enumerate(order)}
        return [numbers[then] for state in order for then in self.rows[state]], numbers


class Table:
    """The finished machine of this line."""

    def __init__(self) -> None:
        machine = Machine()
        level_end, service_end, ids_end = (machine.state(mark=True) for _ in range(3))
        took, unit = (machine.state(mark=True) for _ in range(2))
        state = machine.path(machine.start, [DIGITS if c == "0" else c for c in TIME] + [" "])
        for level in LEVELS:
            machine.path(state, [*level, " "], level_end)
        service = machine.path(level_end, ["[", SERVICE])
        machine.on(service, SERVICE, service)
        machine.on(service, ",", service_end)
        parent = machine.path(service_end, [*[HEX] * TRACE, ",", *[HEX] * SPAN, ","])
        machine.on(parent, "]", ids_end)
        machine.path(parent, [*[HEX] * SPAN, "]"], ids_end)
        self.ok, self.error = _operation(machine, ids_end, took, unit)
        self.next, numbers = machine.table()
        self.start, self.marked = numbers[machine.start], numbers[level_end]
        self.level_end, self.service_end, self.ids_end = numbers[level_end], numbers[service_end], numbers[ids_end]
        self.took, self.unit = numbers[took], numbers[unit]
        self.ok, self.error = numbers[self.ok], numbers[self.error]


def _operation(machine: Machine, state: int, took: int, unit: int) -> tuple[int, int]:
    """Words, and the end, which looks like words up to its "="; the states after OK and after ERROR.

    took: at the "t" behind the operation. unit: at the "u" behind the digits.
    """
    word, blank = machine.state(), machine.state()
    machine.path(state, [" ", WORD], word)

    def known(state: int, *, between: bool = False) -> int:
        """``state`` also knows where it leads when this is not the end. between: it is behind a blank."""
        machine.on(state, WORD, word)
        if between:  # the true end may begin here
            machine.on(state, "t", took)
        else:
            machine.on(state, " ", blank)
        return state

    known(word)
    known(blank, between=True)
    state = known(took)
    for character in "ook":
        state = machine.on(state, character, known(machine.state()))
    state = machine.on(state, " ", known(machine.state(), between=True))
    for _ in range(TOOK):
        state = machine.on(state, DIGITS, known(machine.state()))
        machine.on(state, "u", unit)
    state = machine.on(known(unit), "s", known(machine.state()))
    state = machine.on(state, " ", known(machine.state(), between=True))
    for character in "status":
        state = machine.on(state, character, known(machine.state()))
    state = machine.path(state, "=")
    return machine.path(state, "OK"), machine.path(state, "ERROR")
