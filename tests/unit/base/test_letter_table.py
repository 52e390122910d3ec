# SPDX-License-Identifier: Apache-2.0
"""The specification is one table, and whatever is published is made from it."""

from __future__ import annotations

import json
from collections import Counter

import jsonschema
import pytest

from holdfast._base.letter import BY_NAME, DEFAULT_PREFIX, REASONS, ROWS, checked_prefix
from holdfast._base.letter_build import build
from holdfast._base.letter_check import check, conforms, schema, schema_text
from holdfast._base.letter_facts import LetterFacts
from holdfast._base.letter_fit import MIN_TOTAL, Limits
from holdfast._base.letter_lineage import split
from holdfast._base.letter_page import page
from holdfast.errors import ConfigurationError
from tests.house.tree import ROOT

#: What the requirement lists, under its own names.
REQUIRED_NAMES = [
    "original-topic",
    "original-exchange",
    "original-routing-key",
    "original-partition",
    "original-offset",
    "original-message-id",
    "original-key",
    "original-timestamp",
    "original-headers",
    "original-content-type",
    "consumer-group",
    "consumer-service",
    "consumer-instance",
    "consumer-version",
    "environment",
    "handler",
    "failure-timestamp",
    "first-failure-timestamp",
    "failure-reason",
    "exception-type",
    "exception-message",
    "exception-stacktrace",
    "root-cause-type",
    "error-category",
    "error-stage",
    "retry-count",
    "max-retries",
    "retry-policy",
    "reprocess-count",
    "retryable",
    "trace-id",
    "span-id",
    "correlation-id",
    "business-key",
    "tenant",
    "spec-version",
    "payload-schema",
    "severity",
    "owner-team",
    "runbook-url",
    "truncated-fields",
    "redacted",
]

#: Meanings that come on top, under the names they go by elsewhere.
OTHER_NAMES = [
    "spec_version",
    "dlq_id",
    "message_id",
    "business_key",
    "correlation_id",
    "causation_id",
    "tenant",
    "source_stream",
    "source_id",
    "group",
    "consumer",
    "partition_key",
    "enqueued_at",
    "first_delivered_at",
    "producer",
    "message_type",
    "schema_id",
    "content_type",
    "content_encoding",
    "reason",
    "stage",
    "disposition",
    "error_type",
    "error_type_chain",
    "error_message",
    "error_stack",
    "error_fingerprint",
    "error_class",
    "classifier",
    "confidence",
    "failed_at",
    "processing_ms",
    "host",
    "pid",
    "app_version",
    "handler",
    "attempts",
    "deliveries",
    "first_failed_at",
    "last_failed_at",
    "deaths",
    "retry_schedule",
    "traceparent",
    "links",
    "replay_count",
    "replayed_from",
    "replay_job",
    "replayed_by",
    "replayed_at",
    "edit_patch",
    "redirect_to",
    "max_replays",
    "payload_ref",
    "payload_sha256",
    "h.",
]


@pytest.mark.parametrize("name", REQUIRED_NAMES)
def test_a_name_the_requirement_gives_is_the_name_we_use(name):
    assert name in BY_NAME


def test_every_other_meaning_has_exactly_one_row():
    rows = Counter(known for row in ROWS for known in {row.name, *row.also})
    assert {name: rows[name] for name in OTHER_NAMES if rows[name] != 1} == {}


def test_no_two_rows_share_a_name():
    assert len(BY_NAME) == len(ROWS)
    known = [name for row in ROWS for name in {row.name, *row.also}]
    assert [name for name, n in Counter(known).items() if n > 1] == []


def test_names_are_lower_case_words_joined_by_hyphens():
    assert [row.name for row in ROWS if not row.name.replace("-", "").isalnum() or row.name != row.name.lower()] == []


def test_every_example_is_what_its_row_allows():
    assert check({row.name: row.example for row in ROWS}) == []


def test_required_rows_fit_the_smallest_budget_under_the_longest_prefix():
    always = [row for row in ROWS if row.need == "required" or row.name in ("truncated-fields", "redacted")]
    assert sum(32 + len(row.name) + row.max_bytes for row in always) <= MIN_TOTAL


def test_a_budget_that_required_rows_could_outgrow_is_refused():
    with pytest.raises(ConfigurationError):
        Limits(total=MIN_TOTAL - 1)


@pytest.mark.parametrize("prefix", ["", "x", "x-dlq", "X-DLQ-", "x dlq-", "i:d-", "a" * 40 + "-", "-"])
def test_a_prefix_that_could_meet_a_message_s_own_fields_is_refused(prefix):
    with pytest.raises(ConfigurationError):
        checked_prefix(prefix)


@pytest.mark.parametrize("prefix", ["dlq-", "x-dlq-", "acme.dlq-"])
def test_a_prefix_is_the_user_s_choice(prefix):
    assert checked_prefix(prefix) == prefix


@pytest.mark.parametrize("reason", REASONS)
def test_a_letter_of_any_reason_satisfies_the_json_schema(reason):
    letter = build(
        [b"id", b"1", b"body", b"{}"],
        LetterFacts(
            stream="orders", entry_id=b"1763795586123-0", group="billing", reason=reason, buried_ms=1763795586999
        ),
    )
    prefixed = {DEFAULT_PREFIX + name: value for name, value in split(letter.fields)[0].items()}
    jsonschema.Draft202012Validator(schema()).validate(prefixed)
    assert conforms(check(split(letter.fields)[0]))


def test_the_json_schema_is_valid_and_refuses_what_the_table_forbids():
    jsonschema.Draft202012Validator.check_schema(schema())
    good = {DEFAULT_PREFIX + row.name: row.example for row in ROWS}
    validator = jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(good)
    assert validator.is_valid({**good, "x-dlq-of-a-later-version": "kept"})
    for wrong in (
        {"x-dlq-attempts": "five"},
        {"x-dlq-failure-reason": "bad luck"},
        {"x-dlq-attempts": 5},
        {"x-dlq-failure-timestamp": "2026-11-22 07:13"},
        {"x-dlq-environment": "e" * 65},
    ):
        assert not validator.is_valid({**good, **wrong}), wrong
    assert not validator.is_valid({k: v for k, v in good.items() if k != "x-dlq-failure-reason"})


def test_the_published_schema_is_the_table_s():
    published = (ROOT / "docs" / "reference" / "letter-v1.schema.json").read_text()
    assert published == schema_text(), "stale: run `make docs`"
    assert json.loads(published) == schema()


def test_the_page_names_every_field_and_every_value():
    text = page()
    assert [row.name for row in ROWS if f"`{DEFAULT_PREFIX}{row.name}`" not in text] == []
    assert [value for row in ROWS for value in row.values if value not in text] == []
