# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq repair``, as an operator uses it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from holdfast._redis.keys import GroupKeys
from holdfast.cli.dlq_repair import parsed
from holdfast.deadletters.desk import Actor, Desk, kept_of
from holdfast.deadletters.service.cases import case_of
from tests.support.dying import bury

GROUP = "billing"
EUR = "default:path=/currency,value=EUR"
BODY, MENDED = b'{"n":1}', b'{"n":1,"currency":"EUR"}'


@pytest.fixture
def dead(backend, stream, arun):
    """One letter; the stream's name."""
    arun(bury(backend.url, stream, GROUP, [{"n": 1}]))
    return stream


@pytest.fixture
def letter(at, dead):
    """Its id."""
    (found,) = at("dlq", "ls", dead, "--group", GROUP, "--json").json
    return found["id"]


@pytest.fixture
def repair(at, dead, letter):
    """Runs the command on it."""
    return lambda *more: at("dlq", "repair", dead, letter, "--group", GROUP, *more)


def sent_back(backend, stream):
    return [dict(fields)[b"body"] for _, fields in backend.admin.xrange(GroupKeys("hf", stream, GROUP).replay)]


def test_a_dry_run_shows_the_diff_and_writes_nothing(repair, backend, dead):
    said = repair("--with", EUR, "--dry-run")
    assert said.code == 0
    assert said.out.splitlines()[:2] == ["--- before", "+++ after"]
    assert '+  "currency": "EUR"' in said.out
    assert "default (nothing was written)" in said.err
    said = repair("--with", EUR, "--dry-run", "--json")
    assert said.json["patch"] == [{"op": "add", "path": "/currency", "value": "EUR"}]
    assert (said.json["changed"], said.json["dry_run"], said.json["kept"]) == (["default"], True, False)
    assert sent_back(backend, dead) == [], "guard: a dry run writes nothing"


def test_it_is_sent_back_mended(repair, backend, dead):
    said = repair("--with", EUR, "--replay", "--json")
    assert (said.code, said.json["outcome"]) == (0, "replayed")
    assert sent_back(backend, dead) == [MENDED]


def test_a_repair_that_changes_nothing_says_so_and_answers_1(repair, backend, dead):
    said = repair("--with", "default:path=/n,value=2", "--replay")
    assert (said.code, said.out) == (1, "")
    assert "no repair changed anything" in said.err
    assert sent_back(backend, dead) == []


def test_what_it_is_told_wrongly_is_misuse(repair):
    for more, said in ((["--with", EUR], "say --dry-run, or --replay"),
                       (["--with", "nothing", "--dry-run"], "there is no repair 'nothing'"),
                       (["--with", "default:value", "--dry-run"], "name=value")):
        found = repair(*more)
        assert (found.code, found.out) == (2, "")
        assert said in found.err


def test_with_a_type_what_comes_out_has_to_be_one(repair, backend, dead):
    said = repair("--with", EUR, "--type", "builtins:int", "--replay")
    assert said.code == 1
    assert "what its handler takes" in said.err
    assert sent_back(backend, dead) == []


@pytest.mark.parametrize("taken_in", [False, True])
def test_both_bodies_are_kept_and_a_letter_in_hand_is_the_service_s_to_send(repair, backend, dead, tmp_path, taken_in):
    url = f"sqlite:///{tmp_path}/desk.db"
    letter = repair("--with", EUR, "--dry-run", "--json").json["letter"]
    if taken_in:
        asyncio.run(_in_hand(url, backend, dead))
    said = repair("--with", EUR, "--replay", "--desk", url, "--by", "ana", "--json")
    assert (said.code, said.json["outcome"]) == (0, "scheduled" if taken_in else "replayed")
    assert sent_back(backend, dead) == ([] if taken_in else [MENDED])
    asyncio.run(_kept(url, letter, taken_in=taken_in))
    if taken_in:
        assert repair("--with", EUR, "--desk", url).code == 0, "a person has second thoughts"


async def _in_hand(url, backend, stream):
    from holdfast._redis.open import open_server
    from holdfast.deadletters import open_shelf

    server, desk = await open_server(backend.url), await Desk(url).open()
    letter = await anext((await open_shelf(server, stream, GROUP)).letters())
    (new,) = await desk.take_in([case_of(letter, stream)], Actor("desk-1"))
    await desk.move(new, "classified", Actor("desk-1"), what="classified", category="permanent", action="manual")
    await desk.close()
    await server.close()


async def _kept(url, letter, *, taken_in):
    desk = await Desk(url).open()
    kept = dict(await kept_of(desk, letter))
    assert {what: await desk.body(sha256) for what, sha256 in kept.items()} == {"original": BODY, "sent": MENDED}, (
        "guard: the original is kept by its hash")
    assert kept["original"] == hashlib.sha256(BODY).hexdigest()
    if taken_in:
        case = await desk.get(letter)
        assert (case.state, case.action, case.edited, case.due_ms > 0) == ("scheduled", "retry", kept["sent"], True)
        assert [(s.what, s.actor, s.by_person) for s in await desk.steps(letter)][-1] == ("repaired", "ana", True)
    await desk.close()


@pytest.mark.parametrize(("text", "name", "options"), [
    ("encoding", "encoding", {}), ("coerce:path=/n,to=integer", "coerce", {"path": "/n", "to": "integer"}),
    ("default:path=/n,value=12", "default", {"path": "/n", "value": 12}),
    ('patch:{"ops": []}', "patch", {"ops": []}), ("billing.fix:mend", "billing.fix:mend", {}),
    ('fix:mend:{"a": "b:c"}', "fix:mend", {"a": "b:c"}), ("fix:mend:a=1", "fix:mend", {"a": 1}),
    ("mine:a=b", "mine", {"a": "b"})])
def test_a_repair_is_written_with_its_options(text, name, options):
    found = parsed(text)
    assert (found.name, found.options) == (name, options)
