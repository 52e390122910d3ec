# SPDX-License-Identifier: Apache-2.0
"""A fence in the user's transaction, on real databases: an earlier holder cannot write after a later one."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast._base.events import Events, FenceRejection
from holdfast._sql import Database, Tables, Timeouts, create_all
from holdfast.errors import ConfigurationError, FenceRejected
from holdfast.locks.guards import FenceMiddleware, Offer, SqlGuard, Verdict, decide
from holdfast.locks.guards.offer import TOKEN_MAX

SOON_S = 20.0

metadata = sa.MetaData()
#: What is guarded. Rows are numbered in the order in which they were written.
postings = sa.Table("postings", metadata, sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("token", sa.BigInteger))


class Bank:
    """A user's database, with our tables in it."""

    def __init__(self, url):
        self.database = Database(url, timeouts=Timeouts(lock_s=SOON_S))
        self.tables = Tables()
        self.told: list[FenceRejection] = []
        self.guard = SqlGuard(events=Events(self.told.append))
        with self.database.plain_engine.begin() as connection:
            create_all(connection, self.tables)
            metadata.create_all(connection)

    def post(self, offer, *, resource="account:7", checked=None):
        """One guarded write in a transaction of its own; ``checked`` is called between check and write."""
        with self.database.plain_engine.begin() as connection:
            self.guard.check_plain(connection, resource, offer)
            if checked is not None:
                checked()
            connection.execute(sa.insert(postings).values(token=offer.token))

    def posted(self):
        with self.database.plain_engine.connect() as connection:
            return list(connection.execute(sa.select(postings.c.token).order_by(postings.c.id)).scalars())

    def stored(self):
        fence = self.tables.lock_fence
        with self.database.plain_engine.connect() as connection:
            return {row.resource: Offer(row.token, row.acquisition) for row in connection.execute(sa.select(fence))}


@pytest.fixture
def bank(url):
    made = Bank(url)
    yield made
    asyncio.run(made.database.close())


class Posting(threading.Thread):
    """``bank.post`` in a thread; ``wait`` answers with what it raised."""

    def __init__(self, bank, offer, **how):
        super().__init__()
        self.bank, self.offer, self.how = bank, offer, how
        self.error = None
        self.start()

    def run(self):
        try:
            self.bank.post(self.offer, **self.how)
        except Exception as error:  # noqa: BLE001  whatever it was is what the test asks about
            self.error = error

    def wait(self):
        self.join(SOON_S + 5)
        assert not self.is_alive()
        return self.error


def test_a_late_holder_is_refused_with_its_transaction(bank):
    bank.post(Offer(8, "b"))
    with pytest.raises(FenceRejected, match="token 8, and this holder has 7"):
        bank.post(Offer(7, "a"))
    assert bank.posted() == [8]
    assert bank.told == [FenceRejection(where="sql", resource="account:7", offered=7, stored=8)]


def test_a_rival_with_the_same_token_is_refused_and_a_retry_is_not(bank):
    bank.post(Offer(8, "b"))
    with pytest.raises(FenceRejected, match="another acquisition"):
        bank.post(Offer(8, "a"))
    bank.post(Offer(8, "b"))
    assert bank.posted() == [8, 8]
    assert bank.stored() == {"account:7": Offer(8, "b")}


def test_an_earlier_writer_that_comes_while_a_later_one_is_open_waits_and_is_refused(bank):
    """Otherwise its check would pass on what was committed so far, and its write come after the later one's."""
    bank.post(Offer(6, "before"))
    checked, go_on = threading.Event(), threading.Event()

    def meanwhile():
        checked.set()
        assert go_on.wait(SOON_S)

    later = Posting(bank, Offer(8, "b"), checked=meanwhile)
    assert checked.wait(SOON_S)
    earlier = Posting(bank, Offer(7, "a"))
    earlier.join(0.3)
    assert earlier.is_alive(), "it did not wait for the row"
    go_on.set()
    assert later.wait() is None
    assert isinstance(earlier.wait(), FenceRejected)
    assert bank.posted() == [6, 8]


def test_a_later_writer_waits_for_an_earlier_one_that_is_open_and_the_earlier_one_is_over_then(bank):
    bank.post(Offer(6, "before"))
    checked, go_on = threading.Event(), threading.Event()

    def meanwhile():
        checked.set()
        assert go_on.wait(SOON_S)

    earlier = Posting(bank, Offer(7, "a"), checked=meanwhile)
    assert checked.wait(SOON_S)
    later = Posting(bank, Offer(8, "b"))
    later.join(0.3)
    assert later.is_alive(), "it did not wait for the row"
    go_on.set()
    assert (earlier.wait(), later.wait()) == (None, None)
    assert bank.posted() == [6, 7, 8]
    assert isinstance(Posting(bank, Offer(7, "a")).wait(), FenceRejected)


def test_of_first_writers_that_race_none_is_let_in_behind_a_later_one(bank):
    """The row is absent: all of them insert it. None dies of a deadlock, none comes after a larger token."""
    for round_ in range(5):
        start = threading.Barrier(6)
        resource = f"account:{round_}"
        errors = []
        before = len(bank.posted())

        def one(token, resource=resource, start=start, errors=errors):
            start.wait(SOON_S)
            try:
                bank.post(Offer(token, f"t{token}"), resource=resource)
            except FenceRejected:
                return
            except Exception as error:  # noqa: BLE001  named below
                errors.append(error)

        threads = [threading.Thread(target=one, args=(token,)) for token in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_S + 5)
        assert errors == []
        posted = bank.posted()[before:]
        assert posted == sorted(posted)
        assert posted[-1] == 6 == bank.stored()[resource].token


