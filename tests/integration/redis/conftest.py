# SPDX-License-Identifier: Apache-2.0
"""One server of each flavour, since what links rely on (the wording of errors) differs between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.testing.binaries import FLAVOURS
from holdfast.testing.single import Single


@pytest.fixture(scope="module", params=FLAVOURS)
def running(request: pytest.FixtureRequest) -> Iterator[Single]:
    with Single(request.param) as server:
        yield server


@pytest.fixture
def node(running: Single) -> Single:
    """A running, empty server of each flavour in turn, with its settings and users as they were at its start."""
    running.resume()
    running.start()
    admin = running.admin
    admin.replicaof("NO", "ONE")
    admin.config_set("maxmemory", 0)
    admin.config_set("maxmemory-policy", "noeviction")
    for user in admin.acl_users():
        if user not in ("default", b"default"):
            admin.acl_deluser(user)
    admin.flushall()
    admin.script_flush()
    return running


@pytest.fixture(scope="module")
def valkey() -> Iterator[Single]:
    """One server, where the flavour makes no difference."""
    with Single("valkey") as server:
        yield server
