# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq``, as an operator and a script use it."""

from __future__ import annotations

import msgspec
import pytest

from holdfast._redis.keys import GroupKeys
from tests.support.dying import bury, take

GROUP = "billing"


@pytest.fixture
def dead(backend, stream, arun):
    """Three letters, of keys k0 to k2; the stream's name."""
    arun(bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)], keys=["k0", "k1", "k2"]))
    return stream


def ids(at, stream, *more):
    return [letter["id"] for letter in at("dlq", "ls", stream, "--group", GROUP, "--json", *more).json]


def test_ls_has_what_scripts_read(at, dead):
    said = at("dlq", "ls", dead, "--group", GROUP, "--json")
    assert (said.code, said.err, len(said.json)) == (0, "", 3)
    for letter in said.json:
        assert {"id", "reason", "stage", "error_type", "attempts", "source_id"} <= letter.keys()
        assert (letter["reason"], letter["stage"], letter["attempts"]) == ("rejected", "handle", 1)
        assert letter["source_id"].partition("-")[0].isdigit()
    assert ids(at, dead, "--newest") == ids(at, dead)[::-1]
    assert ids(at, dead, "--limit", 2) == ids(at, dead)[:2]
    assert ids(at, dead, "--key", "k1") == ids(at, dead)[1:2]
    assert ids(at, dead, "--since", "1h") == ids(at, dead)
    assert ids(at, dead, "--since", "2099-01-01T00:00:00Z") == []


def test_without_a_group_those_of_all_groups_are_listed(at, dead, backend, arun):
    arun(bury(backend.url, dead, "audit", [{"n": 9}], keys=["k9"]))
    both = at("dlq", "ls", dead, "--json").json
    assert {letter["group"] for letter in both} == {GROUP, "audit"}
    assert [letter["group"] for letter in both] == [GROUP, GROUP, GROUP, "audit"]
    assert [x["id"] for x in at("dlq", "ls", dead, "--json", "--newest").json] == [x["id"] for x in both][::-1]
    assert len(at("dlq", "ls", dead, "--json", "--limit", 2).json) == 2


