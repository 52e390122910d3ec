# SPDX-License-Identifier: Apache-2.0
"""``holdfast outbox``: what waits, and a relay from the shell."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from holdfast.testing.ports import free_port
from tests.cli.conftest import COMMAND, environment
from tests.support.nursery import Born

sa = pytest.importorskip("sqlalchemy")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/app.db"


@pytest.fixture
def add(holdfast, url):
    """Writes messages to the outbox as a service does."""
    from holdfast import Holdfast

    holdfast("sql", "init", "--sql", url)
    engine = sa.create_engine(url)
    outbox = Holdfast("redis://nobody.invalid", sql=engine).outbox

    def write(stream, *values, **how):
        with engine.begin() as connection:
            return [outbox.add(connection, stream, value, **how) for value in values]

    yield write
    engine.dispose()


def test_what_waits_is_listed_without_any_server(holdfast, add, url):
    add("orders", {"n": 1}, {"n": 2})
    add("mails", {"n": 3})
    said = holdfast("outbox", "ls", "--sql", url, "--json")
    assert (said.code, said.err) == (0, "")
    assert [(line["stream"], line["rows"]) for line in said.json] == [("orders", 2), ("mails", 1)]
    assert said.json[0]["oldest_s"] >= 0
    assert said.json[0]["bytes"] > 0
    assert holdfast("outbox", "ls", HOLDFAST_SQL=url).out.split()[:4] == ["stream", "rows", "bytes", "oldest_s"]


def test_until_empty_relays_what_is_there_and_ends(at, add, backend, stream, url):
    ids = add(stream, 1, 2, 3)
    said = at("outbox", "relay", "--sql", url, "--until-empty", "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 0
    assert [line["count"] for line in lines if line["event"] == "outbox_relayed"] == [3]
    assert [fields[b"id"].decode() for _, fields in backend.admin.xrange(stream)] == ids
    assert at("outbox", "ls", "--sql", url, "--json").json == []


def test_until_empty_answers_1_when_a_stream_refuses(at, add, backend, stream, url):
    backend.admin.set(stream, "not a stream")
    add(stream, 1)
    said = at("outbox", "relay", "--sql", url, "--until-empty")
    assert (said.code, "WRONGTYPE" in said.err) == (1, True)


def test_partitions_are_those_that_the_module_declares(at, add, backend, stream, url):
    (Path(sa.engine.make_url(url).database).parent / "shop.py").write_text(
        f"from holdfast import Holdfast\nhf = Holdfast({backend.url!r}, sql={url!r})\n"
        f"hf.stream({stream!r}, partitions=2)\n")
    add(stream, *range(20))
    assert at("outbox", "relay", "shop:hf", "--until-empty").code == 0
    lengths = [backend.admin.xlen(f"{stream}.{n}") for n in range(2)]
    assert sum(lengths) == 20
    assert all(lengths)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_it_in_good_order(add, backend, stream, url, number):
    add(stream, 1)
    argv = [*COMMAND, "outbox", "relay", "--sql", url, "--url", backend.url, "--json"]
    with Born(argv, env=environment()) as relay:
        relay.wait_line(lambda line: line["event"] == "outbox_relayed")
        relay.signal(number)
        assert relay.wait(20) == 0


def test_its_metrics_can_be_scraped(add, backend, stream, url):
    add(stream, 1, 2)
    port = free_port()
    argv = [*COMMAND, "outbox", "relay", "--sql", url, "--url", backend.url, "--json", "--metrics", f"127.0.0.1:{port}"]
    with Born(argv, env=environment()) as relay:
        relay.wait_line(lambda line: line["event"] == "outbox_relayed")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
    assert f'holdfast_outbox_relayed_total{{stream="{stream}"}} 2.0' in page
    assert "holdfast_outbox_rows 2.0" in page
    assert "holdfast_outbox_look_timestamp_seconds 1" in page


def test_without_a_database_or_a_table_it_says_what_to_do(holdfast, url):
    said = holdfast("outbox", "relay")
    assert (said.code, "--sql" in said.err) == (2, True)
    said = holdfast("outbox", "ls", "--sql", url)
    assert (said.code, "holdfast sql init" in said.err) == (2, True)
    said = holdfast("outbox", "ls", "--sql", "postgresql://ana@127.0.0.1:1/x?connect_timeout=3")
    assert (said.code, said.err.startswith("error: the database does not answer")) == (3, True)
