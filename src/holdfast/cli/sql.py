# SPDX-License-Identifier: Apache-2.0
"""``holdfast sql``: our few tables in your database."""

from __future__ import annotations

import click

from .context import server_options, settings, sql_option
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
    made = _init(url)
    if as_json:
        print_json({"created": made})
    else:
        say(f"created {', '.join(made)}" if made else "all tables are there already")


def _init(url: str) -> list[str]:
    """Creates what is missing; names what was made."""
    from sqlalchemy.exc import DBAPIError

    from .._sql import Database, create_all, is_transient, missing_tables
    from ..errors import ConfigurationError, ServerUnreachable

    database = Database(url)
    try:
        with database.plain_engine.begin() as connection:
            missing = missing_tables(connection, database.tables)
            create_all(connection, database.tables)
    except DBAPIError as error:
        if is_transient(error):
            raise ServerUnreachable(f"the database does not answer: {error.orig}") from error
        raise ConfigurationError(f"the database refused: {error.orig}") from error
    finally:
        database.plain_engine.dispose()
    return [str(name) for name in missing]


@command.command("ddl")
@click.argument("dialect", type=_DIALECTS)
def ddl(dialect: str) -> None:
    """Print the statements that create our tables, to be read or applied by hand."""
    from .._sql import ddl as statements

    show(statements(dialect).rstrip())
