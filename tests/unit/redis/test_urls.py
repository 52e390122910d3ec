# SPDX-License-Identifier: Apache-2.0
"""URLs are read whole or refused, and never printed with a password."""

from __future__ import annotations

import pytest

from holdfast._redis.endpoint import Endpoint
from holdfast._redis.urls import parse_url
from holdfast.errors import ConfigurationError


def test_a_plain_url():
    url = parse_url("redis://localhost")
    assert url.endpoints == (Endpoint("localhost", 6379),)
    assert (url.tls, url.service, dict(url.options)) == (False, "", {})


def test_user_password_and_database():
    url = parse_url("rediss://bob:p%40ss@db:6380/3?ssl_ca_certs=/ca.pem")
    assert url.tls
    assert dict(url.options) == {"username": "bob", "password": "p@ss", "db": 3, "ssl_ca_certs": "/ca.pem"}
    assert url.shown == "rediss://bob@db:6380/3"


def test_sentinels():
    url = parse_url("redis+sentinel://:secret@a:1,[::1]:2,c/main/5?sentinel_password=other")
    assert url.endpoints == (Endpoint("a", 1), Endpoint("::1", 2), Endpoint("c", 26379))
    assert (url.service, dict(url.options)) == ("main", {"password": "secret", "db": 5})
    assert dict(url.sentinel_options) == {"password": "other"}
    assert url.shown == "redis+sentinel://a:1,[::1]:2,c/main/5"


def test_a_unix_socket():
    url = parse_url("unix:///run/redis%20one.sock?db=2")
    assert url.endpoints == (Endpoint(path="/run/redis one.sock"),)
    assert dict(url.options) == {"db": 2}


def test_valkey_is_redis():
    assert parse_url("valkeys://h").tls
    assert parse_url("valkey+sentinel://h/m").service == "m"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:6379", "begins with none of redis://"),
        ("http://localhost", "begins with none of redis://"),
        ("", "begins with none of redis://"),
        ("redis://", "a host is empty"),
        ("redis://h:port", "the port is 'port'"),
        ("redis://h/zero", "the database is 'zero'"),
        ("redis://h/0/1", "the path is '/0/1'"),
        ("redis://h?socket_timeout=1", "asks for 'socket_timeout'"),
        ("redis://h?ssl_ca_certs=x", "asks for 'ssl_ca_certs'"),
        ("redis+sentinel://h", "no service is named"),
    ],
)
def test_what_cannot_be_used_is_named(url, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_url(url)


def test_a_refusal_shows_no_password():
    with pytest.raises(ConfigurationError) as caught:
        parse_url("redis://bob:hunter2@h/zero?sentinel_password=hunter3")
    assert "hunter" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        parse_url("bob:hunter2@h:6379")
    assert "hunter" not in str(caught.value)
    assert "hunter2" not in repr(parse_url("redis://bob:hunter2@h"))