def test_a_group_without_letters_has_an_empty_list(at, backend, stream):
    backend.admin.execute_command("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
    said = at("dlq", "ls", stream, "--group", GROUP, "--json")
    assert (said.code, said.out, said.err) == (0, "[]\n", "")


def test_letters_with_names_of_their_own_are_read(at, backend, stream):
    backend.admin.execute_command("XADD", GroupKeys("hf", stream, GROUP).dead, "*", "app-failure-reason", "expired",
                                  "app-letter-id", "01JD8Z3V5K7Q2M9T4R6W8Y0A1B", "body", "{}")
    (letter,) = at("dlq", "ls", stream, "--group", GROUP, "--letter-prefix", "app-", "--json").json
    assert (letter["id"], letter["reason"]) == ("01JD8Z3V5K7Q2M9T4R6W8Y0A1B", "expired")


def test_payloads_are_shown_only_when_asked_for(at, backend, stream, arun):
    arun(bury(backend.url, stream, GROUP, [{"card": "4242-secret"}]))
    (letter,) = ids(at, stream)
    for command in (["ls", stream, "--json"], ["ls", stream], ["show", stream, letter], ["groups", stream],
                    ["show", stream, letter, "--json"], ["lint", stream]):
        assert "4242-secret" not in at("dlq", *command, "--group", GROUP).out
    assert "4242-secret" in at("dlq", "show", stream, letter, "--group", GROUP, "--payload").out
    told = at("dlq", "show", stream, letter, "--group", GROUP, "--payload", "--json").json
    assert dict(told["message"])["body"] == '{"card":"4242-secret"}'


def test_what_a_message_holds_cannot_command_the_terminal(at, backend, stream):
    keys = GroupKeys("hf", stream, GROUP)
    backend.admin.execute_command("XADD", keys.dead, "*", "x-dlq-letter-id", "01JD8Z3V5K7Q2M9T4R6W8Y0A1B",
                                  "x-dlq-exception-type", "\x1b[2Jgone\u202e", "x-dlq-exception-message",
                                  "a\x1b]0;b\x07\nc", "key", "\x1b[31m", "body", "\x1b[31m{}")
    entry = backend.admin.xrange(keys.dead)[0][0]
    for command in (["ls", stream], ["show", stream, entry.decode(), "--payload"], ["groups", stream]):
        said = at("dlq", *command, "--group", GROUP)
        assert said.code == 0
        assert not set(said.out) & {"\x1b", "\x07", "\u202e"}


def test_groups_gather_what_died_of_the_same(at, dead):
    (group,) = at("dlq", "groups", dead, "--group", GROUP, "--json").json
    assert (group["count"], group["reason"]) == (3, "rejected")
    assert group["example"] in ids(at, dead)


def test_a_letter_goes_back_and_is_handled_by_its_group(at, backend, dead, arun):
    first, *_ = ids(at, dead)
    said = at("dlq", "replay", dead, first, "--group", GROUP, "--dry-run", "--json")
    assert (said.code, said.json[0]["outcome"], said.err) == (0, "would replay", "1 would replay\n")
    said = at("dlq", "replay", dead, first, "--group", GROUP, "--by", "ana", "--json")
    assert (said.code, said.json[0]["outcome"], said.err) == (0, "replayed", "1 replayed\n")
    assert first not in ids(at, dead)
    ((body, delivery),) = arun(take(backend.url, dead, GROUP, 1))
    assert body == {"n": 0}
    assert delivery.message.lineage["x-dlq-replayed-by"] == "ana"
    said = at("dlq", "replay", dead, first, "--group", GROUP)
    assert (said.code, said.out, said.err.startswith(f"error: group '{GROUP}' of '{dead}' has no letter {first}")) == (
        1, "", True)


def test_many_go_back_by_filter_or_by_name(at, dead):
    said = at("dlq", "replay", dead, "--group", GROUP, "--key", "k1", "--json")
    assert (said.code, len(said.json), said.err) == (0, 1, "1 replayed\n")
    one, two = ids(at, dead)
    said = at("dlq", "replay", dead, one, two, "nonsense", "--group", GROUP, "--json")
    assert (said.code, [s["outcome"] for s in said.json]) == (1, ["replayed", "replayed", "gone"])
    assert said.err == "1 gone, 2 replayed\n"
    said = at("dlq", "replay", dead, "--group", GROUP, "--all")
    assert (said.code, said.err) == (0, "no letter was chosen\n")


def test_an_edited_body_is_what_the_handler_gets(at, backend, dead, arun, tmp_path):
    first, *_ = ids(at, dead)
    (tmp_path / "body.json").write_text('{"n":77}')
    assert at("dlq", "replay", dead, first, "--group", GROUP, "--body-file", "body.json").code == 0
    ((body, _),) = arun(take(backend.url, dead, GROUP, 1))
    assert body == {"n": 77}


def test_the_database_is_asked_before_anything_is_sent(at, backend, dead, tmp_path):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from holdfast._sql import Tables

    url, handler = f"sqlite:///{tmp_path}/app.db", "billing:bill"
    said = at("dlq", "replay", dead, "--group", GROUP, "--all", "--sql", url)
    assert (said.code, said.err.startswith("error: the database lacks")) == (2, True)
    assert at("sql", "init", "--sql", url).code == 0
    first, second, _ = at("dlq", "ls", dead, "--group", GROUP, "--json").json
    engine, inbox = sqlalchemy.create_engine(url), Tables().inbox
    with engine.begin() as connection:
        connection.execute(inbox.insert().values(stream=dead, grp=GROUP, handler=handler, applied_ms=1, entry="x",
                                                 message_id=first["message_id"]))
    engine.dispose()
    told = ("--group", GROUP, "--sql", url, "--handler", handler)
    said = at("dlq", "replay", dead, first["id"], *told, "--force")
    assert (said.code, said.out, said.err.startswith("error: the effect of message")) == (1, "", True)
    assert at("dlq", "replay", dead, second["id"], *told).code == 0
    said = at("dlq", "replay", dead, *told, "--all", "--json")
    assert (said.code, [s["outcome"] for s in said.json]) == (1, ["applied", "replayed"])
    assert said.err == "1 applied, 1 replayed\n"


def test_what_is_discarded_is_said_with_the_reason(at, dead):
    first, *_ = ids(at, dead)
    said = at("dlq", "discard", dead, "--group", GROUP, "--all", "--why", "a test", "--dry-run", "--json")
    assert (said.code, len(said.json), len(ids(at, dead))) == (0, 3, 3)
    said = at("dlq", "discard", dead, first, "--group", GROUP, "--why", "a test", "--by", "ana")
    assert (said.code, said.out) == (0, f"{first}\n")
    assert "discarded stream=" in said.err
    assert "by=ana why=a test" in said.err
    assert said.err.endswith("1 discarded\n")
    assert first not in ids(at, dead)


def test_an_export_is_a_line_a_letter(at, backend, dead):
    from holdfast.deadletters import fields_of

    said = at("dlq", "export", dead, "--group", GROUP)
    lines = said.out.splitlines()
    assert (said.code, len(lines), said.err) == (0, 3, "3 exported\n")
    assert [msgspec.json.decode(line)["id"] for line in lines] == ids(at, dead)
    rows = backend.admin.execute_command("XRANGE", GroupKeys("hf", dead, GROUP).dead, "-", "+")
    there = [[part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields
             for _, fields in rows]
    assert [fields_of(line) for line in lines] == there


def test_lint_answers_no_when_a_letter_breaks_the_specification(at, backend, dead):
    said = at("dlq", "lint", dead, "--group", GROUP, "--json")
    assert (said.code, said.json["rate"], said.err) == (0, 1.0, "3 of 3 letters conform (100.0%)\n")
    keys = GroupKeys("hf", dead, GROUP)
    backend.admin.execute_command("XADD", keys.dead, "*", "x-dlq-attempts", "many", "body", "{}")
    said = at("dlq", "lint", dead, "--group", GROUP)
    assert (said.code, said.err) == (1, "3 of 4 letters conform (75.0%)\n")
    assert "attempts" in said.out


def test_lint_counts_each_service_and_leaves_the_counts_where_they_are_scraped(at, backend, dead, tmp_path):
    from prometheus_client.parser import text_string_to_metric_families

    keys = GroupKeys("hf", dead, GROUP)
    backend.admin.execute_command("XADD", keys.dead, "*", "x-dlq-attempts", "many", "x-dlq-consumer-service",
                                  'a "shop"\nof ours', "body", "{}")
    said = at("dlq", "lint", dead, "--group", GROUP, "--json", "--textfile", tmp_path / "letters.prom")
    told = {s["service"]: (s["valid"], s["invalid"], s["rate"]) for s in said.json["services"]}
    assert (said.code, told) == (1, {"": (3, 0, 1.0), 'a "shop"\nof ours': (0, 1, 0.0)})
    families = {f.name: f for f in text_string_to_metric_families((tmp_path / "letters.prom").read_text())}
    assert {f.type for f in families.values()} == {"gauge"}
    samples = families["holdfast_letters_checked"].samples
    assert {(s.labels["stream"], s.labels["group"]) for s in samples} == {(dead, GROUP)}
    assert {(s.labels["service"], s.labels["verdict"]): s.value for s in samples} == {
        ("unknown", "valid"): 3, ("unknown", "invalid"): 0,
        ('a "shop"\nof ours', "valid"): 0, ('a "shop"\nof ours', "invalid"): 1}
    assert families["holdfast_letters_checked_timestamp_seconds"].samples[0].value > 1e9
    assert [path.name for path in tmp_path.iterdir()] == ["letters.prom"]
    said = at("dlq", "lint", dead, "--group", GROUP, "--textfile", "no/such/folder.prom")
    assert (said.code, "--textfile" in said.err) == (2, True)
    assert "unknown" not in said.out
