# SPDX-License-Identifier: Apache-2.0
"""The builder: what it writes, that it never raises, that it never outgrows its budget."""

from __future__ import annotations

import json
import time
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.letter import BY_NAME, REASONS, STAGES
from holdfast._base.letter_build import build
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_facts import LetterFacts, Site
from holdfast._base.letter_fit import MIN_TOTAL, Limits
from holdfast._base.letter_lineage import split
from holdfast._base.letter_text import cut, iso, ms_of, utf8
from holdfast.errors import HandlerTimeout, ServerUnreachable, ValidationFailed

DEFAULT = Limits()
MESSAGE = [
    b"id",
    b"01JD8Z3V5K0000000000000001",
    b"key",
    b"customer-17",
    b"body",
    b'{"amount":7}',
    b"type",
    b"order.paid",
    b"v",
    b"2",
    b"at",
    b"1763795585000",
    b"traceparent",
    b"00-aa-bb-01",
    b"h:tenant",
    b"acme",
    b"h:correlation-id",
    b"checkout-991",
]


def facts(**changed):
    return LetterFacts(
        **{
            "stream": "orders",
            "entry_id": b"1763795586123-0",
            "group": "billing",
            "reason": "max_attempts",
            "buried_ms": 1763795586999,
            "stage": "handle",
            **changed,
        }
    )


def metadata(fields=MESSAGE, *, limits=DEFAULT, prefix="x-dlq-", **changed):
    return split(build(fields, facts(**changed), limits=limits, prefix=prefix).fields, prefix)[0]


def raised(error):
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return caught


def test_a_letter_is_the_metadata_and_then_the_message_byte_for_byte():
    letter = build(MESSAGE, facts())
    assert letter.fields[-len(MESSAGE) :] == MESSAGE
    assert all(name.startswith(b"x-dlq-") for name in letter.fields[: -len(MESSAGE) : 2])
    assert letter.fields[2:4] == [b"x-dlq-letter-id", letter.id.encode()]


def test_what_the_message_says_of_itself_is_told():
    told = metadata()
    assert told["original-message-id"] == "01JD8Z3V5K0000000000000001"
    assert told["original-key"] == "customer-17"
    assert told["message-type"] == "order.paid"
    assert told["payload-schema"] == "order.paid/2"
    assert told["original-offset"] == "1763795586123-0"
    assert told["original-timestamp"] == "2025-11-22T07:13:06.123Z"
    assert (told["tenant"], told["correlation-id"]) == ("acme", "checkout-991")


