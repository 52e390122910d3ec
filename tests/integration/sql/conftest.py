# SPDX-License-Identifier: Apache-2.0
"""Every test that asks for ``url`` runs on each database we speak to; one that is not installed is skipped, and said."""

from __future__ import annotations

import os

import pytest

from holdfast.testing.binaries import ServerMissing
from tests.integration.sql.servers import MariaDb, Postgres


def started(kind):
    try:
        server = kind()
    except ServerMissing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres():
    yield from started(Postgres)


@pytest.fixture(scope="session")
def mariadb():
    yield from started(MariaDb)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/db"
    return request.getfixturevalue(request.param).database()
