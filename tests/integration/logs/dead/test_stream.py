# SPDX-License-Identifier: Apache-2.0
"""Dead lines in a stream: readable by who knows letters, beside entries that are somebody else's."""

from __future__ import annotations

import pytest

from holdfast.errors import NotAStream
from holdfast.logs.dead import StreamDeadLines
from holdfast.logs.sink import SinkDown
from tests.unit.logs.dead.lines import dead


@pytest.fixture
def on(backend, stream, arun):
    """Runs a claim against dead lines in the test's stream."""
    def run(claim):
        async def work():
            lines = StreamDeadLines(stream, url=backend.url)
            try:
                await lines.open()
                await claim(lines)
            finally:
                await lines.close()

        arun(work())

    return run


def test_an_entry_is_a_letter_with_the_line_s_bytes_as_its_body(on, backend, stream):
    async def claim(lines):
        await lines.put([dead(3, b"\xff\x00\n")])

    on(claim)
    [(_, fields)] = backend.admin.xrange(stream)
    assert fields[b"body"] == b"\xff\x00\n"
    assert (fields[b"x-dlq-original-topic"], fields[b"x-dlq-error-code"]) == (b"app.log", b"not_json")


def test_entries_of_somebody_else_are_neither_read_nor_removed(on, backend, stream):
    async def claim(lines):
        backend.admin.xadd(stream, {"a": "b"})
        await lines.put([dead(0)])
        assert (await lines.stock()).count == 1
        await lines.remove([dead(0).id])

    on(claim)
    assert backend.admin.xlen(stream) == 1


def test_a_key_that_holds_something_else_is_a_person_s(on, backend, stream):
    backend.admin.set(stream, "x")
    with pytest.raises(NotAStream, match="holds a string"):
        on(lambda _: None)


def test_a_server_that_refuses_one_keeps_none_for_done(on, backend, stream):
    async def claim(lines):
        backend.admin.set(stream, "x")
        with pytest.raises(SinkDown, match=r"WRONGTYPE|wrong kind"):
            await lines.put([dead(0)])

    on(claim)
