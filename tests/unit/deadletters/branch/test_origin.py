# SPDX-License-Identifier: Apache-2.0
"""Names and ids of letters of other brokers."""

from __future__ import annotations

import pytest

from holdfast.deadletters.branch import Origin, broker_of, parted, stream_of
from holdfast.deadletters.branch.origin import id_at_desk, renamed
from holdfast.errors import ConfigurationError

PREFIX = "x-dlq-"
OURS = [b"x-dlq-spec-version", b"1", b"x-dlq-letter-id", b"L1", b"id", b"m-1", b"body", b"{}"]


@pytest.mark.parametrize(("url", "name"), [
    ("amqp://guest:pa%40ss@Rabbit:5672/", "orders@amqp://rabbit:5672/"),
    ("amqp://rabbit", "orders@amqp://rabbit:5672/"),
    ("amqp://u:p@rabbit/%2F", "orders@amqp://rabbit:5672/"),
    ("amqps://rabbit/shop?heartbeat=5", "orders@amqps://rabbit:5671/shop"),
    ("amqp://rabbit/my%20shop", "orders@amqp://rabbit:5672/my%20shop"),
    ("amqp://rabbit/a%40b", "orders@amqp://rabbit:5672/a%40b"),
    ("amqp://rabbit/%2Fshop", "orders@amqp://rabbit:5672/%2Fshop"),
    ("amqp://[::1]/shop", "orders@amqp://[::1]:5672/shop"),
    ("kafka://user:secret@b:9093,a?sasl.mechanism=PLAIN", "orders@kafka://a:9092,b:9093")],
    ids=["password", "defaults", "vhost", "options", "space", "at", "slash", "ipv6", "kafka"])
def test_a_broker_has_one_name_without_credentials(url, name):
    origin = Origin(url, "orders", "billing")
    assert origin.name == name
    assert parted(name) == ("orders", name.removeprefix("orders@"))
    assert "guest" not in repr(origin)
    assert "secret" not in repr(origin)


@pytest.mark.parametrize("url", ["redis://h", "amqp:h", "kafka://", "amqp://h:port/", "", "amqp://h:99999",
                                 "amqp://h:0", "amqp://h h/", "kafka://a,b c:1", "amqp:///shop"])
def test_what_is_no_other_brokers_url_is_refused(url):
    with pytest.raises(ConfigurationError):
        Origin(url, "orders", "billing")


@pytest.mark.parametrize("name", ["orders", "orders@amqp", "mail@example.com", "@kafka://h:1", "a@redis://h:1"])
def test_a_stream_of_the_desks_own_server_has_no_broker(name):
    assert (stream_of(name), broker_of(name)) == (name, "")


def ids(url="amqp://h", stream="orders", group="billing", fields=OURS, place="x"):
    return id_at_desk(Origin(url, stream, group), fields, prefix=PREFIX, at_ms=1_000, place=place)


def test_a_letter_that_comes_twice_has_one_id_and_no_other_brokers():
    assert ids() == ids(place="y") == ids(url="amqp://u:p@h:5672/")
    assert len({ids(), ids(url="amqp://i"), ids(group="audit"), ids(stream="returns")}) == 4


def test_a_strangers_letter_is_known_by_its_message_or_by_nothing():
    known, unknown = [b"id", b"m-1", b"body", b"x"], [b"body", b"x"]
    assert ids(fields=known) == ids(fields=known, place="y")
    assert ids(fields=known) != ids(fields=[b"id", b"m-1", b"body", b"y"])
    assert ids(fields=unknown) != ids(fields=unknown, place="y"), "guard: two that are alike may be two"


def test_a_letter_is_renamed_in_its_place_and_else_as_it_was():
    assert renamed(OURS, "L2", prefix=PREFIX) == [*OURS[:3], b"L2", *OURS[4:]]
    assert renamed([b"body", b"x"], "L2", prefix=PREFIX) == [b"x-dlq-letter-id", b"L2", b"body", b"x"]