def test_what_is_known_of_the_death_is_told():
    told = metadata(
        consumer="pod-7-1-a",
        handler="m:f",
        attempts=5,
        max_attempts=5,
        deliveries=6,
        crashes=1,
        applied="no",
        failed_ms=1763795586100,
        first_failed_ms=1763795580000,
        first_delivered_ms=1763795579000,
        processing_ms=184,
        policy="exponential",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        links=["00-1", "00-2"],
        attempt_errors=[["TimeoutError", "handle", 4, 1763795580000, 1763795586000]],
        site=Site(
            service="bw",
            version="2",
            environment="prod",
            host="pod-7",
            pid=1,
            owner_team="pay",
            runbook_url="https://wiki.example/r",
        ),
    )
    assert told["failure-reason"] == "max_attempts"
    assert told["failure-timestamp"] == "2025-11-22T07:13:06.100Z"
    assert told["first-failure-timestamp"] == "2025-11-22T07:13:00.000Z"
    assert told["burial-timestamp"] == "2025-11-22T07:13:06.999Z"
    assert (told["attempts"], told["retry-count"], told["max-retries"], told["crash-count"]) == ("5", "4", "4", "1")
    assert (told["trace-id"], told["span-id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert json.loads(told["trace-links"]) == ["00-1", "00-2"]
    assert json.loads(told["attempt-errors"])[0]["count"] == 4
    assert (told["consumer-service"], told["environment"], told["owner-team"]) == ("bw", "prod", "pay")
    assert [problem for problem in check(told) if problem.level != "info"] == []


@pytest.mark.parametrize(
    "traceparent", ["", "00", "00-" + "z" * 32 + "-00f067aa0ba902b7-01", "00-" + "a" * 32 + "-b-01"]
)
def test_a_trace_context_that_is_none_is_left_out(traceparent):
    assert not {"trace-id", "span-id"} & metadata(traceparent=traceparent).keys()


def test_times_are_utc_with_milliseconds_and_z_whatever_the_number():
    assert iso(1763795586123) == "2025-11-22T07:13:06.123Z"
    assert (iso(-5), iso(10**18)) == ("1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")
    assert ms_of(iso(1763795586123)) == 1763795586123


def test_a_repeated_burial_of_one_death_has_the_same_id():
    first = build(MESSAGE, facts(buried_ms=1763795586999, consumer="a"))
    again = build(MESSAGE, facts(buried_ms=1763795999999, consumer="b", attempts=9, error=ValueError("x")))
    assert first.id == again.id


def test_ids_of_different_deaths_differ_and_sort_by_the_message_s_time():
    ids = [
        build(MESSAGE, facts(**changed)).id
        for changed in (
            {"entry_id": b"1763795586122-0"},
            {},
            {"entry_id": b"1763795586123-1"},
            {"group": "other"},
            {"stream": "other"},
        )
    ]
    assert len(set(ids)) == 5
    assert ids[0] == min(ids)
    assert build(MESSAGE, facts(entry_id="1763795586123-0")).id == ids[1]


@pytest.mark.parametrize(
    ("reason", "error", "category", "retryable"),
    [
        ("max_attempts", ServerUnreachable(), "transient", "true"),
        ("max_attempts", ConnectionError(), "transient", "true"),
        ("timeout", HandlerTimeout(), "transient", "true"),
        ("schema_invalid", ValidationFailed(), "permanent", "false"),
        ("handler_error", ValidationFailed(), "permanent", "false"),
        ("rejected", None, "business", "false"),
        ("crash_loop", None, "permanent", "false"),
        ("handler_error", KeyError("x"), "unknown", None),
    ],
)
def test_what_may_be_done_is_said_where_reason_or_error_say_it(reason, error, category, retryable):
    told = metadata(reason=reason, error=error)
    assert told["error-category"] == category
    assert told.get("retryable") == retryable


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ("no", "no"),
        ("2 of 3", "2 of 3"),
        ("", "unknown"),
        ("yes", "unknown"),
        ("unknown", "unknown"),
        ("x of 3", "unknown"),
    ],
)
def test_applied_is_unknown_unless_it_is_known(given_, told):
    assert metadata(applied=given_)["applied"] == told


def test_an_error_is_told_with_its_causes_and_without_its_secrets():
    def work():
        try:
            {}["redis://app:hunter2@db/0"]
        except KeyError as error:
            raise RuntimeError("cannot reach redis://app:hunter2@db/0") from error

    try:
        work()
    except RuntimeError as error:
        told = metadata(error=error)
    assert told["exception-type"] == "RuntimeError"
    assert told["root-cause-type"] == "KeyError"
    assert json.loads(told["exception-type-chain"]) == ["RuntimeError", "KeyError"]
    assert told["exception-message"] == "cannot reach redis://app:***@db/0"
    assert "caused by KeyError" in told["exception-stacktrace"]
    assert "test_letter_build.py" in told["exception-stacktrace"]
    assert "hunter2" not in "".join(told.values())
    assert told["redacted"] == "exception-message,exception-stacktrace"


def test_a_secret_that_clipping_would_halve_goes_with_its_word():
    url = "redis://app:" + "s3cr3t" * 4 + "@db/0"
    for start in range(4096 - len(url) - 2, 4098):
        told = metadata(error=ValueError("x" * (start - 1) + " " + url))
        assert "s3cr3t" not in told["exception-message"], start
        assert "s3cr3t" not in told["exception-stacktrace"], start


