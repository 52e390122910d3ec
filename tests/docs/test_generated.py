# SPDX-License-Identifier: Apache-2.0
"""Generated pages say what the code says, and every command of the command line is on its page."""

from __future__ import annotations

import importlib.util

import pytest

from tests.house.tree import ROOT

_spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
assert _spec
assert _spec.loader
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("page", sorted(generate.PAGES))
def test_a_generated_page_is_fresh(page):
    assert (ROOT / page).read_text() == generate.PAGES[page](), f"{page} is stale: run `make docs`"


def test_every_command_is_documented():
    from holdfast.cli import main

    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    missing = [" ".join(path) for path, _ in generate.commands(main, ("holdfast",))
               if f"# {' '.join(path)}\n" not in page]
    assert not missing


def test_every_command_and_option_explains_itself():
    from holdfast.cli import main

    silent = []
    for path, command in generate.commands(main, ("holdfast",)):
        if not (command.help or "").strip():
            silent.append(" ".join(path))
        silent += [f"{' '.join(path)} {option.opts[0]}" for option in command.params
                   if option.param_type_name == "option" and not option.hidden and not option.help]
    assert not silent
