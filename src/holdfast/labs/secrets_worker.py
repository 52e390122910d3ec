# SPDX-License-Identifier: Apache-2.0
"""One process of the lab: ``python -m holdfast.labs.secrets_worker ASSIGNMENT.json``. A node, a server, a standby."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
from pathlib import Path

import msgspec

from .._base.clock import SystemClock
from .._base.secret import Secret
from .._base.serving import listen
from .._base.typed import from_json
from ..secrets.access import AuditLog, Tokens, policy_of
from ..secrets.nodes import Node, Serving
from ..secrets.serve import Desk, Follower, Replica, Role, Terms, Tls, Wire, create_app, run
from ..secrets.serve.vaulted import VaultFeed, vault_opener
from ..secrets.vault import FilePin, KeyFile, Vault

POLICY = policy_of({"version": 1, "roles": {"all": [{"paths": ["**"], "actions": ["*"]}]}})


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """role: ``node``, ``server``, ``standby``. folder: its disk. name: of a node. common: what servers are given from
    elsewhere: tokens, certificate, key. follows: the primary's address."""

    role: str
    folder: str
    port: int
    name: str = ""
    common: str = ""
    follows: str = ""
    token: str = ""


def main(told: Assignment) -> None:
    """Until it is killed."""
    if told.role == "node":
        serving = Serving(Node(Path(told.folder), told.name, SystemClock(), os.urandom), port=told.port)
        _ready()
        try:
            threading.Event().wait()
        finally:
            serving.close()
    else:
        _serve(told, Path(told.folder), Path(told.common))


def _serve(told: Assignment, folder: Path, common: Path) -> None:
    clock, seal = SystemClock(), KeyFile(common / "key")
    key = Secret((common / "key").read_bytes())
    audit, tokens = AuditLog(folder / "audit", key, clock.wall_ms), Tokens(common / "tokens", clock.wall_ms,
                                                                           secrets.token_bytes)
    if told.role == "standby":
        terms, replica = Terms(folder / "term", key, Role.STANDBY), Replica(folder / "replica", vault_opener(seal))
        wire = Wire([told.follows], token=Secret(told.token), ca=common / "authority" / "ca.pem")
        Follower(replica, wire, terms).start()
        desk = Desk(replica, POLICY, audit, terms, tokens=tokens, clock=clock)
    else:
        vault = Vault.create(folder / "vault", seal, pin=FilePin(folder / "pins"))
        desk = Desk(vault, POLICY, audit, Terms(folder / "term", key), tokens=tokens,
                    sealed=VaultFeed(vault, folder / "spare"), clock=clock)
    certificate = Tls(common / "authority" / "server.pem", common / "authority" / "server.key")
    run(create_app(desk), listen("127.0.0.1", told.port, backlog=256), certificate, drain_s=1.0, started=_ready)


def _ready() -> None:
    sys.stdout.write(json.dumps({"event": "ready"}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(from_json(Path(sys.argv[1]).read_bytes(), Assignment))
