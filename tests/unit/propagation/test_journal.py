# SPDX-License-Identifier: Apache-2.0
"""What nodes write down is read as what it was, by its tag."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from holdfast._base.typed import from_json
from holdfast.propagation import journal

SAMPLES = {
    "Started": {"seed": 3}, "Made": {"id": "ab"}, "Arrived": {"id": "ab", "peer": "n2", "hops": 2},
    "Copied": {"id": "ab", "peer": "n2"}, "Refused": {"id": "ab", "why": "nonce"}, "Headed": {"id": "ab", "height": 4},
    "Confirmed": {"id": "ab", "block": "cd"}, "Linked": {"peer": "n2", "outbound": True}, "Unlinked": {"peer": "n2"},
    "Counted": {"sent_bytes": {"n2": {"body": 300}}, "messages": {"body": 1}}, "Stopped": {}}


@pytest.mark.parametrize("kind", get_args(journal.Entry), ids=lambda kind: kind.__name__)
def test_an_entry_is_read_as_it_was_written(kind):
    entry = kind(t=1.5, node="n1", **SAMPLES[kind.__name__])
    line = msgspec.json.encode(entry)
    assert from_json(line, journal.Entry) == entry
    assert b"\n" not in line
