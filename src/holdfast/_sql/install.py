# SPDX-License-Identifier: Apache-2.0
"""Putting our tables into the user's database, as ``holdfast sql init`` does."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError, ServerUnreachable
from .engine import Database, DatabaseSource
from .tables import create_all, missing_tables
from .transient import is_transient


async def install(source: DatabaseSource) -> list[str]:
    """Creates the tables that are missing and names them. Harmless when they exist.

    Raises ServerUnreachable when the database does not answer, ConfigurationError when it refuses.
    """
    database = Database(source)
    try:
        with database.plain_engine.begin() as connection:
            missing = missing_tables(connection, database.tables)
            create_all(connection, database.tables)
    except DBAPIError as error:
        if is_transient(error):
            raise ServerUnreachable(f"the database does not answer: {error.orig}") from error
        raise ConfigurationError(f"the database refused: {error.orig}") from error
    finally:
        await database.close()
    return [str(name) for name in missing]
