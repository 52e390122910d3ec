# SPDX-License-Identifier: Apache-2.0
"""The README in Chinese says what the English one says: the same commands, code, links and numbers, as long."""

from __future__ import annotations

import re

from tests.docs.snippets import blocks
from tests.house.tree import ROOT

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WORDS = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)]+)\)")


def commands(page):
    """The lines of its blocks of shell, without what they say about themselves."""
    found = "".join(body for kind, body in FENCED.findall(page.read_text()) if kind == "bash")
    return [line.partition("#")[0].strip() for line in found.splitlines()]


def code(page):
    """Its Python, without comments."""
    return ["\n".join(line.partition("  #")[0] for line in block.code.splitlines()) for block in blocks(page)]


def words(page):
    """What stands in back quotes in its text, in order of appearance."""
    text = FENCED.sub("", page.read_text())
    return [" ".join(word.split()) for word in WORDS.findall(text)]


def sections(page):
    return len(re.findall(r"^## ", page.read_text(), re.MULTILINE))


def test_commands_are_the_same():
    assert commands(CHINESE) == commands(ENGLISH) != []


def test_code_is_the_same():
    assert code(CHINESE) == code(ENGLISH) != []


def test_commands_and_names_in_the_text_are_the_same():
    assert sorted(words(CHINESE)) == sorted(words(ENGLISH))
    assert [word for word in words(ENGLISH) if word.startswith("holdfast ")] == [
        word for word in words(CHINESE) if word.startswith("holdfast ")]


def test_it_leads_where_the_english_one_leads_and_each_to_the_other():
    own = {"README.md", "README.zh.md", "docs/glossary.md"}
    assert set(LINK.findall(CHINESE.read_text())) - own == set(LINK.findall(ENGLISH.read_text())) - own
    assert "](README.zh.md)" in ENGLISH.read_text()
    assert "](README.md)" in CHINESE.read_text()


def test_it_is_as_long_and_has_the_same_sections():
    assert sections(CHINESE) == sections(ENGLISH)
    lines = [len(page.read_text().splitlines()) for page in (ENGLISH, CHINESE)]
    assert abs(lines[0] - lines[1]) <= 6


def test_every_number_of_a_promise_is_in_both():
    numbers = [re.findall(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.-])", FENCED.sub("", page.read_text()))
               for page in (ENGLISH, CHINESE)]
    assert set(numbers[0]) - {"0"} <= set(numbers[1]) | {"2", "5"}
