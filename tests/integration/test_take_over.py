# SPDX-License-Identifier: Apache-2.0
"""Taking over: each entry goes to one, a payload that is gone is said, nobody is removed who still holds something."""

from __future__ import annotations

import asyncio

from holdfast.consume.contract import Settled
from tests.support.protocol import desk_at, ids


def test_of_two_who_take_over_at_once_each_entry_has_one(backend, stream, arun):
    async def scene():
        async with desk_at(backend.url, stream) as one, desk_at(backend.url, stream) as two:
            dead, held = await one.got(60)
            first, second = await one.join(), await two.join()
            await one.expire(dead)
            takes = [one.sweep(first, wanted=25), two.sweep(second, wanted=25),
                     one.sweep(first, wanted=25), two.sweep(second, wanted=25)]
            found = [ids(swept.taken) for swept in await asyncio.gather(*takes)]
            everything = [entry for taken in found for entry in taken]
            assert sorted(everything) == sorted(ids(held))
            assert {entry: name for entry, (name, _) in (await one.pending()).items()} == {
                entry: lane.incarnation for lane, takings in ((first, found[0::2]), (second, found[1::2]))
                for taken in takings for entry in taken}

    arun(scene())


def test_what_was_taken_over_cannot_be_settled_by_its_former_owner(backend, stream, arun):
    async def scene():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(3)
            heir = await desk.join()
            await desk.expire(dead)
            swept = await desk.sweep(heir)
            assert await dead.settle(held, []) == [(d, Settled.OTHER) for d in held]
            assert await heir.settle(swept.taken, []) == []
            assert not await desk.pending()

    arun(scene())


def test_an_entry_without_payload_is_named_and_left_until_it_is_buried(backend, stream, arun):
    async def scene():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(2)
            gone, there = ids(held)
            await desk.call("XDEL", desk.key, gone)
            heir = await desk.join()
            await desk.expire(dead)
            swept = await desk.sweep(heir)
            assert ids(swept.taken) == [there]
            assert [(m.entry_id, m.owner.decode()) for m in swept.missing] == [(gone, dead.incarnation)]
            assert gone in await desk.pending()
            assert await heir.bury_missing(swept.missing[0], (b"x", b"gone"), "L") is Settled.OK
            assert set(await desk.pending()) == {there}
            assert [letter["x"] for letter in await desk.letters()] == ["gone"]

    arun(scene())


def test_a_dead_consumer_is_removed_only_when_it_holds_nothing(backend, stream, arun):
    async def scene():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(3)
            heir = await desk.join()
            await desk.expire(dead)
            partly = await desk.sweep(heir, wanted=2)
            assert (len(partly.taken), partly.reaped) == (2, [])
            rest = await desk.sweep(heir)
            assert [*ids(partly.taken), *ids(rest.taken)] == ids(held)
            reaped = [*rest.reaped, *(await desk.sweep(heir)).reaped]
            assert reaped == [dead.incarnation]
            names = [name for name, _, _, _ in (await desk.sweep(heir)).consumers]
            assert dead.incarnation not in names
            assert len(await desk.pending()) == 3

    arun(scene())
