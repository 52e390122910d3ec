# SPDX-License-Identifier: Apache-2.0
"""A state machine over a table: of many movers one wins, whatever the database and the side it is spoken to from."""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from holdfast._base.events import Events, TransitionRefused
from holdfast._sql import Database, is_transient
from holdfast.consume.outcome import Reject, Retry
from holdfast.errors import ConfigurationError, EffectBusy, IllegalTransition
from holdfast.once.machine.machine import StateMachine, Step
from holdfast.once.machine.transition import Duplicate, Moved

ORDER = StateMachine("order", initial="created", steps=[
    Step("pay", "created", "paid"),
    Step("ship", "paid", "shipped"),
    Step("cancel", ("created", "paid"), "cancelled"),
])
DOOR = StateMachine("door", initial="open", steps=[Step("close", "open", "shut"), Step("reopen", "shut", "open")])
INVOICE = StateMachine("invoice", initial="open", steps=[
    Step("pay_by_card", "open", "paid"), Step("pay_by_bank", "open", "paid")])


class Base(DeclarativeBase):
    pass


class Light(enum.Enum):
    RED = 1
    GREEN = 2


class Door(enum.StrEnum):
    OPEN = "open"
    SHUT = "shut"


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(20))
    turn: Mapped[int] = mapped_column("version", default=0)
    note: Mapped[str | None] = mapped_column(sa.String(50))
    last: Mapped[str | None] = mapped_column(sa.String(20))


orders = Order.__table__
#: One row an effect that was done behind ``if moved``.
effects = sa.Table("effects", Base.metadata, sa.Column("id", sa.Integer, primary_key=True),
                   sa.Column("what", sa.String(50)))
lights = sa.Table("lights", Base.metadata, sa.Column("id", sa.Integer, primary_key=True),
                  sa.Column("state", sa.Enum(Light)), sa.Column("version", sa.BigInteger))
doors = sa.Table("doors", Base.metadata, sa.Column("house", sa.Integer, primary_key=True),
                 sa.Column("door", sa.Integer, primary_key=True), sa.Column("state", sa.String(10)),
                 sa.Column("version", sa.Integer))


def over(machine=ORDER, **more):
    return machine.over(orders, id=orders.c.id, state=orders.c.status, version=orders.c.version,
                        **{"on_illegal": "raise", "on_early": "raise", "on_missing": "raise"} | more)


@pytest.fixture
def database(url):
    """An empty database with the tables, and one order, number 1, that was just created."""
    found = Database(url)
    with found.plain_engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(sa.insert(orders).values(id=1, status="created", version=0))
    yield found
    found.plain_engine.dispose()


def stored(database, key=1):
    with database.plain_engine.connect() as connection:
        row = connection.execute(
            sa.select(orders.c.status, orders.c.version).where(orders.c.id == key)).one_or_none()
        return None if row is None else tuple(row)


def put(database, **values):
    with database.plain_engine.begin() as connection:
        connection.execute(sa.update(orders).values(**values))


def done(database):
    with database.plain_engine.connect() as connection:
        return Counter(connection.execute(sa.select(effects.c.what)).scalars())


def fire(database, machine, step, key=1, **more):
    """A transaction of its own."""
    with database.plain_engine.begin() as connection:
        return machine.fire(connection, key, step, **more)


# -- one step


def test_a_step_moves_the_row_and_raises_its_version_by_one(database):
    assert fire(database, over(), "pay", values={"note": "by card"}) == Moved("pay", "created", "paid", 1)
    assert stored(database) == ("paid", 1)
    assert fire(database, over(), "ship") == Moved("ship", "paid", "shipped", 2)
    assert stored(database) == ("shipped", 2)


def test_a_duplicate_succeeds_and_changes_nothing(database):
    fire(database, over(), "pay", values={"note": "first"})
    assert fire(database, over(), "pay", values={"note": "second"}) == Duplicate("pay", "paid", 1)
    assert stored(database) == ("paid", 1)
    fire(database, over(), "ship")
    assert fire(database, over(), "pay") == Duplicate("pay", "shipped", 2)
    with database.plain_engine.connect() as connection:
        assert connection.execute(sa.select(orders.c.note)).scalar_one() == "first"


def test_a_step_from_several_states_says_which_it_was(database):
    fire(database, over(), "pay")
    assert fire(database, over(), "cancel") == Moved("cancel", "paid", "cancelled", 2)


