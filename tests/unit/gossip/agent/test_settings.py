# SPDX-License-Identifier: Apache-2.0
"""What a cluster is told is checked when it is made, before anything listens."""

from __future__ import annotations

import base64
import inspect

import pytest

from holdfast._base.secret import FromMapping, Secret, SecretRef
from holdfast.errors import ConfigurationError, SecretUnavailable
from holdfast.gossip import Cluster
from holdfast.gossip.agent import SharedVoice, arguments
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.wire import Framing

KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(("wrong", "said"), [
    ({"name": ""}, "1 to 128 bytes"), ({"name": "x" * 129}, "1 to 128 bytes"), ({"name": "é" * 65}, "1 to 128 bytes"),
    ({"bind": "127.0.0.1:x"}, "is no address"), ({"advertise": ":1"}, "is no address"),
    ({"join": ["a:b"]}, "is no address"), ({"join": "10.0.0.1:7946"}, "join is a list"),
    ({"join_within_s": -1}, "at least 0"), ({"room": 0}, "at least 1"),
    ({"key": "c2VjcmV0"}, "16, 24 or 32 bytes"), ({"key": "no base64!"}, "in Base64"), ({"key": b"short"}, "16, 24 or"),
    ({"key": KEY, "keyring": Keyring([Key(bytes(16))])}, "not both"),
    ({"label": "x" * 256}, "255 bytes"), ({"label": "x", "voice": SharedVoice(Framing())}, "leave them out"),
    ({"tags": {"a": "x" * 600}}, "shorten them"), ({"tags": {"a": 1}}, "'a' is none"),
    ({"meta": b"x"}, "give tags="), ({"delegate": "none", "tags": {"a": "b"}}, "give meta="),
    ({"delegate": "none", "meta": bytes(513)}, "at most 512"), ({"delegate": "consul"}, 'is "serf" or "none"'),
    ({"profile": "fast"}, "one of lan, wan, local"),
], ids=lambda value: None if not isinstance(value, dict) else "-".join(value))
def test_what_cannot_be_is_said_in_one_sentence(wrong, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Cluster(**{"name": "one", **wrong})
    assert "secret" not in str(refused.value)
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize(("wrong", "said"), [
    ({"name": 5}, "name cannot be of type int: give text"), ({"name": b"one"}, "of type bytes: give text"),
    ({"name": None}, "NoneType: give text"), ({"bind": 7}, "bind cannot be of type int: give HOST:PORT"),
    ({"advertise": 7}, "advertise .* give HOST:PORT"), ({"join": 7}, "join .* a list of HOST:PORT"),
    ({"join": b"x"}, "join .* a list of HOST:PORT"), ({"join": [7]}, "one in it is of type int"),
    ({"join": (each for each in [7])}, "one in it is of type int"),
    ({"join_within_s": "10"}, "a number of seconds"), ({"join_within_s": float("nan")}, "not finite"),
    ({"must_join": "no"}, "must_join .* True or False"), ({"key": 7}, "key .* 16, 24 or 32 bytes"),
    ({"key": ["secret"]}, "key .* 16, 24 or 32 bytes"), ({"keyring": [bytes(16)]}, "keyring .* a Keyring"),
    ({"label": 7}, "label .* text or bytes"), ({"compress": 1}, "compress .* True or False"),
    ({"tags": ["a"]}, "tags .* a mapping of texts"), ({"tags": {1: "a"}}, "1 is none"),
    ({"meta": "x", "delegate": "none"}, "meta .* give bytes"), ({"profile": 7}, "a Profile, or its name"),
    ({"delegate": ["serf"]}, 'delegate .* "serf" or "none"'), ({"snapshot": 7}, "snapshot .* the path of a file"),
    ({"native": "x"}, "native .* a Native"), ({"defences": True}, "defences .* DEFENDED"),
    ({"audit": 7}, "audit .* the path of a file"), ({"room": "9"}, "room .* a whole number"),
    ({"room": 1.5}, "room .* a whole number"), ({"room": True}, "room .* a whole number"),
    ({"limits": 7}, "a TransportLimits"),
], ids=lambda value: None if not isinstance(value, dict) else "-".join(value))
def test_a_wrong_type_is_said_with_what_to_give_instead(wrong, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Cluster(**{"name": "one", **wrong})
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_argument_is_checked_or_is_somebody_elses_protocol():
    taken = set(inspect.signature(Cluster).parameters)
    assert taken - set(arguments.WANTED) == {"voice", "events", "clock", "chance"}
    assert set(arguments.WANTED) <= taken


def test_a_key_is_not_shown_by_what_holds_it():
    cluster = Cluster("one", key=KEY)
    for each in (cluster, vars(cluster)["_settings"], vars(cluster)["_voice"]):
        assert KEY not in repr(each)
        assert repr(bytes(32)) not in repr(each)


@pytest.mark.parametrize("call", [
    lambda one: one.events(), lambda one: one.query("a"), lambda one: one.rtt("one"),
], ids=["events", "query", "rtt"])
def test_a_member_without_serfs_layer_says_what_is_not_there(arun, call):
    async def story():
        async with Cluster("one", profile="local", delegate="none", meta=b"mine") as one:
            assert one.member("one").meta == b"mine"
            with pytest.raises(ConfigurationError, match="delegate='serf'"):
                call(one)
            await one.set_meta(b"other")
            assert one.member("one").meta == b"other"

    arun(story())


@pytest.mark.parametrize("key", ["secret://gossip/key", SecretRef("secret://gossip/key"), Secret(KEY)],
                         ids=["text", "reference", "secret"])
def test_a_key_may_be_a_reference(key):
    cluster = Cluster("one", key=key, secrets=FromMapping({"gossip/key": KEY}))
    assert cluster._settings.keyring.primary == Key(bytes(32))
    assert KEY not in repr(cluster)


def test_a_reference_without_what_resolves_it_is_said():
    with pytest.raises(SecretUnavailable, match="secret://gossip/key needs a resolver"):
        Cluster("one", key="secret://gossip/key")
    with pytest.raises(ConfigurationError, match="secrets cannot be of type str: give what resolves references"):
        Cluster("one", key="secret://gossip/key", secrets="folder")