def test_what_is_rolled_back_raises_no_fence(bank):
    def fail():
        raise OSError("the bank hung up")

    with pytest.raises(OSError, match="hung up"):
        bank.post(Offer(8, "b"), checked=fail)
    bank.post(Offer(7, "a"))
    assert bank.posted() == [7]


def test_each_resource_has_a_fence_of_its_own_whatever_its_name(bank):
    names = ["a", "A", "a ", "ä", "x" * 300, "x" * 300 + "y", "nul\0"]
    for token, name in enumerate(reversed(names), 1):
        bank.post(Offer(token, "a"), resource=name)
    assert len(bank.stored()) == len(names)


def test_the_largest_token_is_kept(bank):
    bank.post(Offer(TOKEN_MAX, "z" * 128))
    with pytest.raises(FenceRejected):
        bank.post(Offer(TOKEN_MAX - 1, "a"))
    assert bank.stored() == {"account:7": Offer(TOKEN_MAX, "z" * 128)}


def test_a_database_takes_what_the_rule_takes(bank, rng):
    stored = None
    for _ in range(80):
        offer = Offer(rng.randint(1, 4), rng.choice("abc"))
        verdict = decide(stored, offer)
        if verdict.accepted:
            bank.post(offer)
        else:
            with pytest.raises(FenceRejected) as refused:
                bank.post(offer)
            assert refused.value.stored == stored.token
        stored = offer if verdict is Verdict.NEWER else stored
        assert bank.stored() == {"account:7": stored}


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_a_snapshot_taken_before_the_check_lets_no_late_holder_in(bank, level):
    """It read before the later one wrote; its check must not be answered from that snapshot."""
    bank.post(Offer(6, "before"))
    engine = bank.database.plain_engine.execution_options(isolation_level=level)
    refusals = (FenceRejected, sa.exc.OperationalError)  # the second: the snapshot is too old
    with engine.connect() as late, pytest.raises(refusals), late.begin():  # noqa: PT012
        late.execute(sa.select(bank.tables.inbox.c.entry)).all()
        bank.post(Offer(8, "b"))
        bank.guard.check_plain(late, "account:7", Offer(7, "a"))
        late.execute(sa.insert(postings).values(token=7))
    assert bank.posted() == [6, 8]


# -- the other ways in -----------------------------------------------------------------------------------------------


def test_a_plain_session_is_checked_like_its_connection(bank):
    with Session(bank.database.plain_engine) as session, session.begin():
        bank.guard.check_plain(session, "account:7", Offer(8, "b"))
        session.execute(sa.insert(postings).values(token=8))
    with pytest.raises(FenceRejected), Session(bank.database.plain_engine) as session, session.begin():
        bank.guard.check_plain(session, "account:7", Offer(7, "a"))
    assert bank.posted() == [8]


def test_asynchronous_sessions_and_connections_are_checked_alike(bank):
    async def main():
        engine = bank.database.async_engine
        async with AsyncSession(engine) as session, session.begin():
            await bank.guard.check(session, "account:7", Offer(8, "b"))
            await session.execute(sa.insert(postings).values(token=8))
        with pytest.raises(FenceRejected):
            async with engine.begin() as connection:
                await bank.guard.check(connection, "account:7", Offer(7, "a"))
        with pytest.raises(ConfigurationError, match="check_plain"):
            await bank.guard.check(object(), "account:7", Offer(9, "c"))
        await bank.database.close()

    asyncio.run(main())
    assert bank.posted() == [8]
    with pytest.raises(ConfigurationError, match=r"await guard\.check"):
        bank.guard.check_plain(object(), "account:7", Offer(9, "c"))


@pytest.mark.parametrize("where", ["engine", "options"])
def test_a_connection_that_commits_by_itself_is_refused(bank, url, where):
    url_ = bank.database.plain_engine.url
    engine = sa.create_engine(url_, isolation_level="AUTOCOMMIT") if where == "engine" else (
        sa.create_engine(url_).execution_options(isolation_level="AUTOCOMMIT"))
    with engine.connect() as connection, pytest.raises(ConfigurationError, match="commits each statement by itself"):
        bank.guard.check_plain(connection, "account:7", Offer(7, "a"))
    engine.dispose()
    assert bank.stored() == {}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_driver_that_begins_nothing_is_refused(bank):
    engine = sa.create_engine(bank.database.plain_engine.url, connect_args={"isolation_level": None})
    with engine.begin() as connection, pytest.raises(ConfigurationError, match="commits each statement by itself"):
        bank.guard.check_plain(connection, "account:7", Offer(7, "a"))
    engine.dispose()


def test_alone_it_keeps_the_fences_of_an_http_service(bank):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        guarded = FenceMiddleware(app, bank.guard.alone(bank.database.async_engine))
        statuses = []

        async def send(message):
            statuses.extend([message["status"]] if "status" in message else [])

        for fence in (b"8;b", b"7;a", b"8;b"):
            scope = {"type": "http", "method": "PUT", "path": "/accounts/7", "headers": [(b"fencing-token", fence)]}
            await guarded(scope, None, send)
        await bank.database.close()
        return statuses

    assert asyncio.run(main()) == [204, 409, 204]