@pytest.mark.parametrize(("state", "step", "why"), [
    ("created", "ship", "early"), ("shipped", "cancel", "illegal"), ("lost", "pay", "illegal")])
def test_what_cannot_be_done_is_refused_and_changes_nothing(database, state, step, why):
    put(database, status=state, version=5)
    with pytest.raises(IllegalTransition, match=f"{step}: order 1 is {state}") as refused:
        fire(database, over(), step)
    assert (refused.value.why, refused.value.state) == (why, state)
    assert stored(database) == (state, 5)


def test_without_a_row_it_is_missing(database):
    with pytest.raises(IllegalTransition, match="there is no order 2") as refused:
        fire(database, over(), "pay", key=2)
    assert refused.value.why == "missing"


def test_a_rollback_takes_the_step_back(database):
    with database.plain_engine.connect() as connection:
        assert over().fire(connection, 1, "pay")
        connection.rollback()
    assert stored(database) == ("created", 0)
    assert fire(database, over(), "pay")


def test_a_request_made_for_an_older_version_moves_nothing(database):
    doors_of_orders = over(DOOR)
    put(database, status="open")
    for step in ("close", "reopen"):
        fire(database, doors_of_orders, step)
    assert fire(database, doors_of_orders, "close", version=0) == Duplicate("close", "open", 2)
    assert stored(database) == ("open", 2)
    assert fire(database, doors_of_orders, "close", version=2) == Moved("close", "open", "shut", 3)


def test_a_request_made_for_a_later_version_waits(database):
    with pytest.raises(IllegalTransition, match="at version 0, and the request was made for version 1") as refused:
        fire(database, over(), "ship", version=1)
    assert refused.value.why == "early"
    fire(database, over(), "pay")
    assert fire(database, over(), "ship", version=1)


def test_a_row_that_remembers_its_last_step_tells_steps_into_one_state_apart(database):
    put(database, status="open")
    invoices = over(INVOICE, last=orders.c.last)
    fire(database, invoices, "pay_by_card")
    assert fire(database, invoices, "pay_by_card") == Duplicate("pay_by_card", "paid", 1)
    with pytest.raises(IllegalTransition):
        fire(database, invoices, "pay_by_bank")
    assert fire(database, over(INVOICE), "pay_by_bank") == Duplicate("pay_by_bank", "paid", 1, certain=False)


def test_a_version_that_is_null_counts_from_0(database):
    lit = StateMachine("light", initial=Light.RED, states=Light, steps=[Step("go", Light.RED, Light.GREEN)]).over(
        lights, id=lights.c.id, state=lights.c.state, version=lights.c.version)
    with database.plain_engine.begin() as connection:
        connection.execute(sa.insert(lights).values(id=1, state=Light.RED))
        assert lit.fire(connection, 1, "go", version=0) == Moved("go", Light.RED, Light.GREEN, 1)
        assert lit.fire(connection, 1, "go") == Duplicate("go", Light.GREEN, 1)


def test_states_are_members_of_a_text_enumeration_over_a_text_column_and_ids_may_be_several(database):
    machine = StateMachine("door", initial=Door.OPEN, states=Door, steps=[Step("close", Door.OPEN, Door.SHUT)])
    shut = machine.over(doors, id=(doors.c.house, doors.c.door), state=doors.c.state, version=doors.c.version)
    with database.plain_engine.begin() as connection:
        connection.execute(sa.insert(doors), [{"house": 1, "door": d, "state": "open", "version": 0} for d in (1, 2)])
        assert shut.fire(connection, (1, 2), "close") == Moved("close", Door.OPEN, Door.SHUT, 1)
        answer = shut.fire(connection, (1, 2), "close")
        assert answer.state is Door.SHUT
        states = connection.execute(sa.select(doors.c.state).order_by(doors.c.door)).scalars().all()
        assert states == ["open", "shut"]
        with pytest.raises(ConfigurationError, match="its id has 2 columns, house, door"):
            shut.fire(connection, 1, "close")