def test_a_redactor_that_fails_shows_nothing():
    def broken(_text):
        raise LookupError("no rules")

    letter = build(MESSAGE, facts(error=ValueError("the secret")), redactor=broken)
    told = split(letter.fields)[0]
    assert "secret" not in "".join(told.values())
    assert told["exception-message"] == "[not shown: the redactor raised LookupError]"


# --- caps


def test_a_value_longer_than_its_cap_is_cut_and_named():
    told = metadata(error=ValueError("boom " * 1000), handler="h" * 5000)
    assert len(utf8(told["exception-message"])) <= BY_NAME["exception-message"].max_bytes
    assert told["exception-message"].endswith("bytes cut]")
    assert "exception-message" in told["truncated-fields"].split(",")
    assert "handler" in told["truncated-fields"].split(",")
    assert conforms(check(told))


def test_a_stack_keeps_both_ends():
    def deep(n):
        if n:
            deep(n - 1)
        raise ValueError("at the bottom")

    try:
        deep(300)
    except ValueError as error:
        told = metadata(error=error, limits=Limits(stack=2000))
    stack = told["exception-stacktrace"]
    assert len(utf8(stack)) <= 2000
    assert stack.startswith("ValueError: at the bottom")
    assert stack.rstrip().endswith('raise ValueError("at the bottom")')


@given(st.text(), st.integers(0, 200), st.booleans())
def test_cutting_keeps_to_its_bytes_and_never_halves_a_character(text, cap, middle):
    short = cut(text, cap, middle=middle)
    assert len(short.encode()) <= cap
    assert short == text or len(text.encode("utf-8", "backslashreplace")) > cap or "\\" in short


@settings(max_examples=40, deadline=None)
@given(st.integers(MIN_TOTAL, 20_000), st.sampled_from(["x-dlq-", "d-", "a" * 31 + "-"]))
def test_metadata_never_outgrows_its_budget_and_required_rows_are_always_there(total, prefix):
    letter = build(
        MESSAGE,
        facts(
            stream="s" * 9999,
            group="g" * 9999,
            consumer="é" * 9999,
            handler="h" * 9999,
            error=ValueError("e" * 99999),
            code="c" * 999,
            policy="p" * 999,
            links=["l" * 999] * 99,
            attempt_errors=[["E" * 999, "handle", 1, 0, 0]] * 99,
            schema="s" * 999,
            business_key="b" * 999,
            site=Site(service="s" * 999, runbook_url="u" * 9999),
        ),
        limits=Limits(total=total),
        prefix=prefix,
    )
    head = letter.fields[: -len(MESSAGE)]
    assert sum(map(len, head)) <= total
    told, message = split(letter.fields, prefix)
    assert message == MESSAGE
    assert conforms(check(told))


def test_half_a_number_or_half_a_json_is_left_out_rather_than_cut():
    told = metadata(links=["l" * 60] * 8, error=raised(ValueError("x" * 900)), limits=Limits(total=MIN_TOTAL))
    for name, value in told.items():
        if BY_NAME[name].type == "json":
            json.loads(value)
    assert conforms(check(told))


# --- hostile input


class Refuses(Exception):
    def __str__(self):
        raise RuntimeError("no")


class Exits(Exception):
    def __str__(self):
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307


class OddText(str):
    __slots__ = ()

    def encode(self, *_):
        raise RuntimeError("no")

    def __getitem__(self, _):
        return self

    def __len__(self):
        return 10**9


class Odd(Exception):
    def __str__(self):
        return OddText("odd \ud800 text")


class Shadowed(Exception):
    @property
    def __cause__(self):
        raise RuntimeError("no")

    @property
    def __traceback__(self):
        raise RuntimeError("no")

    @property
    def __class__(self):
        raise RuntimeError("no")


def cyclic():
    a, b = ValueError("a"), KeyError("b")
    a.__cause__, b.__cause__ = b, a
    return a


def long_chain():
    error = ValueError("innermost")
    for i in range(2000):
        outer = ValueError(str(i))
        outer.__cause__ = error
        error = outer
    return error


