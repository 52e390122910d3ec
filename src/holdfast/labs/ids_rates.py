# SPDX-License-Identifier: Apache-2.0
"""What one thread meets: how fast ids come, how long one takes, how soon the first one is there, how long it is, and
what it gives away.

``throughput`` and ``start`` take turns in rounds, each beginning with another family; the median counts. A family is
opened anew for each of them, connections included, as a process does that starts.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat

from ..errors import HoldfastError
from ..ids.forms import FORMS
from .cells import Cell
from .ids_count import TRIED, counted, guessed, packed, percentile, step_of, tells
from .ids_families import At, Draw, Family

RATE, START, SIZE, GUESS = "throughput", "start", "size", "guessing"
#: Calls that are timed one by one, at most; and those that a round is made longer for, by so many times at most.
SAMPLE_MAX, SAMPLE_LEAST, SLOW = 50_000, 1_000, 10
#: Ids between two looks at the clock grow up to this.
CHUNK_MAX = 4_096
#: Seconds between two ids of somebody who is watched: some 300 ids a second.
PAUSE_S = (0.002, 0.005)
#: So often somebody looks how many others there were in between, and how many there are then.
LOOKS, OTHERS = 3, (5, 15)


class Rates:
    """Measures ``families`` at ``at``. box_s: of one round of one of them. failed: why one has no figures."""

    def __init__(self, at: At, families: Sequence[Family], rng: random.Random, box_s: float) -> None:
        self._at, self._families, self._rng, self._box_s = at, list(families), rng, box_s
        self.failed: dict[str, str] = {}
        self._found: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
        self._ids: defaultdict[tuple[str, str], list[int]] = defaultdict(list)

    def round(self, number: int) -> list[Callable[[], None]]:
        """Steps: each family once, beginning with another one each time."""
        at = number % len(self._families)
        return [partial(self._once, family) for family in [*self._families[at:], *self._families[:at]]]

    def sizes(self) -> None:
        """What ids of a family are given, in bits and in digits. Nothing is asked for."""
        for family in self._families:
            self._note(family, SIZE, "bits", family.bits)
            if family.most_per_s is not None:
                self._note(family, SIZE, "most_per_s", family.most_per_s)
            self._note(family, SIZE, "decimal", len(str((1 << family.bits) - 1)))
            for form in ("base32", "base62"):
                self._note(family, SIZE, form, FORMS[form].width(family.bits))

    def guesses(self, family: Family, count: int) -> None:
        """What a stranger can tell who has seen some ids of a caller that is not in a hurry."""
        try:
            with family.open(self._at, 0) as drawing:
                self._guessed(family, drawing(), count)
        except HoldfastError as error:
            self.failed[family.name] = str(error)

    def cells(self) -> list[Cell]:
        """Medians of rounds; duplicates among all ids of a scenario."""
        found = {key: round(statistics.median(values), 4) for key, values in self._found.items()}
        widths = {family.name: family.width for family in self._families}
        for (scheme, scenario), ids in self._ids.items():
            found[scheme, scenario, "duplicates"] = counted([packed(ids, widths[scheme])], widths[scheme]).duplicates
        return [Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=_UNITS[metric])
                for (scheme, scenario, metric), value in found.items()]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _once(self, family: Family) -> None:
        try:
            began = time.perf_counter()
            with family.open(self._at, 0) as drawing:
                draw = drawing()
                first = draw()
                self._note(family, START, "first_id_ms", (time.perf_counter() - began) * 1e3)
                self._ids[family.name, START].append(first)
                self._rated(family, draw)
        except HoldfastError as error:
            self.failed[family.name] = str(error)

    def _rated(self, family: Family, draw: Draw) -> None:
        self._note(family, RATE, "ids_per_s", per_s(draw, self._box_s))
        took, ids = sampled(draw, self._box_s)
        for metric, part in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)):
            if (value := percentile(took, part, beyond=1)) is not None:
                self._note(family, RATE, metric, value / 1e3)
        self._ids[family.name, RATE] += ids

    def _guessed(self, family: Family, draw: Draw, count: int) -> None:
        seen = [self._slowly(draw) for _ in range(count)]
        step, told = step_of(seen), 0
        for _ in range(LOOKS):
            others = self._rng.randrange(*OTHERS)
            first = draw()
            between = [self._slowly(draw) for _ in range(others)]
            last = draw()
            told += tells(first, last, others + 1, step)
            self._ids[family.name, GUESS] += [first, *between, last]
        self._ids[family.name, GUESS] += seen
        self._note(family, GUESS, "next_guessed", guessed(seen))
        self._note(family, GUESS, "hit_in_1000", guessed(seen, TRIED))
        self._note(family, GUESS, "volume_told", told / LOOKS)

    def _slowly(self, draw: Draw) -> int:
        time.sleep(self._rng.uniform(*PAUSE_S))
        return draw()

    def _note(self, family: Family, scenario: str, metric: str, value: float) -> None:
        self._found[family.name, scenario, metric].append(value)


def per_s(draw: Draw, box_s: float) -> float:
    """Ids a second, over ``box_s`` or a little more."""
    made, chunk = 0, 1
    began = now = time.perf_counter()
    while now < began + box_s:
        for _ in repeat(None, chunk):
            draw()
        made, before, now = made + chunk, now, time.perf_counter()
        if now - before < box_s / 50:  # a store that is asked each time is not asked for longer than the box
            chunk = min(2 * chunk, CHUNK_MAX)
    return made / (now - began)


def sampled(draw: Draw, box_s: float) -> tuple[list[int], list[int]]:
    """Nanoseconds of single calls in order of size, and their ids. A slow store is asked for longer."""
    took, ids, clock = list[int](), list[int](), time.perf_counter_ns
    first, box = clock(), int(box_s * 1e9)
    while (began := clock()) < first + (box if len(took) >= SAMPLE_LEAST else SLOW * box) and len(took) < SAMPLE_MAX:
        ids.append(draw())
        took.append(clock() - began)
    took.sort()
    return took, ids


_UNITS = {"ids_per_s": "1/s", "p50_us": "µs", "p99_us": "µs", "p999_us": "µs", "first_id_ms": "ms", "bits": "bits",
          "most_per_s": "1/s", "decimal": "digits", "base32": "digits", "base62": "digits", "next_guessed": "of ids",
          "hit_in_1000": "of ids", "volume_told": "of looks", "duplicates": "ids"}
