# SPDX-License-Identifier: Apache-2.0
"""Letters over the console's API: taken in where no service does, shown as a role may see them, dealt with by many."""

from __future__ import annotations

import json
import sys

import pytest

from holdfast._redis.keys import GroupKeys
from holdfast.console import acts
from holdfast.console.roles import Person
from holdfast.deadletters.desk import Actor, Filter
from holdfast.deadletters.people import FieldRule
from holdfast.deadletters.service import DESK_GROUP
from tests.support.consoles import scene
from tests.support.planted import GROUP, letter_id, plant


@pytest.fixture
def desk_url(tmp_path):
    return f"sqlite:///{tmp_path}/desk.db"


def test_letters_that_no_service_takes_in_are_to_be_seen(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 450)
        async with scene(backend.url, desk_url) as at:
            found = await at.until("groups", lambda groups: groups and groups[0]["count"] == 450)
            assert [group["fingerprint"] for group in found] == ["v1:aa"]
            backend.admin.execute_command("XADD", GroupKeys("hf", stream, GROUP).dead, "*", "x-dlq-letter-id", "late")
            await at.until("count", lambda count: count["letters"] == 451)
            cases = await at.viewer.get("letters", stream=stream, limit=2)
            assert [(case["letter_id"], case["state"]) for case in cases] == [("late", "new"), (letter_id(449), "new")]
            later = await at.viewer.get("letters", stream=stream, limit=1, after=letter_id(449))
            assert later[0]["letter_id"] == letter_id(448)

    arun(main())


