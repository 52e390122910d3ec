# SPDX-License-Identifier: Apache-2.0
"""What the user may hand in as a database, and what is refused."""

from __future__ import annotations

import builtins
import importlib
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool

from holdfast._sql import Database
from holdfast.errors import ConfigurationError, MissingExtra
from tests.support.modules import imported_anew


@pytest.mark.parametrize(("url", "asynchronous", "plain"), [
    ("postgresql://h/d", "postgresql+psycopg", "postgresql+psycopg"),
    ("postgres://h/d", "postgresql+psycopg", "postgresql+psycopg"),
    ("postgresql+psycopg://h/d", "postgresql+psycopg", "postgresql+psycopg"),
    ("mysql://h/d", "mysql+asyncmy", "mysql+pymysql"),
    ("mariadb+pymysql://h/d", "mariadb+asyncmy", "mariadb+pymysql"),
    ("sqlite:///f", "sqlite+aiosqlite", "sqlite+pysqlite"),
    ("sqlite+aiosqlite:///f", "sqlite+aiosqlite", "sqlite+pysqlite"),
])
def test_a_url_reaches_both_sides(url, asynchronous, plain):
    database = Database(url)
    assert database.owned
    assert database.has_async
    assert database.has_plain
    assert database.async_engine.url.drivername == asynchronous
    assert database.plain_engine.url.drivername == plain


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory", "oracle://h/d",
                                 "nonsense"])
def test_what_cannot_keep_an_effect_is_refused(url):
    with pytest.raises(ConfigurationError):
        Database(url)


def test_an_engine_whose_transactions_share_a_connection_is_refused():
    for engine in (create_async_engine("sqlite+aiosqlite://"), sa.create_engine("sqlite://"),
                   sa.create_engine("sqlite:///f", poolclass=StaticPool)):
        with pytest.raises(ConfigurationError, match="shares one connection"):
            Database(engine)


def test_an_engine_has_the_one_side_it_has():
    plain = Database(sa.create_engine("sqlite:///f"))
    assert (plain.has_plain, plain.has_async, plain.owned) == (True, False, False)
    with pytest.raises(ConfigurationError, match="AsyncEngine"):
        _ = plain.async_engine
    asynchronous = Database(create_async_engine("sqlite+aiosqlite:///f"))
    assert (asynchronous.has_plain, asynchronous.has_async) == (False, True)
    with pytest.raises(ConfigurationError, match="plain handler"):
        _ = asynchronous.plain_engine


def test_a_session_maker_brings_its_engine():
    engine = create_async_engine("sqlite+aiosqlite:///f")
    assert Database(async_sessionmaker(engine)).async_engine is engine
    for maker in (sessionmaker(), async_sessionmaker()):
        with pytest.raises(ConfigurationError, match="bind"):
            Database(maker)


def test_something_else_is_refused():
    with pytest.raises(ConfigurationError, match="int"):
        Database(7)


def test_a_password_does_not_reach_the_error():
    with pytest.raises(ConfigurationError) as caught:
        Database("oracle://app:secret@h/d")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == "aiosqlite":
            raise ModuleNotFoundError("No module named 'aiosqlite'", name="aiosqlite")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"aiosqlite.*holdfast\[sql\]"):
        _ = Database("sqlite:///f").async_engine


@pytest.mark.parametrize("library", ["sqlalchemy", "greenlet"])
def test_without_the_extra_the_room_opens_and_its_use_names_the_extra(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with imported_anew("holdfast._sql", "holdfast.once"):
        once = importlib.import_module("holdfast.once")
        with pytest.raises(MissingExtra, match=r"holdfast\[sql\]"):
            _ = once.SqlOnce
