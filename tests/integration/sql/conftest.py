# SPDX-License-Identifier: Apache-2.0
"""Every test that asks for ``url`` runs on each database we speak to."""

from __future__ import annotations

import pytest

DATABASES = ["sqlite", "postgres", "mariadb"]


@pytest.fixture(params=DATABASES)
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/db"
    return request.getfixturevalue(request.param).database()
