# SPDX-License-Identifier: Apache-2.0
"""Small values that several instances share under a name, each changed by one of them at a time.

What a breaker counts lies here, and whatever else is worth a row and no table. A change is a plain function of the
value and the time; it runs inside the transaction that writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._base.typed import from_json
from ..._sql.steps import clock_ms
from ..._sql.tables import fit
from . import tables
from .desk import Desk, insert_new

V = TypeVar("V", bound=msgspec.Struct)
R = TypeVar("R")


def changed(connection: Connection, name: str, kind: type[V], change: Callable[[V, int], tuple[V, R]]) -> R:
    """The value called ``name``, changed, within a transaction. Others who would change it wait for its end."""
    name = fit(name, tables.NAME_BYTES)
    mark = tables.mark.c
    # So that there is a row to lock.
    connection.execute(insert_new(connection, tables.mark), {"name": name, "value": "{}"})
    query = sa.select(mark.value).where(mark.name == name).with_for_update()
    before = from_json(connection.execute(query).scalar_one(), kind)
    after, answer = change(before, clock_ms(connection))
    if after != before:
        connection.execute(tables.mark.update().where(mark.name == name),
                           {"value": msgspec.json.encode(after).decode()})
    return answer


async def change(desk: Desk, name: str, kind: type[V], how: Callable[[V, int], tuple[V, R]]) -> R:
    """As ``changed``, in a transaction of its own."""
    return await desk.step(lambda connection: changed(connection, name, kind, how))


async def values(desk: Desk, before: str, kind: type[V]) -> dict[str, V]:
    """Those whose name begins so, by the rest of it."""
    query = sa.select(tables.mark).where(tables.mark.c.name.startswith(before, autoescape=True))

    def work(connection: Connection) -> dict[str, V]:
        return {row.name[len(before):]: from_json(row.value, kind)
                for row in connection.execute(query)}

    return await desk.step(work)
