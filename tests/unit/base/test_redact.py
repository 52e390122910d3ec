# SPDX-License-Identifier: Apache-2.0
"""Secrets and personal data are masked, other text is not, and time grows with the text only."""

from __future__ import annotations

import logging
import re
import time

import pytest

from holdfast._base.events import AttemptFailed
from holdfast._base.redact import DEFAULT_REDACTOR, PATTERNS, Pattern, RedactingFilter, Redactor, redacted_event
from holdfast._base.secret import Secret

#: Split, so that no scanner takes this file for a leak.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp" + "_" + "a1B2" * 9
SLACK = "xoxb" + "-1234567890-abcdefghij"
STRIPE = "sk" + "_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".SflKxwRJSMeKKF2QT4"
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA\nhunter2\n-----END RSA PRIVATE " + "KEY-----"

LEAKS = [
    ("redis://:hunter2@db:6379/0", "redis://:***@db:6379/0"),
    ("postgresql+psycopg://app:hunter2@db/app?sslmode=require", "postgresql+psycopg://app:***@db/app?sslmode=require"),
    ("amqp://guest:hun@ter2@mq/", "amqp://guest:***@mq/"),
    ("redis://u:hun/ter2@db/0", "redis://u:***@db/0"),
    ("rediss://u:hunter2@[::1]:6379", "rediss://u:***@[::1]:6379"),
    ("two: redis://a:hunter2@x, redis://b:hunter2@y", "two: redis://a:***@x, redis://b:***@y"),
    ("password=hunter2", "password=***"),
    ("password: hunter2, host=db", "password: ***, host=db"),
    ("connect(host='db', password='hun ter2', port=1)", "connect(host='db', password=***, port=1)"),
    ('{"password": "hun\\"ter2", "user": "ana"}', '{"password": ***, "user": "ana"}'),
    ("{'db_password': b'hunter2'}", "{'db_password': ***}"),
    ('{\\"api_key\\": \\"hunter2\\"}', '{\\"api_key\\": ***}'),
    ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
    ("dbPassword => hunter2;", "dbPassword => ***;"),
    ("client_secret=hunter2&grant=x", "client_secret=***&grant=x"),
    ("SECRET_KEY = 'hunter2'", "SECRET_KEY = ***"),
    ("https://oapi.example/robot/send?access_token=hunter2", "https://oapi.example/robot/send?access_token=***"),
    ("https://qyapi.example/webhook/send?key=hunter2-x", "https://qyapi.example/webhook/send?key=***"),
    ("mysql --password hunter2 -h db", "mysql --password *** -h db"),
    ("curl --user ana:hunter2 x", "curl --user *** x"),
    ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer ***"),
    ("authorization: hunter2", "authorization: ***"),
    ("{'Authorization': 'Basic aHVudGVyMg=='}", "{'Authorization': 'Basic ***'}"),
    ("got Bearer hunter2hunter2 back", "got Bearer *** back"),
    ("Cookie: session=hunter2; theme=dark\nHost: x", "Cookie: ***\nHost: x"),
    (f"id {AWS}.", "id [aws key id]."),
    (f"token {GITHUB} used", "token [key] used"),
    (SLACK, "[key]"),
    (STRIPE, "[key]"),
    (f"jwt {JWT}!", "jwt [token]!"),
    (f"a {KEY} b", "a [private key] b"),
    (KEY[:50], "[private key]"),
    ("https://hooks.slack.com/services/T0/B0/hunter2x", "https://hooks.slack.com/services/***"),
    ("mail ana.lopez+x@example.co.uk now", "mail [e-mail] now"),
    ("für jürgen@example.com", "für [e-mail]"),
    ("card 4111 1111 1111 1111 ok", "card [card] ok"),
    ("5500-0000-0000-0004", "[card]"),
    ("378282246310005", "[card]"),
]

PLAIN = [
    "http://host:8080/path?x=1",
    "http://[::1]:8080/x",
    "redis://localhost:6379/0",
    "amqp://guest@mq/",
    "at 12:30:45",
    "entry 1763795586123-0 of 1763795586124-17",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736",
    "id 7264836482647362847",
    "4111 1111 1111 1112",
    "1763795586123 ms",
    "Unexpected token < in JSON at position 0",
    "KeyError: 'x'",
    "3 passed, 1 failed",
    'File "auth/tokens.py", line 3, in refresh_token',
    "no such key",
    "user@",
    "@handle",
    "a @ b",
    "primary key violated: orders_pkey",
    "the secret of life",
    "01JD8Z3V5K7Q2M9T4R6W8Y0A1B",
    "550e8400-e29b-41d4-a716-446655440000",
]


