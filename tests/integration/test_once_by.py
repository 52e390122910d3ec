# SPDX-License-Identifier: Apache-2.0
"""``by=``: what an effect is known by, under every mode: an extractor for each message type, a name within type and
group, and a message without its business id refused or known by its own, as the handler says.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast._sql import Tables, create_all
from holdfast.once import Held, IdempotencyKey, Writes, in_redis, in_sql, locked, outside
from tests.support.protocol import Service, desk_at, eventually

GROUPS = ("billing", "mailing")
#: An order paid is known by its payment, one refunded by the request for it.
BY = {"paid": lambda fact: fact.payment, "refunded": lambda fact: fact.request}


class Fact(msgspec.Struct, frozen=True):
    kind: str
    payment: str = ""
    request: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.payment or self.request}"


#: Payment 7 and request 7 are two things. Two have no business id, and one a type that nobody said how to name.
FACTS = [*[Fact("paid", payment="7")] * 3, *[Fact("refunded", request="7")] * 3, Fact("paid", payment="8"),
         *[Fact("paid", request="7")] * 2, Fact("other", payment="7")]
ONCE_EACH = {"paid:7": 1, "refunded:7": 1, "paid:8": 1}


class Effects:
    """Effects of each group by name, wherever the mode has them."""

    def __init__(self, mode: str, stream: str, folder: Path) -> None:
        self.mode, self.key = mode, f"{{{stream}}}:effects"
        self.seen: Counter[tuple[str, str]] = Counter()
        self.url = f"sqlite:///{folder}/effects.db"
        self._engine = create_engine(self.url)
        with self._engine.begin() as connection:
            create_all(connection, Tables())
            connection.execute(text("CREATE TABLE effects (of_group TEXT, name TEXT)"))

    def handler(self, group: str) -> Any:
        async def in_hash(fact: Fact, writes: Writes) -> None:
            writes.hincrby(self.key, f"{group} {fact.name}", 1)

        async def in_table(fact: Fact, session: AsyncSession) -> None:
            await session.execute(text("INSERT INTO effects VALUES (:group, :name)"),
                                  {"group": group, "name": fact.name})

        async def by_call(fact: Fact, key: IdempotencyKey) -> None:
            assert key
            self.seen[group, fact.name] += 1

        async def under_lock(fact: Fact, held: Held) -> None:
            held.check()
            self.seen[group, fact.name] += 1

        return {"redis": in_hash, "sql": in_table, "outside": by_call, "locked": under_lock}[self.mode]

    async def of(self, group: str, desk: Any) -> dict[str, int]:
        seen = self.seen
        if self.mode == "redis":
            flat = await desk.call("HGETALL", self.key)
            seen = Counter({tuple(name.decode().split(" ", 1)): int(count)  # type: ignore[misc]
                            for name, count in zip(flat[::2], flat[1::2], strict=True)})
        if self.mode == "sql":
            with self._engine.connect() as connection:
                seen = Counter(tuple(row) for row in connection.execute(text("SELECT of_group, name FROM effects")))
        return {name: count for (of, name), count in seen.items() if of == group}


MODES = {"redis": in_redis, "sql": in_sql, "outside": outside, "locked": locked}


@pytest.fixture(params=MODES)
def effects(request, stream, tmp_path: Path) -> Effects:
    return Effects(request.param, stream, tmp_path)


@pytest.mark.parametrize("missing", ["refuse", "identity"])
def test_an_effect_is_known_by_its_types_business_id_within_its_group(effects, missing, backend, stream, arun):
    async def scenario():
        service = Service(backend.url, sql=effects.url)
        for group in GROUPS:
            mode = MODES[effects.mode](by=BY, missing=missing)
            service.consumer(stream, group=group, once=mode)(effects.handler(group))
        async with service, desk_at(backend.url, stream, GROUPS[0]) as one, desk_at(
                backend.url, stream, GROUPS[1]) as other:
            for fact in FACTS:
                await service.hf.publish(stream, fact, type=fact.kind)
            await eventually(one.is_through, "the one group is through")
            await eventually(other.is_through, "and the other")
            for group, desk in zip(GROUPS, (one, other), strict=True):
                refused = [letter["x-dlq-exception-type"] for letter in await desk.letters()]
                if missing == "refuse":
                    assert await effects.of(group, desk) == ONCE_EACH
                    assert refused == ["holdfast.errors.BusinessIdMissing"] * 3
                else:
                    assert await effects.of(group, desk) == {**ONCE_EACH, "paid:7": 3, "other:7": 1}
                    assert not refused

    arun(scenario())
