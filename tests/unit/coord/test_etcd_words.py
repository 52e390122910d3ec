# SPDX-License-Identifier: Apache-2.0
"""What is said to etcd's gateway, and what its answers mean."""

from __future__ import annotations

import sys
from base64 import b64decode

import pytest

from holdfast._coord import etcd_words as words
from holdfast._coord import gateway
from holdfast._coord.etcd import Etcd
from holdfast._coord.keeper import Keeper
from holdfast.errors import ConfigurationError, MissingExtra, NotAuthorized, ServerRefused, ServerUnreachable


@pytest.mark.parametrize(("prefix", "end"), [(b"a/", b"a0"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")])
def test_a_prefix_ends_before_the_first_key_that_does_not_begin_so(prefix, end):
    assert b64decode(words.under(prefix)["range_end"]) == end


def test_what_the_gateway_leaves_out_is_empty_or_zero():
    assert words.key_values({"header": {"revision": "7"}}) == []
    found = words.key_values({"kvs": [{"key": "YQ==", "create_revision": "5", "mod_revision": "6"}]})
    assert found == [words.KeyValue(key=b"a", value=b"", create_revision=5, mod_revision=6, lease=0)]


def test_a_write_that_was_not_done_says_what_was_there():
    there = {"key": "YQ==", "value": "Yg==", "create_revision": "5", "mod_revision": "6", "lease": "9"}
    answer = {"header": {"revision": "7"}, "responses": [{"response_range": {"kvs": [there]}}]}
    written = words.written(answer)
    assert (written.done, written.revision, written.current.value, written.current.lease) == (False, 7, b"b", 9)
    assert words.written({"header": {"revision": "8"}, "succeeded": True}) == words.Written(done=True, revision=8)


@pytest.mark.parametrize(("line", "kind"), [
    (b'{"error":"no leader","message":"no leader","code":14}', ServerUnreachable),
    (b'{"error":{"grpc_code":4,"message":"too late"}}', ServerUnreachable),
    (b'{"error":"permission denied","code":7}', NotAuthorized),
    (b'{"error":"lease not found","code":5}', ServerRefused),
    (b"Not Found", ServerRefused),
])
def test_an_answer_that_speaks_of_an_error_raises_it(line, kind):
    with pytest.raises(kind) as caught:
        gateway._parsed(line, 400)
    assert getattr(caught.value, "maybe_done", True)


def test_an_endpoint_is_a_url():
    for endpoints in ([], ["127.0.0.1:2379"]):
        with pytest.raises(ConfigurationError, match="http://"):
            Etcd(endpoints)


def test_a_library_that_is_missing_is_named(monkeypatch, arun):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"holdfast\[http\]"):
        Etcd(["http://127.0.0.1:2379"])
    monkeypatch.setitem(sys.modules, "kazoo.client", None)

    async def body():
        Keeper("127.0.0.1:2181", 1.0)

    with pytest.raises(MissingExtra, match=r"holdfast\[zookeeper\]"):
        arun(body())
