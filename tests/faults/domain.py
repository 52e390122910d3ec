# SPDX-License-Identifier: Apache-2.0
"""A shop whose books must balance, and a judge who reads them.

::

    order ──▶ stock of its item goes down     never below zero; an order for more than there is, is refused
          ──▶ money moves to the shop         the sum of all accounts stays what it was
          ──▶ points for the customer
          ──▶ one effect noted under its id   no unique key anywhere: a second time is a second row

The judge shares nothing with the handlers (``workers/domain.py``). It has the orders that were published, the letters,
and what lies in the store, and computes from the orders what must lie there.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

SHOP = "shop"
CUSTOMERS = tuple(f"customer-{n}" for n in range(10))
#: Of the rare ones there is less than is asked for: a third of ``RUN`` orders in a row want the same one, twice as much
#: as there is, so that again and again two are after the last pieces.
RARE, RUN = {f"rare-{n}": 8 for n in range(100)}, 25
PLENTY = {f"item-{n}": 1_000_000 for n in range(12)}
ITEMS = PLENTY | RARE
MONEY = 10_000_000

#: What orders meet, and how often: see ``workers.consumer.meet``.
KINDS = {"ok": 80, "flaky": 8, "wait": 5, "slow": 4, "bad": 3}


class Order(msgspec.Struct, frozen=True):
    """One order. ``n`` is its number, ``kind`` what its handler meets."""

    id: str
    n: int
    item: str
    count: int
    customer: str
    amount: int
    points: int
    kind: str = "ok"

    @property
    def seconds(self) -> float:
        """How long its handler thinks after it has looked at the stock: over rare items long enough for others."""
        return 0.1 if self.kind == "slow" else 0.01 if self.item in RARE else 0.0


def orders(rng: random.Random, count: int, start: int = 0, kinds: Mapping[str, int] | None = None, *,
           rare: bool = True) -> list[Order]:
    """Orders as chance makes them. rare: some want what there is too little of."""
    kinds = KINDS if kinds is None else kinds
    drawn = rng.choices(list(kinds), list(kinds.values()), k=count)
    return [Order(id=f"order-{n}", n=n, item=_item(rng, n, rare), count=rng.randint(1, 3),
                  customer=rng.choice(CUSTOMERS), amount=rng.randint(1, 500), points=rng.randint(1, 9), kind=kind)
            for n, kind in enumerate(drawn, start)]


def _item(rng: random.Random, n: int, rare: bool) -> str:
    return f"rare-{n // RUN % len(RARE)}" if rare and rng.random() < 1 / 3 else rng.choice(list(PLENTY))


@dataclass(frozen=True)
class Books:
    """What lies in a store: effects by order id, pieces by item, money and points by account."""

    effects: Mapping[str, int]
    stock: Mapping[str, int]
    money: Mapping[str, int]
    points: Mapping[str, int]


class Store(Protocol):
    """Where the books are kept, seen from outside."""

    def open(self) -> None:
        """Lays in the stock and fills the accounts."""
        ...

    def read(self) -> Books: ...

    def close(self) -> None: ...


# -- the judge -------------------------------------------------------------------------------------------------------


def judge(published: Mapping[str, Order], books: Books, dead: Collection[str], *, refusals: bool = True) -> list[str]:
    """Everything that is wrong, in words. refusals: stock only went down, so who was refused is refused for good."""
    applied, refused = set(books.effects), set(dead)
    faults = [f"{name} took effect {count} times" for name, count in books.effects.items() if count != 1]
    faults += [f"{name} was never published" for name in (applied | refused) - published.keys()]
    faults += [f"{name} is neither applied nor dead" for name in published.keys() - applied - refused]
    faults += [f"{name} is applied, and dead" for name in applied & refused]
    faults += [f"{item}: {left} pieces left" for item, left in books.stock.items() if left < 0]
    if sum(books.money.values()) != MONEY * len(CUSTOMERS):
        faults.append(f"the accounts add up to {sum(books.money.values())}, not {MONEY * len(CUSTOMERS)}")
    faults += _differs(published, books)
    if refusals:
        faults += _refused_for_nothing([published[name] for name in refused & published.keys()], books)
    return faults


def _differs(published: Mapping[str, Order], books: Books) -> list[str]:
    """Each number against what the applied orders make of it."""
    stock, money, points = Counter(ITEMS), Counter(dict.fromkeys(CUSTOMERS, MONEY)), Counter[str]()
    for order in [published[name] for name in books.effects if name in published]:
        stock[order.item] -= order.count
        money[order.customer] -= order.amount
        money[SHOP] += order.amount
        points[order.customer] += order.points
    pairs = (("stock", books.stock, stock), ("money", books.money, money), ("points", books.points, points))
    return [f"{what} of {name} is {found.get(name, 0)}, and must be {due[name]}"
            for what, found, due in pairs for name in found.keys() | due.keys() if found.get(name, 0) != due[name]]


def _refused_for_nothing(refused: Iterable[Order], books: Books) -> list[str]:
    return [f"{order.id} was refused {order.count} of {order.item}, and {books.stock[order.item]} are left"
            for order in refused if order.kind != "bad" and books.stock[order.item] >= order.count]


# -- stores ----------------------------------------------------------------------------------------------------------


@dataclass
class RedisStore:
    """Hashes that share a tag: ``{tag}:stock``, ``:money``, ``:points``, ``:effects``. ask: ``crew.ask``, bound."""

    ask: Any
    tag: str

    def open(self) -> None:
        for hashed, rows in (("stock", ITEMS), ("money", dict.fromkeys(CUSTOMERS, MONEY))):
            key = redis_key(self.tag, hashed)
            self.ask(key, "HSET", key, *[word for row in rows.items() for word in row])

    def read(self) -> Books:
        return Books(*[self._hash(name) for name in ("effects", "stock", "money", "points")])

    def _hash(self, name: str) -> dict[str, int]:
        key = redis_key(self.tag, name)
        flat = self.ask(key, "HGETALL", key)
        rows = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return {field.decode(): int(value) for field, value in rows}

    def close(self) -> None:
        """It is the test's own server."""