HOSTILE = {
    "its text raises": Refuses,
    "its text exits": Exits,
    "its text is a number": NoText,
    "its text is no plain str": Odd,
    "its slots are shadowed": Shadowed,
    "it causes itself": cyclic,
    "2,000 causes": long_chain,
    "ten megabytes": lambda: ValueError("x" * 10_000_000),
    "surrogates": lambda: ValueError("\ud800\udfff\x00"),
    "a group of 5,000": lambda: ExceptionGroup("g", [ValueError(i) for i in range(5000)]),
    "an interrupt": KeyboardInterrupt,
    "no module": type("Na\n-me", (Exception,), {"__module__": None}),
    "module 7": type("N", (Exception,), {"__module__": 7}),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_no_error_can_stop_a_burial(make):
    letter = build(MESSAGE, facts(error=make()))
    told, message = split(letter.fields)
    assert message == MESSAGE
    assert conforms(check(told))
    assert sum(map(len, letter.fields[: -len(MESSAGE)])) <= Limits().total


def test_a_message_of_ten_megabytes_is_buried_whole():
    fields = [b"body", b"\xff" * 10_000_000]
    assert split(build(fields, facts()).fields)[1] == fields


@pytest.mark.parametrize(
    "fields",
    [
        [b"at", b"9" * 5000],
        [b"v", b"9" * 5000, b"type", b"t"],
        [b"at", b"-1"],
        [b"at", "²".encode()],
        [b"id", b"\xff\xfe"],
        [b"", b""],
        [b"only"],
    ],
)
def test_odd_fields_are_no_reason_to_fail(fields):
    for entry_id in (b"0-0", b"", b"9" * 40 + b"-1", b"x-y", b"\xff", "²-0".encode(), b"7"):
        letter = build(fields, facts(entry_id=entry_id))
        assert conforms(check(split(letter.fields)[0]))


ENTRY = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=8).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
TEXT = st.text(max_size=300)


@settings(max_examples=300, deadline=None)
@given(
    fields=ENTRY,
    stream=TEXT,
    entry_id=st.binary(max_size=30),
    group=TEXT,
    reason=st.sampled_from(sorted(REASONS)),
    stage=st.sampled_from(["", *STAGES]),
    detail=TEXT,
    text=TEXT,
    ms=st.integers(-(2**70), 2**70),
    count=st.integers(-9, 2**70),
    lineage=st.booleans(),
    applied=TEXT,
    traceparent=TEXT,
    rows=st.lists(st.lists(st.one_of(TEXT, st.integers()), max_size=6)),
)
def test_whatever_it_is_given_it_makes_a_valid_letter(  # noqa: PLR0917
    fields, stream, entry_id, group, reason, stage, detail, text, ms, count, lineage, applied, traceparent, rows
):
    stream, group = stream or "s", group or "g"
    letter = build(
        fields,
        facts(
            stream=stream,
            entry_id=entry_id,
            group=group,
            reason=reason,
            stage=stage,
            detail=detail,
            error=ValueError(text),
            buried_ms=ms,
            failed_ms=ms,
            first_failed_ms=count,
            attempts=count,
            deliveries=count,
            lineage=lineage,
            applied=applied,
            traceparent=traceparent,
            attempt_errors=rows,
            links=[text],
            code=text,
            handler=text,
            message_id=text,
            tenant=text,
        ),
    )
    told, _ = split(letter.fields)
    assert [p for p in check(told) if p.level == "error"] == []
    assert told["letter-id"] == letter.id
    for part in letter.fields[: len(told) * 2]:
        part.decode()


def test_building_takes_no_longer_than_a_few_settles():
    error = raised(RuntimeError("declined by the bank"))
    known = facts(error=error, attempts=5, max_attempts=5, consumer="c", handler="m:f")
    each = min(timeit.repeat(lambda: build(MESSAGE, known), number=50, repeat=10,
                             timer=time.thread_time)) / 50  # of the processor: others may use it, too
    assert each < 0.001, f"{each * 1e6:.0f} µs; about 150 is usual"