@pytest.mark.parametrize(("text", "shown"), LEAKS)
def test_what_must_not_be_seen_is_masked(text, shown):
    assert DEFAULT_REDACTOR(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_what_may_be_seen_is_left_alone(text):
    assert DEFAULT_REDACTOR(text) == text


@pytest.mark.parametrize(("text", "shown"), LEAKS)
def test_masking_twice_is_masking_once(text, shown):
    assert DEFAULT_REDACTOR(shown) == shown


def test_a_living_secret_is_known_wherever_it_turns_up():
    secret = Secret("tall ladder/lantern")  # no other test has one that begins so: those alive are masked, too
    assert DEFAULT_REDACTOR("said tall ladder/lantern aloud") == "said *** aloud"
    assert DEFAULT_REDACTOR("q=tall%20ladder%2Flantern") == "q=***"
    assert Redactor(secrets=False)("tall ladder/lantern") == "tall ladder/lantern"
    del secret
    assert DEFAULT_REDACTOR("said tall ladder/lantern aloud") == "said tall ladder/lantern aloud"


def test_a_secret_of_bytes_is_known_too_and_a_tiny_one_is_not_searched_for():
    secrets = [Secret(b"swordfish\x00"), Secret("a"), Secret(""), Secret(7)]
    assert DEFAULT_REDACTOR("a swordfish\x00 a") == "a *** a"
    assert len(secrets) == 4


def test_a_user_adds_patterns_and_words():
    mine = Redactor([Pattern("patient", re.compile(r"\bP-\d{6}\b"), "[patient]")], words=["Acme"])
    assert mine("P-123456 of Acme, password=x") == "[patient] of ***, password=***"


ADVERSARIAL = [
    "a",
    "@",
    "a@",
    "a.",
    "://",
    "://a:",
    "://a:b",
    "password=",
    "password='",
    'password="\\',
    "password",
    "token ",
    '"',
    "\\",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----\n-----END ",
    "eyJ",
    "eyJ-",
    "eyJaaaaaaaa-",
    "://aaaa",
    "x@a.a",
    "pass-",
    "eyJaaaaaaaa.",
    "eyJaaaaaaaa.aaaa.",
    "4111 ",
    "4111111111111111 ",
    "1",
    "authorization: ",
    "authorization ",
    " ",
    "Bearer ",
    "bearer a",
    "cookie: ",
    "--pass ",
    "?key=",
    "AKIA",
    "ghp_",
    "sk-",
    "xoxb-",
    "a@a.",
    "x.y@a-b.",
    "hooks.slack.com/services/",
    "api_key",
    "é",
    "İ",
    "secret_-. ",
]


#: Ends every adversarial text, so that no pattern is spared for want of its hint.
ALL_HINTS = " " + " ".join(sorted({hint for pattern in PATTERNS for hint in pattern.hints}))


def cost(text):
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        DEFAULT_REDACTOR(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_time_grows_with_the_text_and_no_faster(unit):
    # Sixteen times the text: sixteen times the time where it is linear, 256 times where it is quadratic.
    small, large = (unit * (n // len(unit)) + ALL_HINTS for n in (4_000, 64_000))
    assert cost(large) < 64 * max(cost(small), 0.0002)


def test_a_megabyte_of_everything_at_once_takes_a_second_or_so():
    text = "".join(ADVERSARIAL) + "\n"
    text *= 1_000_000 // len(text)
    start = time.process_time()
    DEFAULT_REDACTOR(text)
    assert time.process_time() - start < 5


def record(msg, *args, **changed):
    made = logging.LogRecord("holdfast", logging.ERROR, __file__, 1, msg, args, changed.pop("exc_info", None))
    vars(made).update(changed)
    return made


def shown(made, redactor=DEFAULT_REDACTOR):
    assert RedactingFilter(redactor).filter(made)
    return logging.Formatter("%(message)s").format(made)


def test_a_log_line_shows_no_secret_in_message_or_arguments():
    assert shown(record("opening %s for %s", "redis://u:hunter2@db", "ana")) == "opening redis://u:***@db for ana"


def test_a_traceback_in_a_log_shows_no_secret():
    try:
        raise ValueError("redis://u:hunter2@db")
    except ValueError as error:
        made = record("failed", exc_info=(type(error), error, error.__traceback__))
    text = shown(made)
    assert "hunter2" not in text
    assert "ValueError: redis://u:***@db" in text
    assert made.exc_info is None


def test_what_extra_adds_and_the_stack_are_masked():
    made = record("x", url="redis://u:hunter2@db", stack_info="password=hunter2", count=3)
    RedactingFilter().filter(made)
    assert (made.url, made.stack_info, made.count) == ("redis://u:***@db", "password=***", 3)


def test_a_record_whose_arguments_do_not_fit_is_masked_all_the_same():
    text = shown(record("only %s of %s", "redis://u:hunter2@db"))
    assert "hunter2" not in text
    assert "arguments do not fit" in text


def test_an_event_shows_no_secret_and_is_left_alone_when_it_has_none():
    event = AttemptFailed(
        stream="redis://u:hunter2@db",
        group="g",
        message_id="m",
        entry_id="1-0",
        handler="h",
        attempt=1,
        error_type="E",
        stage="handle",
        retry_in_s=None,
    )
    assert redacted_event(event).stream == "redis://u:***@db"
    clean = redacted_event(event)
    assert redacted_event(clean) is clean
