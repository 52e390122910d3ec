# SPDX-License-Identifier: Apache-2.0
"""``--desk``: the database in which dead letters in hand are kept. Of all commands that work with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from .context import settings

if TYPE_CHECKING:
    from ..deadletters.desk import Desk


def desk_url() -> str:
    """The one that was named."""
    url = settings().desk
    if not url:
        raise click.UsageError("name the desk's database: --desk sqlite:///desk.db, or HOLDFAST_DESK")
    return url


@asynccontextmanager
async def opened_desk() -> AsyncIterator[Desk]:
    """It, for one command. Raises MissingExtra, ConfigurationError, ServerUnreachable."""
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.desk import Desk

    desk = await Desk(desk_url()).open()
    try:
        yield desk
    finally:
        await desk.close()