def test_an_id_that_names_several_rows_moves_none(database):
    careless = StateMachine("door", initial="open", steps=[Step("close", "open", "shut")]).over(
        doors, id=doors.c.house, state=doors.c.state, version=doors.c.version)
    with database.plain_engine.begin() as connection:
        connection.execute(sa.insert(doors), [{"house": 1, "door": d, "state": "open", "version": 0} for d in (1, 2)])
    with pytest.raises(ConfigurationError, match="2 rows of doors have the id 1"), \
            database.plain_engine.begin() as connection:
        careless.fire(connection, 1, "close")
    with database.plain_engine.connect() as connection:
        assert set(connection.execute(sa.select(doors.c.state)).scalars()) == {"open"}


# -- refusals


def test_each_refusal_follows_its_policy_and_is_reported(database):
    heard = []
    machine = over(on_illegal="reject", on_early="park", on_missing="retry", park_s=3, events=Events(heard.append))
    with pytest.raises(Retry) as parked:
        fire(database, machine, "ship")
    assert (parked.value.after, parked.value.counts) == (3, False)
    with pytest.raises(Retry) as again:
        fire(database, machine, "pay", key=9)
    assert again.value.counts
    fire(database, machine, "pay")
    fire(database, machine, "pay")
    fire(database, machine, "ship")
    with pytest.raises(Reject, match="cancel: order 1 is shipped") as buried:
        fire(database, machine, "cancel")
    assert buried.value.code == "transition.illegal"
    assert all(isinstance(event, TransitionRefused) and event.machine == "order" for event in heard)
    assert [(e.transition, e.state, e.why) for e in heard] == [
        ("ship", "created", "early"), ("pay", "", "missing"), ("pay", "paid", "duplicate"),
        ("cancel", "shipped", "illegal")]


# -- many movers

MOVERS = 8


def test_of_many_movers_one_wins_and_its_effect_happens_once(database):
    """A storm: each step asked for eight times at once, in threads, the effect in the mover's transaction."""
    machine, start = over(on_early="retry"), threading.Barrier(MOVERS)

    def move(step):
        start.wait(20)
        return until_through(database, machine, step)

    with ThreadPoolExecutor(MOVERS) as pool:
        for step in ("pay", "ship"):
            answers = Counter(type(answer) for answer in pool.map(move, [step] * MOVERS))
            assert answers == {Moved: 1, Duplicate: MOVERS - 1}
    assert stored(database) == ("shipped", 2)
    assert done(database) == {"pay": 1, "ship": 1}


def test_reordered_and_repeated_requests_end_in_order(database):
    machine = over(on_early="retry")
    with ThreadPoolExecutor(MOVERS) as pool:
        list(pool.map(lambda step: until_through(database, machine, step), ["ship", "pay"] * MOVERS))
    assert stored(database) == ("shipped", 2)
    assert done(database) == {"pay": 1, "ship": 1}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_step_begins_no_transaction_that_its_write_would_be_too_late_for(database, tmp_path):
    """On an engine of the user's, SQLite's transactions begin with the first statement: it has to be the update."""
    ours = database.plain_engine
    database._plain_engine = sa.create_engine(f"sqlite:///{tmp_path}/db")
    start = threading.Barrier(MOVERS)

    def move(_):
        start.wait(20)
        with database.plain_engine.begin() as connection:  # no retries: nobody is refused for having read
            return type(over().fire(connection, 1, "pay"))

    with ThreadPoolExecutor(MOVERS) as pool:
        assert Counter(pool.map(move, range(MOVERS))) == {Moved: 1, Duplicate: MOVERS - 1}
    database._plain_engine.dispose()
    database._plain_engine = ours


