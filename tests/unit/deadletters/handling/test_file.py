# SPDX-License-Identifier: Apache-2.0
"""Rules in files: YAML, TOML, and what becomes of a change."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from holdfast._base.events import Events
from holdfast.deadletters.handling import Facts, Rules, load_rules
from holdfast.errors import ConfigurationError, MissingExtra

YAML = "rules:\n  - {name: a, match: {stage: ack}, category: transient}\n"
TOML = '[[rules]]\nname = "a"\ncategory = "transient"\n[rules.match]\nstage = "ack"\n'


@pytest.mark.parametrize(("name", "text"), [("r.yaml", YAML), ("r.yml", YAML), ("r.toml", TOML)])
def test_both_kinds_of_file_say_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    verdict = load_rules(tmp_path / name).judge(Facts(stage="ack"))
    assert (verdict.rule, verdict.category) == ("a", "transient")


@pytest.mark.parametrize(("name", "text", "words"), [
    ("r.json", "{}", "rules are YAML or TOML"), ("r.toml", "= 3", "r.toml is not TOML"),
    ("r.yaml", "a: [", "r.yaml is not YAML"), ("r.yaml", "", "is wanted, not nothing"),
    ("r.yaml", "!!python/object/apply:os.system [id]", "is not YAML")])
def test_what_is_no_file_of_rules(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        load_rules(tmp_path / name)


def test_a_file_that_cannot_be_read_or_is_too_long(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_rules(tmp_path / "nowhere.yaml")
    (tmp_path / "long.yaml").write_bytes(b"#" * (5 << 20))
    with pytest.raises(ConfigurationError, match="too many"):
        load_rules(tmp_path / "long.yaml")


@pytest.mark.parametrize(("module", "text"), [("yaml", YAML), ("re2", YAML.replace("stage: ack", "message: x"))])
def test_without_its_library_the_extra_is_named(tmp_path, monkeypatch, module, text):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(MissingExtra, match=r"holdfast\[dlq\]"):
        load_rules(tmp_path / "r.yaml")


def test_a_change_is_taken_over_whole_or_not_at_all(tmp_path):
    told = []
    path = tmp_path / "r.yaml"
    path.write_text(YAML)
    rules = Rules(path, Events(told.append))
    assert not rules.poll()
    _replaced(path, YAML.replace("name: a", "name: b") + "  - {name: c, category: odd}\n")
    assert not rules.poll()
    assert rules.refused
    assert not rules.poll()
    assert rules.refused, "guard: it stays refused until it is mended"
    assert rules.current.rules[0].name == "a", "guard: a broken file changes nothing"
    _replaced(path, YAML.replace("name: a", "name: b"))
    assert rules.poll()
    assert (rules.current.rules[0].name, rules.refused) == ("b", False)
    path.unlink()
    assert not rules.poll()
    assert rules.refused
    assert rules.current.rules[0].name == "b", "a file that is gone changes nothing"
    assert [event.name for event in told] == ["rules_rejected", "rules_reloaded", "rules_rejected"]


def _replaced(path, text):
    """As editors and config maps do it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_service_does_not_start_on_a_guess(tmp_path):
    (tmp_path / "r.yaml").write_text("rules: 3")
    with pytest.raises(ConfigurationError):
        Rules(tmp_path / "r.yaml", Events())
    assert Rules(None, Events()).current.origin == "built-in rules"


def test_the_rules_of_the_manual_are_valid(tmp_path):
    page = (Path(__file__).parents[4] / "docs/how-to/dead-letter-service.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for n, block in enumerate(blocks):
        (tmp_path / f"{n}.yaml").write_text(block)
        assert load_rules(tmp_path / f"{n}.yaml").rules
    retries = re.findall(r"^\| `(\{strategy.*?\})`", page, re.MULTILINE)
    assert len(retries) == 5
    for n, retry in enumerate(retries):
        (tmp_path / f"r{n}.yaml").write_text(f"categories: {{transient: {{retry: {retry}}}}}")
        load_rules(tmp_path / f"r{n}.yaml")
