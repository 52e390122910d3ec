# SPDX-License-Identifier: Apache-2.0
"""A secret comes out by ``reveal`` and by nothing else."""

from __future__ import annotations

import copy
import dataclasses
import gc
import json
import logging
import pickle
import threading
import traceback

import msgspec
import pytest

from holdfast._base import secret as secret_module
from holdfast._base.secret import FromFiles, FromMapping, Secret, SecretRef, known_values, resolve
from holdfast.errors import ConfigurationError, SecretUnavailable

VALUE = "hunter2-hunter2"


@dataclasses.dataclass
class Settings:
    url: str
    password: Secret[str]


def locals_shown():
    password = Secret(VALUE)
    try:
        raise ValueError("failed")
    except ValueError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert password
        return "".join(shown.format())


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>30}".format,
        lambda s: f"{s!r} {s!s} {s}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031
        lambda s: repr([s, {"k": s}]),
        lambda s: repr(Settings("u", s)),
        lambda s: str(dataclasses.asdict(Settings("u", s))),
        lambda s: logging.LogRecord("n", 1, "p", 1, "%s", (s,), None).getMessage(),
        lambda _: locals_shown(),
        lambda s: str(vars(type(s)).keys()),
        lambda s: str(dir(s)),
        ascii,
    ],
)
@pytest.mark.parametrize("value", [VALUE, VALUE.encode()])
def test_nothing_that_prints_shows_it(show, value):
    assert VALUE not in show(Secret(value))


@pytest.mark.parametrize(
    "write",
    [
        pickle.dumps,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        vars,
        hash,
        lambda s: s.__getstate__(),
        lambda s: s.__reduce__(),
        lambda s: pickle.dumps(Settings("u", s)),
        lambda s: {s: 1},
        iter,
        len,
    ],
)
def test_nothing_that_writes_takes_it_along(write):
    with pytest.raises(TypeError) as refused:
        write(Secret(VALUE))
    assert VALUE not in str(refused.value)


def test_reveal_gives_it():
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(b"\x00").reveal() == b"\x00"


def test_a_copy_is_the_secret_itself():
    secret = Secret(VALUE)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": [secret]})["a"][0] is secret


def test_secrets_are_compared_with_secrets_only_and_by_value():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "x")
    assert Secret("é\ud800") == Secret("é\ud800")
    assert Secret(VALUE) != VALUE
    assert Secret(VALUE) != Secret(VALUE.encode())
    assert Secret(1) != Secret(1)


def test_comparing_takes_constant_time(monkeypatch):
    asked = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: asked.append((a, b)) or True)
    assert Secret("a") == Secret("b")
    assert asked == [(b"a", b"b")]


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret("x")


def test_a_secret_in_a_secret_is_a_mistake():
    with pytest.raises(ConfigurationError):
        Secret(Secret(VALUE))


def test_redactors_know_living_secrets_and_forget_dead_ones():
    secret = Secret(VALUE)
    assert VALUE in known_values()
    del secret
    gc.collect()
    assert VALUE not in known_values()


def test_a_reference_shows_its_name_and_nothing_else():
    ref = SecretRef("secret://db/password")
    assert (str(ref), ref.name) == ("secret://db/password", "db/password")
    assert {ref: 1}[SecretRef("secret://db/password")] == 1


@pytest.mark.parametrize(
    "url", ["", "db/password", "secret://", "secret:///etc/passwd", "secret://../up", "secret://a/../b"]
)
def test_what_is_no_reference_is_refused(url):
    with pytest.raises(ConfigurationError):
        SecretRef(url)


def test_whatever_is_given_for_a_password_becomes_a_secret():
    known = FromMapping({"db": VALUE})
    secret = Secret(VALUE)
    assert resolve(None) is None
    assert resolve(secret) is secret
    assert resolve("plain").reveal() == "plain"
    assert resolve("secret://db", known).reveal() == VALUE
    assert resolve(SecretRef("secret://db"), known).reveal() == VALUE


def test_a_reference_without_a_resolver_or_a_value_says_so():
    with pytest.raises(SecretUnavailable, match="needs a resolver"):
        resolve("secret://db")
    with pytest.raises(SecretUnavailable, match="db"):
        resolve("secret://db", FromMapping({"other": VALUE}))


def test_mounted_files_are_read_anew_and_lose_one_newline(tmp_path):
    (tmp_path / "db").write_text("first\n")
    files = FromFiles(tmp_path)
    assert resolve("secret://db", files).reveal() == "first"
    (tmp_path / "db").write_text(" second \n\n")
    assert resolve("secret://db", files).reveal() == " second \n"
    with pytest.raises(SecretUnavailable, match="secret://gone"):
        resolve("secret://gone", files)


def test_a_secret_that_is_gone_is_in_no_list():
    kept = Secret("gone-with-the-wind")
    gc.collect()
    assert "gone-with-the-wind" in known_values()
    assert known_values() is known_values()  # put together once
    del kept
    gc.collect()
    assert "gone-with-the-wind" not in known_values()
    assert "gone-with-the-wind" not in (secret_module._living._texts or [])


def test_threads_that_make_secrets_while_others_look_miss_none():
    made, stop, missed = [], threading.Event(), []

    def look():
        while not stop.is_set():
            there = list(made)
            known = set(known_values())
            missed.extend(one for one in there if one.reveal() not in known)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for number in range(300):
        made.append(Secret(f"thread-made-{number}"))
        Secret(f"soon-gone-{number}")
    stop.set()
    for looker in lookers:
        looker.join()
    assert missed == []
