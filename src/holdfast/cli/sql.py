# SPDX-License-Identifier: Apache-2.0
"""``holdfast sql``: our few tables in your database."""

from __future__ import annotations

import click

from .context import run, server_options, settings, sql_option
from .output import json_option, print_json, say, show

_DIALECTS = click.Choice(["postgresql", "sqlite", "mysql", "mariadb"])


@click.group("sql")
def command() -> None:
    """Make the tables that once="sql" needs, or print their DDL."""


@command.command("init")
@sql_option
@json_option
@server_options()
def init(as_json: bool) -> None:
    """Create the tables that are missing. Harmless when they exist."""
    url = settings().sql
    if not url:
        raise click.UsageError("name the database: --sql postgresql+psycopg://app@db/app, or HOLDFAST_SQL")
    made = run(_init(url))
    if as_json:
        print_json({"created": made})
    else:
        say(f"created {', '.join(made)}" if made else "all tables are there already")


async def _init(url: str) -> list[str]:
    from .._sql.install import install

    return await install(url)


@command.command("ddl")
@click.argument("dialect", type=_DIALECTS)
def ddl(dialect: str) -> None:
    """Print the statements that create our tables, to be read or applied by hand."""
    from .._sql import ddl as statements

    show(statements(dialect).rstrip())
