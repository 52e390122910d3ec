# SPDX-License-Identifier: Apache-2.0
"""Commands that the operators' pages tell a person to type exist, with those options."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from tests.house.tree import ROOT

PAGES = ["runbooks.md", "watch.md", "trace.md", "traces.md"]
COMMANDS = [(page, line) for page in PAGES
            for block in re.findall(r"```bash\n(.*?)```", (ROOT / "docs/how-to" / page).read_text(), re.DOTALL)
            for line in block.splitlines() if line.startswith("holdfast ")]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value)
def test_a_command_can_be_typed_as_it_stands(page, line, tmp_path, monkeypatch):
    from holdfast.cli import main

    (tmp_path / "rules.yaml").touch()  # the reader's own
    monkeypatch.chdir(tmp_path)

    command, rest = main, shlex.split(line)[1:]
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name, help_option_names=["-h", "--help"])
        below = command.get_command(context, rest[0])
        assert below is not None, f"{page}: there is no `{rest[0]}` in `{line}`"
        command, rest = below, rest[1:]
    command.make_context(command.name, rest, resilient_parsing=False, help_option_names=["-h", "--help"])