def test_where_a_service_lives_letters_are_left_to_it(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        dead = GroupKeys("hf", stream, GROUP).dead.decode()
        now_ms = int(backend.admin.time()[0]) * 1000
        backend.admin.zadd(GroupKeys("hf", dead, DESK_GROUP).leases, {"hf.somebody": now_ms + 60_000})
        async with scene(backend.url, desk_url) as at:
            assert await at.viewer.get("groups") == [], "guard: a service's letters are the service's"
            backend.admin.zadd(GroupKeys("hf", dead, DESK_GROUP).leases, {"hf.somebody": now_ms - 1})
            await at.until("groups", lambda groups: groups and groups[0]["count"] == 3)

    arun(main())


def test_a_letter_that_nobody_judged_is_the_persons_who_acts_first(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            one = f"letters/{letter_id(0)}"
            case = await at.operator.post(f"{one}/assign", assignee="bo")
            assert (case["state"], case["assignee"]) == ("manual", "bo")
            assert (await at.operator.post(f"{one}/unassign"))["assignee"] == ""
            assert (await at.operator.post(f"{one}/comment", words="<b>odd</b>"))["state"] == "manual"
            detail = await at.viewer.get(one)
            assert [(c["person"], c["words"]) for c in detail["comments"]] == [("operator.o", "<b>odd</b>")]
            assert [s["what"] for s in detail["steps"] if s["by_person"] and s["actor"] == "operator.o"] == [
                "classified", "claimed", "assigned", "assigned", "commented"]

    arun(main())


def test_nobody_acts_on_what_they_have_not_seen(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            one = f"letters/{letter_id(0)}"
            seen = (await at.viewer.get(one))["case"]["version"]
            await at.other.post(f"{one}/assign", assignee="bo")
            problem = await at.operator.post(f"{one}/discard?version={seen}", status=409)
            assert "while you looked" in problem["detail"], "guard: nobody acts on what they have not seen"
            seen = (await at.viewer.get(one))["case"]["version"]
            assert (await at.operator.post(f"{one}/discard?version={seen}"))["state"] == "discarded"

    arun(main())


def test_a_large_payload_is_cut_where_it_is_said_and_is_a_file_as_a_whole(backend, stream, desk_url, arun):
    async def main():
        body = json.dumps({"n": 1, "text": "<script>" * 100_000}).encode()
        plant(backend.admin, stream, 1, body=lambda n: body)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            one = f"letters/{letter_id(0)}"
            detail = await at.viewer.get(one)
            shown = detail["body"]
            assert len(shown["text"]) == detail["body_max"] == 65_536, "guard: no more than is stated"
            assert shown["cut"]
            assert shown["bytes"] == len(body)
            answer = await at.client.get(f"/api/{one}/payload", headers=at.viewer.headers)
            assert json.loads(answer.text) == json.loads(body)
            assert answer.headers["content-disposition"] == f'attachment; filename="letter-{letter_id(0)}.txt"', \
                "guard: saved, not shown"
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.headers["x-content-type-options"] == "nosniff"
            steps = await at.viewer.get("log", letter_id=letter_id(0), what="viewed")
            assert [step["actor"] for step in steps] == ["viewer.v"] * 2, "guard: no look without a record"

    arun(main())


def test_fields_are_hidden_by_role_and_an_edit_leaves_them_as_they_are(backend, stream, desk_url, arun):
    async def main():
        body = {"n": 1, "buyer": {"phone": "555-0100", "name": "Ana"}, "password": "hunter22hunter22"}
        plant(backend.admin, stream, 1, body=lambda n: json.dumps(body).encode())
        rules = (FieldRule("/buyer/phone", ("approver",)),)
        async with scene(backend.url, desk_url, rules=rules) as at:
            await at.until("groups", bool)
            one = f"letters/{letter_id(0)}"
            for who in (at.viewer, at.operator):
                for path in (one, f"{one}/payload"):
                    said = json.dumps(await who.get(path))
                    assert "555-0100" not in said, "guard: hidden unless the role is named"
                    assert "hunter22" not in said
            assert "555-0100" in json.dumps(await at.approver.get(one))
            text = (await at.operator.get(one))["body"]["text"]
            await at.operator.post(f"{one}/edit", body=text.replace('"Ana"', '"Bo"'))
            detail = await at.operator.get(one)
            assert '+    "name": "Bo"' in detail["diff"]
            assert "phone" not in [line[1:].strip()[1:6] for line in detail["diff"].split("\n") if line[:1] in "+-"]
            desk = await at.console.desk()
            kept = await desk.body((await desk.get(letter_id(0))).edited)
            assert json.loads(kept) == {**body, "buyer": {"phone": "555-0100", "name": "Bo"}}, \
                "guard: what was not touched stays as it was"
            moved = text.replace('"name": "Ana"', '"name": "[hidden]"')
            assert "hidden" in (await at.operator.post(f"{one}/edit", status=409, body=moved))["detail"]
            assert (await at.operator.post(f"{one}/undo"))["edited"] == ""

    arun(main())


def test_many_letters_are_dealt_with_each_by_itself(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 5)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            ids = [letter_id(n) for n in range(3)]
            done = await at.operator.post("several", act="assign", assignee="bo", ids=[*ids, "nobody", ids[0]])
            assert [(r["letter_id"], r["done"], r["state"]) for r in done["results"]] == [
                *((one, True, "manual") for one in ids), ("nobody", False, "")]
            assert "no letter nobody" in done["results"][3]["why"]
            assert [c["assignee"] for c in await at.viewer.get("queue")] == ["bo"] * 3
            taken = await at.operator.post("take-next", status=200)
            assert taken is None
            done = await at.operator.post("several", act="discard", filter={"stream": stream})
            assert [r["state"] for r in done["results"]] == ["discarded"] * 5
            done = await at.operator.post("several", act="undo", filter={"stream": stream, "state": ["discarded"]})
            assert [r["state"] for r in done["results"]] == ["manual"] * 5
            first = await at.operator.post("take-next")
            assert (first["letter_id"], first["assignee"]) == (letter_id(3), "operator.o")

    arun(main())


def test_of_a_filter_so_many_are_dealt_with_and_the_rest_is_counted(backend, stream, desk_url, arun, monkeypatch):
    monkeypatch.setattr(sys.modules["holdfast.console.acts.several"], "SEVERAL_MAX", 2)

    async def main():
        plant(backend.admin, stream, 5)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            done = await acts.several(at.console, Filter(logical=stream), "comment",
                                      Person(name="o", role="operator", by="token"), words="?")
            assert (len(done.results), done.more) == (2, 3)

    arun(main())


def test_a_key_is_erased_by_an_approver_and_the_record_does_not_hold_it(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 4, key=lambda n: "ana@example" if n % 2 else "bo")
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            asked = {"stream": stream, "group": GROUP, "key": "ana@example", "why": "asked by letter"}
            await at.operator.post("erase", status=403, **asked)
            problem = await at.approver.post("erase", status=409, **{**asked, "why": "for ana@example"})
            assert "ana" not in problem["detail"], "guard: the record of an erasure does not hold what was erased"
            dry = await at.approver.post("erase", **asked)
            assert (dry["letters"], dry["done"]) == (2, False)
            gone = await at.approver.post("erase", dry_run=False, **asked)
            assert (gone["letters"], gone["cases"], gone["busy"], gone["done"]) == (2, 2, [], True)
            assert "ana@example" not in json.dumps(await at.viewer.get("letters"))
            assert backend.admin.xlen(GroupKeys("hf", stream, GROUP).dead) == 2
            steps = await at.viewer.get("log", what="erased")
            assert {step["actor"] for step in steps} == {"approver.a"}

    arun(main())


def test_letters_with_bodies_that_cannot_be_read_are_shown_and_break_nothing(backend, stream, desk_url, arun):
    bodies = [b"\xff\x00\xfe", b"[" * 700 + b"]" * 700, b"", b'{"a":' * 300 + b"1" + b"}" * 300, b"1" * 5000, b"NaN",
              b'"\\ud800"']

    async def main():
        plant(backend.admin, stream, len(bodies), body=lambda n: bodies[n])
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            for n, body in enumerate(bodies):
                detail = await at.viewer.get(f"letters/{letter_id(n)}")
                assert detail["body"]["bytes"] == len(body)
                await at.viewer.get(f"letters/{letter_id(n)}/payload")
                answer = await at.client.post(f"/api/letters/{letter_id(n)}/edit", headers=at.operator.headers,
                                              json={"body": detail["body"]["text"]})
                assert answer.status_code in {200, 409}, answer.text

    arun(main())


def test_what_lies_at_the_desk_and_not_on_a_shelf_is_told_so(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            backend.admin.delete(GroupKeys("hf", stream, GROUP).dead)
            detail = await at.viewer.get(f"letters/{letter_id(0)}")
            assert detail["body"] is None
            await at.viewer.get(f"letters/{letter_id(0)}/payload", status=404)

    arun(main())


def test_without_a_server_the_desk_is_shown_and_without_a_desk_the_server(backend, stream, tmp_path, desk_url, arun):
    async def main():
        async with scene("redis://127.0.0.1:1", desk_url) as at:
            desk = await at.console.desk()
            assert await desk.count(Filter()) == 0
            assert await at.viewer.get("letters") == []
            await at.viewer.get("overview", status=503)
        async with scene(backend.url, f"sqlite:///{tmp_path}/no/folder/desk.db") as at:
            backend.admin.execute_command("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
            seen = await at.viewer.get("overview")
            assert stream in [one["stream"] for one in seen["streams"]]
            assert seen["open"] is None
            await at.viewer.get("letters", status=503)

    arun(main())


def test_letters_in_hand_are_counted_by_state(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with scene(backend.url, desk_url) as at:
            await at.until("groups", bool)
            desk = await at.console.desk()
            case = await desk.get(letter_id(0))
            await desk.move(case, "classified", Actor("desk-1"), what="classified")
            seen = await at.viewer.get("overview")
            assert [(one["logical"], one["group"], one["states"]) for one in seen["open"]] == [
                (stream, GROUP, {"new": 2, "classified": 1})]

    arun(main())
