# SPDX-License-Identifier: Apache-2.0
"""A pipeline's file: what it says, and everything that is wrong with one, each with its key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from holdfast._base.durations import seconds
from holdfast._base.secret import Secret, SecretRef
from holdfast.errors import ConfigurationError
from holdfast.logs.config import load, read
from holdfast.logs.config_words import size
from tests.house.tree import ROOT

LEAST = {"files": ["app.log"], "parser": {"format": "json"}, "sink": {"kind": "file", "path": "out.jsonl"}}


def wrong(**over):
    """The lines of what is wrong."""
    said = {name: value for name, value in {**LEAST, **over}.items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        read(said, origin="app.toml")
    return str(caught.value).splitlines()


def test_the_least_that_is_needed():
    found = read(LEAST, name="app", folder=Path("/etc/hf"))
    assert (found.name, found.files, found.state) == ("app", ("/etc/hf/app.log",), Path("/etc/hf/app.state"))
    assert found.sink.options == {"path": "/etc/hf/out.jsonl"}
    assert (found.dead.kind, found.dead.options) == ("file", {"folder": "/etc/hf/app.state/dead"})
    assert found.parser().known_as == "json/1"
    assert (found.multiline, found.transforms, found.quota.full) == (None, (), "stop")


def test_all_of_it():
    found = read({
        "name": "shop", "state": "/var/lib/shop", "files": ["/var/log/*.log", "more/*.log"],
        "tail": {"start": "end", "scan": "100ms", "line_bytes_max": "1MiB"},
        "multiline": {"preset": "java", "wait": "2s", "lines_max": 50},
        "parser": {"format": "csv", "columns": ["a", "b"], "delimiter": ";", "required": ["a"], "time_field": "b"},
        "transform": [{"rename": {"a": "c"}}, {"cast": {"c": "int"}}, {"drop": ["b"]}, {"call": "shop.logs:mask"},
                      {"only": {"field": "c", "values": [1, 2]}}],
        "sink": {"kind": "sql", "url": "secret://db", "table": "log", "columns": {"c": "integer"}},
        "dead": {"kind": "stream", "stream": "dead", "url": "redis://:hunter2@h/0",
                 "quota": {"bytes": "1GB", "age": "30d", "full": "drop_oldest"}},
        "spool": {"bytes_max": "2GiB"}, "retry": {"first": "1s", "cap": "1m", "batch_max": 10},
        "flood": {"copies_per_minute": 100}, "burial": {"emergency_after": "1m"}, "pipeline": {"checkpoint": "500ms"},
    })
    tail = found.settings.tail
    assert (tail.start, tail.scan_s, tail.line_bytes_max) == ("end", 0.1, 1 << 20)
    assert (found.multiline.wait_s, found.multiline.lines_max) == (2.0, 50)
    assert found.transforms[3] == "shop.logs:mask"
    assert found.transforms[0]({"a": 1}) == {"c": 1}
    assert found.sink.options["url"] == SecretRef("secret://db")
    assert found.dead.options["url"] == Secret("redis://:hunter2@h/0")
    assert "hunter2" not in repr(found)
    assert (found.quota.bytes_max, found.quota.age_s) == (10**9, 30 * 86_400)
    settings = found.settings
    assert (settings.spool_bytes_max, settings.checkpoint_s, settings.delivery.batch_max) == (2 << 30, 0.5, 10)
    assert (settings.burial.flood.copies_per_minute, settings.burial.emergency_after_s) == (100, 60)


@pytest.mark.parametrize(("over", "said"), [
    ({"files": None}, "app.toml: files: is missing: paths or patterns of the files that are read"),
    ({"files": []}, "app.toml: files: a list stands here, and a list of texts is wanted"),
    ({"files": [7]}, "app.toml: files: a number stands here, and text is wanted"),
    ({"sink": None}, "app.toml: sink.kind: is missing"),
    ({"sink": "x"}, "app.toml: sink: text stands here, and a table is wanted"),
    ({"sink": {"kind": "s3"}},
     "app.toml: sink.kind: 's3': there are duckdb, elastic, file, otlp, parquet, queue, sql, stream"),
    ({"sink": {"kind": "file"}}, "app.toml: sink.path: is missing"),
    ({"sink": {"kind": "file", "path": "x", "tabel": "y"}},
     "app.toml: sink.tabel: nobody knows this key: there are kind, path, remembered"),
    ({"sink": {"kind": "sql", "url": "x", "tabel": "y"}},
     "app.toml: sink.tabel: nobody knows this key: did you mean 'table'?"),
    ({"parser": None}, "app.toml: parser.format: is missing"),
    ({"parser": {"format": "jsn"}}, "app.toml: parser.format: 'jsn': there are csv, json, logfmt, raw, text"),
    ({"parser": {"format": "text"}},
     "app.toml: parser: parser 'text': missing 1 required keyword-only argument: 'pattern'"),
    ({"parser": {"format": "json", "pattern": "x"}}, "app.toml: parser.pattern: goes with format = 'text'"),
    ({"tail": {"start": "middle"}}, "app.toml: tail: start='middle': give 'start' or 'end'"),
    ({"tail": {"scan": "soon"}}, "app.toml: tail.scan: 'soon' is no duration: write 500ms, 90s, 15m, 2h or 3d"),
    ({"tail": {"scan_s": 1}}, "app.toml: tail.scan_s: nobody knows this key: did you mean 'scan'?"),
    ({"multiline": {"preset": "cobol"}},
     "app.toml: multiline preset 'cobol': there are go, indented, java, python"),
    ({"multiline": {}}, "app.toml: multiline: give one of preset, starts, goes_on"),
    ({"transform": {"drop": ["a"]}}, "app.toml: transform: a table stands here, and a list of tables is wanted"),
    ({"transform": [{}]}, "app.toml: transform[1]: one of call, cast, drop, keep, only, rename is wanted"),
    ({"transform": [{"drop": ["a"]}, {"cast": {"a": "date"}}]},
     "app.toml: transform[2].cast: cast of 'a' to 'date': there are bool, float, int, str, time"),
    ({"transform": [{"call": "mask"}]}, "app.toml: transform[1].call: 'mask' names no function: write module:name"),
    ({"dead": {"kind": "topic"}}, "app.toml: dead.kind: 'topic': there are file, queue, sql, stream"),
    ({"dead": {"kind": "queue", "url": "amqp://h"}}, "app.toml: dead.stream: is missing"),
    ({"dead": {"quota": {"bytes": "much"}}},
     "app.toml: dead.quota.bytes: 'much' is no size: write 64MiB, 1GB, or a number of bytes"),
    ({"dead": {"quota": {"full": "panic"}}}, "app.toml: dead.quota.full: 'panic': there are drop_oldest, stop"),
    ({"flood": {"copies_per_minute": -1}}, "app.toml: flood.copies_per_minute: -1 is no whole number"),
    ({"speed": 3}, ("app.toml: speed: nobody knows this key: there are burial, dead, files, flood, multiline, "
                    "name, parser, pipeline, retry, sink, spool, state, tail, transform")),
])
def test_one_mistake_is_one_line_that_names_the_key(over, said):
    assert wrong(**over) == [said]


def test_all_that_is_wrong_is_said_at_once():
    assert len(wrong(files=None, sink={"kind": "file"}, parser={"format": "x"}, tail={"scan": "soon"}, odd=1)) == 5


def test_a_password_is_in_no_complaint(tmp_path):
    path = tmp_path / "app.yaml"
    path.write_text("sink: {url: 'redis://:hunter2@h/0'\nfiles: x\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert "hunter2" not in str(caught.value)
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize("value", ["5", "5 s", "-1s", -1, True, None, "1w", "", float("inf")])
def test_what_is_no_duration(value):
    with pytest.raises(ConfigurationError):
        seconds(value)


@pytest.mark.parametrize(("value", "found"), [(7, 7), ("7B", 7), ("1kB", 1_000), ("1.5 MiB", 3 << 19), ("1GB", 10**9)])
def test_sizes(value, found):
    assert size(value) == found


@pytest.mark.parametrize("value", ["7", "MB", 0, -1, "0MB", "1iB", True, None, 1.5])
def test_what_is_no_size(value):
    with pytest.raises(ConfigurationError):
        size(value)


def test_toml_and_yaml_say_the_same(tmp_path):
    toml, yaml = tmp_path / "app.toml", tmp_path / "app.yml"
    toml.write_text('files = ["a.log"]\n[parser]\nformat = "json"\n[sink]\nkind = "file"\npath = "o"\n')
    yaml.write_text("files: [a.log]\nparser: {format: json}\nsink: {kind: file, path: o}\n")
    one, other = load(toml), load(yaml)
    assert (one.files, one.sink, one.state) == (other.files, other.sink, other.state)


@pytest.mark.parametrize(("name", "content", "words"), [
    ("x.json", b"{}", "TOML or YAML"), ("x.toml", b"a = ", "not TOML"), ("x.yaml", b"a: [", "not YAML"),
    ("x.toml", b"\xff", "not UTF-8"), ("x.yaml", b"- 1", "a table is wanted"),
    ("x.toml", b"#" * (1 << 21), "too many")])
def test_a_file_that_is_none(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        load(tmp_path / name)


def test_the_example_of_the_page_is_one():
    page = (ROOT / "docs" / "how-to" / "logs.md").read_text()
    said = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])
    found = read(said, name="shop")
    assert (found.sink.kind, found.quota.bytes_max, len(found.transforms)) == ("sql", 2 * 10**9, 3)


def test_every_word_of_the_page_s_table_is_known():
    page = (ROOT / "docs" / "how-to" / "logs.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `[tail]`")]
    for word in re.findall(r"`(\w+)`", rows[0].replace("[tail]", "")):
        with pytest.raises(ConfigurationError) as caught:
            read({**LEAST, "tail": {word: object()}})
        assert "nobody knows" not in str(caught.value), word
