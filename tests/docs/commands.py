# SPDX-License-Identifier: Apache-2.0
"""Commands of ours, as files for machines call them: read as click reads them, and nothing runs."""

from __future__ import annotations

from collections.abc import Iterable

import click

from holdfast.cli import main


def parsed(words: Iterable[str]) -> tuple[click.Command, click.Context]:
    """The innermost command of ``holdfast WORDS``, and its parameters (``context.params``)."""
    group: click.Command = main
    name: str | None = "holdfast"
    context: click.Context | None = None
    rest = list(words)
    while True:
        context = group.make_context(name, rest, parent=context)
        if not isinstance(group, click.Group):
            return group, context
        name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        group = found