def redis_key(tag: str, name: str) -> str:
    return f"{{{tag}}}:{name}"


class SqlStore:
    """Three tables in a database of any kind, and those of ``once``."""

    def __init__(self, url: str) -> None:
        import sqlalchemy as sa

        from holdfast._sql import Database, Tables

        self.url = url
        self._text = sa.text
        self._tables = Tables()
        self._engine = Database(url, timeouts=None).plain_engine

    def open(self) -> None:
        from holdfast._sql import create_all

        with self._engine.begin() as connection:
            create_all(connection, self._tables)
            for statement in SCHEMA:
                connection.execute(self._text(statement))
            connection.execute(self._text("INSERT INTO stock VALUES (:name, :count)"),
                               [{"name": name, "count": count} for name, count in ITEMS.items()])
            connection.execute(self._text("INSERT INTO accounts VALUES (:name, :money, 0)"),
                               [{"name": SHOP, "money": 0}, *({"name": c, "money": MONEY} for c in CUSTOMERS)])

    def read(self) -> Books:
        with self._engine.connect().execution_options(holdfast_read_only=True) as connection:
            return read_tables(lambda statement: connection.execute(self._text(statement)).all())

    def close(self) -> None:
        self._engine.dispose()


#: No key on effects: what happens twice must show.
SCHEMA = ("CREATE TABLE stock (item VARCHAR(40) PRIMARY KEY, pieces BIGINT NOT NULL)",
          "CREATE TABLE accounts (name VARCHAR(40) PRIMARY KEY, money BIGINT NOT NULL, points BIGINT NOT NULL)",
          "CREATE TABLE effects (order_id VARCHAR(80) NOT NULL, pid INTEGER NOT NULL)")


def read_tables(ask: Any) -> Books:
    accounts = [tuple(row) for row in ask("SELECT name, money, points FROM accounts")]
    return Books(Counter(row[0] for row in ask("SELECT order_id FROM effects")),
                 {row[0]: row[1] for row in ask("SELECT item, pieces FROM stock")},
                 {name: money for name, money, _ in accounts},
                 {name: points for name, _, points in accounts if points})


class Callee:
    """Somebody else's service that honours keys: a file of its own, asked in one transaction a call.

    Every call is written down, with its key and who called. A key that was carried out is answered and not carried out
    again; another key for the same order is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in (*SCHEMA, "CREATE TABLE calls (key TEXT, order_id TEXT, pid INTEGER, at REAL, was TEXT)"):
            connection.execute(statement)
        connection.executemany("INSERT INTO stock VALUES (?, ?)", ITEMS.items())
        connection.executemany("INSERT INTO accounts VALUES (?, ?, 0)", [(SHOP, 0), *((c, MONEY) for c in CUSTOMERS)])
        connection.commit()
        connection.close()

    def read(self) -> Books:
        return read_tables(self._ask)

    def calls(self) -> list[tuple[str, str, int, float]]:
        """Every call in order that was not refused: key, order id, process, wall time."""
        return self._ask("SELECT key, order_id, pid, at FROM calls WHERE was <> 'sold out' ORDER BY rowid")

    def _ask(self, statement: str) -> list[Any]:
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Each look has a connection of its own."""


class NoBooks:
    """Where nothing is sold."""

    def open(self) -> None:
        """Nothing to lay in."""

    def read(self) -> Books:
        return Books({}, {}, {}, {})

    def close(self) -> None:
        """Nothing to close."""