def test_of_two_steps_that_exclude_each_other_one_wins(database):
    machine, start = over(on_illegal="reject"), threading.Barrier(MOVERS)

    def move(step):
        start.wait(20)
        try:
            return type(until_through(database, machine, step))
        except Reject:
            return Reject

    put(database, status="paid", version=1)
    with ThreadPoolExecutor(MOVERS) as pool:
        answers = Counter(pool.map(move, ["ship", "cancel"] * (MOVERS // 2)))
    assert answers == {Moved: 1, Duplicate: MOVERS // 2 - 1, Reject: MOVERS // 2}
    state, version = stored(database)
    assert version == 2
    assert done(database) == {{"shipped": "ship", "cancelled": "cancel"}[state]: 1}


def until_through(database, machine, step):
    """As a worker would: again a little later, while it is early, or the store was in conflict."""
    began = time.monotonic()
    while time.monotonic() - began < 20:
        try:
            with database.plain_engine.begin() as connection:
                answer = machine.fire(connection, 1, step)
                if answer:
                    connection.execute(sa.insert(effects).values(what=step))
            return answer
        except Retry:
            pass
        except sa.exc.DBAPIError as error:
            if not is_transient(error):
                raise
        time.sleep(0.005)  # who comes again at once keeps SQLite's one writer from the step that all wait for
    raise AssertionError(f"{step} never got through")


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_a_step_waits_for_the_mover_it_follows(database):
    """``ship`` finds ``pay`` not committed yet. Its read takes the row, so it decides on what ``pay`` came to."""
    with database.plain_engine.begin() as connection, ThreadPoolExecutor(1) as pool:
        assert over().fire(connection, 1, "pay")
        shipped = pool.submit(fire, database, over(), "ship")
        with pytest.raises(TimeoutError):
            shipped.result(0.3)
        connection.commit()
        assert shipped.result(20) == Moved("ship", "paid", "shipped", 2)


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_what_was_read_before_does_not_hide_what_is(database):
    """Under REPEATABLE READ a plain read would show ``created`` for ever, and the update find ``paid``."""
    with database.plain_engine.connect() as connection:
        if connection.execute(sa.text("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'")).first():
            connection.execute(sa.text("SET SESSION innodb_snapshot_isolation = OFF"))
            connection.commit()
        assert connection.get_isolation_level() == "REPEATABLE READ"
        assert connection.execute(sa.select(orders.c.status)).scalar_one() == "created"
        fire(database, over(), "pay")
        assert connection.execute(sa.select(orders.c.status)).scalar_one() == "created"
        assert over().fire(connection, 1, "pay") == Duplicate("pay", "paid", 1)


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_a_lost_race_is_read_again_and_decided_anew(database):
    """Another mover gets in between the update that found nothing and the read that asks why."""
    others = Interloper(database, "paid")
    connecting = database.plain_engine.connect().execution_options(isolation_level="READ COMMITTED")
    with connecting as connection, others.after_statements_of(connection, 1), connection.begin():
        assert over().fire(connection, 1, "ship") == Moved("ship", "paid", "shipped", 8)
    assert stored(database) == ("shipped", 8)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_without_a_transaction_a_race_that_is_lost_for_ever_ends(database):
    engine = sa.create_engine(database.plain_engine.url, isolation_level="AUTOCOMMIT")
    others = Interloper(database, "paid", "created")
    with engine.connect() as connection, others.after_statements_of(connection, 100), \
            pytest.raises(EffectBusy, match="moved by others 8 times"):
        over().fire(connection, 1, "ship")
    engine.dispose()


class Interloper:
    """Puts the row into the next of ``states`` after each statement of another connection, so many times at most. With
    two, the row is never where the update looks for it, and always there when it is read."""

    def __init__(self, database, *states):
        self.database, self.states = database, states

    @contextmanager
    def after_statements_of(self, connection, times):
        numbers = iter(range(times))

        def meddle(conn, cursor, statement, *_):
            number = next(numbers, None) if statement.startswith(("UPDATE", "SELECT")) else None
            if number is not None:
                put(self.database, status=self.states[number % len(self.states)], version=7)

        event.listen(connection, "after_cursor_execute", meddle)
        try:
            yield
        finally:
            event.remove(connection, "after_cursor_execute", meddle)


# -- both sides, and their sessions


@asynccontextmanager
async def each_kind(database, kind):
    """An open transaction: of a session or a connection, asynchronous."""
    engine = database.async_engine
    try:
        if kind is AsyncSession:
            async with AsyncSession(engine) as session, session.begin():
                yield session
        else:
            async with engine.begin() as connection:
                yield connection
    finally:
        await engine.dispose()


@pytest.mark.parametrize("kind", [AsyncSession, AsyncConnection])
def test_it_is_awaited_on_asynchronous_sessions_and_connections(database, kind):
    async def claim():
        async with each_kind(database, kind) as on:
            assert await over().fire(on, 1, "pay", values={"note": "async"}) == Moved("pay", "created", "paid", 1)
            assert await over().fire(on, 1, "pay") == Duplicate("pay", "paid", 1)
            with pytest.raises(IllegalTransition):
                await over(on_missing="raise").fire(on, 7, "pay")

    asyncio.run(claim())
    assert stored(database) == ("paid", 1)


def test_of_many_asynchronous_movers_one_wins(database):
    machine = over()

    async def move(session):
        async with session, session.begin():
            if moved := await machine.fire(session, 1, "pay"):
                await session.execute(sa.insert(effects).values(what="pay"))
            return bool(moved)

    async def claim():
        engine = database.async_engine
        answers = await asyncio.gather(*(move(AsyncSession(engine)) for _ in range(MOVERS)))
        assert Counter(answers) == {True: 1, False: MOVERS - 1}
        await engine.dispose()

    asyncio.run(claim())
    assert (stored(database), done(database)) == (("paid", 1), {"pay": 1})


def mapped(**more):
    return ORDER.over(Order, id=Order.id, state=Order.status, version=Order.turn,
                      **{"on_missing": "raise", "last": Order.last} | more)


def test_a_row_that_a_session_has_just_added_can_be_moved(database):
    with Session(database.plain_engine) as session, session.begin():
        session.add(Order(id=2, status="created"))
        assert mapped().fire(session, 2, "pay")
    assert stored(database, 2) == ("paid", 1)


def test_an_object_that_the_session_holds_is_told_and_not_written_again(database):
    with Session(database.plain_engine) as session, session.begin():
        order = session.get(Order, 1)
        mapped().fire(session, 1, "pay", values={"note": sa.func.upper("loud")})
        assert (order.status, order.turn, order.last, order.note) == ("paid", 1, "pay", "LOUD")
        assert not session.is_modified(order)
        order.note = "quiet"
    assert stored(database) == ("paid", 1)


def test_an_asynchronous_session_s_object_needs_no_further_query(database):
    async def claim():
        async with AsyncSession(database.async_engine) as session, session.begin():
            order = await session.get(Order, 1)
            await mapped().fire(session, 1, "pay", values={"note": "kept"})
            assert (order.status, order.turn, order.note) == ("paid", 1, "kept")
        await database.async_engine.dispose()

    asyncio.run(claim())


# -- declaring


def test_columns_that_cannot_hold_it_are_refused_with_advice():
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("state", sa.String(5)), sa.Column("few", sa.Enum("created", "paid", name="few")),
                     sa.Column("light", sa.Enum(Light)), sa.Column("text", sa.Text), sa.Column("n", sa.Integer))
    c = table.c
    for advice, columns in {
        "version column t.text is Text.*make it an integer": {"state": c.text, "version": c.text},
        "t.state cannot hold 'created': .*make it longer": {"state": c.state, "version": c.n},
        "t.few cannot hold 'shipped': it is one of created, paid": {"state": c.few, "version": c.n},
        "t.light cannot hold 'created': it is one of RED, GREEN": {"state": c.light, "version": c.n},
        "t.state cannot hold 'cancel'": {"state": c.text, "version": c.n, "last": c.state},
        "orders.version is no column of t": {"state": c.text, "version": orders.c.version},
    }.items():
        with pytest.raises(ConfigurationError, match=advice):
            ORDER.over(table, id=c.id, **columns)
    with pytest.raises(ConfigurationError, match="cannot hold 'RED': give it the type Enum"):
        StateMachine("light", initial=Light.RED, steps=[Step("go", Light.RED, Light.GREEN)]).over(
            table, id=c.id, state=c.text, version=c.n)
    with pytest.raises(ConfigurationError, match="of a Table or a mapped class"):
        ORDER.over(dict, id=c.id, state=c.text, version=c.n)
    with pytest.raises(ConfigurationError, match="on_early='wait': name one of park, retry, reject, raise"):
        ORDER.over(table, id=c.id, state=c.text, version=c.n, on_early="wait")


def test_a_mappers_own_counter_is_no_version_of_the_machines():
    class Other(DeclarativeBase):
        pass

    class Counted(Other):
        __tablename__ = "counted"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str]
        version = mapped_column(sa.Integer)
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  as SQLAlchemy wants it

    with pytest.raises(ConfigurationError, match="version_id_col, which counts every flush"):
        ORDER.over(Counted, id=Counted.id, state=Counted.status, version=Counted.version)


@pytest.mark.parametrize(("step", "values", "advice"), [
    ("pya", {}, "no step 'pya'"), ("pay", {"status": "x"}, "this column is the machine's"),
    ("pay", {"nope": 1}, "orders has no such column")])
def test_what_the_caller_got_wrong_is_told_before_anything_is_asked(step, values, advice):
    with pytest.raises(ConfigurationError, match=advice):
        over().fire(None, 1, step, values=values)
